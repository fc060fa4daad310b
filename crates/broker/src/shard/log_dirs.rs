//! The broker's log directories, shared by all data threads: where each partition lives, which are still good.

use super::api::LogDirDescription;
use super::checkpoints::DirCheckpoints;
use super::context::wall_clock;
use super::dir_state::{DirState, DirStatus};
use super::doubles::Doubles;
use super::former_topics::{FormerTopics, is_of_other_topic, set_old_life_aside};
use super::found_logs::{FoundLogs, Life};
use super::idle_logs::DirWord;
use super::name_claims::NameClaims;
use super::opening;
use milena_log::{
    Checkpointed, CorruptionPolicy, Env, LogConfig, LogDir, LogDirError, OpenError, OpenOptions,
    PartitionLog, Removal, TailKeeper,
};
use milena_metadata::MetadataImage;
use milena_types::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, ErrorCode, LeaderEpoch, Offset, Timestamp,
    TopicIdPartition, TopicPartition,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use tokio::sync::watch;

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
    /// None of them can be read and written.
    #[error("no log directory is usable; the last one was {path}")]
    NoneUsable {
        /// The last one.
        path: PathBuf,
        /// Why not.
        #[source]
        source: LogDirError,
    },
}

/// Why a partition has no log.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoLog {
    /// It lies in a directory that is out of use, or would be created although it may lie there.
    #[error("its log directory is offline")]
    Offline,
    /// The log could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// What is to be opened.
pub(super) struct OpenRequest<'a> {
    pub(super) id: TopicIdPartition,
    pub(super) name: &'a TopicPartition,
    pub(super) config: &'a Arc<LogConfig>,
    pub(super) corruption: CorruptionPolicy,
    pub(super) leader_epoch: LeaderEpoch,
    /// The partition has just been created: it lies nowhere.
    pub(super) is_new: bool,
    /// The replica counts as one that has the log.
    pub(super) counts: bool,
    pub(super) now: Timestamp,
}

/// What is known of a partition's log without a look at its files.
pub(super) enum Found {
    /// The directory's index, the log and its last high watermark.
    Log(usize, Box<PartitionLog>, Offset),
    /// It has to be opened, in the directory of this index.
    ToOpen(usize),
    /// Its directory, if it is known, is out of use.
    Offline(Option<usize>),
}

/// Partitions whose directory is remembered before they exist; a client could name any number.
const PREFERRED_MAX: usize = 100_000;

/// All log directories of a broker.
pub struct LogDirs {
    dirs: Vec<Dir>,
    /// Which topic's partition each name stands for.
    pub(super) names: NameClaims,
    /// Which topics had the names before.
    pub(super) former: FormerTopics,
    /// Where each partition lives, as found at the start and as chosen since.
    homes: Mutex<BTreeMap<TopicPartition, usize>>,
    /// Names under which several topics have logs.
    contested: Mutex<BTreeMap<TopicPartition, Vec<Life>>>,
    /// Partitions with two logs.
    doubles: Doubles,
    /// Partitions whose files are not what the last shutdown said.
    distrusted: Mutex<BTreeMap<TopicPartition, Distrust>>,
    /// Where partitions that do not exist yet are to be created.
    preferred: Mutex<BTreeMap<TopicPartition, usize>>,
    /// Moves that are to begin, or to begin again, once the partition is open: an earlier run did not complete them, or this one
    /// could not.
    unfinished: Mutex<BTreeMap<TopicPartition, usize>>,
    /// True when no directory is left.
    exhausted: watch::Sender<bool>,
    /// Strays were looked for.
    pub(super) judged: Once,
}

/// Why the word that the last shutdown left of a log is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distrust {
    /// Somebody has changed the files since.
    ChangedBehind,
    /// This process has.
    ChangedHere,
    /// A batch contradicts the leader epochs that are known.
    Epochs,
}

struct Dir {
    path: PathBuf,
    /// `None` when it could not be opened at the start.
    handle: Option<LogDir>,
    status: DirStatus,
    partitions: AtomicUsize,
    checkpoints: DirCheckpoints,
    word: DirWord,
}

impl LogDirs {
    /// Opens every directory; an empty one is formatted for the cluster. One whose disk is bad is offline from the start,
    /// as long as another one works; one that belongs to somebody else is refused.
    ///
    /// # Errors
    /// [`LogDirsError`] names the directory that cannot be used.
    pub fn open(paths: &[PathBuf], node: BrokerId, cluster: &ClusterId) -> Result<Self, LogDirsError> {
        Self::open_each(paths, |path| LogDir::open(path, node, Some(cluster)))
    }

