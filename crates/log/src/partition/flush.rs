//! Making appends durable on another thread.
//!
//! The owner takes a ticket, any thread syncs it, the owner is told. A ticket covers everything from the flushed offset to
//! the log end, so tickets may complete in any order. The epoch file goes first: no record of an epoch is durable before
//! the epoch is. After a failed sync the directory is lost for this process: never sync again.

use super::PartitionLog;
use super::versioned_file::{SmallFiles, VersionedFile};
use crate::checkpoint::encode_epochs;
use crate::env::{FileSystem, LogFile, OpenMode};
use crate::error::LogError;
use crate::format::{
    EPOCH_CHECKPOINT_FILE, FileKind, PARTITION_METADATA_FILE, TEMPORARY_SUFFIX, TXN_INDEX_SUMS_FILE,
    file_path,
};
use milena_types::Offset;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Versions of what is not a record: the newest that a ticket carried, and the newest that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PendingVersions {
    dir_version: u64,
    dir_durable: u64,
    epoch_version: u64,
    epoch_durable: u64,
    sums_version: u64,
    sums_durable: u64,
}

impl PendingVersions {
    /// Of a log of which nothing was ever flushed, or everything.
    pub(super) const fn none() -> Self {
        Self {
            dir_version: 0,
            dir_durable: 0,
            epoch_version: 0,
            epoch_durable: 0,
            sums_version: 0,
            sums_durable: 0,
        }
    }

    /// All of it is durable.
    fn settle(&mut self) {
        self.dir_durable = self.dir_version;
        self.epoch_durable = self.epoch_version;
        self.sums_durable = self.sums_version;
    }

    /// True when no small file waits for a ticket that is under way.
    pub(super) fn small_files_are_durable(&self) -> bool {
        self.epoch_version <= self.epoch_durable && self.sums_version <= self.sums_durable
    }
}

/// A new content of a small file, that any thread may write.
#[derive(Debug)]
pub(crate) struct SmallWrite {
    files: Arc<SmallFiles>,
    file: fn(&SmallFiles) -> &VersionedFile,
    path: PathBuf,
    version: u64,
    text: String,
}

impl SmallWrite {
    /// Writes it durably, unless something newer is there or the log was deleted.
    pub(crate) fn run(&self, fs: &dyn FileSystem) -> io::Result<()> {
        let file = (self.file)(&self.files);
        match file.write(fs, &self.path, self.version, &self.text) {
            Err(_) if self.files.is_deleted() => Ok(()),
            result => result,
        }
    }
}

/// A promise of durability that any thread can make true.
#[derive(Debug)]
pub struct FlushTicket {
    /// Every record below it is durable once [`FlushTicket::sync`] has succeeded.
    pub upto: Offset,
    generation: u32,
    fs: Arc<dyn FileSystem>,
    files: Vec<Arc<dyn LogFile>>,
    dirs: Vec<PathBuf>,
    small_files: Arc<SmallFiles>,
    /// Where they are.
    dir: PathBuf,
    /// Version and text of the epoch file, when it is to be written.
    epochs: Option<(u64, String)>,
    /// The same of the sums of the transaction indexes.
    sums: Option<(u64, String)>,
    /// Version of the directory's names that `dirs` makes durable.
    dir_version: u64,
    seals: Vec<Offset>,
}

impl FlushTicket {
    /// Forces everything that the ticket names to the disk. Blocks; call it off the owner's thread.
    ///
    /// # Errors
    /// The error of the operating system. The state of the disk is then unknown: take the log directory offline.
    pub fn sync(&self) -> io::Result<()> {
        match self.sync_all() {
            Err(_) if self.small_files.is_deleted() => Ok(()),
            result => result,
        }
    }

    fn sync_all(&self) -> io::Result<()> {
        let small = &self.small_files;
        if let Some((version, text)) = &self.epochs {
            let path = self.dir.join(EPOCH_CHECKPOINT_FILE);
            small.epochs.write(&*self.fs, &path, *version, text)?;
        }
        if let Some((version, text)) = &self.sums {
            let path = self.dir.join(TXN_INDEX_SUMS_FILE);
            small.sums.write(&*self.fs, &path, *version, text)?;
        }
        for file in &self.files {
            file.sync_data()?;
        }
        for dir in &self.dirs {
            self.fs.sync_dir(dir)?;
        }
        Ok(())
    }

