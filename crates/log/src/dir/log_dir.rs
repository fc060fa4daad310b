//! A log directory, locked for this process.
//!
//! The clean-shutdown file is removed as soon as the directory is opened: a crash of this run must not look clean. The
//! checkpoints last written are kept in memory, so that a log is opened with what the disk says.

use super::clean_shutdown;
use super::cleaner_offsets::CleanerOffsets;
use super::idle_logs::{self, IdleLogs, Trust};
use super::meta_properties::{MetaProperties, MetaPropertiesError};
use crate::checkpoint::{OffsetCheckpoint, encode_offsets, parse_offsets};
use crate::config::LogConfig;
use crate::durable_file::replace_file;
use crate::env::{Env, read_small_file};
use crate::error::{LogError, OpenError};
use crate::format::{
    DELETED_DIR_SUFFIX, FileKind, MOVED_IN_FILE, STRAY_DIR_SUFFIX, deleted_dir_name, future_dir_name,
    parse_file_name, parse_future_dir_name, parse_partition_dir_name, partition_dir_name, stray_dir_name,
};
use crate::partition::{
    CorruptionPolicy, OpenOptions, PartitionLog, Removal, read_floor, read_topic_id, remove_floor,
};
use crate::segment::end_of;
use milena_types::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, Offset, Timestamp, TopicId, TopicPartition,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const META_PROPERTIES: &str = "meta.properties";
const LOCK: &str = ".lock";
const SMALL_FILE_BYTES_MAX: usize = 256 << 20;

/// Why a log directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogDirError {
    /// A file operation failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Another process uses it.
    #[error("{0} is locked by another process: is a broker running on it already?")]
    Locked(PathBuf),
    /// It was formatted for another node.
    #[error("{path} belongs to node {found}, this is node {expected}")]
    OtherNode {
        /// The directory.
        path: PathBuf,
        /// `node.id` in its `meta.properties`.
        found: BrokerId,
        /// This node.
        expected: BrokerId,
    },
    /// It was formatted for another cluster.
    #[error("{path} belongs to cluster {found}, this node is part of {expected}")]
    OtherCluster {
        /// The directory.
        path: PathBuf,
        /// `cluster.id` in its `meta.properties`.
        found: ClusterId,
        /// The cluster that was expected.
        expected: ClusterId,
    },
    /// It is not formatted, and no cluster is known to format it for.
    #[error("{0} is not formatted: it has no meta.properties")]
    NotFormatted(PathBuf),
    /// It has data but no `meta.properties`.
    #[error("{0} holds partitions but no meta.properties; refusing to adopt it")]
    Unbound(PathBuf),
    /// Its `meta.properties` is damaged.
    #[error("{path}: {error}")]
    MetaProperties {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: MetaPropertiesError,
    },
}

/// One log directory, held under its lock.
#[derive(Debug)]
pub struct LogDir {
    env: Arc<Env>,
    path: PathBuf,
    meta: MetaProperties,
    directory_id: DirectoryId,
    clean: Option<BrokerEpoch>,
    idle_logs: Mutex<IdleLogs>,
    recovery_points: Mutex<BTreeMap<TopicPartition, Offset>>,
    log_starts: Mutex<BTreeMap<TopicPartition, Offset>>,
    /// What the cleaner's checkpoint says, and whose numbers these are.
    cleaner_offsets: Mutex<CleanerOffsets>,
    /// Logs that a crash has left, and that nobody has asked to open since.
    left_by_crash: Mutex<BTreeSet<TopicPartition>>,
    _lock: Option<File>,
}

impl LogDir {
    /// Opens a directory on the real file system, taking its lock.
    ///
    /// An empty one is formatted when the cluster is known. Directories formatted before `directory.id` get one.
    ///
    /// # Errors
    /// [`LogDirError`] names the directory and what is wrong with it.
    pub fn open(path: &Path, node_id: BrokerId, cluster: Option<&ClusterId>) -> Result<Self, LogDirError> {
        std::fs::create_dir_all(path).map_err(LogError::new("create", path))?;
        let lock = lock(path)?;
        Self::open_in(Env::real(), path, node_id, cluster, Some(lock))
    }

