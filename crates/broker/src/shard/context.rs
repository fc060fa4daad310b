//! What all partitions of a data thread share: identity, clock, queues towards flushers, links and the control plane.

use super::background::Background;
use super::control_plane::ControlPlane;
use super::flusher::FlushQueue;
use super::id::ShardId;
use super::idle_logs::{OpenLogs, open_logs_max};
use super::leadership::LeadershipSubscribers;
use super::line::Lines;
use super::link::{InLinks, OutLinks};
use super::log_dirs::{Distrust, LogDirs};
use super::mailbox::Mailboxes;
use super::opening::Openings;
use super::quarantine::Refills;
use super::replica_health::{Damage, Unusable};
use super::settings::SettingsCache;
use super::storage_error::ShortageLog;
use super::tail_ring::RingBudget;
use crate::config::BrokerConfig;
use milena_metadata::MetadataImage;
use milena_replication::Moment;
use milena_types::{BrokerId, LeaderEpoch, Timestamp, TopicIdPartition, TopicPartition};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Everything of a shard but its partitions, so that a partition can be borrowed beside it.
pub(crate) struct Context {
    pub(super) shard: ShardId,
    pub(super) node: BrokerId,
    pub(super) config: Arc<BrokerConfig>,
    pub(super) mailboxes: Mailboxes,
    pub(super) control: Arc<dyn ControlPlane>,
    pub(super) leadership: Arc<LeadershipSubscribers>,
    pub(super) dirs: Arc<LogDirs>,
    pub(super) openings: Arc<Openings>,
    pub(super) background: Background,
    pub(super) settings: SettingsCache,
    /// The image that the partitions' roles were taken from.
    pub(super) image: Arc<MetadataImage>,
    pub(super) ring: RingBudget,
    /// What waits behind heavy batches.
    pub(super) lines: Lines,
    pub(super) flush: FlushQueue,
    pub(super) links_out: OutLinks,
    pub(super) links_in: InLinks,
    /// Led partitions with records that are not committed: the only ones that the ISR tick looks at.
    pub(super) uncommitted: HashSet<TopicIdPartition>,
    /// Led partitions whose ISR is not whole: the only ones with records at risk.
    pub(super) incomplete: HashSet<TopicIdPartition>,
    /// Partitions whose offsets have moved since the last checkpoint.
    pub(super) checkpoint_dirty: HashSet<TopicIdPartition>,
    /// Logs that are open for appends.
    pub(super) open_logs: OpenLogs,
    /// Most logs that may stay open for appends.
    pub(super) open_logs_max: usize,
    /// Partitions of this broker whose log is being opened.
    pub(super) opening: HashSet<TopicIdPartition>,
    /// Partitions of this broker whose log could not be opened.
    pub(super) unusable: HashMap<TopicIdPartition, (TopicPartition, Unusable)>,
    /// Partitions about which a report is on its way to the controller.
    pub(super) reporting: HashSet<TopicIdPartition>,
    /// The number of the last move between directories.
    pub(super) last_move: u64,
    /// Partitions whose tail is being set aside, by the number of the job: not attached until that has ended.
    pub(super) quarantining: HashMap<TopicIdPartition, u64>,
    pub(super) last_quarantine: u64,
    /// Logs that were cut because they were damaged, and that their leaders fill again.
    pub(super) refills: Refills,
    /// Partitions with an open log whose topic is compacted.
    pub(super) compacted: HashSet<TopicIdPartition>,
    /// Partitions whose files are not what the last shutdown said, or in the middle of a change; they are opened again when the
    /// present work is done.
    pub(super) to_reopen: Vec<(TopicIdPartition, Distrust)>,
    /// How often the epochs of partitions were read from their batches again, because a read contradicted them.
    pub(super) epochs_reread: HashMap<TopicIdPartition, u8>,
    pub(super) shortages: ShortageLog,
    /// Compacted partitions with records that cannot be read: left alone until they are opened again.
    pub(super) uncleanable: HashSet<TopicIdPartition>,
    /// Directories that failed while a partition was being worked on; handled when that work is done.
    pub(super) dirs_failed: Vec<usize>,
    /// Directories in which writes found no space; likewise.
    pub(super) dirs_full: Vec<usize>,
    /// Damage that reads have met; likewise.
    pub(super) damage_found: Vec<(TopicIdPartition, Damage)>,
    started: Instant,
}

/// What a [`Context`] is made of.
pub(crate) struct ContextParts {
    pub(super) shard: ShardId,
    pub(super) config: Arc<BrokerConfig>,
    pub(super) mailboxes: Mailboxes,
    pub(super) control: Arc<dyn ControlPlane>,
    pub(super) leadership: Arc<LeadershipSubscribers>,
    pub(super) dirs: Arc<LogDirs>,
    pub(super) openings: Arc<Openings>,
    pub(super) background: Background,
}

impl Context {
    pub(super) fn new(parts: ContextParts) -> Self {
        let ring_bytes = parts.config.replica.tail_ring_bytes / parts.mailboxes.len().max(1);
        let open_logs_max = open_logs_max(parts.mailboxes.len());
        let flush = FlushQueue::start(parts.shard, &parts.dirs, &parts.mailboxes);
        Self {
            shard: parts.shard,
            node: parts.config.node_id,
            settings: SettingsCache::new(&parts.config),
            config: parts.config,
            mailboxes: parts.mailboxes,
            control: parts.control,
            leadership: parts.leadership,
            dirs: parts.dirs,
            openings: parts.openings,
            background: parts.background,
            image: Arc::new(MetadataImage::default()),
            ring: RingBudget::new(ring_bytes),
            lines: Lines::default(),
            flush,
            links_out: OutLinks::default(),
            links_in: InLinks::default(),
            uncommitted: HashSet::new(),
            incomplete: HashSet::new(),
            checkpoint_dirty: HashSet::new(),
            open_logs: OpenLogs::new(),
            open_logs_max,
            opening: HashSet::new(),
            unusable: HashMap::new(),
            reporting: HashSet::new(),
            last_move: 0,
            quarantining: HashMap::new(),
            last_quarantine: 0,
            refills: Refills::new(),
            to_reopen: Vec::new(),
            epochs_reread: HashMap::new(),
            compacted: HashSet::new(),
            shortages: ShortageLog::default(),
            uncleanable: HashSet::new(),
            dirs_failed: Vec::new(),
            dirs_full: Vec::new(),
            damage_found: Vec::new(),
            started: Instant::now(),
        }
    }

    /// The monotone clock of the replication decisions.
    pub(super) fn now(&self) -> Moment {
        Moment(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Who leads a partition according to the image, for KIP-951 hints.
    pub(super) fn current_leader(&self, id: TopicIdPartition) -> Option<(BrokerId, LeaderEpoch)> {
        let state = self.image.partition(id)?;
        Some((state.leader?, state.leader_epoch))
    }
}

/// The wall clock, as records are stamped.
pub(crate) fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
