//! One member of a classic group. Source: `ClassicGroupMember.java`.

use super::MemberId;
use crate::api::JoinProtocol;
use crate::request::Ticket;
use bytes::Bytes;
use std::collections::BTreeSet;

/// A member: hard state (in the group's record) and what it is waiting for (lost at failover; it asks again).
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: MemberId,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    /// In order of preference; names are distinct. After a failover only the selected one is known.
    pub(crate) protocols: Vec<JoinProtocol>,
    pub(crate) assignment: Bytes,
    /// The parked JoinGroup. Set and cleared by `ClassicGroup::set_awaiting_join` alone, which counts them.
    pub(crate) awaiting_join: Option<Ticket>,
    /// The parked SyncGroup.
    pub(crate) awaiting_sync: Option<Ticket>,
    /// It has not been through a rebalance: it expires even while its join is parked.
    pub(crate) is_new: bool,
}

impl Member {
    pub(crate) fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    pub(crate) fn is_awaiting_join(&self) -> bool {
        self.awaiting_join.is_some()
    }

    /// The ticket of the parked JoinGroup.
    pub(crate) fn awaiting_join(&self) -> Option<Ticket> {
        self.awaiting_join
    }

    /// Its metadata for `protocol`, if it supports that.
    pub(crate) fn metadata(&self, protocol: &str) -> Option<&Bytes> {
        self.protocols
            .iter()
            .find(|p| p.name == protocol)
            .map(|p| &p.metadata)
    }

    /// True while the coordinator, not the member, is the one that others wait for.
    pub(crate) fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    /// The first of its protocols that is among the candidates.
    pub(super) fn vote<'a>(&'a self, candidates: &BTreeSet<&str>) -> Option<&'a str> {
        self.protocols
            .iter()
            .map(|p| p.name.as_str())
            .find(|name| candidates.contains(name))
    }
}