    /// Opens a directory on any file system; the lock is the caller's business.
    ///
    /// # Errors
    /// Those of [`LogDir::open`].
    pub fn open_in(
        env: Arc<Env>,
        path: &Path,
        node_id: BrokerId,
        cluster: Option<&ClusterId>,
        lock: Option<File>,
    ) -> Result<Self, LogDirError> {
        env.fs
            .create_dir_all(path)
            .map_err(LogError::new("create", path))?;
        let meta = load_or_format(&env, path, node_id, cluster)?;
        let clean_path = path.join(clean_shutdown::FILE);
        let clean = read_small_file(&*env.fs, &clean_path, SMALL_FILE_BYTES_MAX)
            .map_err(LogError::new("read", &clean_path))?;
        let trust = match &clean {
            Some(bytes) => clean_shutdown::parse_idle_logs(bytes).map(Trust::Clean),
            None => Some(Trust::Unchanged),
        };
        // Milena names its word of idle logs there.
        let closed_by_kafka = clean.is_some() && trust.is_none();
        let idle_logs = Mutex::new(IdleLogs::read(&env, path, trust)?);
        let clean = clean.map(|bytes| clean_shutdown::parse(&bytes));
        if clean.is_some() {
            env.fs
                .remove_file(&clean_path)
                .map_err(LogError::new("remove", &clean_path))?;
            env.fs.sync_dir(path).map_err(LogError::new("flush", path))?;
        }
        let directory_id = meta.directory_id.unwrap_or_default();
        let path = path.to_owned();
        let (recovery_points, log_starts) = (Mutex::default(), Mutex::default());
        let mut dir = Self {
            env,
            path,
            meta,
            directory_id,
            clean,
            idle_logs,
            recovery_points,
            log_starts,
            cleaner_offsets: Mutex::default(),
            left_by_crash: Mutex::default(),
            _lock: lock,
        };
        let there = dir.partitions()?;
        *dir.remembered(&dir.recovery_points) = dir.read_checkpoint(OffsetCheckpoint::RecoveryPoint)?;
        *dir.remembered(&dir.log_starts) = dir.read_checkpoint(OffsetCheckpoint::LogStart)?;
        let (cleaned, adopted) = (
            dir.read_checkpoint(OffsetCheckpoint::Cleaner)?,
            there.iter().cloned(),
        );
        let cleaner_offsets = CleanerOffsets::open(&dir.env, &dir.path, cleaned, closed_by_kafka, adopted)?;
        dir.cleaner_offsets = Mutex::new(cleaner_offsets);
        if dir.clean.is_none() {
            dir.left_by_crash = Mutex::new(there.into_iter().collect());
        }
        Ok(dir)
    }

