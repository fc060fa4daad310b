//! AlterReplicaLogDirs: a replica moves to another log directory of this broker while it serves.
//!
//! ```text
//! copying    the log is copied to `<topic>-<p>.<uuid>-future`, off the data thread, a chunk at a time
//! closing    the end is near: flushes of the original wait until the copy has as much on disk
//! swapping   on the owner: the last few batches, the copy is renamed and serves, the original goes
//! ```
//!
//! The broker may die at any point: see `milena_log`, `partition/relocate.rs`, and [`super::found_logs`]. A move that is not
//! complete begins again at the next start; when the log is opened again meanwhile, once it is open; when the process was short of
//! files or memory, after a pause. One that finds no space is over, with a line; its copy goes, and the original is as it was.
//! Kafka takes the directory offline then, and at a shortage too. Source: `ReplicaManager.alterReplicaLogDirs`,
//! `ReplicaAlterLogDirsThread`.

use super::api::AlterLogDirItem;
use super::context::{Context, wall_clock};
use super::dir_state::DirState;
use super::mailbox::with_local;
use super::move_destination::DestinationError;
use super::pace::SLEEP_MAX;
use super::partition::Partition;
use super::retention::remove_in_background;
use super::role::Role;
use super::router::Router;
use super::state::Shard;
use super::storage_error::SHORTAGE_PAUSE;
use milena_log::format::parse_future_dir_name;
use milena_log::{
    FollowerAppendError, LogError, OpenError, OpenOptions, PartitionLog, ReadError, ReadPlan, Removal,
    is_shortage,
};
use milena_record::BatchHeader;
use milena_types::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicId, TopicIdPartition};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Bytes that are copied at a time.
const CHUNK_BYTES: usize = 1 << 20;
/// A copy is forced to the disk whenever so much of it was written: in the end, flushes of the original wait for the rest.
const UNFLUSHED_MAX: usize = 64 << 20;
/// Batches of so many bytes may be left for the swap, which happens on the data thread.
const SWAP_BYTES: usize = 256 << 10;
/// The pause while a flush of the original is under way.
const FLUSH_PAUSE: Duration = Duration::from_millis(2);
/// The pause while a compaction of the original comes to its end.
const COMPACTION_PAUSE: Duration = Duration::from_millis(50);
/// The longest name of a directory.
const NAME_BYTES_MAX: usize = 255;
/// `.<32 digits>-future`
const FUTURE_NAME_BYTES: usize = 40;

/// A move under way.
#[derive(Debug)]
pub(super) struct Move {
    /// Index of the directory that it goes to.
    pub(super) to: usize,
    /// Names this attempt; one that was given up finds another number, or none.
    number: u64,
    /// Of the original when the copy was begun: a truncation spoils the copy.
    generation: u32,
    /// Flushes of the original wait.
    closing: bool,
    /// The copy was complete once, is on the disk so far, and says so.
    closed: bool,
    last_chunk: Chunk,
    /// For DescribeLogDirs.
    pub(super) copied_to: Offset,
    pub(super) copied_bytes: u64,
}

/// What was read last.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    from: Offset,
    /// Where to go on reading: past a hole, that is past the end of the copy.
    next: Offset,
    bytes: usize,
}

impl Chunk {
    const NONE: Chunk = Chunk {
        from: Offset::ZERO,
        next: Offset::ZERO,
        bytes: usize::MAX,
    };
}

/// What the copier does next.
enum Step {
    /// Append what this reads.
    Copy(ReadPlan, LeaderEpoch),
    /// Force the copy to the disk and mark it as complete.
    Close,
    /// Wait for flushes of the original that are under way.
    Wait,
    /// Begin again.
    Restart,
    /// Now.
    Swap,
    /// The original cannot be read.
    Fail(ReadError),
    /// The move was given up.
    Stop,
}

/// Why a copy goes no further.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Append(#[from] FollowerAppendError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the copy is made on another thread, which has ended")]
    Ended,
    #[error("the log ends in a hole")]
    Hole,
    #[error(transparent)]
    Destination(#[from] DestinationError),
}

