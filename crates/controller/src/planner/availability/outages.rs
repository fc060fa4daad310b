//! Which partitions cannot be written, since when, and how much that came to, topic by topic.

use super::between;
use super::changes::{Outage, outage};
use milena_metadata::config::BrokerDefaults;
use milena_metadata::image::MetadataImage;
use milena_metrics::Metric;
use milena_types::{Timestamp, TopicId, TopicIdPartition};
use std::collections::BTreeMap;
use std::time::Duration;

/// The outages of one controller: what they came to, and those that last.
///
/// Bounded by the partitions and topics that exist and have had one.
#[derive(Debug, Default)]
pub(super) struct Outages {
    lasting: BTreeMap<TopicIdPartition, (Outage, Timestamp)>,
    ended: BTreeMap<(TopicId, Outage), Duration>,
}

impl Outages {
    /// Of all partitions as they are.
    pub(super) fn begin(&mut self, image: &MetadataImage, defaults: &BrokerDefaults, now: Timestamp) {
        self.lasting.clear();
        self.look_at_all(image, defaults, now);
    }

    /// What comes is for another controller to count.
    pub(super) fn end(&mut self, until: Timestamp) {
        for (id, (outage, since)) in std::mem::take(&mut self.lasting) {
            self.add(id, outage, between(since, until));
        }
    }

    /// Its leader is dead since then, whatever else it lacked before.
    pub(super) fn lost_its_leader(&mut self, id: TopicIdPartition, since: Timestamp) {
        self.becomes(id, Some(Outage::NoLeader), since);
    }

    /// It lacks this from `now` on.
    pub(super) fn becomes(&mut self, id: TopicIdPartition, outage: Option<Outage>, now: Timestamp) {
        if self.lasting.get(&id).map(|lasting| lasting.0) == outage {
            return;
        }
        if let Some((was, since)) = self.lasting.remove(&id) {
            self.add(id, was, between(since, now));
        }
        if let Some(outage) = outage {
            self.lasting.insert(id, (outage, now));
        }
    }

    /// What was right for a partition may be wrong now, without a change of its own; topics may be gone.
    pub(super) fn look_at_all(&mut self, image: &MetadataImage, defaults: &BrokerDefaults, now: Timestamp) {
        self.ended
            .retain(|(topic, _), _| image.topics.contains_key(topic));
        self.lasting.retain(|id, _| image.partition(*id).is_some());
        for (_, id, state) in image.partitions() {
            self.becomes(id, outage(image, id, state, defaults), now);
        }
    }

    fn add(&mut self, id: TopicIdPartition, outage: Outage, took: Duration) {
        *self.ended.entry((id.topic, outage)).or_default() += took;
    }

    /// Seconds of each topic that has had an outage; those of partitions add up.
    pub(super) fn metrics(&self, image: &MetadataImage, now: Timestamp) -> Vec<Metric> {
        let mut sums = self.ended.clone();
        for (id, (outage, since)) in &self.lasting {
            *sums.entry((id.topic, *outage)).or_default() += between(*since, now);
        }
        let help = "Partition-seconds in which a topic could not be written with acks=all, by why.";
        let row = |((topic, outage), sum): ((TopicId, Outage), Duration)| {
            let name = image.topics.get(&topic)?.name.to_string();
            let metric = Metric::new(
                ("milena", "topic"),
                "unavailable_seconds_total",
                help,
                sum.as_secs_f64(),
            );
            Some(metric.with_tag("topic", name).with_tag("reason", outage.as_str()))
        };
        sums.into_iter().filter_map(row).collect()
    }
}
