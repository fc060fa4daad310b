//! Partition owners and replication links over real sockets and disks; the controller is played by the test.

mod cluster;
mod controller;

mod failover;
mod fetching;
mod idle;
mod isr;
mod producing;
