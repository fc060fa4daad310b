//! Opening a log: list the directory, then either trust it (clean shutdown) or recover it, then epochs and producers.

use super::files::SegmentMeta;
use super::flush::PendingVersions;
use super::recover::{Replay, ScanStart};
use super::{CorruptionPolicy, OpenOptions, OpenReport, PartitionLog, floor};
use crate::checkpoint::parse_epochs;
use crate::compaction::{MARK_FILE, is_unfinished_swap, resume_swap};
use crate::env::{FileSystem, read_small_file};
use crate::epoch_cache::EpochCache;
use crate::error::{LogError, OpenError};
use crate::format::{
    DELETED_SUFFIX, EPOCH_CHECKPOINT_FILE, FileKind, HOLES_FILE, PARTITION_METADATA_FILE,
    RECOVERY_FLOOR_FILE, TXN_INDEX_ENTRY_BYTES, file_path, parse_file_name,
};
use crate::producer::ProducerState;
use crate::segment::{ScanDepth, Scanner};
use milena_types::{Offset, Timestamp, TopicId};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// Epoch files above this size are not ours.
const EPOCH_FILE_BYTES_MAX: usize = 64 << 20;

/// What a partition's directory holds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) logs: BTreeSet<Offset>,
    others: Vec<(Offset, FileKind)>,
    pub(super) snapshots: BTreeSet<Offset>,
    pub(super) strays: Vec<String>,
    pub(super) has_holes: bool,
    pub(super) has_floor: bool,
    pub(super) unfinished_swap: bool,
    has_mark: bool,
    /// Something is left of a log, were it only its topic id.
    has_traces: bool,
}

impl Listing {
    /// Offsets of segments that have an index and no log. One that was deleted is there under its new name until its
    /// indexes are gone.
    fn without_log(&self) -> impl Iterator<Item = Offset> {
        let gone = |base: &Offset| {
            let deleted = format!("{base:020}.log.{DELETED_SUFFIX}", base = base.0);
            !self.logs.contains(base) && !self.strays.contains(&deleted)
        };
        let indexes = |(base, kind): &(Offset, FileKind)| {
            matches!(kind, FileKind::Index | FileKind::TimeIndex).then_some(*base)
        };
        self.others.iter().filter_map(indexes).filter(gone)
    }
}