impl CopyError {
    /// The process was short of files or memory: the move is tried again.
    fn is_shortage(&self) -> bool {
        match self {
            Self::Read(ReadError::Log(error))
            | Self::Append(FollowerAppendError::Log(error))
            | Self::Log(error)
            | Self::Destination(DestinationError::Log(error)) => error.is_shortage(),
            Self::Read(_) | Self::Append(_) | Self::Ended | Self::Hole | Self::Destination(_) => false,
        }
    }
}

impl Router {
    /// Begins to move replicas, or remembers where those that do not exist yet are to be created.
    pub async fn alter_log_dirs(&self, items: Vec<AlterLogDirItem>) -> Vec<ErrorCode> {
        let nowhere = TopicIdPartition {
            topic: TopicId::default(),
            partition: PartitionIndex(0),
        };
        self.per_partition(
            items,
            |item| item.id.unwrap_or(nowhere),
            Shard::alter_log_dir,
            |_, error| error,
        )
        .await
    }
}

impl Shard {
    fn alter_log_dir(&mut self, item: &AlterLogDirItem) -> ErrorCode {
        match self.try_alter_log_dir(item) {
            Ok(()) => ErrorCode::None,
            Err(error) => error,
        }
    }

    fn try_alter_log_dir(&mut self, item: &AlterLogDirItem) -> Result<(), ErrorCode> {
        if item.name.to_string().len() + FUTURE_NAME_BYTES > NAME_BYTES_MAX {
            return Err(ErrorCode::InvalidTopicException);
        }
        let to = self
            .cx
            .dirs
            .index_of(&item.path)
            .ok_or(ErrorCode::LogDirNotFound)?;
        if !self.cx.dirs.is_online(to) {
            return Err(ErrorCode::KafkaStorageError);
        }
        let Some(id) = item.id.filter(|id| self.is_here(*id)) else {
            self.cx.dirs.prefer(&item.name, to);
            return Err(ErrorCode::ReplicaNotAvailable);
        };
        let (partition, cx) = self.partition(id)?;
        // This wish goes over one that waits for its time.
        cx.dirs.take_unfinished(&partition.name);
        if partition.moving.as_ref().is_some_and(|moving| moving.to != to) {
            tracing::info!(partition = %partition.name, "gives up a move between log directories for another one");
            partition.moving = None;
            partition.queue_flush(cx);
        }
        if partition.dir == to || partition.moving.is_some() {
            return Ok(());
        }
        if cx.dirs.state(to) == DirState::Full {
            tracing::warn!(partition = %partition.name, to = ?cx.dirs.path(to), "cannot move to a log directory without space");
            return Err(ErrorCode::KafkaStorageError);
        }
        self.start_move(id, to)
    }

    fn is_here(&self, id: TopicIdPartition) -> bool {
        self.partitions.contains_key(&id) || self.cx.unusable.contains_key(&id)
    }

    /// Begins to copy a partition's log to another directory.
    ///
    /// # Errors
    /// KAFKA_STORAGE_ERROR: something is in the way there, or the directory has failed; a line says so.
    pub(super) fn start_move(&mut self, id: TopicIdPartition, to: usize) -> Result<(), ErrorCode> {
        let cx = &mut self.cx;
        let Some(partition) = self
            .partitions
            .get_mut(&id)
            .filter(|partition| partition.dir != to && partition.moving.is_none())
        else {
            return Ok(());
        };
        let mut begun = cx
            .dirs
            .clear_destination(partition.dir, to, id, &partition.name)
            .map_err(CopyError::from);
        if begun.is_ok() && partition.log.segments() == 0 {
            begun = partition.move_without_files(cx, to);
            if begun.is_ok() {
                return Ok(());
            }
        }
        if let Err(error) = begun {
            if partition.move_failed(cx, to, &error) {
                move_later(id);
                return Ok(());
            }
            return Err(ErrorCode::KafkaStorageError);
        }
        self.cx.last_move += 1;
        let number = self.cx.last_move;
        tracing::info!(partition = %partition.name, to = ?self.cx.dirs.path(to), "moves to another log directory");
        partition.moving = Some(Box::new(Move {
            to,
            number,
            generation: partition.log.generation(),
            closing: false,
            closed: false,
            last_chunk: Chunk::NONE,
            copied_to: partition.log.log_start_offset(),
            copied_bytes: 0,
        }));
        let copy = Copy {
            id,
            number,
            log: None,
            place: None,
            unflushed: 0,
        };
        tokio::task::spawn_local(copy.run());
        Ok(())
    }

