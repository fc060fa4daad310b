//! Tells coordinators which partitions of internal topics this broker leads.

use super::api::{LeadershipEvent, ReplicaRole};
use super::router::Router;
use super::state::Shard;
use milena_types::{TopicIdPartition, TopicName};
use std::sync::Mutex;
use tokio::sync::mpsc;

/// Everybody who asked for leadership events.
#[derive(Debug, Default)]
pub(crate) struct LeadershipSubscribers {
    senders: Mutex<Vec<mpsc::UnboundedSender<LeadershipEvent>>>,
}

impl LeadershipSubscribers {
    /// Sends an event if the topic is internal. Events are few: one per role change of such a partition.
    pub(crate) fn publish(&self, id: TopicIdPartition, topic: &TopicName, role: ReplicaRole) {
        if !topic.is_internal() {
            return;
        }
        let event = LeadershipEvent {
            id,
            topic: topic.clone(),
            role,
        };
        self.lock().retain(|sender| sender.send(event.clone()).is_ok());
    }

    fn subscribe(&self, sender: mpsc::UnboundedSender<LeadershipEvent>) {
        self.lock().push(sender);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<mpsc::UnboundedSender<LeadershipEvent>>> {
        // Nothing can panic under the lock.
        self.senders
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Router {
    /// Role changes of this broker's partitions of internal topics, beginning with the roles that it has now.
    ///
    /// A role may be told twice; the last one told is the present one.
    #[must_use]
    pub fn leadership_events(&self) -> mpsc::UnboundedReceiver<LeadershipEvent> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.leadership.subscribe(sender.clone());
        for shard in self.mailboxes.shards() {
            let sender = sender.clone();
            self.mailboxes
                .run_control(shard, move |shard| shard.tell_roles(&sender));
        }
        receiver
    }
}

impl Shard {
    fn tell_roles(&self, sender: &mpsc::UnboundedSender<LeadershipEvent>) {
        for (id, partition) in self.partitions.iter().filter(|(_, p)| p.name.topic.is_internal()) {
            let event = LeadershipEvent {
                id: *id,
                topic: partition.name.topic.clone(),
                role: partition.replica_role(),
            };
            // The subscriber may have gone already.
            let _ = sender.send(event);
        }
    }
}
