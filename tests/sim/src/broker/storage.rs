//! Opening logs: from what the checkpoints know and what the directory holds to a log, or to a doubt.

use super::partition::{Partition, Role, TopicSettings};
use super::process::Process;
use crate::cx::Cx;
use crate::event::BrokerTimer;
use crate::say;
use milena_log::{Checkpointed, CorruptionPolicy, LogError, OpenError, OpenOptions, PartitionLog};
use milena_metadata::stray::stray;
use milena_replication::FollowerHighWatermark;
use milena_types::{LeaderEpoch, Offset, PartitionEpoch, TopicIdPartition, TopicPartition};
use std::path::Path;

impl Process {
    /// The log is opened off the data threads: that takes a while.
    pub(super) fn begin_opening(&mut self, cx: &mut Cx, id: TopicIdPartition, policy: CorruptionPolicy) {
        self.opening.insert(id, policy);
        let takes = match cx.random.below(20) {
            0 => cx.random.between(50_000, 800_000),
            _ => cx.random.between(100, 20_000),
        };
        cx.timer(self.host, takes, BrokerTimer::Opened(id));
    }

    pub(super) fn on_opened(&mut self, cx: &mut Cx, id: TopicIdPartition) {
        let Some(policy) = self.opening.remove(&id) else {
            return;
        };
        let Some(topic) = self.image.topics.get(&id.topic).map(|topic| topic.name.clone()) else {
            return;
        };
        let settings = self.settings_of(cx, &topic);
        let name = TopicPartition {
            topic,
            partition: id.partition,
        };
        match self.open(cx, id, &name, &settings, policy) {
            Ok((log, high_watermark)) => self.add_partition(cx, id, name, settings, log, high_watermark),
            Err(OpenError::Doubtful { error, doubt, .. }) => {
                say!(cx, "{}: {name} is in doubt: {error}; {doubt}", self.node());
                self.in_doubt(cx, id, name);
            }
            Err(OpenError::Log(error)) => self.storage_failed(&error),
            Err(error) => cx.oracle.fail(
                "L-1",
                format!("{}: {name} cannot be opened: {error}", self.node()),
            ),
        }
        self.apply_partition(cx, id);
    }

    fn add_partition(
        &mut self,
        cx: &mut Cx,
        id: TopicIdPartition,
        name: TopicPartition,
        settings: TopicSettings,
        log: PartitionLog,
        high_watermark: Offset,
    ) {
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        say!(
            cx,
            "{}: opened {name}: {start}..{end}, high watermark {high_watermark}",
            self.node()
        );
        let partition = Partition {
            id,
            name,
            settings,
            known_committed: FollowerHighWatermark::restore(high_watermark, start, end),
            log,
            role: Role::Idle,
            flush_queued: false,
            flush_tickets: 0,
            leader_epoch: LeaderEpoch(-1),
            partition_epoch: PartitionEpoch(-1),
        };
        if high_watermark > end || partition.log.has_recovery_floor() {
            self.checkpoint_dirty.insert(id);
        }
        crate::oracle::agreement::on_opened(cx, self.host, &partition);
        self.partitions.insert(id, partition);
    }

    fn open(
        &mut self,
        cx: &mut Cx,
        id: TopicIdPartition,
        name: &TopicPartition,
        settings: &TopicSettings,
        policy: CorruptionPolicy,
    ) -> Result<(PartitionLog, Offset), OpenError> {
        let path = self.dir.partition_path(name);
        if !self.has_directory(&path)? {
            let known = self.checkpoints.of(name);
            if known.high_watermark > known.log_start && policy == CorruptionPolicy::RefuseDoubtful {
                let doubt = format!("the high watermark was {}", known.high_watermark);
                let error = "the directory is not there";
                return Err(OpenError::doubtful(path, Offset::ZERO, error, doubt));
            }
            self.checkpoints.forget(name);
            let made_anew = self.options(cx, id, name, settings, Checkpointed::default());
            return Ok((PartitionLog::absent(&made_anew), Offset::ZERO));
        }
        let floor = self.checkpoints.of(name).doubted_below(&self.dir, name)?;
        let known = self.checkpoints.believe(name, floor);
        let options = OpenOptions {
            corruption: policy,
            ..self.options(cx, id, name, settings, known)
        };
        let claimed = self.dir.refuse_unclaimed(&options);
        cx.coverage.unclaimed_log_met += u64::from(claimed.is_err());
        match claimed.and_then(|()| PartitionLog::open(options)) {
            Err(OpenError::TopicIdMismatch { .. }) => {
                cx.coverage.old_log_met += 1;
                Ok(self.begin_anew(cx, id, name, settings)?)
            }
            opened => opened.map(|(log, _)| (log, known.high_watermark)),
        }
    }

    /// The log of a deleted partition goes that could not be opened.
    pub(super) fn discard(&mut self, name: &TopicPartition) {
        self.checkpoints.forget(name);
        match self.dir.retire_dir(name, &self.dir.partition_path(name)) {
            // What is left is removed at the next start.
            Ok(removal) => drop(removal.run()),
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => self.storage_failed(&error),
        }
    }

    /// What lies there is set aside.
    fn begin_anew(
        &mut self,
        cx: &Cx,
        id: TopicIdPartition,
        name: &TopicPartition,
        settings: &TopicSettings,
    ) -> Result<(PartitionLog, Offset), LogError> {
        self.checkpoints.forget(name);
        if self
            .dir
            .set_aside(name, &self.dir.partition_path(name))?
            .is_some()
        {
            self.dir.sync_names()?;
        }
        let made_anew = self.options(cx, id, name, settings, Checkpointed::default());
        Ok((PartitionLog::absent(&made_anew), Offset::ZERO))
    }

    fn has_directory(&self, path: &Path) -> Result<bool, LogError> {
        match self.dir.env().fs.read_dir(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(LogError {
                operation: "list",
                path: path.to_owned(),
                source,
            }),
        }
    }

    fn options(
        &self,
        cx: &Cx,
        id: TopicIdPartition,
        name: &TopicPartition,
        settings: &TopicSettings,
        known: Checkpointed,
    ) -> OpenOptions {
        let on_disk =
            self.checkpoints
                .open_options(&self.dir, name, id.topic, &settings.log, known, cx.timestamp());
        let registered = self.image.partition(id);
        OpenOptions {
            leader_epoch: registered.map_or(LeaderEpoch(i32::MAX), |state| state.leader_epoch),
            ..on_disk
        }
    }

    /// Logs that the first image that counts gives this broker no replica of are set aside.
    pub(super) fn set_strays_aside(&mut self, cx: &mut Cx) {
        let names = match self.dir.partitions() {
            Ok(names) => names,
            Err(error) => return self.storage_failed(&error),
        };
        let (mut found, node) = (false, self.node());
        for name in names {
            if stray(&self.cache, node, &name).is_none() {
                continue;
            }
            say!(cx, "{}: {name} is set aside", self.node());
            let path = self.dir.partition_path(&name);
            if let Err(error) = self.dir.set_aside(&name, &path) {
                return self.storage_failed(&error);
            }
            self.checkpoints.forget(&name);
            found = true;
        }
        if found && let Err(error) = self.dir.sync_names() {
            self.storage_failed(&error);
        }
    }
}