    /// Begins a move whose time has come, if it is still wanted.
    pub(super) fn resume_move(&mut self, id: TopicIdPartition) {
        let Some(partition) = self.partitions.get(&id) else {
            return;
        };
        if let Some(to) = self.cx.dirs.take_unfinished(&partition.name) {
            // A line says why it cannot.
            let _ = self.start_move(id, to);
        }
    }

    /// What the copier is to do; `end` and `flushed` are the copy's.
    fn next_step(&mut self, id: TopicIdPartition, number: u64, end: Offset, flushed: Offset) -> Step {
        let Ok((partition, _)) = self.partition(id) else {
            return Step::Stop;
        };
        partition.next_step(number, end, flushed)
    }

    /// How to open an empty copy in the directory that the partition moves to, and where the original begins.
    fn new_copy(
        &mut self,
        id: TopicIdPartition,
        number: u64,
    ) -> Option<Result<(usize, OpenOptions, Offset), CopyError>> {
        let (partition, cx) = self.partition(id).ok()?;
        let moving = partition
            .moving
            .as_mut()
            .filter(|moving| moving.number == number)?;
        moving.generation = partition.log.generation();
        let (to, config) = (moving.to, partition.log.config().clone());
        let options = cx.dirs.copy_options(to, id, &partition.name, config)?;
        // One that is left of an earlier move would make two newer logs of this one.
        if let Err(error) = cx.dirs.forget_moved_in(partition.dir, &partition.name) {
            partition.storage_failed(cx, &error);
            return Some(Err(CopyError::Ended));
        }
        Some(partition.first_batch_offset().map(|first| (to, options, first)))
    }

    /// Puts a copy out of use that is not open.
    fn retire_copy(&self, to: usize, path: &Path) -> Result<Option<Removal>, LogError> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.and_then(parse_future_dir_name);
        let Some((name, (dir, _))) = name.zip(self.cx.dirs.checkpoints(to)) else {
            return Ok(None);
        };
        match dir.retire_dir(&name, path) {
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            retired => retired.map(Some),
        }
    }

    /// The copier has ended. If the partition still waits for it, the move is over, or true: it is to be tried again after a pause.
    fn move_over(&mut self, id: TopicIdPartition, number: u64, error: Option<&CopyError>) -> bool {
        // Also of a replica that is damaged, or offline: it holds its flushes back while it closes the copy.
        let (partition, cx) = (self.partitions.get_mut(&id), &mut self.cx);
        let Some(partition) = partition else { return false };
        let Some(moving) = partition.moving.take_if(|moving| moving.number == number) else {
            return false;
        };
        partition.queue_flush(cx);
        let Some(error) = error else {
            tracing::warn!(partition = %partition.name, "a move to another log directory was given up; the replica stays where it is");
            return false;
        };
        partition.move_failed(cx, moving.to, error)
    }

    /// The copy takes the place of the original. Gives it back when it cannot.
    fn swap(
        &mut self,
        id: TopicIdPartition,
        number: u64,
        copy: PartitionLog,
    ) -> Result<(), Box<(PartitionLog, CopyError)>> {
        let Ok((partition, cx)) = self.partition(id) else {
            return Err(Box::new((copy, CopyError::Ended)));
        };
        match partition.moving.take_if(|moving| moving.number == number) {
            Some(moving) => {
                let swapped = partition.swap(cx, &moving, copy);
                if swapped.is_err() {
                    // So that the failure is told.
                    partition.moving = Some(moving);
                }
                swapped
            }
            None => Err(Box::new((copy, CopyError::Ended))),
        }
    }
}

