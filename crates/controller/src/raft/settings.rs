//! openraft's configuration, derived from ours.

use crate::config::{ControllerConfig, ControllerError};
use openraft::{Config, SnapshotPolicy};

/// How far the log may run ahead of the last snapshot, in entries.
const ENTRIES_PER_SNAPSHOT: u64 = 5_000;
/// How many entries stay in the log behind a snapshot, so that a follower that was away for a moment needs none.
const ENTRIES_KEPT: u64 = 2_000;

/// The log is cut in pieces of at least so many entries.
const PURGED_AT_ONCE: u64 = 1_024;

/// Time from a leader's silent death to its successor: election max (the lease) plus a random timeout.
pub(crate) fn raft_config(config: &ControllerConfig) -> Result<Config, ControllerError> {
    let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let base = Config {
        cluster_name: "milena".to_owned(),
        heartbeat_interval: millis(config.heartbeat),
        election_timeout_min: millis(config.election_min),
        election_timeout_max: millis(config.election_max),
        enable_pre_vote: Some(true),
        // A restarted leader asks for votes like anybody else: its image may be behind what it had answered.
        enable_leader_restore: Some(false),
        // A voter that comes back with a new disk gets everything again; that it does no harm is seen to in `bootstrap`.
        allow_log_reversion: Some(true),
        install_snapshot_timeout: 30_000,
        max_payload_entries: 64,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(
            config.snapshot_entries.unwrap_or(ENTRIES_PER_SNAPSHOT),
        ),
        max_in_snapshot_log_to_keep: config.log_entries_kept.unwrap_or(ENTRIES_KEPT),
        replication_lag_threshold: config
            .snapshot_entries
            .unwrap_or(ENTRIES_PER_SNAPSHOT)
            .saturating_mul(2),
        purge_batch_size: config
            .snapshot_entries
            .map_or(PURGED_AT_ONCE, |entries| entries.min(PURGED_AT_ONCE)),
        api_channel_size: Some(1_024),
        notification_channel_size: Some(1_024),
        state_machine_channel_size: Some(256),
        backoff: "20ms 40ms 80ms ...400ms".to_owned(),
        ..Config::default()
    };
    base.validate()
        .map_err(|error| ControllerError::Settings(error.to_string()))
}