    /// How many files it forces: what a flush costs.
    #[must_use]
    pub fn files(&self) -> usize {
        let small = usize::from(self.epochs.is_some()) + usize::from(self.sums.is_some());
        self.files.len() + self.dirs.len() + small
    }
}

impl PartitionLog {
    /// Gives up the order of the small files' versions, when no ticket is left that could write or tell of an older one.
    pub(super) fn forget_small_files(&mut self) {
        let unshared = self
            .in_flight
            .small_files
            .as_ref()
            .is_some_and(|files| Arc::strong_count(files) == 1);
        if unshared
            && !self.epochs_dirty
            && !self.sums_dirty
            && self.in_flight.pending.small_files_are_durable()
        {
            self.in_flight.small_files = None;
            let pending = &mut self.in_flight.pending;
            (pending.epoch_version, pending.epoch_durable) = (0, 0);
            (pending.sums_version, pending.sums_durable) = (0, 0);
            if pending.dir_version <= pending.dir_durable {
                (pending.dir_version, pending.dir_durable) = (0, 0);
            }
        }
        self.in_flight.shrink();
    }

    /// What is to be written into the file of the sums of the transaction indexes, unless it says the same; it stays due
    /// with the next ticket.
    pub(super) fn sums_write(&mut self) -> Option<SmallWrite> {
        let pending = &self.in_flight.pending;
        let is_due = self.sums_dirty || pending.sums_version > pending.sums_durable;
        is_due.then(|| {
            let text = self.txn_index_sums();
            self.small_write(|files| &files.sums, TXN_INDEX_SUMS_FILE, text)
        })
    }

    /// The same of the epoch file.
    pub(super) fn epochs_write(&mut self) -> Option<SmallWrite> {
        let pending = &self.in_flight.pending;
        let is_due = self.epochs_dirty || pending.epoch_version > pending.epoch_durable;
        is_due.then(|| {
            let text = encode_epochs(self.epochs.entries());
            self.small_write(|files| &files.epochs, EPOCH_CHECKPOINT_FILE, text)
        })
    }

    /// Makes the epoch file durable on this thread, unless it is.
    pub(super) fn write_epochs(&mut self) -> Result<(), LogError> {
        let write = self.epochs_write();
        let written = write.map_or(Ok(()), |write| write.run(&*self.env.fs));
        written.map_err(LogError::new("write the epochs of", self.dir()))
    }

    fn small_write(
        &mut self,
        file: fn(&SmallFiles) -> &VersionedFile,
        name: &str,
        text: String,
    ) -> SmallWrite {
        let files = self.in_flight.small_files.get_or_insert_default().clone();
        SmallWrite {
            version: file(&files).next_version(),
            files,
            file,
            path: self.dir().join(name),
            text,
        }
    }

    /// True when a ticket would cover something that no earlier ticket covers.
    #[must_use]
    pub fn has_dirty_data(&self) -> bool {
        !self.segments.is_empty()
            && (self.log_end > self.submitted
                || self.epochs_dirty
                || self.sums_dirty
                || self.in_flight.seals_submitted < self.in_flight.unsynced_seals.len())
    }

    /// Takes a ticket for everything that is not durable; `None` when earlier tickets cover it all.
    ///
    /// # Errors
    /// A closed segment could not be opened for the flush.
    pub fn take_flush(&mut self) -> Result<Option<FlushTicket>, LogError> {
        if !self.has_dirty_data() {
            return Ok(None);
        }
        self.force_ticket().map(Some)
    }