    /// Opens directories of any file system; their locks are the caller's business.
    ///
    /// # Errors
    /// Those of [`LogDirs::open`].
    pub fn open_in(
        env: &Arc<Env>,
        paths: &[PathBuf],
        node: BrokerId,
        cluster: &ClusterId,
    ) -> Result<Self, LogDirsError> {
        Self::open_each(paths, |path| {
            LogDir::open_in(Arc::clone(env), path, node, Some(cluster), None)
        })
    }

    fn open_each(
        paths: &[PathBuf],
        open: impl Fn(&Path) -> Result<LogDir, LogDirError>,
    ) -> Result<Self, LogDirsError> {
        if paths.is_empty() {
            return Err(LogDirsError::Empty);
        }
        let mut dirs = Vec::with_capacity(paths.len());
        let (mut names, mut last_failure) = (Vec::with_capacity(paths.len()), None);
        for path in paths {
            let failed = |source: LogDirError| LogDirsError::Open {
                path: path.clone(),
                source,
            };
            match open(path).and_then(Dir::of) {
                Ok((dir, found)) => {
                    names.push(Some(found));
                    dirs.push(dir);
                }
                Err(source @ LogDirError::Log(_)) => {
                    let error: &dyn std::error::Error = &source;
                    tracing::error!(path = %path.display(), error, "log directory is offline: it cannot be opened");
                    names.push(None);
                    dirs.push(Dir::offline(path));
                    last_failure = Some((path.clone(), source));
                }
                Err(source) => return Err(failed(source)),
            }
        }
        if let Some((path, source)) = last_failure
            && dirs.iter().all(|dir| dir.status.get() == DirState::Offline)
        {
            return Err(LogDirsError::NoneUsable { path, source });
        }
        let usable: Vec<_> = dirs
            .iter()
            .zip(names)
            .map(|(dir, names)| Some((dir.handle.as_ref()?, names?)))
            .collect();
        let found = FoundLogs::settle(&usable);
        remove_leftovers(found.removals);
        Ok(Self {
            dirs,
            names: NameClaims::default(),
            former: FormerTopics::default(),
            homes: Mutex::new(found.homes),
            contested: Mutex::new(found.contested),
            doubles: Doubles::new(found.doubles),
            distrusted: Mutex::default(),
            preferred: Mutex::default(),
            unfinished: Mutex::new(found.unfinished),
            exhausted: watch::Sender::new(false),
            judged: Once::new(),
        })
    }

    /// Resolves when no directory is left. Source: `ReplicaManager.handleLogDirFailure`, which stops the broker then.
    pub(crate) async fn exhausted(&self) {
        // The sender lives as long as `self`: waiting cannot fail.
        let _ = self.exhausted.subscribe().wait_for(|exhausted| *exhausted).await;
    }

    /// The broker epoch of the last clean stop, if every directory was stopped cleanly under the same one.
    #[must_use]
    pub fn previous_epoch(&self) -> Option<BrokerEpoch> {
        let mut epochs = self.dirs.iter().map(|dir| dir.handle.as_ref()?.was_clean());
        let first = epochs.next()??;
        epochs.all(|epoch| epoch == Some(first)).then_some(first)
    }

    /// The ids of the directories that are online.
    #[must_use]
    pub fn directories(&self) -> Vec<DirectoryId> {
        let usable = self.dirs.iter().filter_map(Dir::usable);
        usable.map(LogDir::directory_id).collect()
    }

    /// What the metadata of the last life said: the logs of topics that were deleted since are known by it. Called before any log
    /// is opened.
    pub(crate) fn remember_topics(&self, image: &MetadataImage) {
        self.former.note_image(image, &self.names_found());
    }

    /// How many directories could not be opened at the start.
    #[must_use]
    pub fn unreadable(&self) -> usize {
        self.dirs.iter().filter(|dir| dir.handle.is_none()).count()
    }