impl Partition {
    /// What follows from a move that cannot begin or go on. True: it is to be tried again after a pause.
    fn move_failed(&self, cx: &mut Context, to: usize, error: &CopyError) -> bool {
        let cause: &dyn std::error::Error = error;
        if error.is_shortage() {
            cx.shortages.note(&self.name, cause);
            cx.dirs.keep_unfinished(&self.name, to);
            return true;
        }
        if let CopyError::Read(error @ ReadError::Log(changed)) = error
            && changed.is_changed_behind()
        {
            tracing::info!(partition = %self.name, "its move to another log directory begins again once the log is open");
            cx.dirs.keep_unfinished(&self.name, to);
            self.read_error(cx, error);
            return false;
        }
        tracing::error!(partition = %self.name, to = ?cx.dirs.path(to), error = cause, "cannot move to another log directory; the replica stays where it is");
        match error {
            CopyError::Read(error) => drop(self.read_error(cx, error)),
            CopyError::Append(FollowerAppendError::Log(error))
            | CopyError::Log(error)
            | CopyError::Destination(DestinationError::Log(error)) => cx.dir_failed(to, error),
            CopyError::Append(_) | CopyError::Ended | CopyError::Hole | CopyError::Destination(_) => {}
        }
        false
    }

    /// True while flushes have to wait for a copy.
    pub(super) fn holds_flushes(&self) -> bool {
        self.moving.as_ref().is_some_and(|moving| moving.closing)
    }

    fn first_batch_offset(&self) -> Result<Offset, CopyError> {
        let start = self.log.log_start_offset();
        let read = self.log.read(start, 1, self.log.log_end_offset(), true)?;
        let first = BatchHeader::parse(&read.records).map(|header| header.base_offset);
        Ok(first.unwrap_or(start).min(start))
    }

    fn next_step(&mut self, number: u64, end: Offset, flushed: Offset) -> Step {
        let (log_start, log_end) = (self.log.log_start_offset(), self.log.log_end_offset());
        let original_flushed = self.log.flushed_offset();
        let tickets = self.flush_tickets;
        let Some(moving) = self.moving.as_mut().filter(|moving| moving.number == number) else {
            return Step::Stop;
        };
        if moving.generation != self.log.generation() || (end < log_start && moving.copied_bytes > 0) {
            moving.closing = false;
            moving.closed = false;
            return Step::Restart;
        }
        moving.copied_to = end;
        let last = moving.last_chunk;
        let from = end.max(log_start).max(last.next);
        let plan = match self.log.plan_read(from, CHUNK_BYTES, log_end, true) {
            Ok(plan) => plan,
            Err(error) => return Step::Fail(error),
        };
        // A small chunk of the active segment was all that there was.
        let in_active = self
            .log
            .active_base_offset()
            .is_some_and(|base| last.from >= base);
        let near = plan.is_none() || in_active && last.bytes < SWAP_BYTES;
        match plan {
            Some(plan) if !near => Step::Copy(plan, self.leader_epoch),
            _ if !moving.closing => {
                moving.closing = true;
                Step::Wait
            }
            _ if tickets > 0 => Step::Wait,
            Some(plan) if end < original_flushed => Step::Copy(plan, self.leader_epoch),
            _ if !moving.closed || flushed < end.max(original_flushed) => Step::Close,
            _ => Step::Swap,
        }
    }

