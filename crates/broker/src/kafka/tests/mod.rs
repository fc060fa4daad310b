//! The Kafka front end on a real broker's partitions and coordinator, with the controller played in-process: every
//! request goes over a TCP connection.

mod admin;
mod broker;
mod client;
mod configs;
mod data;
mod doors;
mod failover;
mod groups;
mod hostile;
mod many_items;
mod new_topics;
