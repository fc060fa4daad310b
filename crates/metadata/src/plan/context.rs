//! What a plan is given besides the image and the request, and what it gives back.

use crate::config::BrokerDefaults;
use crate::image::MetadataImage;
use crate::record::{MetadataBatch, MetadataRecord};
use crate::request::Outcome;
use milena_types::{ErrorCode, Timestamp};

/// The most records that one request may cause. Source: `QuorumController.MAX_RECORDS_PER_USER_OP`.
pub const RECORDS_MAX: usize = 10_000;

/// The answer for an item that would take the request beyond [`RECORDS_MAX`]. Kafka refuses the whole request.
#[must_use]
pub fn too_many() -> Outcome {
    Outcome::failed(
        ErrorCode::PolicyViolation,
        "Unable to perform excessively large batch operation.",
    )
}

/// Time, randomness and settings: what is not in the image.
#[derive(Clone, Copy, Debug)]
pub struct PlanContext<'a> {
    /// The controller's monotonic clock, the one that feeds [`crate::liveness::Liveness`].
    pub now: Timestamp,
    /// Fresh random bits for this plan; a plan that is made again gets new ones.
    pub seed: u64,
    /// The controller's own defaults of topic configurations.
    pub defaults: &'a BrokerDefaults,
}

/// A decision: what to commit, and what to answer once it is applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned<R> {
    /// In order; empty when there is nothing to commit and the reply can go at once.
    pub records: Vec<MetadataRecord>,
    /// The answer.
    pub reply: R,
}

impl<R> Planned<R> {
    /// An answer without a change.
    #[must_use]
    pub fn reply(reply: R) -> Self {
        Self {
            records: Vec::new(),
            reply,
        }
    }

    /// The same records with another answer.
    #[must_use]
    pub fn map<T>(self, f: impl FnOnce(R) -> T) -> Planned<T> {
        Planned {
            records: self.records,
            reply: f(self.reply),
        }
    }

    /// The batch to propose, for the image that was planned against.
    #[must_use]
    pub fn batch(&self, image: &MetadataImage) -> MetadataBatch {
        MetadataBatch {
            expected_version: image.version,
            records: self.records.clone(),
        }
    }
}
