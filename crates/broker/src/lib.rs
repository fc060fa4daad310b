//! A Kafka broker: Kafka listeners, partition owners, replication links, hosted coordinators, metadata cache.
//!
//! ```text
//! kafka/        listeners, connections, one handler file per API      ─┐
//! coordinator/  hosts the group coordinator beside its partitions      ├─► shard::Router ─► shard/ (data threads)
//! shard/link/   replication streams between brokers                   ─┘
//! controller/   registration, heartbeats, metadata subscription, admin: gRPC to the controller quorum
//! metadata/     the last applied image, for everybody to read
//! loggers       the process's loggers, which its node owns
//! ```
//!
//! Threads: N data threads (each a current-thread runtime that owns its partitions and serves the connections it
//! accepted), one control thread, one flusher thread per (log directory, data thread).

pub mod config;
pub mod controller;
pub mod coordinator;
pub mod kafka;
pub mod loggers;
pub mod metadata;
pub mod shard;
mod start;

pub use config::BrokerConfig;
pub use start::{Broker, BrokerHandle, StartError};