    fn remembered<'a, T>(&self, of: &'a Mutex<T>) -> std::sync::MutexGuard<'a, T> {
        of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The environment that logs of this directory share.
    #[must_use]
    pub fn env(&self) -> &Arc<Env> {
        &self.env
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose it is.
    #[must_use]
    pub fn meta_properties(&self) -> &MetaProperties {
        &self.meta
    }

    /// The durable id of this directory's content: a replaced disk has another one.
    #[must_use]
    pub fn directory_id(&self) -> DirectoryId {
        self.directory_id
    }

    /// The broker epoch of the last run when it ended cleanly (-1 if it did not say), `None` after a crash.
    #[must_use]
    pub fn was_clean(&self) -> Option<BrokerEpoch> {
        self.clean
    }

    /// The partitions that have a directory here, sorted; deleted ones and foreign names are left out.
    ///
    /// # Errors
    /// The directory could not be listed.
    pub fn partitions(&self) -> Result<Vec<TopicPartition>, LogError> {
        let mut found: Vec<_> = self
            .dir_names()?
            .iter()
            .filter_map(|name| parse_partition_dir_name(name))
            .collect();
        found.sort();
        Ok(found)
    }

    /// Directories of deleted partitions that an earlier run left behind.
    ///
    /// # Errors
    /// The directory could not be listed.
    pub fn leftovers(&self) -> Result<Vec<Removal>, LogError> {
        let deleted = |name: &String| name.ends_with(DELETED_DIR_SUFFIX);
        let removal = |name: String| Removal::of_dir(self.env.fs.clone(), self.path.join(name));
        Ok(self
            .dir_names()?
            .into_iter()
            .filter(deleted)
            .map(removal)
            .collect())
    }

    /// Copies of partitions that were being moved here, with their directories.
    ///
    /// # Errors
    /// The directory could not be listed.
    pub fn futures(&self) -> Result<Vec<(TopicPartition, PathBuf)>, LogError> {
        let future = |name: String| Some((parse_future_dir_name(&name)?, self.path.join(name)));
        Ok(self.dir_names()?.into_iter().filter_map(future).collect())
    }

    /// A directory for a copy of the partition that has no other.
    #[must_use]
    pub fn new_future_path(&self, partition: &TopicPartition) -> PathBuf {
        self.path.join(future_dir_name(partition, &self.env.unique()))
    }

    /// True when the copy in that directory was complete: see [`PartitionLog`](crate::PartitionLog)'s `write_moved_in`.
    ///
    /// # Errors
    /// The directory could not be read.
    pub fn has_moved_in(&self, dir: &Path) -> Result<bool, LogError> {
        let path = dir.join(MOVED_IN_FILE);
        let found = self.env.fs.file_len(&path);
        Ok(found.map_err(LogError::new("stat", path))?.is_some())
    }

    /// The move is over: no other log of that name is left.
    ///
    /// # Errors
    /// A file operation failed.
    pub fn forget_moved_in(&self, dir: &Path) -> Result<(), LogError> {
        let path = dir.join(MOVED_IN_FILE);
        let forget = || {
            self.env.fs.remove_file(&path)?;
            self.env.fs.sync_dir(dir)
        };
        forget().map_err(LogError::new("remove", path))
    }

    /// Makes a complete copy the partition's log.
    ///
    /// # Errors
    /// A file operation failed.
    pub fn promote_future(&self, partition: &TopicPartition, future: &Path) -> Result<(), LogError> {
        let promote = || {
            self.env.fs.rename(future, &self.partition_path(partition))?;
            self.env.fs.sync_dir(&self.path)
        };
        promote().map_err(LogError::new("rename", future))
    }

    /// Puts a partition's directory, or a copy of it, out of use; the removal frees its space.
    ///
    /// # Errors
    /// A file operation failed.
    pub fn retire_dir(&self, partition: &TopicPartition, dir: &Path) -> Result<Removal, LogError> {
        let renamed = self.path.join(deleted_dir_name(partition, &self.env.unique()));
        let retire = || {
            self.env.fs.rename(dir, &renamed)?;
            self.env.fs.sync_dir(&self.path)
        };
        retire().map_err(LogError::new("rename", dir))?;
        Ok(Removal::of_dir(self.env.fs.clone(), renamed))
    }

    /// Moves a partition's directory, or a copy of it, out of the way, under a name that no start takes for a log; gives that
    /// name, or `None` when there is no such directory. Durable with [`LogDir::sync_names`]; after a crash before, the directory
    /// has either name. Source: `LogManager.loadLog`.
    ///
    /// # Errors
    /// The directory could not be renamed; nothing has changed.
    pub fn set_aside(&self, partition: &TopicPartition, dir: &Path) -> Result<Option<PathBuf>, LogError> {
        let stray = self.path.join(stray_dir_name(partition, &self.env.unique()));
        match self.env.fs.rename(dir, &stray) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            renamed => renamed.map_err(LogError::new("rename", dir))?,
        }
        if dir == self.partition_path(partition) {
            drop(self.idle_logs().take(partition));
        }
        Ok(Some(stray))
    }

    /// Forces the names inside this directory to the disk.
    ///
    /// # Errors
    /// The disk failed.
    pub fn sync_names(&self) -> Result<(), LogError> {
        let synced = self.env.fs.sync_dir(&self.path);
        synced.map_err(LogError::new("flush", &self.path))
    }

    /// The directories that were set aside, by this run or earlier ones.
    ///
    /// # Errors
    /// The directory could not be listed.
    pub fn strays(&self) -> Result<Vec<PathBuf>, LogError> {
        let stray = |name: &String| name.ends_with(STRAY_DIR_SUFFIX);
        let names = self.dir_names()?.into_iter().filter(stray);
        Ok(names.map(|name| self.path.join(name)).collect())
    }

    fn dir_names(&self) -> Result<Vec<String>, LogError> {
        let names = self
            .env
            .fs
            .read_dir(&self.path)
            .map_err(LogError::new("list", &self.path))?;
        Ok(names
            .into_iter()
            .filter(|(_, is_dir)| *is_dir)
            .map(|(name, _)| name)
            .collect())
    }

    /// The directory of a partition.
    #[must_use]
    pub fn partition_path(&self, partition: &TopicPartition) -> PathBuf {
        self.path.join(partition_dir_name(partition))
    }

    /// Where the last whole batch of a partition's log ends, by the headers of its last segment; where that begins when it has none.
    /// `None`: there is no segment.
    ///
    /// # Errors
    /// The directory or the file could not be read.
    pub fn log_end(&self, partition: &TopicPartition) -> Result<Option<Offset>, LogError> {
        let (fs, path) = (&*self.env.fs, self.partition_path(partition));
        let names = fs.read_dir(&path).map_err(LogError::new("list", &path))?;
        let logs = names.iter().filter_map(|(name, _)| match parse_file_name(name)? {
            (base, FileKind::Log) => Some((base, name)),
            _ => None,
        });
        let Some((base, name)) = logs.max() else {
            return Ok(None);
        };
        let last = path.join(name);
        let end = end_of(fs, &last, base).map_err(LogError::new("read", &last))?;
        Ok(Some(end))
    }

    /// Which topic the log, or the copy of one, in that directory belongs to. `None`: there is none, or it does not say.
    ///
    /// # Errors
    /// The file that says it could not be read.
    pub fn topic_id(&self, dir: &Path) -> Result<Option<TopicId>, LogError> {
        read_topic_id(&*self.env.fs, dir)
    }

    /// Nobody knows of which topic the log to be opened is: nothing says so, and nothing of it was flushed, for the first flush takes
    /// `partition.metadata` along. What a power cut has left of it may be of a topic that was deleted since, and its epochs the same.
    ///
    /// A high watermark says that there were committed records, with `ack.durability=replicated` even of a log that was never flushed:
    /// where the replica counts such a log is opened if nobody else can have them, and is in doubt until it is clear that others do.
    ///
    /// # Errors
    /// For such a log `TopicIdMismatch`, or `Doubtful` while it may have been committed; a file that says so could not be read.
    pub fn refuse_unclaimed(&self, opts: &OpenOptions) -> Result<(), OpenError> {
        if opts.clean || opts.topic_id.0.is_zero() {
            return Ok(());
        }
        let floor = self.recovery_floor(&opts.partition)?;
        let of_this_log = |known: Offset| known.min(floor.unwrap_or(known));
        if of_this_log(opts.recovery_point) > Offset::ZERO || self.topic_id(&opts.dir)?.is_some() {
            return Ok(());
        }
        let committed = of_this_log(opts.high_watermark);
        if opts.counts && committed > Offset::ZERO {
            match opts.corruption {
                CorruptionPolicy::Refuse => return Ok(()),
                CorruptionPolicy::RefuseDoubtful => {
                    let error = format!("it does not say that it is of the topic {}", opts.topic_id);
                    let doubt = format!("nothing of it was flushed, and the high watermark was {committed}");
                    let (path, start) = (opts.dir.clone(), opts.log_start_offset);
                    return Err(OpenError::doubtful(path, start, error, doubt));
                }
                CorruptionPolicy::Truncate => {}
            }
        }
        Err(OpenError::TopicIdMismatch {
            path: opts.dir.clone(),
            found: TopicId::default(),
            expected: opts.topic_id,
        })
    }

    /// How far the log of that name is trusted whatever the checkpoints say, if it was truncated or made anew since they were
    /// written: what they say beyond is of a former log.
    ///
    /// # Errors
    /// The file that says it could not be read.
    pub fn recovery_floor(&self, partition: &TopicPartition) -> Result<Option<Offset>, LogError> {
        let path = self.partition_path(partition);
        read_floor(&*self.env.fs, &path).map_err(LogError::new("read", path))
    }

    /// Removes a partition's recovery floor, durably, if it has one: at a clean shutdown, when the checkpoints are written.
    ///
    /// # Errors
    /// It could not be removed.
    pub fn remove_recovery_floor(&self, partition: &TopicPartition) -> Result<(), LogError> {
        let path = self.partition_path(partition);
        remove_floor(&*self.env.fs, &path).map_err(LogError::new("remove the recovery floor of", path))
    }

    /// How to open a partition's log: with the checkpoints that are on disk. Who asks opens it, or says that it could not.
    #[must_use]
    pub fn open_options(
        &self,
        partition: TopicPartition,
        topic_id: TopicId,
        config: Arc<LogConfig>,
        now: Timestamp,
    ) -> OpenOptions {
        let look_up = |map: &Mutex<BTreeMap<TopicPartition, Offset>>| {
            self.remembered(map)
                .get(&partition)
                .copied()
                .unwrap_or(Offset::ZERO)
        };
        self.remembered(&self.left_by_crash).remove(&partition);
        let recovery_point = look_up(&self.recovery_points);
        let log_start_offset = look_up(&self.log_starts);
        let cleaner_offsets = self.remembered(&self.cleaner_offsets);
        let (compacted, may_be_kafkas) = (
            cleaner_offsets.names(&partition),
            cleaner_offsets.may_be_kafkas(&partition),
        );
        let dir = self.partition_path(&partition);
        OpenOptions {
            recovery_point,
            stale_offset: recovery_point.max(log_start_offset),
            log_start_offset,
            compacted,
            may_be_kafkas,
            clean: self.clean.is_some(),
            ..OpenOptions::new(self.env.clone(), dir, partition, topic_id, config, now)
        }
    }

    fn idle_logs(&self) -> std::sync::MutexGuard<'_, IdleLogs> {
        self.idle_logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log of `opts`, if the last run left word of it and a look at no file (after a clean shutdown) or at the names and
    /// sizes of its files (after a crash) is enough; else it has to be opened. What was said is forgotten.
    #[must_use]
    pub fn resume(&self, opts: &OpenOptions) -> Option<PartitionLog> {
        let (trust, idle) = self.idle_logs().take(&opts.partition)?;
        match trust {
            Trust::Clean(_) => PartitionLog::resume_clean(opts, idle),
            Trust::Unchanged => PartitionLog::resume_unchanged(opts, idle),
        }
    }

    /// True when [`LogDir::resume`] needs no file for this partition.
    #[must_use]
    pub fn resumes_at_once(&self, partition: &TopicPartition) -> bool {
        self.idle_logs().is_clean(partition)
    }

    /// Leaves word of all idle logs, durably: `encoded` holds what [`crate::IdleLog::encode_into`] wrote, in parts.
    ///
    /// # Errors
    /// A file operation failed; the next start opens every log.
    pub fn write_idle_logs(&self, encoded: &[Vec<u8>]) -> Result<(), LogError> {
        self.idle_logs().forget_written();
        let id = idle_logs::write(&self.env, &self.path, encoded)?;
        self.idle_logs().set_written(id);
        Ok(())
    }

    /// Reads a checkpoint; a missing one is empty, a damaged one too, for each can be done without.
    ///
    /// # Errors
    /// The file could not be read.
    pub fn read_checkpoint(
        &self,
        checkpoint: OffsetCheckpoint,
    ) -> Result<BTreeMap<TopicPartition, Offset>, LogError> {
        let path = self.path.join(checkpoint.file_name());
        let bytes = read_small_file(&*self.env.fs, &path, SMALL_FILE_BYTES_MAX)
            .map_err(LogError::new("read", &path))?;
        Ok(match bytes.as_deref().map(parse_offsets) {
            None => BTreeMap::new(),
            Some(Ok(offsets)) => offsets,
            Some(Err(error)) => {
                tracing::warn!(path = %path.display(), %error, "ignoring a damaged checkpoint");
                BTreeMap::new()
            }
        })
    }

    /// Replaces a checkpoint durably.
    ///
    /// # Errors
    /// A file operation failed; the old content or the new one is in place.
    pub fn write_checkpoint(
        &self,
        checkpoint: OffsetCheckpoint,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), LogError> {
        let path = self.path.join(checkpoint.file_name());
        let text = encode_offsets(offsets);
        if checkpoint == OffsetCheckpoint::Cleaner {
            self.remembered(&self.cleaner_offsets)
                .announce(&self.env, offsets)?;
        }
        let written = replace_file(&*self.env.fs, &path, text.as_bytes());
        match (checkpoint, &written) {
            (OffsetCheckpoint::RecoveryPoint, Ok(())) => {
                self.remembered(&self.recovery_points).clone_from(offsets);
            }
            (OffsetCheckpoint::RecoveryPoint, Err(_)) => {
                // Either may be there: what is trusted because of a log that is gone must not be more than is known here.
                let mut known = self.remembered(&self.recovery_points);
                for (name, offset) in offsets {
                    let of_name = known.entry(name.clone()).or_insert(*offset);
                    *of_name = (*of_name).max(*offset);
                }
            }
            (OffsetCheckpoint::LogStart, Ok(())) => self.remembered(&self.log_starts).clone_from(offsets),
            (OffsetCheckpoint::Cleaner, Ok(())) => self.remembered(&self.cleaner_offsets).on_written(offsets),
            (OffsetCheckpoint::LogStart | OffsetCheckpoint::Cleaner, Err(_))
            | (OffsetCheckpoint::HighWatermark, _) => {}
        }
        written.map_err(LogError::new("write", path))
    }

    /// Marks the directory as cleanly shut down: call it last, when every log is closed and the checkpoints are written. It is not
    /// marked while it holds a log that a crash has left and that was not opened since: that is not what a shutdown leaves.
    ///
    /// # Errors
    /// A file operation failed.
    pub fn write_clean_shutdown(&self, epoch: BrokerEpoch) -> Result<(), LogError> {
        let left = std::mem::take(&mut *self.remembered(&self.left_by_crash));
        if !left.is_empty() {
            let mut there = self.partitions()?;
            there.retain(|partition| left.contains(partition));
            if let Some(first) = there.first() {
                tracing::warn!(dir = %self.path.display(), logs = there.len(), %first,
                    "not marked as cleanly shut down: logs that a crash has left were not opened since");
                return Ok(());
            }
        }
        let path = self.path.join(clean_shutdown::FILE);
        let idle_logs = self.idle_logs().written();
        let text = clean_shutdown::encode(epoch, idle_logs);
        replace_file(&*self.env.fs, &path, text.as_bytes()).map_err(LogError::new("write", &path))
    }
}

