//! A write is reported back: apply what it commits, answer who waited for it.

use super::GroupShard;
use super::outbox::{Output, Then, Write, WriteId};
use crate::api::DeletedGroup;
use crate::clock::Now;
use crate::group::GroupId;
use crate::request::{Reply, Request, Ticket};
use milena_types::{ErrorCode, Offset};

/// What clients are told when an append to `__consumer_offsets` fails: to look for the coordinator again, to try again,
/// or that the broker cannot. Source: `CoordinatorOperationExceptionHelper.handleOperationException`.
#[must_use]
pub fn coordinator_error(append_error: ErrorCode) -> ErrorCode {
    match append_error {
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::UnknownTopicId
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend
        | ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch | ErrorCode::KafkaStorageError => {
            ErrorCode::NotCoordinator
        }
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::UnknownServerError
        }
        ErrorCode::NetworkException => ErrorCode::CoordinatorLoadInProgress,
        other => other,
    }
}

impl GroupShard {
    /// Reports a write back: the offset of its first record, or why it is *not* in the log.
    ///
    /// When it is not known whether the records are in the log (a timeout after the append), the shard must be unloaded
    /// and loaded again instead: only the log can tell. An id that is not on its way is ignored.
    pub fn written(&mut self, id: WriteId, result: Result<Offset, ErrorCode>, now: Now) -> Output {
        if let Some(pending) = self.outbox.settle(id) {
            let result = result.map_err(coordinator_error);
            self.continue_with(&pending.group, pending.write, pending.then, result, now);
            for (ticket, request) in self.outbox.released(id) {
                self.release(ticket, request, now);
            }
            self.begin_waiting_delete(&pending.group, now);
        }
        self.finish()
    }

    fn continue_with(
        &mut self,
        group: &GroupId,
        write: Write,
        then: Then,
        result: Result<Offset, ErrorCode>,
        now: Now,
    ) {
        let outcome = result.map(|_| ());
        match then {
            Then::Apply { answer } => {
                self.apply(write, result);
                if let Some((ticket, reply)) = answer {
                    let reply = match outcome {
                        Ok(()) => reply,
                        Err(error) => reply.into_refusal(error),
                    };
                    self.outbox.reply(ticket, reply);
                }
            }
            Then::Delete { ticket } => {
                self.apply(write, result);
                if let Some(ticket) = ticket {
                    let error = outcome.err().unwrap_or_default();
                    let group_id = group.to_string();
                    self.outbox
                        .reply(ticket, Reply::Delete(DeletedGroup { group_id, error }));
                }
                self.unblock(group, now);
            }
            Then::Assignment {
                generation,
                assignments,
            } => {
                self.on_group(group, now, |step| {
                    step.assignment_written(generation, assignments, outcome)
                });
            }
            Then::StaticMember(replacement) => {
                self.on_group(group, now, |step| {
                    step.static_member_written(*replacement, outcome)
                });
            }
            // Without it the generation before is in the log, whose members a failover would wait for in vain until
            // their sessions end: a delay, no harm.
            Then::EmptyGeneration => {
                if let Err(error) = outcome {
                    tracing::warn!(group = %group, %error, "empty generation was not stored");
                }
            }
        }
    }

    fn apply(&mut self, write: Write, result: Result<Offset, ErrorCode>) {
        let Ok(first) = result else { return };
        let producer = write.transaction.map(|(producer, _)| producer);
        for (position, record) in (0..).zip(write.records) {
            self.replay(first.plus(position), producer, record);
        }
    }

    fn release(&mut self, ticket: Ticket, request: Request, now: Now) {
        match request {
            // Not to wait again behind writes that began later.
            Request::Fetch(request) => self.fetch_committed(ticket, request),
            other => self.dispatch(ticket, other, now),
        }
    }

    /// Begins the deletion that waited for the group's writes, once there are none.
    fn begin_waiting_delete(&mut self, group: &str, now: Now) {
        if self.outbox.is_writing(group) {
            return;
        }
        let waiting = self
            .blocked
            .get_mut(group)
            .and_then(|blocked| blocked.delete.take());
        if let Some(ticket) = waiting
            && !self.start_delete(ticket, group)
        {
            self.unblock(group, now);
        }
    }
}
