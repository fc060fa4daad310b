//! The settings that a shard decides by.

use std::time::Duration;

/// Limits and delays of groups and offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLimits {
    /// `group.min.session.timeout.ms`: shorter is INVALID_SESSION_TIMEOUT.
    pub session_timeout_min: Duration,
    /// `group.max.session.timeout.ms`: longer is INVALID_SESSION_TIMEOUT.
    pub session_timeout_max: Duration,
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for more members.
    pub initial_rebalance_delay: Duration,
    /// How long a new member's parked join is kept without a sign of life. Source: `classicGroupNewMemberJoinTimeoutMs`.
    pub new_member_join_timeout: Duration,
    /// `group.max.size`: members of one group.
    pub members_max: usize,
    /// `offset.metadata.max.bytes`: UTF-16 units of a commit's metadata, as Kafka counts.
    pub offset_metadata_max: usize,
    /// `offsets.retention.minutes`.
    pub offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval: Duration,
}

impl Default for GroupLimits {
    fn default() -> Self {
        Self {
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_secs(1800),
            initial_rebalance_delay: Duration::from_secs(3),
            new_member_join_timeout: Duration::from_secs(300),
            members_max: i32::MAX as usize,
            offset_metadata_max: 4096,
            offsets_retention: Duration::from_secs(7 * 24 * 3600),
            offsets_retention_check_interval: Duration::from_secs(600),
        }
    }
}