    fn force_ticket(&mut self) -> Result<FlushTicket, LogError> {
        self.in_flight.pending.dir_version += u64::from(std::mem::take(&mut self.dir_dirty));
        let files = self
            .dirty_files()
            .map_err(LogError::new("open for flush in", self.dir()))
            .inspect_err(|error| self.make_room(error))?;
        let mut dirs = Vec::new();
        if self.in_flight.pending.dir_version > self.in_flight.pending.dir_durable {
            dirs.push(self.dir());
            if self.parent_dirty
                || self.flushed == self.segments.first().map_or(self.flushed, |first| first.base)
            {
                // The log was moved, or nothing of it was ever flushed: its own name may be new.
                dirs.extend(self.dir().parent().map(Path::to_owned));
            }
        }
        let small_files = self.in_flight.small_files.get_or_insert_default().clone();
        if std::mem::take(&mut self.epochs_dirty) {
            self.in_flight.pending.epoch_version = small_files.epochs.next_version();
        }
        if std::mem::take(&mut self.sums_dirty) {
            self.in_flight.pending.sums_version = small_files.sums.next_version();
        }
        // Tickets may complete in any order: each carries whatever no completed one has.
        let epochs =
            (self.in_flight.pending.epoch_version > self.in_flight.pending.epoch_durable).then(|| {
                (
                    self.in_flight.pending.epoch_version,
                    encode_epochs(self.epochs.entries()),
                )
            });
        let sums = (self.in_flight.pending.sums_version > self.in_flight.pending.sums_durable)
            .then(|| (self.in_flight.pending.sums_version, self.txn_index_sums()));
        self.submitted = self.log_end;
        self.in_flight.seals_submitted = self.in_flight.unsynced_seals.len();
        Ok(FlushTicket {
            upto: self.log_end,
            generation: self.generation,
            fs: self.env.fs.clone(),
            files,
            dirs,
            small_files,
            dir: self.dir(),
            epochs,
            sums,
            dir_version: self.in_flight.pending.dir_version,
            seals: self.in_flight.unsynced_seals.clone(),
        })
    }

