//! Every decision: `plan(&image, request, &context) -> Planned { records, reply }`.
//!
//! A plan reads the image and changes nothing. Its records are proposed with the image's version as
//! `expected_version`; when another batch was applied in between, the plan is made again. One file per request.
//! Requests of several items plan each item against an image that has the earlier items' records ([`Draft`]).

mod admin;
mod allocate_producer_ids;
mod alter_configs;
mod alter_partition;
mod alter_partition_reassignments;
mod assignment;
mod bootstrap;
mod broker_gone;
mod context;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod draft;
mod elect_leaders;
mod fence_broker;
mod heartbeat;
mod metric_names;
mod periodic;
mod register_broker;
mod repeated;
mod replica_states;
mod seed;
mod unregister_broker;

#[cfg(test)]
mod safety_test;
#[cfg(test)]
pub(crate) mod testing;

pub use admin::admin;
pub use allocate_producer_ids::{PRODUCER_ID_BLOCK, allocate_producer_ids};
pub use alter_configs::alter_configs;
pub use alter_partition::alter_partition;
pub use alter_partition_reassignments::alter_partition_reassignments;
pub use bootstrap::{FEATURES, FeatureRange, bootstrap};
pub use context::{PlanContext, Planned, RECORDS_MAX, too_many};
pub use create_partitions::create_partitions;
pub use create_topics::create_topics;
pub use delete_topics::delete_topics;
pub use draft::Draft;
pub use elect_leaders::elect_leaders;
pub use fence_broker::fence_broker;
pub use heartbeat::heartbeat;
pub use periodic::{elect_preferred_leaders, elect_unclean_leaders};
pub use register_broker::register_broker;
pub use repeated::repeated;
pub use replica_states::replica_states;
pub use seed::SeedRng;
pub use unregister_broker::unregister_broker;