    fn swap(
        &mut self,
        cx: &mut Context,
        moving: &Move,
        mut copy: PartitionLog,
    ) -> Result<(), Box<(PartitionLog, CopyError)>> {
        let Some(path) = cx.dirs.partition_path(moving.to, &self.name) else {
            return Err(Box::new((copy, CopyError::Ended)));
        };
        // Somebody may have put something there since the move began.
        let cleared = cx
            .dirs
            .clear_destination(self.dir, moving.to, self.id, &self.name);
        let prepared = cleared
            .map_err(CopyError::from)
            .and_then(|()| self.finish_copy(&mut copy))
            .and_then(|()| Ok(copy.rename_dir(&path)?));
        if let Err(error) = prepared {
            return Err(Box::new((copy, error)));
        }
        let from = std::mem::replace(&mut self.dir, moving.to);
        let original = std::mem::replace(&mut self.log, copy);
        cx.flush.forget(from, self.id);
        self.flush_queued = false;
        cx.dirs.moved(&self.name, from, moving.to);
        self.note_offsets(cx);
        tracing::info!(partition = %self.name, path = %path.display(), log_end = %self.log.log_end_offset(), "moved to another log directory");
        match original.delete() {
            Ok(removal) => {
                let dirs = std::sync::Arc::clone(&cx.dirs);
                let (to, name) = (moving.to, self.name.clone());
                tokio::task::spawn_blocking(move || {
                    if let Some(removal) = removal {
                        let removed = removal.run();
                        let forget = || dirs.forget_moved_in(to, &name).map_err(|error| error.source);
                        if let Err(error) = removed.and_then(|()| forget()) {
                            tracing::warn!(path = %path.display(), %error, "the former log is not gone yet; the next start completes the move");
                        }
                    }
                });
            }
            Err(failed) => {
                let error: &dyn std::error::Error = &failed;
                tracing::error!(partition = %self.name, error, "cannot delete the former log; the next start does");
                cx.dir_failed(from, &failed);
            }
        }
        cx.checkpoint_dirty.insert(self.id);
        self.queue_flush(cx);
        Ok(())
    }

    /// A partition without a record has no files either, and nothing has its name where it goes.
    fn move_without_files(&mut self, cx: &mut Context, to: usize) -> Result<(), CopyError> {
        let config = self.log.config().clone();
        let options = cx.dirs.empty_options(to, self.id, &self.name, config);
        let log = PartitionLog::absent(&options.ok_or(DestinationError::Offline)?);
        let from = std::mem::replace(&mut self.dir, to);
        let original = std::mem::replace(&mut self.log, log);
        if matches!(self.role, Role::Leader(_)) {
            self.log.assign_epoch_at_become_leader(self.leader_epoch);
        }
        cx.flush.forget(from, self.id);
        self.flush_queued = false;
        cx.dirs.moved(&self.name, from, to);
        // One that has lost its records has a directory.
        match original.delete() {
            Ok(removal) => remove_in_background(removal.into_iter().collect()),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(partition = %self.name, error, "the former directory stays");
            }
        }
        Ok(())
    }

    /// The last batches, and what is no record.
    fn finish_copy(&self, copy: &mut PartitionLog) -> Result<(), CopyError> {
        let log_end = self.log.log_end_offset();
        while copy.log_end_offset() < log_end {
            let from = copy.log_end_offset();
            let read = self.log.read(from, CHUNK_BYTES, log_end, true)?;
            append(copy, from, read.records, self.leader_epoch)?;
        }
        copy.set_log_start_offset(self.log.log_start_offset());
        copy.on_high_watermark(self.log.high_watermark());
        if matches!(self.role, Role::Leader(_)) {
            copy.assign_epoch_at_become_leader(self.leader_epoch);
        }
        Ok(())
    }
}

/// An empty copy that begins at `first`. Blocks.
fn open_copy(options: OpenOptions, first: Offset) -> Result<PartitionLog, CopyError> {
    let (mut copy, _) = PartitionLog::open(options).map_err(|error| match error {
        OpenError::Log(error) | OpenError::NotSetAside(error) => CopyError::Log(error),
        OpenError::Corrupt { .. } | OpenError::Doubtful { .. } | OpenError::TopicIdMismatch { .. } => {
            CopyError::Ended
        }
    })?;
    copy.begin_at(first)?;
    Ok(copy)
}

