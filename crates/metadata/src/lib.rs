//! Cluster metadata as records: the image, `apply` (the only mutator) and `plan` (every decision).
//!
//! ```text
//! request ──► plan(&image) ──► MetadataBatch ──► (raft) ──► apply ──► image + delta ──► brokers follow
//! ```
//!
//! Pure: values in, values out. No clock, no randomness, no IO: time and seeds are arguments ([`plan::PlanContext`]).
//! The controller plans against the applied image, proposes one [`MetadataBatch`], and every node applies it with the
//! same [`MetadataImage::apply`]. What a broker makes of the answers, and reports, is here too: [`broker_life`], [`replica_report`].

pub mod broker_life;
pub mod chunk_map;
pub mod config;
pub mod delta;
pub mod election;
pub mod image;
pub mod invariants;
pub mod liveness;
pub mod placement;
pub mod plan;
pub mod quorum;
pub mod reassignment;
pub mod record;
pub mod replica_report;
pub mod request;
pub mod stray;

mod apply;

pub use chunk_map::ChunkMap;
pub use delta::MetadataDelta;
pub use image::{MetadataImage, TopicImage};
pub use record::{MetadataBatch, MetadataRecord};
