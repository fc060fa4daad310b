//! KIP-392: consumers that know of it may read from followers, and a leader may send them to one in their rack.
//!
//! A follower gives what it knows to be committed, up to its own high watermark. Source: `ReplicaManager.findPreferredReadReplica`,
//! `FetchParams.fetchOnlyLeader`.

use super::api::Reader;
use super::context::Context;
use super::partition::Partition;
use super::role::Role;
use crate::config::ReplicaSelector;
use milena_metadata::record::BrokerRegistration;
use milena_replication::rack_aware;
use milena_types::{BrokerId, ErrorCode, LeaderEpoch, Offset};

impl Partition {
    /// May this replica be read: the leader by everybody, a follower by who knows that it is one?
    ///
    /// # Errors
    /// NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH.
    pub(super) fn check_readable(
        &self,
        epoch: Option<LeaderEpoch>,
        reader: Option<&Reader>,
    ) -> Result<(), ErrorCode> {
        self.check_epoch(epoch)?;
        match (&self.role, reader) {
            (Role::Leader(_), _) | (Role::Follower(_), Some(_)) => Ok(()),
            (Role::Follower(_), None) | (Role::Idle, _) => Err(ErrorCode::NotLeaderOrFollower),
        }
    }

    /// The follower that the consumer is to read from `offset` on, instead of this leader.
    pub(super) fn preferred_read_replica(
        &self,
        cx: &Context,
        offset: Offset,
        reader: Option<&Reader>,
    ) -> Option<BrokerId> {
        let (Role::Leader(role), ReplicaSelector::RackAware) = (&self.role, cx.config.replica.selector)
        else {
            return None;
        };
        let reader = reader?;
        let rack = reader.rack.as_deref()?;
        let image = &cx.image;
        let own_rack = cx.config.rack.as_deref();
        let followers = role.leader.readable_followers(offset).filter_map(|follower| {
            let broker = image.broker(follower.broker)?;
            is_reached_by(broker, reader).then_some((follower, broker.rack.as_deref()))
        });
        rack_aware(rack, own_rack, followers)
    }
}

/// It lives, and the client's listener leads to it.
fn is_reached_by(broker: &BrokerRegistration, reader: &Reader) -> bool {
    let mut endpoints = broker.endpoints.iter();
    !broker.fenced && endpoints.any(|e| e.listener.eq_ignore_ascii_case(&reader.listener))
}