/// Appends what was read at `from`.
fn append(
    copy: &mut PartitionLog,
    from: Offset,
    records: bytes::Bytes,
    epoch: LeaderEpoch,
) -> Result<(), CopyError> {
    if records.is_empty() {
        return Err(CopyError::Hole);
    }
    let base = BatchHeader::parse(&records).map(|header| header.base_offset);
    if base.is_ok_and(|base| base > from) {
        copy.append_as_follower_from(from, records, epoch, wall_clock())?;
    } else {
        copy.append_as_follower(records, epoch, wall_clock())?;
    }
    Ok(())
}

/// The task that makes a copy.
struct Copy {
    id: TopicIdPartition,
    number: u64,
    log: Option<PartitionLog>,
    /// The index of its directory, and where in it: files may lie there also when it could not be opened.
    place: Option<(usize, PathBuf)>,
    /// Bytes of it that nobody has forced to the disk.
    unflushed: usize,
}

/// Tries a move again after a pause.
fn move_later(id: TopicIdPartition) {
    tokio::task::spawn_local(async move {
        tokio::time::sleep(SHORTAGE_PAUSE).await;
        with_local(|shard| shard.resume_move(id));
    });
}

impl Copy {
    async fn run(mut self) {
        let (id, number) = (self.id, self.number);
        let error = self.copy().await.err();
        let again = with_local(|shard| shard.move_over(id, number, error.as_ref()));
        self.remove().await;
        if again == Some(true) {
            move_later(id);
        }
    }