    /// How many directories there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.dirs.len()
    }

    /// False once a directory has failed.
    #[must_use]
    pub fn is_online(&self, index: usize) -> bool {
        self.state(index) != DirState::Offline
    }

    /// The directory's state.
    pub(super) fn state(&self, index: usize) -> DirState {
        self.dirs
            .get(index)
            .map_or(DirState::Offline, |dir| dir.status.get())
    }

    /// Where the directory is.
    pub(super) fn path(&self, index: usize) -> Option<&Path> {
        self.dirs.get(index).map(|dir| dir.path.as_path())
    }

    /// Where the directories are, by index.
    pub(super) fn paths(&self) -> Vec<String> {
        self.dirs
            .iter()
            .map(|dir| dir.path.display().to_string())
            .collect()
    }

    /// Marks every directory that is online as cleanly stopped.
    ///
    /// # Errors
    /// The first directory that could not be marked; the next start scans it.
    pub fn write_clean_shutdown(&self, epoch: BrokerEpoch) -> Result<(), LogDirsError> {
        for dir in &self.dirs {
            let Some(handle) = dir.usable() else { continue };
            handle
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
        if !dir.status.fail() {
            return None;
        }
        let offline = |dir: &Dir| dir.status.get() == DirState::Offline;
        self.exhausted.send_if_modified(|exhausted| {
            self.dirs.iter().all(offline) && !std::mem::replace(exhausted, true)
        });
        dir.handle.as_ref().map(LogDir::directory_id)
    }

    /// A write found no space. True for the one caller that is to look for some from then on.
    pub(super) fn mark_full(&self, index: usize) -> bool {
        self.dirs.get(index).is_some_and(|dir| dir.status.fill())
    }

    /// There is space again. True for the caller that is to tell the data threads.
    pub(super) fn mark_drained(&self, index: usize) -> bool {
        self.dirs.get(index).is_some_and(|dir| dir.status.drain())
    }

    pub(super) fn checkpoints(&self, index: usize) -> Option<(&LogDir, &DirCheckpoints)> {
        let dir = self.dirs.get(index)?;
        Some((dir.usable()?, &dir.checkpoints))
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
        has_floor: bool,
    ) {
        if let Some(dir) = self.dirs.get(index) {
            dir.checkpoints.note(id, name, offsets, has_floor);
        }
    }

    /// Finds a partition's directory, or chooses the one with the fewest partitions, and gives the log with its last high
    /// watermark if that takes no look at its files: it is new, or the last shutdown left word of it. `None`: call
    /// [`LogDirs::open_partition`], which may take long.
    pub(super) fn find_partition(&self, request: &OpenRequest<'_>) -> Found {
        let OpenRequest { id, name, config, .. } = *request;
        let Some((index, existed)) = self.home_of(request) else {
            return Found::Offline(None);
        };
        let Some((dir, handle)) = self.dirs.get(index).and_then(|dir| Some((dir, dir.usable()?))) else {
            return Found::Offline(Some(index));
        };
        // The log of a deleted topic may be here, and the living one where nobody can look.
        let to_open = || match !request.is_new && !self.all_online() && is_of_other_topic(handle, name, id) {
            true => Found::Offline(None),
            false => Found::ToOpen(index),
        };
        let may_be_missed = !request.is_new && request.corruption == CorruptionPolicy::RefuseDoubtful;
        if !existed && may_be_missed && self.missed(name).is_some() {
            return to_open();
        }
        // What it says is of a log that is gone, which a crash kept the file from forgetting.
        if !existed {
            dir.checkpoints.forget(name);
        }
        let known = dir.checkpoints.of(name);
        let by_word = self.believes_word(name, request.corruption)
            && handle.resumes_at_once(name)
            && !lock(&self.contested).contains_key(name);
        if existed && !by_word {
            return to_open();
        }
        let mut options = dir
            .checkpoints
            .open_options(handle, id, name, config, known, request.now);
        options.leader_epoch = request.leader_epoch;
        let log = if existed {
            handle.resume(&options)
        } else {
            Some(PartitionLog::absent(&options))
        };
        match log {
            Some(log) => Found::Log(index, Box::new(log), known.high_watermark),
            None => to_open(),
        }
    }

    /// The partition's files are not what the last shutdown said: from now on they are looked at.
    pub(super) fn distrust_word(&self, name: &TopicPartition, why: Distrust) {
        lock(&self.distrusted).insert(name.clone(), why);
    }

    /// Word of a log that is known to be damaged, or another one, is not gone by.
    fn believes_word(&self, name: &TopicPartition, corruption: CorruptionPolicy) -> bool {
        let distrusted = lock(&self.distrusted).contains_key(name) || self.doubles.contains(name);
        corruption != CorruptionPolicy::Truncate && !distrusted
    }

    /// Opens a partition's log in directory number `index`, which [`LogDirs::find_partition`] has named. A log of another life of
    /// the topic is set aside: before, if it lies there, for then no directory has the living one; else once the living one is
    /// open. Returns the log with its last high watermark. Blocks, as long as a recovery takes.
    pub(super) fn open_partition(
        &self,
        index: usize,
        request: &OpenRequest<'_>,
        keeper: Option<Arc<dyn TailKeeper>>,
    ) -> Result<(PartitionLog, Offset), NoLog> {
        let (id, name, config, corruption) = (request.id, request.name, request.config, request.corruption);
        let Some((dir, handle)) = self.dirs.get(index).and_then(|dir| Some((dir, dir.usable()?))) else {
            return Err(NoLog::Offline);
        };
        let distrust = lock(&self.distrusted).get(name).copied();
        let path = handle.partition_path(name);
        self.doubles.check(name, path.clone(), corruption)?;
        if distrust.is_none() && path.try_exists().is_ok_and(|exists| !exists) {
            self.without_directory(path, name, corruption)?;
            let made_anew =
                dir.checkpoints
                    .open_options(handle, id, name, config, Checkpointed::default(), wall_clock());
            return Ok((PartitionLog::absent(&made_anew), Offset::ZERO));
        }
        let known = match distrust {
            None => dir
                .checkpoints
                .known_at_start(handle, name)
                .map_err(OpenError::from)?,
            Some(_) => dir.checkpoints.of(name),
        };
        let options = |known| {
            let options = dir
                .checkpoints
                .open_options(handle, id, name, config, known, wall_clock());
            OpenOptions {
                corruption,
                keeper: keeper.clone(),
                leader_epoch: request.leader_epoch,
                // A log that this process has had open is not new any more.
                counts: request.counts && (!request.is_new || distrust.is_some()),
                former_topics: self.former.of(&name.topic),
                has_files: distrust.is_some_and(|why| why != Distrust::ChangedHere),
                clean: options.clean && matches!(distrust, None | Some(Distrust::ChangedBehind)),
                epochs_from_batches: distrust == Some(Distrust::Epochs),
                ..options
            }
        };
        if self.believes_word(name, corruption)
            && let Some(log) = handle.resume(&options(known))
        {
            self.retire_other_lives(name, id, index);
            return Ok((log, known.high_watermark));
        }
        let opened = handle
            .refuse_unclaimed(&options(known))
            .and_then(|()| PartitionLog::open(options(known)));
        let (log, high_watermark) = match opened {
            Err(error) if opening::begins_anew(name, id, corruption, &error) => {
                dir.checkpoints.forget(name);
                set_old_life_aside(handle, name).map_err(OpenError::from)?;
                let made_anew = options(Checkpointed::default());
                (PartitionLog::absent(&made_anew), Offset::ZERO)
            }
            other => {
                let (log, report) = other?;
                opening::log_report(name, &report);
                dir.note_start(id, name, &log, known);
                (log, known.high_watermark)
            }
        };
        self.retire_other_lives(name, id, index);
        Ok((log, high_watermark))
    }

    pub(super) fn all_online(&self) -> bool {
        self.dirs.iter().all(|dir| dir.status.get() != DirState::Offline)
    }

    /// Where the partition lies, or will, and whether a log of its name was there already. `None`: it is not new, and may lie
    /// in a directory that is offline. Source: `LogManager.getOrCreateLog`.
    fn home_of(&self, request: &OpenRequest<'_>) -> Option<(usize, bool)> {
        let OpenRequest { id, name, is_new, .. } = *request;
        let mut homes = lock(&self.homes);
        if let Some(index) = homes.get(name) {
            return Some((*index, true));
        }
        let lives = lock(&self.contested).get(name).cloned().unwrap_or_default();
        if let Some(living) = lives.iter().find(|life| life.topic == Some(id.topic)) {
            homes.insert(name.clone(), living.dir);
            return Some((living.dir, true));
        }
        if !is_new && !self.all_online() {
            return None;
        }
        let dead = lives
            .iter()
            .filter(|life| self.is_online(life.dir) && life.topic.is_some());
        // One that nobody knows the topic of may be the living one, with a damaged id.
        let is_former = |life: &&Life| {
            life.topic
                .is_some_and(|topic| self.former.knows(&name.topic, topic))
        };
        if let Some(dead) = dead.min_by_key(is_former) {
            // All of them are of deleted topics: it is made anew in the place of one.
            homes.insert(name.clone(), dead.dir);
            return Some((dead.dir, true));
        }
        let preferred = lock(&self.preferred).remove(name);
        let preferred = preferred.filter(|index| self.is_online(*index));
        let index = preferred.or_else(|| self.emptiest())?;
        homes.insert(name.clone(), index);
        self.dirs[index].partitions.fetch_add(1, Ordering::Relaxed);
        Some((index, false))
    }

    /// The living log of a name that several topics had is open, in directory number `home`: the others are of deleted topics. Of two
    /// logs of one topic this is the one that grows from now on.
    fn retire_other_lives(&self, name: &TopicPartition, id: TopicIdPartition, home: usize) {
        self.doubles.settled(name);
        let Some(lives) = lock(&self.contested).remove(name) else {
            return;
        };
        for life in lives.into_iter().filter(|life| life.dir != home) {
            let dir = self.dirs.get(life.dir).and_then(|dir| Some((dir, dir.usable()?)));
            let Some((dir, handle)) = dir.filter(|(_, handle)| is_of_other_topic(handle, name, id)) else {
                continue;
            };
            tracing::warn!(partition = %name, path = %dir.path.display(), found = ?life.topic, living = %id.topic,
                "another log directory has the log of a deleted topic of the same name");
            match set_old_life_aside(handle, name) {
                Ok(()) => {
                    dir.checkpoints.forget(name);
                    dir.partitions.fetch_sub(1, Ordering::Relaxed);
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(partition = %name, error, "it stays until the next start");
                }
            }
        }
    }

    /// The directory of that path.
    pub(super) fn index_of(&self, path: &str) -> Option<usize> {
        self.dirs.iter().position(|dir| dir.path.as_os_str() == path)
    }

    /// Remembers where a partition that is not here yet is to be created. Source: `LogManager.maybeUpdatePreferredLogDir`.
    pub(super) fn prefer(&self, name: &TopicPartition, index: usize) {
        let mut preferred = lock(&self.preferred);
        if preferred.len() < PREFERRED_MAX {
            preferred.insert(name.clone(), index);
        }
    }

    /// The names under which the start has found logs.
    pub(super) fn names_found(&self) -> Vec<TopicPartition> {
        let (homes, contested) = (lock(&self.homes), lock(&self.contested));
        homes.keys().chain(contested.keys()).cloned().collect()
    }

    /// No log that the start has found under that name is left.
    pub(super) fn forget_found(&self, name: &TopicPartition) {
        lock(&self.homes).remove(name);
        lock(&self.contested).remove(name);
        lock(&self.unfinished).remove(name);
    }

    /// A log that counted in a directory lies there no more.
    pub(super) fn has_one_less(&self, index: usize) {
        if let Some(dir) = self.dirs.get(index) {
            let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
            let _ = dir
                .partitions
                .fetch_update(set, get, |count| count.checked_sub(1));
        }
    }

    /// Remembers where a partition is to be moved once it can be.
    pub(super) fn keep_unfinished(&self, name: &TopicPartition, to: usize) {
        lock(&self.unfinished).insert(name.clone(), to);
    }

    /// Where the partition is to be moved, once.
    pub(super) fn take_unfinished(&self, name: &TopicPartition) -> Option<usize> {
        lock(&self.unfinished).remove(name)
    }

    /// How to open a new copy of the partition's log in a directory.
    pub(super) fn copy_options(
        &self,
        index: usize,
        id: TopicIdPartition,
        name: &TopicPartition,
        config: Arc<LogConfig>,
    ) -> Option<OpenOptions> {
        self.fresh_options(index, id, name, config, LogDir::new_future_path)
    }

    /// How to open the log of a partition without records in a directory.
    pub(super) fn empty_options(
        &self,
        index: usize,
        id: TopicIdPartition,
        name: &TopicPartition,
        config: Arc<LogConfig>,
    ) -> Option<OpenOptions> {
        self.fresh_options(index, id, name, config, LogDir::partition_path)
    }

    fn fresh_options(
        &self,
        index: usize,
        id: TopicIdPartition,
        name: &TopicPartition,
        config: Arc<LogConfig>,
        path: impl FnOnce(&LogDir, &TopicPartition) -> PathBuf,
    ) -> Option<OpenOptions> {
        let dir = self.dirs.get(index)?;
        let handle = dir.usable()?;
        let known = Checkpointed::default();
        Some(OpenOptions {
            dir: path(handle, name),
            ..dir
                .checkpoints
                .open_options(handle, id, name, &config, known, wall_clock())
        })
    }

    /// Where the partition's log lies in a directory that is not offline.
    pub(super) fn partition_path(&self, index: usize, name: &TopicPartition) -> Option<PathBuf> {
        Some(self.dirs.get(index)?.usable()?.partition_path(name))
    }

    /// The partition's log lies in another directory now.
    pub(super) fn moved(&self, name: &TopicPartition, from: usize, to: usize) {
        self.forget_partition(from, name);
        lock(&self.homes).insert(name.clone(), to);
        if let Some(dir) = self.dirs.get(to) {
            dir.partitions.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The directory with the fewest partitions, among those with space if there is one. Source: `LogManager.nextLogDirs`.
    fn emptiest(&self) -> Option<usize> {
        let usable = self.dirs.iter().enumerate();
        let usable = usable.filter(|(_, dir)| dir.status.get() != DirState::Offline);
        let order = |dir: &Dir| {
            (
                dir.status.get() == DirState::Full,
                dir.partitions.load(Ordering::Relaxed),
            )
        };
        usable.min_by_key(|(_, dir)| order(dir)).map(|(index, _)| index)
    }

    /// The partition is deleted without that its log was ever open.
    pub(super) fn discard(&self, name: &TopicPartition) {
        let home = lock(&self.homes).get(name).copied();
        let Some(index) = home else { return };
        if let Some(handle) = self.dirs.get(index).and_then(Dir::usable)
            && let Err(error) = remove_old_life(handle, name)
        {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(partition = %name, error, "cannot remove the log of a deleted partition");
        }
        self.forget_partition(index, name);
    }

    /// The partition's log is deleted.
    pub(super) fn forget_partition(&self, index: usize, name: &TopicPartition) {
        let known = lock(&self.homes).remove(name);
        if let Some(dir) = self.dirs.get(index) {
            dir.partitions
                .fetch_sub(usize::from(known.is_some()), Ordering::Relaxed);
            dir.checkpoints.forget(name);
        }
        if let Some(lives) = lock(&self.contested).get_mut(name) {
            lives.retain(|life| life.dir != index);
        }
        lock(&self.distrusted).remove(name);
        lock(&self.unfinished).remove(name);
    }

    /// Every directory, without its replicas.
    pub(super) fn describe(&self) -> Vec<LogDirDescription> {
        let describe = |dir: &Dir| LogDirDescription {
            path: dir.path.display().to_string(),
            error: match dir.status.get() {
                DirState::Online | DirState::Full => ErrorCode::None,
                DirState::Offline => ErrorCode::KafkaStorageError,
            },
            replicas: Vec::new(),
        };
        self.dirs.iter().map(describe).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Only maps change under the locks.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Dir {
    /// A directory that is open; gives the partitions in it.
    fn of(handle: LogDir) -> Result<(Self, Vec<TopicPartition>), LogDirError> {
        let found = handle.partitions()?;
        let checkpoints = DirCheckpoints::read(&handle)?;
        remove_leftovers(handle.leftovers()?);
        let strays = handle.strays()?.len();
        if strays > 0 {
            tracing::warn!(path = %handle.path().display(), strays, "logs lie here that earlier starts have set aside");
        }
        let dir = Self {
            path: handle.path().to_owned(),
            handle: Some(handle),
            status: DirStatus::new(DirState::Online),
            partitions: AtomicUsize::new(found.len()),
            checkpoints,
            word: DirWord::default(),
        };
        Ok((dir, found))
    }

    /// A log start that was not believed is not kept: a log that grows past it would begin there.
    fn note_start(
        &self,
        id: TopicIdPartition,
        name: &TopicPartition,
        log: &PartitionLog,
        known: Checkpointed,
    ) {
        if log.log_start_offset() < known.log_start {
            let offsets = Checkpointed {
                recovery_point: log.recovery_point(),
                log_start: log.log_start_offset(),
                ..known
            };
            self.checkpoints.note(id, name, offsets, log.has_recovery_floor());
        }
    }

    fn offline(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            handle: None,
            status: DirStatus::new(DirState::Offline),
            partitions: AtomicUsize::new(0),
            checkpoints: DirCheckpoints::default(),
            word: DirWord::default(),
        }
    }

    /// The directory while it is not offline.
    fn usable(&self) -> Option<&LogDir> {
        self.handle
            .as_ref()
            .filter(|_| self.status.get() != DirState::Offline)
    }
}

/// Removes the log of a partition that was deleted without that its log was open.
fn remove_old_life(handle: &LogDir, name: &TopicPartition) -> Result<(), OpenError> {
    match handle.retire_dir(name, &handle.partition_path(name)) {
        Ok(removal) => remove_leftovers(vec![removal]),
        Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
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