/// Lists a partition's directory; `None` when there is none.
pub(super) fn list(fs: &dyn FileSystem, dir: &Path) -> io::Result<Option<Listing>> {
    let names = match fs.read_dir(dir) {
        Ok(names) => names,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut listing = Listing::default();
    for (name, _) in names.into_iter().filter(|(_, is_dir)| !is_dir) {
        listing.unfinished_swap |= is_unfinished_swap(&name);
        match parse_file_name(&name) {
            Some((base, FileKind::Log)) => {
                listing.logs.insert(base);
            }
            Some((base, FileKind::Snapshot)) => {
                listing.snapshots.insert(base);
            }
            Some(other) => listing.others.push(other),
            // Half-written small files, retired segments, and what a compaction left unfinished.
            None if [".tmp", ".deleted", ".cleaned", ".swap"]
                .iter()
                .any(|end| name.ends_with(end)) =>
            {
                listing.strays.push(name)
            }
            None => {
                listing.has_holes |= name == HOLES_FILE;
                listing.has_traces |= name == PARTITION_METADATA_FILE;
                listing.has_mark |= name == MARK_FILE;
                listing.has_floor |= name == RECOVERY_FLOOR_FILE;
            }
        }
    }
    listing.has_traces |= !listing.others.is_empty() || !listing.snapshots.is_empty();
    Ok(Some(listing))
}

/// Lists the directory; a compaction's swap that a crash interrupted is completed before.
fn list_in_order(opts: &OpenOptions) -> Result<Option<Listing>, LogError> {
    let list = || list(&*opts.env.fs, &opts.dir).map_err(LogError::new("list", &opts.dir));
    let listing = list()?;
    if !listing.as_ref().is_some_and(|listing| listing.unfinished_swap) {
        return Ok(listing);
    }
    resume_swap(&*opts.env.fs, &opts.dir).map_err(LogError::new("complete the compaction of", &opts.dir))?;
    list()
}

impl PartitionLog {
    /// Opens the log in a directory, or an empty one where no directory is; creates no file.
    ///
    /// After a clean shutdown nothing is scanned but for the last batches of producers. Otherwise every byte past the recovery
    /// point is checked, a torn tail is cut off durably, and indexes, epochs and producers are rebuilt; opening twice gives
    /// the same log. No file stays open.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(opts: OpenOptions) -> Result<(Self, OpenReport), OpenError> {
        let mut report = OpenReport::default();
        let Some(listing) = list_in_order(&opts)? else {
            return Ok((Self::empty(&opts, opts.log_start_offset), report));
        };
        check_topic_id(&opts, !listing.logs.is_empty())?;
        let mut log = Self::empty(&opts, opts.log_start_offset);
        log.load_segments(&listing)?;
        let floor = match listing.has_floor {
            true => floor::read_floor(&*opts.env.fs, &opts.dir).map_err(LogError::new("read", &opts.dir))?,
            false => None,
        };
        log.has_floor = floor.is_some();
        log.has_holes = listing.has_holes || opts.compacted;
        log.snapshots = listing.snapshots.iter().copied().collect();
        let trusted = opts.recovery_point.min(floor.unwrap_or(opts.recovery_point));
        let known = (opts.log_start_offset, trusted);
        let trusted = log.check_missing(&listing, known, opts.corruption, &mut report)?;
        let known_end = if opts.clean { log.end_of_clean_log()? } else { None };
        // A log that is shorter than it was is looked at.
        let known_end = known_end.filter(|end| *end >= trusted);
        let scanned_from = match known_end {
            Some(end) => {
                (log.log_end, log.flushed) = (end, end);
                None
            }
            None => {
                log.compacted_by_kafka = opts.compacted && !listing.has_mark;
                let scanned_from = log.recover(trusted, opts.corruption, &mut report)?;
                // Indexes that were open may be other files now.
                log.env.sealed.remove_log(log.log_id);
                scanned_from
            }
        };
        log.submitted = log.flushed;
        // Files that a killed process created may exist in the page cache only, names included.
        log.dir_dirty |= known_end.is_none();
        log.remove_strays(&listing)?;
        log.settle_start(&opts, floor.is_some())?;
        log.load_epochs(&mut report)?;
        log.load_producers(scanned_from, &mut report)?;
        log.producers.expire(opts.now, log.config.producer_expiration_ms);
        log.env.sealed.remove_log(log.log_id);
        if let Some(last) = log.segments.last() {
            log.modified = log.modified(last.base)?;
        }
        log.shrink();
        Ok((log, report))
    }

    pub(super) fn empty(opts: &OpenOptions, at: Offset) -> Self {
        Self {
            env: opts.env.clone(),
            dir: opts.dir.clone(),
            partition: opts.partition.clone(),
            topic_id: opts.topic_id,
            config: opts.config.clone(),
            log_id: opts.env.sealed.next_log_id(),
            segments: Vec::new(),
            active: None,
            log_start: at,
            log_end: at,
            flushed: at,
            submitted: at,
            high_watermark: at,
            epochs: EpochCache::default(),
            epoch_file: None,
            epochs_dirty: false,
            producers: ProducerState::default(),
            snapshots: Vec::new(),
            bytes_since_snapshot: 0,
            unsaved_aborts: Vec::new(),
            unsynced_seals: Vec::new(),
            seals_submitted: 0,
            stale_recovery_point: opts.recovery_point,
            has_floor: false,
            has_holes: false,
            compacted_by_kafka: false,
            dir_dirty: false,
            parent_dirty: false,
            pending: PendingVersions::default(),
            generation: 0,
            failed: false,
            compaction: None,
            clean_upto: None,
            removals: Vec::new(),
            modified: Timestamp::NONE,
            unverified: Cell::new(false),
        }
    }

    fn load_segments(&mut self, listing: &Listing) -> Result<(), LogError> {
        for base in &listing.logs {
            let path = self.path(*base, FileKind::Log);
            let size = self
                .env
                .fs
                .file_len(&path)
                .map_err(LogError::new("stat", &path))?
                .unwrap_or(0);
            self.segments.push(SegmentMeta::new(*base, size));
        }
        for (base, kind) in &listing.others {
            let (FileKind::TxnIndex, Ok(at)) = (kind, self.segments.binary_search_by_key(base, |s| s.base))
            else {
                continue;
            };
            let path = self.path(*base, FileKind::TxnIndex);
            let bytes = self
                .env
                .fs
                .file_len(&path)
                .map_err(LogError::new("stat", &path))?
                .unwrap_or(0);
            self.segments[at].aborted =
                u32::try_from(bytes / TXN_INDEX_ENTRY_BYTES as u64).unwrap_or(u32::MAX);
        }
        if let Some(first) = self.segments.first() {
            self.log_start = self.log_start.max(first.base);
            self.log_end = first.base;
            self.flushed = first.base;
        }
        Ok(())
    }

    /// Looks for segments that are not there any more: their indexes without them, or nothing but traces. Under
    /// [`CorruptionPolicy::Truncate`] the log ends where the first of them began. Gives how far the log may be trusted.
    fn check_missing(
        &mut self,
        listing: &Listing,
        (log_start, trusted): (Offset, Offset),
        policy: CorruptionPolicy,
        report: &mut OpenReport,
    ) -> Result<Offset, OpenError> {
        let known = |base: &Offset| *base < trusted && *base >= log_start;
        let emptied = self.segments.is_empty() && listing.has_traces && trusted > self.log_start;
        let first = listing.without_log().filter(known).min();
        let Some(offset) = first.or(emptied.then_some(self.log_start)) else {
            return Ok(trusted);
        };
        let path = self.path(offset, FileKind::Log);
        if Self::refuse_damage(policy) {
            return Err(OpenError::Corrupt {
                path,
                position: 0,
                offset,
                recovery_point: trusted,
                error: "the segment is missing".to_owned(),
            });
        }
        tracing::error!(partition = %self.partition, path = %path.display(), offset = offset.0, recovery_point = trusted.0,
            "a segment is missing: what lies behind it is removed");
        self.write_recovery_floor(offset)?;
        while self.segments.last().is_some_and(|last| last.base > offset) {
            if let Some(doomed) = self.segments.pop() {
                self.remove_segment_files(doomed.base)?;
            }
        }
        if self.segments.is_empty() {
            (self.log_start, self.log_end, self.flushed) = (offset, offset, offset);
        }
        self.dir_dirty = true;
        report.lost_flushed = true;
        Ok(trusted.min(offset))
    }

    /// The log end after a clean shutdown; `None` when the last segment is not as a clean shutdown leaves it.
    fn end_of_clean_log(&self) -> Result<Option<Offset>, LogError> {
        let Some(meta) = self.segments.last() else {
            return Ok(Some(self.log_end));
        };
        let segment = self.open_segment(self.segments.len() - 1)?;
        let from = segment
            .offsets()
            .last()
            .map_or(0, |entry| u64::from(entry.position));
        let mut end = meta.base;
        let mut scanner = Scanner::new(&**segment.file(), from, meta.size, ScanDepth::Headers);
        loop {
            match scanner
                .next()
                .map_err(LogError::new("read", self.path(meta.base, FileKind::Log)))?
            {
                None => return Ok(Some(end)),
                Some(Ok(batch)) => end = batch.header.next_offset(),
                Some(Err(stop)) => {
                    tracing::warn!(partition = %self.partition, base = meta.base.0, position = stop.position, error = %stop.error,
                        "the log was shut down cleanly and does not read to its end; recovering it");
                    return Ok(None);
                }
            }
        }
    }

    /// Removes what belongs to no segment.
    fn remove_strays(&mut self, listing: &Listing) -> Result<(), LogError> {
        let known = |base: &Offset| {
            self.segments
                .binary_search_by_key(base, |segment| segment.base)
                .is_ok()
        };
        let orphans = listing.others.iter().filter(|(base, _)| !known(base));
        let orphans = orphans.map(|(base, kind)| file_path(&self.dir, *base, *kind));
        let doomed: Vec<_> = orphans
            .chain(listing.strays.iter().map(|name| self.dir.join(name)))
            .collect();
        for path in doomed {
            self.env
                .fs
                .remove_file(&path)
                .map_err(LogError::new("remove", &path))?;
        }
        Ok(())
    }

    /// Brings the log start between the first segment and the log end.
    fn settle_start(&mut self, opts: &OpenOptions, was_truncated: bool) -> Result<(), LogError> {
        if self.log_start > self.log_end && !self.segments.is_empty() {
            if was_truncated {
                // The checkpoint is older than the truncation.
                self.log_start = self.segments.first().map_or(self.log_end, |first| first.base);
            } else {
                tracing::warn!(partition = %self.partition, log_end = self.log_end.0, log_start = self.log_start.0,
                    "the log ends below its log start offset; beginning again there");
                self.truncate_fully_and_start_at(opts.log_start_offset)?;
            }
        }
        self.log_end = self.log_end.max(self.log_start);
        self.high_watermark = self.log_start;
        Ok(())
    }

    /// Reads the epoch file; a missing or damaged one is rebuilt from every batch header of the log.
    fn load_epochs(&mut self, report: &mut OpenReport) -> Result<(), LogError> {
        let path = self.dir.join(EPOCH_CHECKPOINT_FILE);
        let found = std::mem::take(&mut self.epochs);
        let bytes = read_small_file(&*self.env.fs, &path, EPOCH_FILE_BYTES_MAX)
            .map_err(LogError::new("read", &path))?;
        let parsed = bytes.as_deref().map(parse_epochs);
        match parsed {
            Some(Ok(entries)) => self.epochs = EpochCache::from_entries(entries),
            _ if self.log_end <= self.log_start => {}
            other => {
                let reason = other
                    .and_then(Result::err)
                    .map_or("missing".to_owned(), |e| e.to_string());
                tracing::warn!(path = %path.display(), reason, "rebuilding the leader epochs from the log");
                self.epochs = self.epochs_from_headers()?;
                report.epochs_rebuilt = true;
                self.epochs_dirty = true;
            }
        }
        // What recovery saw in headers is newer than the file.
        for (epoch, seen_at) in found.entries() {
            // An epoch that began before the first scanned segment is seen inside it only.
            if self.epochs.epoch_for_offset(*seen_at) != Some(*epoch) {
                self.assign_epoch(*epoch, *seen_at);
            }
        }
        self.epochs_dirty |= self.epochs.truncate_from_end(self.log_end);
        self.epochs_dirty |= self.epochs.truncate_from_start(self.log_start);
        Ok(())
    }

    fn epochs_from_headers(&self) -> Result<EpochCache, LogError> {
        let mut epochs = EpochCache::default();
        self.walk_headers(self.log_start, |_, header, _| {
            epochs.assign(header.partition_leader_epoch, header.base_offset);
            Ok(())
        })?;
        Ok(epochs)
    }

    fn load_producers(
        &mut self,
        scanned_from: Option<ScanStart>,
        report: &mut OpenReport,
    ) -> Result<(), LogError> {
        let (log_start, log_end) = (self.log_start, self.log_end);
        self.remove_snapshots(|at| at > log_end || at < log_start)?;
        let replay = scanned_from.map_or(Replay::Producers, |start| Replay::ProducersAndTxnIndex(start.at));
        // A snapshot past the recovery point may describe records that are gone; past the base of the segment that holds it,
        // the segment's transaction index is on disk as far as the snapshot goes.
        let newest = match scanned_from {
            None => log_end,
            Some(start) => {
                let base = self
                    .segments
                    .get(start.at)
                    .map_or(log_end, |segment| segment.base);
                match self.txn_index_is_sane(start.at)? {
                    true => start.trusted.max(base).min(log_end),
                    false => base,
                }
            }
        };
        let (from, discarded) = self.reload_producers(newest, replay)?;
        report.snapshots_discarded = discarded;
        report.producers_replayed_from = (from < log_end).then_some(from);
        Ok(())
    }

    /// What to do about damage below the recovery point.
    pub(super) fn refuse_damage(policy: CorruptionPolicy) -> bool {
        policy == CorruptionPolicy::Refuse
    }
}

/// Compares the directory's topic id with the expected one; a missing or damaged file is left for the next creation.
fn check_topic_id(opts: &OpenOptions, has_data: bool) -> Result<(), OpenError> {
    if opts.topic_id.0.is_zero() || !has_data {
        return Ok(());
    }
    match read_topic_id(opts, &opts.dir)? {
        Some(found) if found != opts.topic_id => Err(OpenError::TopicIdMismatch {
            path: opts.dir.clone(),
            found,
            expected: opts.topic_id,
        }),
        _ => Ok(()),
    }
}

fn read_topic_id(opts: &OpenOptions, dir: &Path) -> Result<Option<TopicId>, LogError> {
    let path = dir.join(PARTITION_METADATA_FILE);
    let bytes = read_small_file(&*opts.env.fs, &path, 1 << 16).map_err(LogError::new("read", &path))?;
    let text = String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
    Ok(text
        .lines()
        .find_map(|line| line.strip_prefix("topic_id: "))
        .and_then(|id| id.trim().parse().ok())
        .map(TopicId))
}
