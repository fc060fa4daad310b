//! Group commit: what is dirty is flushed together; what becomes dirty meanwhile is the next group.

use super::process::Process;
use crate::cx::Cx;
use crate::event::BrokerTimer;
use milena_log::{FlushTicket, LogError};
use milena_replication::flush_is_due;
use milena_types::TopicIdPartition;

/// `flush.messages` of topics that do not flush before they acknowledge.
const FLUSH_MESSAGES: i64 = 200;

/// What waits for the disk.
#[derive(Debug, Default)]
pub(super) struct FlushQueue {
    dirty: Vec<TopicIdPartition>,
    in_flight: Vec<(TopicIdPartition, FlushTicket)>,
}

impl Process {
    /// The log has grown: it must be flushed, or counts at once.
    pub(super) fn after_append(&mut self, id: TopicIdPartition) {
        let Some(partition) = self.partitions.get(&id) else {
            return;
        };
        let ends = partition.ends();
        let unflushed = ends.log_end.since(partition.log.flushed_offset());
        if flush_is_due(partition.settings.durability, unflushed, FLUSH_MESSAGES) {
            self.queue_flush(id);
        }
    }

    pub(super) fn queue_flush(&mut self, id: TopicIdPartition) {
        if let Some(partition) = self.partitions.get_mut(&id)
            && !partition.flush_queued
        {
            partition.flush_queued = true;
            self.flush.dirty.push(id);
        }
    }

    /// Hands the disk what is dirty by now.
    pub(super) fn submit_flushes(&mut self, cx: &mut Cx) {
        if !self.flush.in_flight.is_empty() || self.flush.dirty.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.flush.dirty) {
            let Some(partition) = self.partitions.get_mut(&id) else {
                continue;
            };
            partition.flush_queued = false;
            match partition.log.take_flush() {
                Ok(Some(ticket)) => {
                    partition.flush_tickets += 1;
                    self.flush.in_flight.push((id, ticket));
                }
                Ok(None) => {}
                Err(error) => {
                    self.storage_failed(&error);
                    return;
                }
            }
        }
        if !self.flush.in_flight.is_empty() {
            let stalls = if cx.random.one_in(300) { 30 } else { 1 };
            let takes = cx.random.between(150, cx.settings.flush_max) * stalls;
            cx.timer(self.host, takes, BrokerTimer::Flushed);
        }
    }

    /// The group is on disk.
    pub(super) fn on_flushed(&mut self, cx: &mut Cx) {
        for (id, ticket) in std::mem::take(&mut self.flush.in_flight) {
            if let Err(source) = ticket.sync() {
                let path = crate::disk::PATH.into();
                self.storage_failed(&LogError {
                    operation: "flush",
                    path,
                    source,
                });
                return;
            }
            let Some(partition) = self.partitions.get_mut(&id) else {
                continue;
            };
            // Else it is of the log that was open under this name before: what it says of offsets is not about this one.
            let Some(left) = partition.flush_tickets.checked_sub(1) else {
                continue;
            };
            partition.flush_tickets = left;
            partition.log.on_flushed(&ticket);
            self.on_advertised(cx, id);
        }
    }

    /// More of the log counts: flushed, or appended where that is enough.
    pub(super) fn on_advertised(&mut self, cx: &mut Cx, id: TopicIdPartition) {
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        let ends = partition.ends();
        let leads = match partition.leading() {
            Some(role) => {
                role.leader.on_advertised(ends.advertised);
                true
            }
            None => false,
        };
        if leads {
            self.advance_high_watermark(cx, id);
        } else {
            self.queue_ack(id);
        }
        self.checkpoint_dirty.insert(id);
    }
}
