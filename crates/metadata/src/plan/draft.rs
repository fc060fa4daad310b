//! An image with the records that a plan has decided so far: later items of a request see earlier ones.

use super::context::{PlanContext, Planned};
use crate::config;
use crate::delta::MetadataDelta;
use crate::election::{Election, PartitionChange};
use crate::image::{MetadataImage, TopicImage};
use crate::record::{MetadataRecord, PartitionRegistration};
use milena_types::{BrokerId, TopicIdPartition, TopicName};
use std::collections::HashMap;

/// A plan in the making. The image keeps the version that it was begun with.
pub struct Draft<'a> {
    /// The image as it will be.
    pub image: MetadataImage,
    /// What this plan was given.
    pub ctx: &'a PlanContext<'a>,
    records: Vec<MetadataRecord>,
    election_settings: HashMap<TopicName, ElectionSettings>,
}

#[derive(Clone, Copy)]
struct ElectionSettings {
    min_isr: usize,
    unclean: bool,
}

impl<'a> Draft<'a> {
    /// Begins with the image as it is.
    #[must_use]
    pub fn new(image: &MetadataImage, ctx: &'a PlanContext<'a>) -> Self {
        Self {
            image: image.clone(),
            ctx,
            records: Vec::new(),
            election_settings: HashMap::new(),
        }
    }

    /// Decides one record.
    pub fn push(&mut self, record: MetadataRecord) {
        self.image.apply_record(&record, &mut MetadataDelta::default());
        if matches!(
            record,
            MetadataRecord::Config { .. } | MetadataRecord::TopicRemoved(_)
        ) {
            self.election_settings.clear();
        }
        self.records.push(record);
    }

    /// Decides several.
    pub fn extend(&mut self, records: impl IntoIterator<Item = MetadataRecord>) {
        records.into_iter().for_each(|record| self.push(record));
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True while nothing has been decided.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Ends with an answer.
    #[must_use]
    pub fn reply<R>(self, reply: R) -> Planned<R> {
        Planned {
            records: self.records,
            reply,
        }
    }

    /// The topic's effective `min.insync.replicas`, and which election it allows.
    pub(super) fn election_settings(&mut self, topic: &TopicName) -> (usize, Election) {
        let (image, defaults) = (&self.image, self.ctx.defaults);
        let settings = match self.election_settings.get(topic) {
            Some(known) => *known,
            None => {
                let found = ElectionSettings {
                    min_isr: config::min_insync_replicas(image, topic, defaults),
                    unclean: config::unclean_leader_election(image, topic, defaults),
                };
                self.election_settings.insert(topic.clone(), found);
                found
            }
        };
        (
            settings.min_isr,
            if settings.unclean {
                Election::Unclean
            } else {
                Election::Online
            },
        )
    }

    /// Changes one partition by the rules of [`PartitionChange`] and decides the record, if anything changes.
    ///
    /// `change` gets a change with the topic's settings; `is_live` says which brokers may lead.
    pub(super) fn change_partition(
        &mut self,
        topic: &TopicImage,
        id: TopicIdPartition,
        state: &PartitionRegistration,
        is_live: &dyn Fn(&MetadataImage, BrokerId) -> bool,
        change: impl for<'c> FnOnce(PartitionChange<'c>) -> PartitionChange<'c>,
    ) -> Option<PartitionRegistration> {
        let (min_isr, election) = self.election_settings(&topic.name);
        let image = &self.image;
        let live = |broker| is_live(image, broker);
        let base = PartitionChange::new(state, &live, min_isr, image.elr_enabled()).election(election);
        let after = change(base).build()?;
        self.push(MetadataRecord::Partition {
            id,
            state: after.clone(),
        });
        Some(after)
    }
}

/// Active brokers may lead: the usual rule.
pub(super) fn active(image: &MetadataImage, broker: BrokerId) -> bool {
    image.is_active(broker)
}
