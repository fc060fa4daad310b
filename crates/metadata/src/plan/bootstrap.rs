//! The first records of a cluster: its id, its feature levels, and the settings that must be replicated.

use super::context::{PlanContext, Planned};
use super::draft::Draft;
use crate::config;
use crate::image::{ELR_FEATURE, MetadataImage};
use crate::record::{ConfigResource, MetadataRecord};
use milena_types::{ClusterId, TopicName};

/// A feature that this version supports (KIP-584).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureRange {
    /// For example `metadata.version`.
    pub name: &'static str,
    /// The lowest level supported.
    pub min: i16,
    /// The highest level supported.
    pub max: i16,
    /// The level that a new cluster starts with; 0 is off.
    pub initial: i16,
}

/// The features that ApiVersions advertises as supported. `metadata.version` 30 is Kafka's 4.3-IV0.
pub const FEATURES: &[FeatureRange] = &[
    FeatureRange {
        name: ELR_FEATURE,
        min: 0,
        max: 1,
        initial: 1,
    },
    FeatureRange {
        name: "kraft.version",
        min: 0,
        max: 1,
        initial: 1,
    },
    FeatureRange {
        name: "metadata.version",
        min: 7,
        max: 30,
        initial: 30,
    },
];

/// Plans the genesis of a cluster; nothing when the cluster has an id already. The reply is the id that counts.
#[must_use]
pub fn bootstrap(image: &MetadataImage, cluster: &ClusterId, ctx: &PlanContext<'_>) -> Planned<ClusterId> {
    if let Some(known) = &image.cluster {
        return Planned::reply(known.clone());
    }
    let mut draft = Draft::new(image, ctx);
    draft.push(MetadataRecord::Cluster(cluster.clone()));
    for feature in FEATURES.iter().filter(|f| f.initial > 0) {
        draft.push(MetadataRecord::Feature {
            name: feature.name.to_owned(),
            level: feature.initial,
        });
    }
    // The ELR depends on it, so that all controllers must mean the same value (KIP-966).
    let min_isr = TopicName::new("any").map_or(1, |topic| {
        config::min_insync_replicas(image, &topic, ctx.defaults)
    });
    draft.push(MetadataRecord::Config {
        resource: ConfigResource::Broker(None),
        key: "min.insync.replicas".to_owned(),
        value: Some(min_isr.to_string()),
    });
    draft.reply(cluster.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BrokerDefaults;
    use crate::plan::testing::Cluster;
    use milena_types::Timestamp;

    #[test]
    fn a_cluster_is_born_once() {
        let file = [("min.insync.replicas".to_owned(), "2".to_owned())];
        let defaults = BrokerDefaults::new(None, file);
        let ctx = PlanContext {
            now: Timestamp(0),
            seed: 1,
            defaults: &defaults,
        };
        let mut image = MetadataImage::default();
        let planned = bootstrap(&image, &ClusterId("first".into()), &ctx);
        image.apply(&planned.batch(&image)).unwrap();
        assert!(image.elr_enabled());
        assert_eq!(image.features.get("metadata.version"), Some(&30));
        assert_eq!(
            image.config(&ConfigResource::Broker(None), "min.insync.replicas"),
            Some("2")
        );
        let again = bootstrap(&image, &ClusterId("second".into()), &ctx);
        assert_eq!((again.reply, again.records), (ClusterId("first".into()), vec![]));
        assert!(Cluster::with_brokers(1).image.cluster.is_some());
    }
}
