//! The broker's log directories, shared by all data threads: where each partition lives, which are still good.

use super::api::LogDirDescription;
use super::checkpoints::{Checkpointed, DirCheckpoints};
use super::context::wall_clock;
use super::idle_logs::DirWord;
use milena_log::{
    CorruptionPolicy, LogConfig, LogDir, LogDirError, OpenError, OpenOptions, PartitionLog, Removal,
};
use milena_types::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, ErrorCode, Offset, Timestamp, TopicIdPartition,
    TopicPartition,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A log directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogDirsError {
    /// It belongs to another node or cluster, another process holds it, or the disk is bad.
    #[error("open log directory {path}")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: LogDirError,
    },
    /// `log.dirs` is empty.
    #[error("log.dirs names no directory")]
    Empty,
}

/// All log directories of a broker.
pub struct LogDirs {
    dirs: Vec<Dir>,
    /// Where each partition lives, as found at the start and as chosen since.
    homes: Mutex<BTreeMap<TopicPartition, usize>>,
}

struct Dir {
    path: PathBuf,
    handle: LogDir,
    online: AtomicBool,
    partitions: AtomicUsize,
    checkpoints: DirCheckpoints,
    word: DirWord,
}

impl LogDirs {
    /// Opens every directory; an empty one is formatted for the cluster.
    ///
    /// # Errors
    /// [`LogDirsError`] names the directory that cannot be used.
    pub fn open(paths: &[PathBuf], node: BrokerId, cluster: &ClusterId) -> Result<Self, LogDirsError> {
        if paths.is_empty() {
            return Err(LogDirsError::Empty);
        }
        let mut dirs = Vec::with_capacity(paths.len());
        let mut homes = BTreeMap::new();
        for (index, path) in paths.iter().enumerate() {
            let failed = |source: LogDirError| LogDirsError::Open {
                path: path.clone(),
                source,
            };
            let handle = LogDir::open(path, node, Some(cluster)).map_err(failed)?;
            let found = handle.partitions().map_err(|error| failed(error.into()))?;
            homes.extend(found.into_iter().map(|name| (name, index)));
            let checkpoints = DirCheckpoints::read(&handle).map_err(|error| failed(error.into()))?;
            remove_leftovers(handle.leftovers().map_err(|error| failed(error.into()))?);
            dirs.push(Dir {
                path: path.clone(),
                handle,
                online: AtomicBool::new(true),
                partitions: AtomicUsize::new(0),
                checkpoints,
                word: DirWord::default(),
            });
        }
        Ok(Self {
            dirs,
            homes: Mutex::new(homes),
        })
    }

    /// The broker epoch of the last clean stop, if every directory was stopped cleanly under the same one.
    #[must_use]
    pub fn previous_epoch(&self) -> Option<BrokerEpoch> {
        let mut epochs = self.dirs.iter().map(|dir| dir.handle.was_clean());
        let first = epochs.next()??;
        epochs.all(|epoch| epoch == Some(first)).then_some(first)
    }

    /// The ids of the directories that are online.
    #[must_use]
    pub fn directories(&self) -> Vec<DirectoryId> {
        self.dirs
            .iter()
            .filter(|dir| dir.online.load(Ordering::Acquire))
            .map(|dir| dir.handle.directory_id())
            .collect()
    }