fn lock(path: &Path) -> Result<File, LogDirError> {
    let lock_path = path.join(LOCK);
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&lock_path)
        .map_err(LogError::new("open", &lock_path))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(LogDirError::Locked(path.to_owned())),
        Err(e) => Err(LogError::new("lock", lock_path)(io::Error::from(e)).into()),
    }
}

fn load_or_format(
    env: &Env,
    path: &Path,
    node_id: BrokerId,
    cluster: Option<&ClusterId>,
) -> Result<MetaProperties, LogDirError> {
    let file = path.join(META_PROPERTIES);
    let write = |meta: &MetaProperties| {
        replace_file(&*env.fs, &file, meta.encode().as_bytes()).map_err(LogError::new("write", &file))
    };
    let found = read_small_file(&*env.fs, &file, 1 << 20).map_err(LogError::new("read", &file))?;
    let Some(bytes) = found else {
        let names = env.fs.read_dir(path).map_err(LogError::new("list", path))?;
        if names
            .iter()
            .any(|(name, is_dir)| *is_dir && parse_partition_dir_name(name).is_some())
        {
            return Err(LogDirError::Unbound(path.to_owned()));
        }
        let cluster_id = cluster
            .ok_or_else(|| LogDirError::NotFormatted(path.to_owned()))?
            .clone();
        let meta = MetaProperties {
            cluster_id,
            node_id,
            directory_id: Some(DirectoryId(env.names.next())),
        };
        write(&meta)?;
        return Ok(meta);
    };
    let mut meta = MetaProperties::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| {
        LogDirError::MetaProperties {
            path: file.clone(),
            error,
        }
    })?;
    if meta.node_id != node_id {
        return Err(LogDirError::OtherNode {
            path: path.to_owned(),
            found: meta.node_id,
            expected: node_id,
        });
    }
    if let Some(expected) = cluster.filter(|expected| **expected != meta.cluster_id) {
        let (found, expected) = (meta.cluster_id, expected.clone());
        return Err(LogDirError::OtherCluster {
            path: path.to_owned(),
            found,
            expected,
        });
    }
    if meta.directory_id.is_none() {
        meta.directory_id = Some(DirectoryId(env.names.next()));
        write(&meta)?;
    }
    Ok(meta)
}
