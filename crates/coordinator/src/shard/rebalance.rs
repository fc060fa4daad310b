//! Rebalances: begin, wait for the members, fix the generation, wait for their syncs.
//!
//! Source: `GroupMetadataManager.prepareRebalance`, `completeClassicGroupJoin`, `expirePendingSync`.

use super::outbox::Then;
use super::step::Step;
use super::timers::Timer;
use crate::api::SyncResponse;
use crate::clock::timeout;
use crate::group::{GroupState, MemberId};
use bytes::Bytes;
use milena_types::ErrorCode;
use std::time::Duration;

impl Step<'_> {
    /// Begins a rebalance, or completes the one that is under way if this was what it waited for.
    pub(super) fn rebalance_or_complete(&mut self, reason: &str) {
        if self.group.state().may_become(GroupState::PreparingRebalance) {
            self.prepare_rebalance(reason);
        } else {
            self.maybe_complete_join();
        }
    }

    /// Completes the join phase when everybody is there. The initial delay runs to its end regardless.
    pub(super) fn maybe_complete_join(&mut self) {
        let waits = self.group.state() == GroupState::PreparingRebalance
            && self.group.previous_state() != GroupState::Empty;
        if waits && self.group.all_joined() {
            self.complete_join_phase();
        }
    }

    pub(super) fn prepare_rebalance(&mut self, reason: &str) {
        if self.group.state() == GroupState::CompletingRebalance {
            self.reset_assignments(ErrorCode::RebalanceInProgress);
        }
        self.group.pending_sync.clear();
        self.timers.cancel(&Timer::Sync(self.group.id.clone()));
        let is_initial = self.group.state() == GroupState::Empty;
        self.group
            .transition(GroupState::PreparingRebalance, self.now.wall);
        tracing::info!(group = %self.group.id, generation = self.group.generation, reason, "preparing to rebalance");
        if is_initial {
            let delay = self.limits.initial_rebalance_delay;
            let remaining = timeout(self.group.rebalance_timeout_ms()).saturating_sub(delay);
            self.group.new_member_added = false;
            self.schedule_initial_delay(delay, remaining);
        } else if self.group.all_joined() {
            self.complete_join_phase();
        } else {
            self.schedule_join();
        }
    }

    fn schedule_initial_delay(&mut self, delay: Duration, remaining: Duration) {
        self.group.initial_delay = Some((delay, remaining));
        self.timers
            .schedule(Timer::Join(self.group.id.clone()), self.now.after(delay));
    }

    fn schedule_join(&mut self) {
        let patience = timeout(self.group.rebalance_timeout_ms());
        self.timers
            .schedule(Timer::Join(self.group.id.clone()), self.now.after(patience));
    }

    /// The time to rejoin is up; the initial delay is extended while members keep arriving.
    pub(super) fn join_time_is_up(&mut self) {
        if self.group.state() != GroupState::PreparingRebalance {
            return;
        }
        if let Some((delay, remaining)) = self.group.initial_delay.take()
            && self.group.new_member_added
            && !remaining.is_zero()
        {
            self.group.new_member_added = false;
            let next_delay = self.limits.initial_rebalance_delay.min(remaining);
            return self.schedule_initial_delay(next_delay, remaining.saturating_sub(delay));
        }
        self.complete_join_phase();
    }

    /// Fixes the next generation with those who have rejoined; static members stay in until their session ends.
    pub(super) fn complete_join_phase(&mut self) {
        self.timers.cancel(&Timer::Join(self.group.id.clone()));
        self.group.initial_delay = None;
        let is_missing = |m: &&crate::group::Member| !m.is_awaiting_join() && !m.is_static();
        let missing: Vec<MemberId> = self
            .group
            .members()
            .filter(is_missing)
            .map(|m| m.id.clone())
            .collect();
        for id in missing {
            tracing::info!(group = %self.group.id, member = %id, "member did not rejoin in time");
            self.remove_member(&id, ErrorCode::UnknownMemberId);
        }
        if !self.group.elect_joined_leader() && self.group.member_count() > 0 {
            // Only static members, and none has rejoined: wait until they do, or their sessions end.
            return self.schedule_join();
        }
        self.group.next_generation(self.now.wall);
        if self.group.state() == GroupState::Empty {
            tracing::info!(group = %self.group.id, generation = self.group.generation, "group is empty");
            let record = self.record(|_| Bytes::new());
            let id = self.group.id.clone();
            return self.outbox.write(&id, vec![record], Then::EmptyGeneration);
        }
        self.begin_sync_phase();
    }

    fn begin_sync_phase(&mut self) {
        tracing::info!(group = %self.group.id, generation = self.group.generation,
            members = self.group.member_count(), "generation is fixed");
        let ids: Vec<MemberId> = self.group.members().map(|member| member.id.clone()).collect();
        for id in ids {
            let response = self.joined(&id);
            self.complete_join(&id, response);
            self.renew_session(&id);
            if let Some(member) = self.group.member_mut(&id) {
                member.is_new = false;
            }
            self.group.pending_sync.insert(id);
        }
        let patience = timeout(self.group.rebalance_timeout_ms());
        self.timers
            .schedule(Timer::Sync(self.group.id.clone()), self.now.after(patience));
    }

    /// The time to sync is up: who has not is out.
    pub(super) fn sync_time_is_up(&mut self) {
        let waits = matches!(
            self.group.state(),
            GroupState::CompletingRebalance | GroupState::Stable
        );
        if !waits || self.group.pending_sync.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.group.pending_sync) {
            tracing::info!(group = %self.group.id, member = %id, "member did not sync in time");
            self.remove_member(&id, ErrorCode::UnknownMemberId);
        }
        self.prepare_rebalance("members did not sync in time");
    }

    /// Forgets the assignments and tells those who wait for one.
    pub(super) fn reset_assignments(&mut self, error: ErrorCode) {
        let ids: Vec<MemberId> = self.group.members().map(|member| member.id.clone()).collect();
        for id in ids {
            if let Some(member) = self.group.member_mut(&id) {
                member.assignment = Bytes::new();
            }
            if self.complete_sync(&id, SyncResponse::failed(error)) {
                self.renew_session(&id);
            }
        }
    }

    /// A session has ended.
    pub(super) fn session_expired(&mut self, member_id: &str) {
        if self.group.is_pending(member_id) {
            self.group.remove(member_id);
            if self.group.state() == GroupState::PreparingRebalance && self.group.all_joined() {
                self.complete_join_phase();
            }
            return;
        }
        if self
            .group
            .member(member_id)
            .is_none_or(crate::group::Member::has_satisfied_heartbeat)
        {
            return;
        }
        tracing::info!(group = %self.group.id, member = %member_id, "member's session expired");
        self.remove_member(member_id, ErrorCode::UnknownMemberId);
        match self.group.state() {
            GroupState::Stable | GroupState::CompletingRebalance => {
                self.rebalance_or_complete(&format!("session of member {member_id} expired"));
            }
            GroupState::PreparingRebalance if self.group.all_joined() => self.complete_join_phase(),
            GroupState::PreparingRebalance | GroupState::Empty | GroupState::Dead => {}
        }
    }
}
