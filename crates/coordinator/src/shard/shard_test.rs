//! The shard against Kafka's rules: tables of transitions and error codes, whole rebalances, replay.

mod harness;
mod joins;
mod membership;
mod offsets;
mod properties;
mod rebalances;
mod statics;
mod storage;
