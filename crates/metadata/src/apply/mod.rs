//! `apply`: the only way in which an image changes. Total (a record never fails) and deterministic.
//!
//! One file per group of records; the dispatcher here only dispatches.

mod broker;
mod cluster;
mod config;
mod partition;
mod topic;

use crate::delta::MetadataDelta;
use crate::image::{Conflict, MetadataImage};
use crate::invariants;
use crate::record::{MetadataBatch, MetadataRecord};

impl MetadataImage {
    /// Applies one committed batch: all its records in order, or none. The version grows by one.
    ///
    /// # Errors
    /// [`Conflict`] when the batch was planned against another version; the image is then as it was.
    pub fn apply(&mut self, batch: &MetadataBatch) -> Result<MetadataDelta, Conflict> {
        if batch.expected_version != self.version {
            return Err(Conflict {
                expected: batch.expected_version,
                actual: self.version,
            });
        }
        let mut delta = MetadataDelta::default();
        for record in &batch.records {
            self.apply_record(record, &mut delta);
        }
        self.version = self.version.next();
        delta.dedup();
        if cfg!(debug_assertions) {
            invariants::assert_after(self, &delta);
        }
        Ok(delta)
    }

    /// Applies one record and notes in `delta` what it touched.
    pub(crate) fn apply_record(&mut self, record: &MetadataRecord, delta: &mut MetadataDelta) {
        match record {
            MetadataRecord::Cluster(id) => cluster::set_id(self, id),
            MetadataRecord::Feature { name, level } => cluster::set_feature(self, name, *level),
            MetadataRecord::ProducerIds { next } => cluster::set_next_producer_id(self, *next),
            MetadataRecord::Broker(state) => broker::set(self, state, delta),
            MetadataRecord::BrokerRemoved(id) => broker::remove(self, *id, delta),
            MetadataRecord::Topic { id, name } => topic::add(self, *id, name, delta),
            MetadataRecord::TopicRemoved(id) => topic::remove(self, *id, delta),
            MetadataRecord::Partition { id, state } => partition::set(self, *id, state, delta),
            MetadataRecord::Config { resource, key, value } => {
                config::set(self, resource, key, value.as_deref(), delta);
            }
        }
    }
}
