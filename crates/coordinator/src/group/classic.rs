//! A classic group: members, generation, leader, protocol. Source: `ClassicGroup.java`.
//!
//! Invariants, checked in debug after every step:
//! - `static_members` maps exactly the instance ids of `members` to their ids;
//! - `awaiting_join` counts the members with a parked join; nobody has one in CompletingRebalance;
//! - a pending member is no member; the leader is a member; Empty means no members.

use super::{CONSUMER_PROTOCOL_TYPE, GroupId, GroupState, Member, MemberId, subscription};
use crate::api::JoinProtocol;
use crate::request::Ticket;
use milena_types::{ErrorCode, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// The state of one group. Everything but the members' protocols, the pending sets and the parked requests is hard.
#[derive(Clone, Debug)]
pub(crate) struct ClassicGroup {
    pub(crate) id: GroupId,
    state: GroupState,
    previous_state: GroupState,
    /// When it entered its state; `None` after loading an old record.
    pub(crate) state_timestamp: Option<Timestamp>,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol_name: Option<String>,
    pub(crate) generation: i32,
    pub(crate) leader: Option<MemberId>,
    members: BTreeMap<MemberId, Member>,
    static_members: BTreeMap<String, MemberId>,
    /// Told to come back with the id they were given (KIP-394).
    pending_join: BTreeSet<MemberId>,
    /// Joined this generation and have not synced yet.
    pub(crate) pending_sync: BTreeSet<MemberId>,
    awaiting_join: usize,
    /// How many members support each protocol.
    supported: HashMap<String, usize>,
    /// The topics of all subscriptions, when they could be read.
    subscribed_topics: Option<BTreeSet<String>>,
    /// Somebody joined since the initial delay was last extended.
    pub(crate) new_member_added: bool,
    /// The initial delay that is running, and what may still be added to it.
    pub(crate) initial_delay: Option<(Duration, Duration)>,
}

impl ClassicGroup {
    pub(crate) fn new(id: GroupId, wall: Timestamp) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            previous_state: GroupState::Dead,
            state_timestamp: Some(wall),
            protocol_type: None,
            protocol_name: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_join: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            awaiting_join: 0,
            supported: HashMap::new(),
            subscribed_topics: None,
            new_member_added: false,
            initial_delay: None,
        }
    }

    /// Makes a group that was loaded from a record Stable; one without members stays Empty.
    pub(crate) fn restored(mut self) -> Self {
        if !self.members.is_empty() {
            self.state = GroupState::Stable;
        }
        self.refresh_subscription();
        self
    }

    pub(crate) fn state(&self) -> GroupState {
        self.state
    }

    pub(crate) fn previous_state(&self) -> GroupState {
        self.previous_state
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub(crate) fn members_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.values_mut()
    }

    pub(crate) fn member(&self, id: &str) -> Option<&Member> {
        self.members.get(id)
    }

    pub(crate) fn member_mut(&mut self, id: &str) -> Option<&mut Member> {
        self.members.get_mut(id)
    }

    pub(crate) fn member_count(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn has_member(&self, id: &str) -> bool {
        self.members.contains_key(id)
    }

    pub(crate) fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    pub(crate) fn static_member_id(&self, instance_id: &str) -> Option<&MemberId> {
        self.static_members.get(instance_id)
    }

    pub(crate) fn is_pending(&self, id: &str) -> bool {
        self.pending_join.contains(id)
    }

    pub(crate) fn pending_ids(&self) -> impl Iterator<Item = &MemberId> {
        self.pending_join.iter()
    }

    pub(crate) fn add_pending(&mut self, id: MemberId) {
        self.pending_join.insert(id);
    }

    /// Nobody is in it and nobody was told to come back: it may be forgotten if it was never written.
    pub(crate) fn is_vacant(&self) -> bool {
        self.members.is_empty() && self.pending_join.is_empty()
    }

    pub(crate) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    pub(crate) fn awaiting_join_count(&self) -> usize {
        self.awaiting_join
    }

    pub(crate) fn all_joined(&self) -> bool {
        self.members.len() == self.awaiting_join && self.pending_join.is_empty()
    }

    /// Adds a member; the first one gives the group its protocol type, and leads if nobody does.
    pub(crate) fn add(&mut self, member: Member, protocol_type: &str) {
        debug_assert!(!self.members.contains_key(&member.id));
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.to_owned());
        }
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), member.id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        self.count_protocols(&member.protocols, true);
        self.awaiting_join += usize::from(member.is_awaiting_join());
        self.pending_join.remove(&member.id);
        self.members.insert(member.id.clone(), member);
    }

    /// Removes a member or pending member; hands the leadership on if it led.
    pub(crate) fn remove(&mut self, id: &str) -> Option<Member> {
        self.pending_join.remove(id);
        self.pending_sync.remove(id);
        let member = self.members.remove(id)?;
        self.count_protocols(&member.protocols, false);
        self.awaiting_join -= usize::from(member.is_awaiting_join());
        if let Some(instance_id) = &member.instance_id {
            self.static_members.remove(instance_id);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    /// Gives the static member `old` the id `new`, keeping its place and leadership; its parked requests are not
    /// carried over but returned, to be fenced.
    pub(crate) fn replace_static(
        &mut self,
        instance_id: &str,
        old: &str,
        new: MemberId,
    ) -> (Option<Ticket>, Option<Ticket>) {
        let Some(mut member) = self.members.remove(old) else {
            return (None, None);
        };
        let parked = (member.awaiting_join.take(), member.awaiting_sync.take());
        self.awaiting_join -= usize::from(parked.0.is_some());
        if self.pending_sync.remove(old) {
            self.pending_sync.insert(new.clone());
        }
        if self.is_leader(old) {
            self.leader = Some(new.clone());
        }
        self.static_members.insert(instance_id.to_owned(), new.clone());
        member.id = new.clone();
        member.is_new = false;
        self.members.insert(new, member);
        parked
    }

    /// Takes over what a rejoining member says about itself.
    pub(crate) fn update_member(
        &mut self,
        id: &str,
        protocols: Vec<JoinProtocol>,
        rebalance_timeout_ms: i32,
        session_timeout_ms: i32,
    ) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let before = std::mem::replace(&mut member.protocols, protocols);
        member.rebalance_timeout_ms = rebalance_timeout_ms;
        member.session_timeout_ms = session_timeout_ms;
        let after = member.protocols.clone();
        self.count_protocols(&before, false);
        self.count_protocols(&after, true);
    }

    /// Parks a join, or with `None` takes it back. Returns the one that was parked before.
    pub(crate) fn set_awaiting_join(&mut self, id: &str, ticket: Option<Ticket>) -> Option<Ticket> {
        let member = self.members.get_mut(id)?;
        let before = std::mem::replace(&mut member.awaiting_join, ticket);
        self.awaiting_join += usize::from(ticket.is_some());
        self.awaiting_join -= usize::from(before.is_some());
        before
    }

    fn count_protocols(&mut self, protocols: &[JoinProtocol], add: bool) {
        for protocol in protocols {
            let count = self.supported.entry(protocol.name.clone()).or_default();
            *count = if add { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                self.supported.remove(&protocol.name);
            }
        }
    }

    /// True when a member with these protocols could be part of the group.
    pub(crate) fn supports(&self, protocol_type: &str, protocols: &[JoinProtocol]) -> bool {
        if self.state == GroupState::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols
                .iter()
                .any(|p| self.supported.get(&p.name).copied().unwrap_or(0) == self.members.len())
    }

    /// The protocol that all members support and most of them prefer. Equal votes: the first by name.
    pub(crate) fn select_protocol(&self) -> Option<String> {
        let everyone = self.members.len();
        let candidates: BTreeSet<&str> = self
            .supported
            .iter()
            .filter(|(_, count)| **count == everyone)
            .map(|(name, _)| name.as_str())
            .collect();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for vote in self
            .members
            .values()
            .filter_map(|member| member.vote(&candidates))
        {
            *votes.entry(vote).or_default() += 1;
        }
        let most = votes.values().copied().max()?;
        votes
            .into_iter()
            .find(|(_, count)| *count == most)
            .map(|(name, _)| name.to_owned())
    }

    /// Makes sure that a member who has rejoined leads. False when nobody has.
    pub(crate) fn elect_joined_leader(&mut self) -> bool {
        let Some(leader) = &self.leader else {
            return false;
        };
        if self.members.get(leader).is_some_and(Member::is_awaiting_join) {
            return true;
        }
        match self.members.values().find(|member| member.is_awaiting_join()) {
            Some(joined) => {
                self.leader = Some(joined.id.clone());
                true
            }
            None => false,
        }
    }

    /// Checks that a request comes from a current member.
    pub(crate) fn validate_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(current) if &**current != member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.has_member(member_id) {
            Ok(())
        } else {
            Err(ErrorCode::UnknownMemberId)
        }
    }

    /// The longest rebalance timeout of the members.
    pub(crate) fn rebalance_timeout_ms(&self) -> i32 {
        self.members
            .values()
            .map(|member| member.rebalance_timeout_ms)
            .max()
            .unwrap_or(0)
    }

    pub(crate) fn transition(&mut self, next: GroupState, wall: Timestamp) {
        debug_assert!(self.state.may_become(next), "{:?} to {next:?}", self.state);
        self.previous_state = self.state;
        self.state = next;
        self.state_timestamp = Some(wall);
    }

    /// Fixes the members of the next generation and its protocol; without members the group becomes Empty.
    pub(crate) fn next_generation(&mut self, wall: Timestamp) {
        // The id 0 is never used by a generation with members; after the largest it starts again at 1.
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.protocol_name = self.select_protocol();
        self.refresh_subscription();
        self.pending_sync.clear();
        let next = if self.members.is_empty() {
            GroupState::Empty
        } else {
            GroupState::CompletingRebalance
        };
        self.transition(next, wall);
    }

    fn refresh_subscription(&mut self) {
        self.subscribed_topics = self.read_subscriptions();
    }

    fn read_subscriptions(&self) -> Option<BTreeSet<String>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol_name.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(subscription::topics(member.metadata(protocol)?)?);
        }
        Some(topics)
    }

    /// True when the topic is, or for all the broker can tell might be, subscribed to.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    /// True when all subscriptions could be read.
    pub(crate) fn knows_subscription(&self) -> bool {
        self.subscribed_topics.is_some()
    }

    /// Panics in debug builds when an invariant of the module is broken.
    pub(crate) fn check(&self) {
        debug_assert_eq!(
            self.awaiting_join,
            self.members.values().filter(|m| m.is_awaiting_join()).count()
        );
        debug_assert_eq!(
            self.static_members.len(),
            self.members.values().filter(|m| m.is_static()).count()
        );
        debug_assert!(
            self.static_members
                .values()
                .all(|id| self.members.contains_key(id))
        );
        debug_assert!(self.pending_join.iter().all(|id| !self.members.contains_key(id)));
        debug_assert!(self.pending_sync.iter().all(|id| self.members.contains_key(id)));
        debug_assert!(self.leader.iter().all(|id| self.members.contains_key(id)));
        debug_assert!(self.state != GroupState::Empty || self.members.is_empty());
        debug_assert!(self.state != GroupState::CompletingRebalance || self.awaiting_join == 0);
        debug_assert!(
            self.members.values().all(|m| m.awaiting_sync.is_none())
                || self.state == GroupState::CompletingRebalance
        );
    }
}
