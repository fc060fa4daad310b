//! The shard itself: takes requests to the group that they are for, acts on deadlines, and ends orderly.

use super::delete::Blocked;
use super::outbox::{Outbox, Output};
use super::step::Step;
use super::timers::{Timer, Timers};
use crate::clock::{Deadline, Now};
use crate::config::GroupLimits;
use crate::group::{ClassicGroup, GroupId};
use crate::offsets::OffsetStore;
use crate::request::{Reply, Request, Ticket};
use milena_types::ErrorCode;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The groups and offsets of one partition of `__consumer_offsets`.
pub struct GroupShard {
    pub(super) limits: Arc<GroupLimits>,
    pub(super) groups: BTreeMap<GroupId, ClassicGroup>,
    pub(super) offsets: OffsetStore,
    pub(super) timers: Timers,
    pub(super) outbox: Outbox,
    /// Groups that are being deleted; their requests wait.
    pub(super) blocked: BTreeMap<GroupId, Blocked>,
}

impl GroupShard {
    /// An empty shard: feed it its partition with [`GroupShard::replay`], then call [`GroupShard::loaded`].
    #[must_use]
    pub fn new(limits: Arc<GroupLimits>) -> Self {
        Self {
            limits,
            groups: BTreeMap::new(),
            offsets: OffsetStore::default(),
            timers: Timers::default(),
            outbox: Outbox::default(),
            blocked: BTreeMap::new(),
        }
    }

    /// Handles one request. Its answer is in the output, or comes later with the same ticket.
    pub fn handle(&mut self, ticket: Ticket, request: Request, now: Now) -> Output {
        self.dispatch(ticket, request, now);
        self.finish()
    }

    pub(super) fn dispatch(&mut self, ticket: Ticket, request: Request, now: Now) {
        if let Some(blocked) = request
            .group_id()
            .and_then(|group_id| self.blocked.get_mut(group_id))
        {
            blocked.waiting.push_back((ticket, request));
            return;
        }
        match request {
            Request::Join(request, fresh) => self.join(ticket, request, fresh, now),
            Request::Sync(request) => self.sync(ticket, request, now),
            Request::Heartbeat(request) => self.heartbeat(ticket, &request, now),
            Request::Leave(request) => self.leave(ticket, request, now),
            Request::Commit(request) => self.commit(ticket, request, now),
            Request::TxnCommit(request) => self.txn_commit(ticket, request, now),
            Request::Fetch(request) => self.fetch(ticket, request),
            Request::OffsetDelete(request) => self.offset_delete(ticket, request),
            Request::Delete(group_id) => self.delete(ticket, &group_id),
            Request::Describe {
                api_version,
                group_id,
            } => self.describe(ticket, api_version, &group_id),
            Request::List(request) => self.list(ticket, &request),
        }
    }

    /// Acts on the deadlines that have passed.
    pub fn expire(&mut self, now: Now) -> Output {
        while let Some(timer) = self.timers.pop(Deadline(now.monotonic_ms)) {
            match timer {
                Timer::Session(group, member) => {
                    self.on_group(&group, now, |step| step.session_expired(&member))
                }
                Timer::Join(group) => self.on_group(&group, now, |step| step.join_time_is_up()),
                Timer::Sync(group) => self.on_group(&group, now, |step| step.sync_time_is_up()),
                Timer::Retention => self.expire_offsets(now),
            }
        }
        self.finish()
    }

    /// When [`GroupShard::expire`] wants to be called next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        self.timers.next()
    }

    /// How many groups it holds.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// Ends the shard's life on this broker: everything parked is refused with `error` (NOT_COORDINATOR when the
    /// partition moved). What was being written is refused too: whether it was committed, the next coordinator knows.
    #[must_use]
    pub fn unload(mut self, error: ErrorCode) -> Vec<(Ticket, Reply)> {
        let groups = std::mem::take(&mut self.groups);
        for (_, mut group) in groups {
            let ids: Vec<_> = group.members().map(|member| member.id.clone()).collect();
            for id in ids {
                if let Some(ticket) = group.set_awaiting_join(&id, None) {
                    let refusal = crate::api::JoinResponse::failed(&id, error);
                    self.outbox.reply(ticket, Reply::Join(refusal));
                }
                let parked_sync = group
                    .member_mut(&id)
                    .and_then(|member| member.awaiting_sync.take());
                if let Some(ticket) = parked_sync {
                    self.outbox
                        .reply(ticket, Reply::Sync(crate::api::SyncResponse::failed(error)));
                }
            }
        }
        for (group_id, blocked) in std::mem::take(&mut self.blocked) {
            if let Some(ticket) = blocked.delete {
                self.outbox
                    .reply(ticket, Request::Delete(group_id.to_string()).refuse(error));
            }
            for (ticket, request) in blocked.waiting {
                self.outbox.reply(ticket, request.refuse(error));
            }
        }
        self.outbox.refuse_pending(error);
        self.outbox.take().replies
    }

    /// Runs one step of a group, if it exists.
    pub(super) fn on_group(&mut self, group_id: &str, now: Now, run: impl FnOnce(&mut Step<'_>)) {
        let Some(group) = self.groups.get_mut(group_id) else {
            return;
        };
        let mut step = Step {
            group,
            timers: &mut self.timers,
            outbox: &mut self.outbox,
            limits: &self.limits,
            now,
        };
        run(&mut step);
        step.group.check();
    }

    pub(super) fn finish(&mut self) -> Output {
        self.outbox.take()
    }
}

impl std::fmt::Debug for GroupShard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupShard")
            .field("groups", &self.groups.len())
            .finish_non_exhaustive()
    }
}
