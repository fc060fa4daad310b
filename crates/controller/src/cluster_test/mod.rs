//! Three controllers in one process, over loopback, on disk.

mod busy;
mod cluster;
mod cut_off;
mod failover;
mod metadata;
mod restore;
mod size;
mod subscribe;

pub(crate) use cluster::{heartbeat, listener, new_topic, registration};
