//! What a run has met. A run in which nothing happened proves nothing.

/// Declares the counters, their sum and their names once.
macro_rules! counters {
    ($($name:ident: $what:literal,)*) => {
        /// How often each thing happened.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Coverage {
            $(#[doc = $what] pub $name: u64,)*
        }

        impl Coverage {
            /// Adds another run's.
            pub fn add(&mut self, other: &Coverage) {
                $(self.$name += other.$name;)*
            }

            /// Name, meaning and count of each.
            #[must_use]
            pub fn rows(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), $what, self.$name),)*]
            }
        }
    };
}

counters! {
    killed: "a process was killed",
    killed_amid_write: "a process died amid a write",
    power_lost: "a machine lost its power",
    power_lost_everywhere: "all machines lost their power at once",
    disk_exchanged: "a broker came back with an empty disk",
    paused: "a process stood still",
    paused_beyond_session: "a process stood still for longer than its session",
    cut_one_way: "a link was cut in one direction",
    cut_both_ways: "a link was cut in both directions",
    cut_from_controller: "a link to or from the controller was cut",
    stopped_cleanly: "a controlled shutdown was completed",
    controller_failed_over: "another controller took over",
    controller_deposed: "a controller was deposed and did not know it",
    deposed_answered: "such a controller answered the broker beside it",
    reply_lost_after_commit: "a change was committed, and its answer was lost with the controller",
    commit_lost: "a change was lost with the controller",
    request_lost: "a request was lost",
    request_doubled: "a request came twice",
    reply_lost: "an answer was lost",
    failover: "the leadership of a partition moved",
    leaderless: "a partition had no leader",
    isr_shrunk: "an ISR shrank",
    isr_expanded: "an ISR grew",
    elected_from_elr: "a leader was elected from the ELR",
    elected_last_known: "the last known leader was elected",
    elected_unclean: "an unclean leader was elected because the configuration allows it",
    proposal_refused: "a proposal was refused and touched the partition",
    attach_diverged: "an attach found that the logs had parted",
    attach_diverged_again: "a second round was needed to find the common end",
    attach_out_of_range: "an attach was out of range",
    attach_stale: "an attach of a former process or stream was refused",
    attach_fenced: "an attach of another epoch was refused",
    truncated: "records were cut off",
    loss_told: "a replica that came back told what an unclean election had cost",
    doubtful: "a log was in doubt",
    refilled: "a replica in doubt was cut and filled again",
    segment_rolled: "a log had more than one segment",
    duplicate_append: "a batch that was there already came again",
    not_enough_replicas: "a batch was refused, or not acknowledged, because too few were in sync",
    acted_alone: "a leader acknowledged, or committed, what nobody else in sync had",
    out_of_contact: "a leader did not acknowledge because it had no contact with the controller",
    snapshot_loaded: "metadata came as a snapshot",
    metadata_skipped: "several changes were followed as one",
    producer_begun_anew: "a producer began anew under another id",
    acked: "a batch was acknowledged by all",
    acked_by_leader: "a batch was acknowledged by the leader alone",
    read: "a batch was read by a consumer",
    records_deleted: "records were deleted on demand",
    segment_deleted: "an old segment was deleted",
    reassigned: "a reassignment began",
    reassignment_completed: "a reassignment was completed",
    reassignment_cancelled: "a reassignment was cancelled",
    topic_made: "the topic was made",
    topic_deleted: "the topic was deleted",
    unclaimed_log_met: "a log that nobody knows the topic of was met",
    old_log_met: "a log of a deleted topic of the same name was met",
    config_changed: "a configuration was changed",
    preferred_elected: "a leadership went back to the preferred replica",
    healed: "a run came to its peaceful end",
}
