//! Clients: producers that want all acknowledgements and never give up, some that want the leader's only, consumers, and an
//! administrator.

pub mod admin;
pub mod consumer;
pub mod message;
pub mod producer;

use crate::broker::Broker;
use crate::cx::Cx;
use crate::event::Host;
use milena_types::{BrokerId, TopicIdPartition, TopicPartition};

/// Looks a partition up in the metadata of a broker that runs: its id, and the process that leads it as far as is known there.
pub fn look_up(
    cx: &mut Cx,
    brokers: &[Broker],
    name: &TopicPartition,
) -> Option<(TopicIdPartition, Option<Host>)> {
    let running: Vec<usize> = (0..brokers.len())
        .filter(|at| brokers[*at].process.is_some())
        .collect();
    let at = cx.random.pick(&running)?;
    let image = brokers[at].process.as_ref()?.cache();
    let topic = image.topic_by_name(name.topic.as_str())?;
    let state = topic.partition(name.partition)?;
    let id = TopicIdPartition {
        topic: topic.id,
        partition: name.partition,
    };
    let host = |leader: BrokerId| {
        let found = brokers.iter().find(|broker| broker.id == leader);
        found.filter(|broker| broker.process.is_some()).map(Broker::host)
    };
    Some((id, state.leader.and_then(host)))
}