    /// How many directories there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.dirs.len()
    }

    /// False once a directory has failed.
    #[must_use]
    pub fn is_online(&self, index: usize) -> bool {
        self.dirs
            .get(index)
            .is_some_and(|dir| dir.online.load(Ordering::Acquire))
    }

    /// Marks every directory that is online as cleanly stopped.
    ///
    /// # Errors
    /// The first directory that could not be marked; the next start scans it.
    pub fn write_clean_shutdown(&self, epoch: BrokerEpoch) -> Result<(), LogDirsError> {
        for dir in self.dirs.iter().filter(|dir| dir.online.load(Ordering::Acquire)) {
            dir.handle
                .write_clean_shutdown(epoch)
                .map_err(|error| LogDirsError::Open {
                    path: dir.path.clone(),
                    source: error.into(),
                })?;
        }
        Ok(())
    }

    /// Takes a failed directory out of use. Its id, if it was in use so far.
    pub(super) fn take_offline(&self, index: usize) -> Option<DirectoryId> {
        let dir = self.dirs.get(index)?;
        dir.online
            .swap(false, Ordering::AcqRel)
            .then(|| dir.handle.directory_id())
    }

    pub(super) fn checkpoints(&self, index: usize) -> Option<(&LogDir, &DirCheckpoints)> {
        self.dirs.get(index).map(|dir| (&dir.handle, &dir.checkpoints))
    }

    pub(super) fn word(&self, index: usize) -> Option<&DirWord> {
        self.dirs.get(index).map(|dir| &dir.word)
    }

    pub(super) fn note_offsets(
        &self,
        index: usize,
        id: TopicIdPartition,
        name: &TopicPartition,
        offsets: Checkpointed,
    ) {
        if let Some(dir) = self.dirs.get(index) {
            dir.checkpoints.note(id, name, offsets);
        }
    }

    /// Finds a partition's directory, or chooses the one with the fewest partitions, and gives the log with its last high
    /// watermark if that takes no look at its files: it is new, or the last shutdown left word of it. `None`: call
    /// [`LogDirs::open_partition`], which may take long.
    pub(super) fn find_partition(
        &self,
        id: TopicIdPartition,
        name: &TopicPartition,
        config: &Arc<LogConfig>,
        now: Timestamp,
    ) -> (usize, Option<(PartitionLog, Offset)>) {
        let (index, existed) = self.home_of(name);
        // `home_of` chooses among the directories, of which there is at least one.
        let dir = &self.dirs[index];
        let known = dir.checkpoints.of(name);
        if existed && !dir.handle.resumes_at_once(name) {
            return (index, None);
        }
        let options = dir.options(id, name, config, now);
        let log = if existed {
            dir.handle.resume(&options)
        } else {
            Some(PartitionLog::absent(&options))
        };
        (index, log.map(|log| (log, known.high_watermark)))
    }

    /// Opens a partition's log in directory number `index`. A log of another life of the topic is deleted first. Returns the
    /// log with its last high watermark. Blocks, as long as a recovery takes.
    pub(super) fn open_partition(
        &self,
        index: usize,
        id: TopicIdPartition,
        name: &TopicPartition,
        config: &Arc<LogConfig>,
        corruption: CorruptionPolicy,
    ) -> Result<(PartitionLog, Offset), OpenError> {
        let dir = &self.dirs[index];
        let known = dir.checkpoints.of(name);
        let options = || OpenOptions {
            corruption,
            ..dir.options(id, name, config, wall_clock())
        };
        if let Some(log) = dir.handle.resume(&options()) {
            return Ok((log, known.high_watermark));
        }
        let opened = match PartitionLog::open(options()) {
            Err(OpenError::TopicIdMismatch { found, .. }) => {
                tracing::warn!(partition = %name, %found, expected = %id.topic, "the log of a deleted topic of the same name is removed");
                dir.checkpoints.forget(name);
                remove_old_life(options()).and_then(|()| {
                    let (recovery_point, log_start_offset) = (Offset::ZERO, Offset::ZERO);
                    PartitionLog::open(OpenOptions {
                        recovery_point,
                        log_start_offset,
                        ..options()
                    })
                })
            }
            other => other,
        };
        opened.map(|(log, report)| {
            if report.lost_flushed {
                tracing::error!(partition = %name, ?report, "the log was damaged and cut; the leader's copy replaces it");
            } else if report.segments_scanned > 0 || report.cut.is_some() {
                tracing::info!(partition = %name, ?report, "recovered the log");
            }
            (log, known.high_watermark)
        })
    }

    /// The directory of a partition, and whether the partition was there already.
    fn home_of(&self, name: &TopicPartition) -> (usize, bool) {
        let mut homes = self
            .homes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let known = homes.get(name).copied();
        let index = known.unwrap_or_else(|| {
            let online = self
                .dirs
                .iter()
                .enumerate()
                .filter(|(_, dir)| dir.online.load(Ordering::Acquire));
            let emptiest = online.min_by_key(|(_, dir)| dir.partitions.load(Ordering::Relaxed));
            emptiest.map_or(0, |(index, _)| index)
        });
        homes.insert(name.clone(), index);
        if let Some(dir) = self.dirs.get(index) {
            dir.partitions.fetch_add(1, Ordering::Relaxed);
        }
        (index, known.is_some())
    }

    /// The partition's log is deleted.
    pub(super) fn forget_partition(&self, index: usize, name: &TopicPartition) {
        self.homes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .remove(name);
        if let Some(dir) = self.dirs.get(index) {
            dir.partitions.fetch_sub(1, Ordering::Relaxed);
            dir.checkpoints.forget(name);
        }
    }

    /// Every directory, without its replicas.
    pub(super) fn describe(&self) -> Vec<LogDirDescription> {
        let describe = |dir: &Dir| LogDirDescription {
            path: dir.path.display().to_string(),
            directory: dir.handle.directory_id(),
            error: if dir.online.load(Ordering::Acquire) {
                ErrorCode::None
            } else {
                ErrorCode::KafkaStorageError
            },
            replicas: Vec::new(),
        };
        self.dirs.iter().map(describe).collect()
    }
}

impl Dir {
    /// How to open a partition: with the checkpoints as they are now.
    fn options(
        &self,
        id: TopicIdPartition,
        name: &TopicPartition,
        config: &Arc<LogConfig>,
        now: Timestamp,
    ) -> OpenOptions {
        let known = self.checkpoints.of(name);
        OpenOptions {
            recovery_point: known.recovery_point,
            log_start_offset: known.log_start,
            ..self
                .handle
                .open_options(name.clone(), id.topic, Arc::clone(config), now)
        }
    }
}

/// Removes the log of a topic that was deleted and created again while this broker was away.
fn remove_old_life(options: OpenOptions) -> Result<(), OpenError> {
    let topic_id = milena_types::TopicId(milena_types::Uuid::ZERO);
    let (log, _) = PartitionLog::open(OpenOptions {
        topic_id,
        corruption: CorruptionPolicy::Truncate,
        ..options
    })?;
    remove_leftovers(log.delete()?.into_iter().collect());
    Ok(())
}

/// Frees the space of deleted partitions, off the caller's thread.
fn remove_leftovers(removals: Vec<Removal>) {
    if removals.is_empty() {
        return;
    }
    let remove = move || {
        for removal in removals {
            let path = removal.path().to_owned();
            if let Err(error) = removal.run() {
                tracing::warn!(path = %path.display(), %error, "cannot remove; tried again at the next start");
            }
        }
    };
    if let Err(error) = std::thread::Builder::new()
        .name("remove-deleted".to_owned())
        .spawn(remove)
    {
        tracing::warn!(%error, "deleted partitions stay on disk until the next start");
    }
}
