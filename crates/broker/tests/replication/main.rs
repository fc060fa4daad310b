//! Partition owners and replication links over real sockets and disks; the controller is played by the test.

// Helpers of tests may panic as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod background;
mod cluster;
mod compaction;
mod controller;
mod damaged_end;

mod failover;
mod fetching;
mod idle;
mod isr;
mod moves;
mod opened_files;
mod producing;
mod read_replica;
mod short_fs;
mod slow_disk;
mod slow_fs;
mod storage;
mod strays;
mod throttle;
mod unclean;
