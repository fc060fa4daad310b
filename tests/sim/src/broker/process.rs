//! One run of a broker's process.

use super::calls::Pending;
use super::flush::FlushQueue;
use super::following::InLink;
use super::health::Unusable;
use super::life::Life;
use super::partition::Partition;
use crate::cx::Cx;
use crate::disk::Disk;
use crate::event::{BrokerTimer, Event, Host};
use crate::time::MILLI;
use milena_log::{CorruptionPolicy, DirOffsets, LogDir, LogDirError, LogError};
use milena_metadata::config::BrokerDefaults;
use milena_metadata::{MetadataDelta, MetadataImage};
use milena_replication::AttachIds;
use milena_types::{BrokerEpoch, BrokerId, IncarnationId, TopicIdPartition, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

/// A process.
#[derive(Debug)]
pub struct Process {
    /// Which run of which broker.
    pub host: Host,
    /// Its replicas.
    pub partitions: BTreeMap<TopicIdPartition, Partition>,
    pub(super) incarnation: IncarnationId,
    pub(super) dir: LogDir,
    pub(super) defaults: BrokerDefaults,
    pub(super) life: Life,
    /// The metadata as it has come.
    pub(super) cache: MetadataImage,
    /// The metadata as the partitions follow it.
    pub(super) image: MetadataImage,
    pub(super) unfollowed: MetadataDelta,
    pub(super) follows: bool,
    pub(super) follow_queued: bool,
    pub(super) calls: BTreeMap<u64, Pending>,
    pub(super) opening: BTreeMap<TopicIdPartition, CorruptionPolicy>,
    pub(super) unusable: BTreeMap<TopicIdPartition, (TopicPartition, Unusable)>,
    pub(super) reporting: BTreeSet<TopicIdPartition>,
    pub(super) links_in: BTreeMap<BrokerId, InLink>,
    pub(super) attach_ids: AttachIds,
    /// The registration that the streams to leaders were opened under.
    pub(super) registration: Option<BrokerEpoch>,
    pub(super) links_out: BTreeMap<u64, super::attaching::OutLink>,
    pub(super) flush: FlushQueue,
    pub(super) checkpoints: DirOffsets,
    pub(super) checkpoint_dirty: BTreeSet<TopicIdPartition>,
    pub(super) uncommitted: BTreeSet<TopicIdPartition>,
    /// Led partitions that have something for their followers.
    pub(super) to_feed: BTreeSet<TopicIdPartition>,
    failed: Option<String>,
    stopped: bool,
}

impl Process {
    /// Starts: opens the directory, registers, asks for metadata.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub fn start(
        cx: &mut Cx,
        host: Host,
        disk: &Disk,
        defaults: BrokerDefaults,
    ) -> Result<Self, LogDirError> {
        let dir = disk.open()?;
        let checkpoints = DirOffsets::read(&dir)?;
        let process = Self {
            host,
            partitions: BTreeMap::new(),
            incarnation: IncarnationId(cx.random.uuid()),
            defaults,
            life: Life::new(dir.was_clean(), cx.settings.session),
            cache: MetadataImage::default(),
            image: MetadataImage::default(),
            unfollowed: MetadataDelta::default(),
            follows: false,
            follow_queued: false,
            calls: BTreeMap::new(),
            opening: BTreeMap::new(),
            unusable: BTreeMap::new(),
            reporting: BTreeSet::new(),
            links_in: BTreeMap::new(),
            attach_ids: AttachIds::default(),
            registration: None,
            links_out: BTreeMap::new(),
            flush: FlushQueue::default(),
            checkpoints,
            checkpoint_dirty: BTreeSet::new(),
            uncommitted: BTreeSet::new(),
            to_feed: BTreeSet::new(),
            failed: None,
            stopped: false,
            dir,
        };
        let starting = cx.random.between(1, 200) * MILLI;
        cx.timer(host, starting, BrokerTimer::Register);
        cx.timer(host, starting / 2, BrokerTimer::Subscription);
        let checkpoint = cx.random.between(1, cx.settings.checkpoint);
        cx.timer(host, checkpoint, BrokerTimer::Checkpoint);
        let tick = isr_tick(cx);
        cx.timer(host, tick, BrokerTimer::IsrTick);
        Ok(process)
    }

    /// This broker.
    #[must_use]
    pub fn node(&self) -> BrokerId {
        self.host.broker
    }

    pub(super) fn on_timer(&mut self, cx: &mut Cx, timer: BrokerTimer) {
        match timer {
            BrokerTimer::Register => self.register(cx),
            BrokerTimer::Heartbeat => self.beat(cx),
            BrokerTimer::Attempt(call) => self.on_attempt(cx, call),
            BrokerTimer::Follow => self.follow(cx),
            BrokerTimer::Subscription => {
                cx.after(500, Event::Subscribe(self.host));
                let again = cx.random.between(300, 1_200) * MILLI;
                cx.timer(self.host, again, BrokerTimer::Subscription);
            }
            BrokerTimer::Opened(id) => self.on_opened(cx, id),
            BrokerTimer::Flushed => self.on_flushed(cx),
            BrokerTimer::IsrTick => {
                self.tick_isr(cx);
                let tick = isr_tick(cx);
                cx.timer(self.host, tick, BrokerTimer::IsrTick);
            }
            BrokerTimer::IsrRetry(id, proposal) => self.retry_isr(cx, id, proposal),
            BrokerTimer::Checkpoint => {
                self.apply_retention(cx);
                self.write_checkpoints(cx);
                cx.timer(self.host, cx.settings.checkpoint, BrokerTimer::Checkpoint);
            }
            BrokerTimer::Connect(leader) => self.connect(cx, leader),
            BrokerTimer::Attach(id) => self.want_again(cx, id),
            BrokerTimer::Settle(id) => {
                self.reporting.remove(&id);
                self.settle_replica(cx, id);
            }
            BrokerTimer::Waited(id) => self.settle_replica(cx, id),
            BrokerTimer::StopOverdue(epoch) => {
                if self.life.epoch == epoch {
                    self.stop(cx);
                }
            }
            BrokerTimer::Die => {}
        }
    }

    /// What a step has left to do.
    pub(super) fn work(&mut self, cx: &mut Cx) {
        if self.failed.is_some() || self.stopped {
            return;
        }
        self.submit_flushes(cx);
        self.feed(cx);
        self.speak(cx);
    }

    /// A file operation failed: with its only directory, the process is of no use.
    pub(super) fn storage_failed(&mut self, error: &LogError) {
        let cause: &dyn std::error::Error = error;
        let source = cause.source().map(ToString::to_string).unwrap_or_default();
        self.failed.get_or_insert_with(|| format!("{error}: {source}"));
    }

    /// True once a file operation has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.failed.clone()
    }

    /// True once it has stopped in order.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn set_stopped(&mut self) {
        self.stopped = true;
    }

    /// The metadata that has come.
    #[must_use]
    pub fn cache(&self) -> &MetadataImage {
        &self.cache
    }

    /// True when nothing waits to be opened, and nothing is wrong with any replica.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.opening.is_empty() && self.unusable.is_empty() && self.follows
    }
}

fn isr_tick(cx: &Cx) -> u64 {
    (500 * MILLI).min(cx.settings.lag_time_max / 2)
}