    /// Removes what there is of the copy. Tries again while the process is short of files: the next copy needs the space.
    async fn remove(&mut self) {
        let (log, place) = (self.log.take(), self.place.take());
        let mut removal = match (log, place) {
            (Some(log), _) => log.delete(),
            (None, Some((to, path))) => with_local(|shard| shard.retire_copy(to, &path)).unwrap_or(Ok(None)),
            (None, None) => return,
        };
        loop {
            let found = match removal {
                Ok(Some(removal)) => removal,
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "an unfinished copy stays until the next start");
                    return;
                }
            };
            let again = found.clone();
            let error = match tokio::task::spawn_blocking(move || found.run()).await {
                Ok(Err(error)) => error,
                Ok(Ok(())) | Err(_) => return,
            };
            if !is_shortage(&error) {
                tracing::warn!(path = %again.path().display(), %error, "cannot remove; tried again at the next start");
                return;
            }
            tokio::time::sleep(SHORTAGE_PAUSE).await;
            removal = Ok(Some(again));
        }
    }

    async fn copy(&mut self) -> Result<(), CopyError> {
        let (id, number) = (self.id, self.number);
        loop {
            let Some(log) = &self.log else {
                // One that was about to be committed is waited for; another one does not begin.
                if with_local(|shard| shard.is_compacting(id)) == Some(true) {
                    tokio::time::sleep(COMPACTION_PAUSE).await;
                    continue;
                }
                match with_local(|shard| shard.new_copy(id, number)).flatten() {
                    Some(begin) => {
                        let (to, options, first) = begin?;
                        self.place = Some((to, options.dir.clone()));
                        let opened = tokio::task::spawn_blocking(move || open_copy(options, first)).await;
                        self.log = Some(opened.map_err(|_| CopyError::Ended)??);
                    }
                    None => return Ok(()),
                }
                continue;
            };
            let (end, flushed) = (log.log_end_offset(), log.flushed_offset());
            let step = with_local(|shard| shard.next_step(id, number, end, flushed));
            match step.unwrap_or(Step::Stop) {
                Step::Copy(plan, epoch) => {
                    let read = self
                        .elsewhere(move |log| {
                            let read = plan.run()?;
                            let (from, next, bytes) =
                                (log.log_end_offset(), read.next_offset, read.records.len());
                            if bytes > 0 {
                                append(log, from, read.records, epoch)?;
                            }
                            Ok(Chunk { from, next, bytes })
                        })
                        .await?;
                    self.unflushed += read.bytes;
                    if self.unflushed >= UNFLUSHED_MAX {
                        self.elsewhere(|log| Ok(log.flush()?)).await?;
                        self.unflushed = 0;
                    }
                    self.keep_pace(read).await;
                }
                Step::Close => {
                    self.elsewhere(|log| {
                        log.flush()?;
                        Ok(log.write_moved_in()?)
                    })
                    .await?;
                    with_local(|shard| shard.on_closed(id, number));
                }
                Step::Wait => tokio::time::sleep(FLUSH_PAUSE).await,
                Step::Restart => self.discard().await,
                Step::Swap => return self.swap(),
                Step::Fail(error) => return Err(error.into()),
                Step::Stop => return Ok(()),
            }
        }
    }

    /// Notes what was copied, and waits until `replica.alter.log.dirs.io.max.bytes.per.second` allows more.
    async fn keep_pace(&self, read: Chunk) {
        let (id, number) = (self.id, self.number);
        let noted = with_local(|shard| {
            shard.on_copied(id, number, read);
            std::sync::Arc::clone(&shard.cx.background.moves)
        });
        let Some(pacer) = noted else { return };
        let booking = pacer.book(read.bytes as u64, Instant::now());
        while let Some(wait) = pacer.wait(booking, Instant::now()) {
            if with_local(|shard| shard.may_wait(id, number)) != Some(true) {
                return;
            }
            tokio::time::sleep(wait.min(SLEEP_MAX)).await;
        }
    }

    async fn discard(&mut self) {
        let (id, number) = (self.id, self.number);
        // First: flushes of the original wait no longer.
        with_local(|shard| shard.on_restarted(id, number));
        self.remove().await;
    }

    fn swap(&mut self) -> Result<(), CopyError> {
        let (id, number) = (self.id, self.number);
        let Some(log) = self.log.take() else { return Ok(()) };
        match with_local(|shard| shard.swap(id, number, log)) {
            None | Some(Ok(())) => {
                // It is the log now.
                self.place = None;
                Ok(())
            }
            Some(Err(failed)) => {
                let (log, error) = *failed;
                self.log = Some(log);
                Err(error)
            }
        }
    }

    /// Works on the copy off the data thread.
    async fn elsewhere<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut PartitionLog) -> Result<R, CopyError> + Send + 'static,
    ) -> Result<R, CopyError> {
        let Some(mut log) = self.log.take() else {
            return Err(CopyError::Ended);
        };
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&mut log);
            (log, result)
        });
        let (log, result) = done.await.map_err(|_| CopyError::Ended)?;
        self.log = Some(log);
        result
    }
}

impl Shard {
    fn is_compacting(&self, id: TopicIdPartition) -> bool {
        self.partitions
            .get(&id)
            .is_some_and(|partition| partition.log.is_compacting())
    }

    /// Flushes of the original, and a move that was given up, wait for no rate.
    fn may_wait(&mut self, id: TopicIdPartition, number: u64) -> bool {
        self.moving(id, number).is_some_and(|moving| !moving.closing)
    }

    fn on_copied(&mut self, id: TopicIdPartition, number: u64, read: Chunk) {
        if let Some(moving) = self.moving(id, number) {
            moving.copied_bytes += read.bytes as u64;
            moving.last_chunk = read;
        }
    }

    fn on_closed(&mut self, id: TopicIdPartition, number: u64) {
        if let Some(moving) = self.moving(id, number) {
            moving.closed = true;
        }
    }

    fn on_restarted(&mut self, id: TopicIdPartition, number: u64) {
        if let Some(moving) = self.moving(id, number) {
            moving.copied_bytes = 0;
            moving.last_chunk = Chunk::NONE;
        }
        if let Ok((partition, cx)) = self.partition(id) {
            partition.queue_flush(cx);
        }
    }

    fn moving(&mut self, id: TopicIdPartition, number: u64) -> Option<&mut Move> {
        let moving = self.partitions.get_mut(&id)?.moving.as_deref_mut();
        moving.filter(|moving| moving.number == number)
    }
}