    fn dirty_files(&self) -> io::Result<Vec<Arc<dyn LogFile>>> {
        let mut files: Vec<Arc<dyn LogFile>> = Vec::new();
        let open = |base, kind| {
            self.env
                .fs
                .open(&file_path(&self.dir(), base, kind), OpenMode::Read)
        };
        let last = self.segments.len().saturating_sub(1);
        for (at, meta) in self.segments.iter().enumerate() {
            let sealed = self.in_flight.unsynced_seals.contains(&meta.base);
            let dirty = self.segment_end(at) > self.flushed && self.log_end > self.flushed;
            if !dirty && !sealed {
                continue;
            }
            match &self.active {
                Some(active) if at == last => files.push(active.file.clone()),
                _ => files.push(open(meta.base, FileKind::Log)?),
            }
            if sealed {
                files.push(open(meta.base, FileKind::Index)?);
                files.push(open(meta.base, FileKind::TimeIndex)?);
            }
            if meta.aborted.entries > 0 {
                files.push(open(meta.base, FileKind::TxnIndex)?);
            }
        }
        if self.in_flight.pending.dir_version > self.in_flight.pending.dir_durable
            && !self.topic_id.0.is_zero()
        {
            match self
                .env
                .fs
                .open(&self.dir().join(PARTITION_METADATA_FILE), OpenMode::Read)
            {
                Ok(file) => files.push(file),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(files)
    }

    /// Takes note of a ticket that was synced; returns the flushed offset. A ticket from before a truncation is ignored.
    pub fn on_flushed(&mut self, ticket: &FlushTicket) -> Offset {
        if ticket.generation == self.generation {
            let pending = &mut self.in_flight.pending;
            pending.dir_durable = pending.dir_durable.max(ticket.dir_version);
            self.parent_dirty &= pending.dir_durable < pending.dir_version;
            let epoch_version = ticket.epochs.as_ref().map_or(0, |(version, _)| *version);
            pending.epoch_durable = pending.epoch_durable.max(epoch_version);
            let sums_version = ticket.sums.as_ref().map_or(0, |(version, _)| *version);
            pending.sums_durable = pending.sums_durable.max(sums_version);
            self.flushed = self.flushed.max(ticket.upto.min(self.log_end));
            self.in_flight
                .unsynced_seals
                .retain(|base| !ticket.seals.contains(base));
            self.in_flight.seals_submitted = self
                .in_flight
                .seals_submitted
                .min(self.in_flight.unsynced_seals.len());
        }
        self.flushed
    }

    /// A ticket could not be synced for want of space or of files to open: no flush has failed, but not all that the ticket
    /// covered is on disk. It waits for another ticket.
    pub fn on_flush_postponed(&mut self) {
        self.submitted = self.flushed;
        self.in_flight.seals_submitted = 0;
        self.epochs_dirty |= self.in_flight.pending.epoch_version > self.in_flight.pending.epoch_durable;
        self.sums_dirty |= self.in_flight.pending.sums_version > self.in_flight.pending.sums_durable;
    }

    /// Flushes on this thread, whatever other tickets are under way.
    ///
    /// # Errors
    /// A file operation failed; the directory is to be taken offline.
    pub fn flush(&mut self) -> Result<(), LogError> {
        if self.segments.is_empty() {
            return Ok(());
        }
        let ticket = self.force_ticket()?;
        ticket.sync().map_err(LogError::new("flush", self.dir()))?;
        self.on_flushed(&ticket);
        Ok(())
    }

    /// True when [`PartitionLog::close`] has something to do.
    #[must_use]
    pub fn is_unclosed(&self) -> bool {
        let written = self.snapshots.last() == Some(&self.log_end) && !self.has_dirty_data();
        let open = self.active.is_some() || self.is_compacting();
        !self.segments.is_empty() && (!written || open || self.flushed < self.log_end)
    }

    /// The first half of [`PartitionLog::close`] for many logs at once: everything is written, nothing is forced to the disk.
    /// Force the whole file system then, and call [`PartitionLog::finish_close`]; only that ends what this began.
    ///
    /// # Errors
    /// A file operation failed; the directory must not be marked as cleanly shut down.
    pub fn begin_close(&mut self) -> Result<(), LogError> {
        self.end_compaction()?;
        if self.is_unclosed() {
            self.close_active()?;
            self.write_snapshot()?;
            // A crash may leave it torn: then it is rebuilt from the log, which recovery reads past the recovery point.
            let path = self.dir().join(EPOCH_CHECKPOINT_FILE);
            let temporary = path.with_added_extension(TEMPORARY_SUFFIX);
            let fs = &self.env.fs;
            let write = || {
                let text = encode_epochs(self.epochs.entries());
                fs.open(&temporary, OpenMode::Truncate)?
                    .write_all_at(text.as_bytes(), 0)?;
                fs.rename(&temporary, &path)
            };
            write().map_err(LogError::new("write", &path))?;
            // Torn they would say nothing: they are few, and durable at once.
            if let Some(sums) = self.sums_write() {
                sums.run(&*self.env.fs)
                    .map_err(LogError::new("write the sums of", self.dir()))?;
            }
        }
        self.env.sealed.remove_log(self.log_id);
        Ok(())
    }

    /// The second half: the whole file system was forced to the disk since [`PartitionLog::begin_close`].
    pub fn finish_close(&mut self) {
        (self.flushed, self.submitted) = (self.log_end, self.log_end);
        self.in_flight.unsynced_seals = Vec::new();
        self.in_flight.seals_submitted = 0;
        (self.epochs_dirty, self.sums_dirty, self.dir_dirty) = (false, false, false);
        self.in_flight.pending.settle();
    }

    /// Ends a log's life cleanly: indexes, producer snapshot, everything flushed, no file open.
    ///
    /// # Errors
    /// A file operation failed; the directory must not be marked as cleanly shut down.
    pub fn close(&mut self) -> Result<(), LogError> {
        self.end_compaction()?;
        if self.segments.is_empty() {
            return Ok(());
        }
        if self.is_unclosed() {
            self.close_active()?;
            self.write_snapshot()?;
            if let Some(last) = self.segments.last() {
                self.in_flight.unsynced_seals.push(last.base);
            }
            self.sync_snapshot()?;
            self.flush()?;
        }
        self.env.sealed.remove_log(self.log_id);
        Ok(())
    }

    fn sync_snapshot(&self) -> Result<(), LogError> {
        let path = self.path(self.log_end, FileKind::Snapshot);
        let sync = || self.env.fs.open(&path, OpenMode::Read)?.sync_data();
        sync().map_err(LogError::new("flush", &path))
    }
}
