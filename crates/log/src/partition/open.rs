//! Opening a log: list the directory, then either trust it (clean shutdown) or recover it, then epochs and producers.

use super::enter::ScanStart;
use super::files::SegmentMeta;
use super::home::Home;
use super::in_flight::InFlight;
use super::listing::{Listing, list_in_order, retired_base};
use super::{CorruptionPolicy, OpenOptions, OpenReport, PartitionLog, floor};
use crate::checkpoint::parse_epochs;
use crate::durable_file::replace_file;
use crate::env::{FileSystem, OpenMode, read_small_file};
use crate::epoch_cache::{EpochCache, HeaderEpochs};
use crate::error::{LogError, OpenError, ReadError};
use crate::few::Few;
use crate::format::{
    EPOCH_CHECKPOINT_FILE, EPOCH_FILE_BYTES_MAX, FileKind, PARTED_FILE, PARTITION_METADATA_FILE,
    TXN_INDEX_ENTRY_BYTES,
};
use crate::producer::ProducerState;
use milena_record::BatchHeader;
use milena_types::{LeaderEpoch, Offset, Timestamp, TopicId, Uuid};
use std::cell::Cell;
use std::path::Path;

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
        let listing = match list_in_order(&opts)? {
            Some(listing) => listing,
            // Refused below, as a directory without files is.
            None if opts.has_files && Self::refuse_damage(opts.corruption) => Listing::default(),
            None => return Self::without_directory(&opts).map(|absent| (absent, report)),
        };
        let floor = match listing.has_floor {
            true => floor::read_floor(&*opts.env.fs, &opts.dir).map_err(LogError::new("read", &opts.dir))?,
            false => None,
        };
        // The checkpoint of a clean shutdown is younger than any floor.
        let has_floor = floor.is_some();
        let floor = floor.filter(|_| !opts.clean);
        let trusted = opts.recovery_point.min(floor.unwrap_or(opts.recovery_point));
        let is_marked = check_topic_id(&opts, !listing.logs.is_empty(), trusted)?;
        let mut log = Self::empty(&opts, opts.log_start_offset.max(Offset::ZERO));
        log.load_segments(&listing)?;
        log.meet_floor(has_floor, opts.clean)?;
        if !is_marked {
            log.write_topic_id()?;
            log.dir_dirty = true;
        }
        log.parted = listing.is_parted || log.note_kafkas_compaction(&opts)?;
        log.has_holes = listing.has_holes || opts.compacted || log.parted;
        log.snapshots = listing.snapshots.iter().copied().collect();
        let trusted = log.check_missing(&opts, &listing, trusted, &mut report)?;
        log.refuse_lost_segments(&opts, &listing, floor, &mut report)?;
        let has_removed = log.remove_retired_at_once(&opts, &listing)?;
        let known_end = match opts.clean {
            true => log.end_of_clean_log(trusted, opts.leader_epoch)?,
            false => None,
        };
        let scanned = match known_end {
            Some(end) => {
                (log.log_end, log.flushed) = (end.offset, end.offset);
                None
            }
            None => {
                let gap = log.doubtful_gap(&opts, &listing);
                let scanned = log.recover(trusted, &opts, gap, &mut report)?;
                // Indexes that were open may be other files now.
                log.env.sealed.remove_log(log.log_id);
                scanned
            }
        };
        if floor.is_some() && known_end.is_none() {
            log.keep_truncation()?;
        }
        log.submitted = log.flushed;
        // Files that a killed process created may exist in the page cache only, names included.
        log.dir_dirty |= known_end.is_none();
        log.remove_strays(&listing)?;
        log.settle_start(&opts, floor.is_some())?;
        if listing.has_mark {
            // Whatever took the end of the log.
            log.lower_compaction_mark(log.log_end)?;
        }
        let known_epoch = known_end.and_then(|end| end.epoch);
        log.load_epochs(known_epoch, scanned, &opts, &mut report)?;
        log.remove_retired_durably(&listing, has_removed)?;
        report.txn_indexes_rebuilt =
            log.check_txn_indexes(scanned.map_or(usize::MAX, |start| start.at), listing.has_sums)?;
        let produced = known_end
            .and_then(|end| end.produced)
            .filter(|header| log.remembers(header, opts.now));
        log.load_producers(scanned, produced, &mut report)?;
        log.producers.expire(opts.now, log.config.producer_expiration_ms);
        log.env.sealed.remove_log(log.log_id);
        if let Some(last) = log.segments.last() {
            log.modified = log.modified(last.base)?;
        }
        log.shrink();
        Ok((log, report))
    }

    /// An empty log, unless a checkpoint says that there was another one.
    fn without_directory(opts: &OpenOptions) -> Result<Self, OpenError> {
        let absent = Self::absent(opts);
        match absent.doubtful_gap(opts, &Listing::default()) {
            Some(refused) => Err(refused),
            None => Ok(absent),
        }
    }

    pub(super) fn empty(opts: &OpenOptions, at: Offset) -> Self {
        Self {
            env: opts.env.clone(),
            home: Home::new(&opts.env, &opts.dir, &opts.partition),
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
            epochs_dirty: false,
            sums_dirty: false,
            producers: ProducerState::default(),
            snapshots: Few::default(),
            bytes_since_snapshot: 0,
            stale_offset: opts.stale_offset.max(opts.recovery_point),
            has_floor: false,
            has_holes: false,
            parted: false,
            dir_dirty: false,
            parent_dirty: false,
            in_flight: InFlight::default(),
            generation: 0,
            failed: false,
            compaction: None,
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
            // Its content is looked at when the log's end is known.
            self.segments[at].aborted.entries =
                u32::try_from(bytes.div_ceil(TXN_INDEX_ENTRY_BYTES as u64)).unwrap_or(u32::MAX);
        }
        if let Some(first) = self.segments.first() {
            self.log_start = self.log_start.max(first.base);
            self.log_end = first.base;
            self.flushed = first.base;
        }
        Ok(())
    }

    /// Whether Kafka may have compacted the log: then that is noted, durably.
    fn note_kafkas_compaction(&self, opts: &OpenOptions) -> Result<bool, LogError> {
        let is_kafkas =
            opts.may_be_kafkas && (opts.compacted || self.config.compact) && !self.segments.is_empty();
        if is_kafkas {
            let path = self.dir().join(PARTED_FILE);
            replace_file(&*self.env.fs, &path, b"").map_err(LogError::new("write", &path))?;
        }
        Ok(is_kafkas)
    }

    /// A truncation may have died half done: what is seen to be gone must not come back after a power cut.
    fn keep_truncation(&self) -> Result<(), LogError> {
        if let Some(last) = self.segments.last() {
            let path = self.path(last.base, FileKind::Log);
            let sync = || self.env.fs.open(&path, OpenMode::Read)?.sync_data();
            sync().map_err(LogError::new("flush", &path))?;
        }
        let dir = self.dir();
        self.env.fs.sync_dir(&dir).map_err(LogError::new("flush", dir))
    }

    /// Removes the segments that are out of use: no more do their names say why the log begins later than it did.
    fn remove_retired(&self, listing: &Listing) -> Result<(), LogError> {
        let mut retired = listing.retired().map(|name| self.dir().join(name));
        retired.try_for_each(|path| self.remove_stray(&path))
    }

    /// The same, where the checkpoint says where the log begins, and before anything that takes space. False: it does not.
    fn remove_retired_at_once(&self, opts: &OpenOptions, listing: &Listing) -> Result<bool, LogError> {
        let first = self.segments.first().map_or(self.log_end, |first| first.base);
        let is_known = opts.log_start_offset >= first;
        if is_known {
            self.remove_retired(listing)?;
        }
        Ok(is_known)
    }

    /// The same, where nothing else says yet where the log begins.
    fn remove_retired_durably(&mut self, listing: &Listing, has_removed: bool) -> Result<(), LogError> {
        if has_removed || listing.retired().next().is_none() {
            return Ok(());
        }
        self.write_epochs()?;
        self.remove_retired(listing)
    }

    fn remove_stray(&self, path: &Path) -> Result<(), LogError> {
        let removed = self.env.fs.remove_file(path);
        removed.map_err(LogError::new("remove", path))
    }

    /// Removes what belongs to no segment, but for segments that are out of use.
    fn remove_strays(&mut self, listing: &Listing) -> Result<(), LogError> {
        let known = |base: &Offset| {
            self.segments
                .binary_search_by_key(base, |segment| segment.base)
                .is_ok()
        };
        let dir = self.dir();
        let orphans = listing.others.iter().filter(|(base, _)| !known(base));
        let orphans = orphans.map(|(base, kind)| self.path(*base, *kind));
        let unfinished = listing.strays.iter().filter(|name| retired_base(name).is_none());
        let doomed: Vec<_> = orphans.chain(unfinished.map(|name| dir.join(name))).collect();
        doomed.iter().try_for_each(|path| self.remove_stray(path))
    }

    /// Brings the log start between the first segment and the log end.
    fn settle_start(&mut self, opts: &OpenOptions, was_truncated: bool) -> Result<(), LogError> {
        if self.log_start > self.log_end && !self.segments.is_empty() {
            let unfounded = opts.start_is_unfounded(self.log_end);
            if unfounded {
                tracing::warn!(partition = %self.partition, log_end = self.log_end.0, log_start = self.log_start.0,
                    recovery_point = opts.recovery_point.0, high_watermark = opts.high_watermark.0,
                    "the log start offset of the checkpoint is above all that the log and the other checkpoints know of: ignored");
            }
            if was_truncated || unfounded {
                // Or the checkpoint is older than the truncation.
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

    /// Reads the epoch file; a missing or damaged one, or one that contradicts the last batch, is rebuilt from every batch
    /// header of the log.
    fn load_epochs(
        &mut self,
        last_epoch: Option<LeaderEpoch>,
        scanned: Option<ScanStart>,
        opts: &OpenOptions,
        report: &mut OpenReport,
    ) -> Result<(), LogError> {
        let newest = opts.leader_epoch;
        let path = self.dir().join(EPOCH_CHECKPOINT_FILE);
        let found = std::mem::take(&mut self.epochs);
        let bytes = read_small_file(&*self.env.fs, &path, EPOCH_FILE_BYTES_MAX)
            .map_err(LogError::new("read", &path))?;
        let parsed = bytes.as_deref().map(parse_epochs);
        let mut from_batches = None;
        let wrong = match parsed {
            Some(Ok(entries)) => {
                self.epochs = EpochCache::from_entries(entries.clone());
                let last = self.epochs.epoch_for_offset(self.log_end.plus(-1));
                if self.epochs.latest().is_some_and(|latest| latest > newest) {
                    Some(format!("it knows a newer one than {newest}, the newest"))
                } else if self.epochs.entries() != entries {
                    Some("its entries are not in order".to_owned())
                } else if last.is_none() && found.entries().is_empty() && self.log_end > self.log_start {
                    Some("it says nothing of the last batch".to_owned())
                } else if last_epoch.is_some() && last != last_epoch {
                    Some(format!(
                        "it says {last:?} of the last batch, which has {last_epoch:?}"
                    ))
                } else if let Some((epoch, at)) = self.epochs.first_below(&found) {
                    Some(format!(
                        "it says a newer epoch than {epoch} of offset {at}, which has that"
                    ))
                } else if opts.epochs_from_batches {
                    from_batches = self.agreed_epochs(opts)?;
                    let contradicted = || "a batch contradicted it".to_owned();
                    from_batches.is_some().then(contradicted)
                } else {
                    None
                }
            }
            Some(Err(error)) => Some(error.to_string()),
            None => Some("missing".to_owned()),
        };
        match wrong {
            None => self.drop_contradicted_epochs(&path, &found, scanned)?,
            Some(_) if self.log_end <= self.log_start => self.epochs.clear(),
            Some(reason) => {
                tracing::warn!(path = %path.display(), reason, "rebuilding the leader epochs from the log");
                self.epochs = match from_batches {
                    Some(epochs) => epochs,
                    None => self.epochs_from_headers(newest)?.cache,
                };
                report.epochs_rebuilt = true;
                self.epochs_dirty = true;
            }
        }
        // What recovery saw in headers is newer than the file.
        for (epoch, seen_at) in found.entries() {
            // An epoch that began before the first scanned segment is seen inside it only.
            self.epochs_dirty |= self.epochs.observe(*epoch, *seen_at);
        }
        self.epochs_dirty |= self.epochs.truncate_from_end(self.log_end);
        self.epochs_dirty |= self.epochs.truncate_from_start(self.log_start);
        Ok(())
    }

    /// Drops epochs that the file has begin among the scanned batches, where no batch has them.
    fn drop_contradicted_epochs(
        &mut self,
        path: &Path,
        found: &EpochCache,
        scanned: Option<ScanStart>,
    ) -> Result<(), LogError> {
        let Some(scanned) = scanned else {
            return Ok(());
        };
        let (mut seen, mut lies) = (Vec::new(), Vec::new());
        for (epoch, start) in self.epochs.entries() {
            let fits = *start < scanned.entered
                || *start >= self.log_end
                || *start <= self.log_start
                || found
                    .entries()
                    .iter()
                    .any(|(e, at)| e == epoch && (at == start || (at > start && self.may_have_holes())))
                || self.is_compacted_epoch(*epoch, *start, found)?;
            if fits { &mut seen } else { &mut lies }.push((*epoch, *start));
        }
        if !lies.is_empty() {
            tracing::warn!(path = %path.display(), ?lies, "dropping leader epochs that the log contradicts");
            self.epochs = EpochCache::from_entries(seen);
            self.epochs_dirty = true;
        }
        Ok(())
    }

    /// No batch has this epoch, but it fits between those that are there: compaction may have taken all of its records. Its begin
    /// still says where the epoch before it ends.
    fn is_compacted_epoch(
        &self,
        epoch: LeaderEpoch,
        start: Offset,
        found: &EpochCache,
    ) -> Result<bool, LogError> {
        if !self.may_have_holes() || found.epoch_for_offset(start) >= Some(epoch) {
            return Ok(false);
        }
        let read = match self.read(start, 1, self.log_end, true) {
            Ok(read) => read,
            Err(ReadError::Log(error)) => return Err(error),
            Err(_) => return Ok(false),
        };
        let next = BatchHeader::parse(&read.records).ok();
        Ok(next.is_some_and(|next| next.partition_leader_epoch > epoch))
    }

    /// The epochs that the batches say, whatever the file says. `None` where they fall: a batch is damaged. Where others may have the
    /// log as it was, also when an epoch that the file has not is that of one batch only: it may be that batch which is damaged.
    fn agreed_epochs(&self, opts: &OpenOptions) -> Result<Option<EpochCache>, LogError> {
        let seen = self.epochs_from_headers(opts.leader_epoch)?;
        let is_alone = opts.corruption == CorruptionPolicy::Refuse;
        let filed = |epoch: &LeaderEpoch| self.epochs.entries().iter().any(|(known, _)| known == epoch);
        let lone = || seen.lone.iter().any(|epoch| !filed(epoch));
        let agreed = !seen.falls && (is_alone || !lone());
        Ok(agreed.then_some(seen.cache))
    }

    /// A batch that claims a newer one is met by the read that wants it.
    fn epochs_from_headers(&self, newest: LeaderEpoch) -> Result<HeaderEpochs, LogError> {
        let mut seen = HeaderEpochs::default();
        self.walk_headers(self.log_start, usize::MAX, |_, header, _| {
            if header.partition_leader_epoch <= newest {
                seen.add(header.partition_leader_epoch, header.base_offset);
            }
            Ok(())
        })?;
        Ok(seen)
    }

    fn load_producers(
        &mut self,
        scanned: Option<ScanStart>,
        produced: Option<BatchHeader>,
        report: &mut OpenReport,
    ) -> Result<(), LogError> {
        let (log_start, log_end) = (self.log_start, self.log_end);
        self.remove_snapshots(|at| at > log_end || at < log_start)?;
        // A snapshot past the recovery point may describe records that are gone, and past the first scanned segment's begin
        // the transaction index must be right below it.
        let newest = scanned.map_or(log_end, |start| {
            let base = self
                .segments
                .get(start.at)
                .map_or(log_end, |segment| segment.base);
            start.snapshot.unwrap_or(base).min(log_end)
        });
        // Nor may it be met later: it may be of records that a power cut took, and others are there now.
        self.remove_snapshots(|at| at > newest)?;
        let (mut from, mut discarded) = self.reload_producers(newest, scanned)?;
        if from >= log_end && produced.is_some_and(|header| !self.producers.knows(&header)) {
            tracing::warn!(partition = %self.partition, offset = from.0, "removed a producer snapshot that does not know the last batch before it; its state is replayed from the log");
            self.remove_snapshots(|at| at == from)?;
            (from, discarded) = self.reload_producers(newest, scanned)?;
            discarded += 1;
        }
        report.snapshots_discarded += discarded;
        report.producers_replayed_from = (from < log_end).then_some(from);
        Ok(())
    }
}

/// Compares the directory's topic id with the expected one. The file is durable with the first flush: from then on a log
/// without it, or with a damaged one, may be of any topic of the name. False: before, it has to be written again. Another id
/// is damage too where the log counts and no topic of the name is known to have had that id.
fn check_topic_id(opts: &OpenOptions, has_data: bool, trusted: Offset) -> Result<bool, OpenError> {
    if opts.topic_id.0.is_zero() || !has_data {
        return Ok(true);
    }
    let was_flushed = trusted > Offset::ZERO || opts.clean;
    let was_committed = opts.high_watermark > Offset::ZERO;
    let damaged = |error| {
        Err(OpenError::Corrupt {
            path: opts.dir.join(PARTITION_METADATA_FILE),
            position: 0,
            offset: opts.log_start_offset,
            recovery_point: trusted,
            error,
        })
    };
    let (expected, refuses) = (opts.topic_id, PartitionLog::refuse_damage(opts.corruption));
    match read_topic_id(&*opts.env.fs, &opts.dir).map_err(OpenError::from)? {
        Some(found) if found == expected => Ok(true),
        None if !was_flushed => Ok(false),
        None if refuses => damaged(format!(
            "it does not say that the log is of the topic {expected}; start again once it does"
        )),
        Some(found)
            if refuses
                && opts.counts
                && (was_flushed || was_committed)
                && !opts.former_topics.contains(&found) =>
        {
            damaged(format!(
                "it says that the log is of the topic {found}, which nobody knows, and not of {expected}: put that id back if the file is damaged, or move the directory away if the log is of a deleted topic, and start again"
            ))
        }
        found => Err(OpenError::TopicIdMismatch {
            path: opts.dir.clone(),
            found: found.unwrap_or(TopicId(Uuid::ZERO)),
            expected: opts.topic_id,
        }),
    }
}

/// What `partition.metadata` says. Source: `PartitionMetadataFile`.
pub(crate) fn topic_id_text(id: TopicId) -> String {
    format!("version: 0\ntopic_id: {id}")
}

/// The topic id that a partition's directory is marked with. `None`: it has no `partition.metadata`, or a damaged one.
pub(crate) fn read_topic_id(fs: &dyn FileSystem, dir: &Path) -> Result<Option<TopicId>, LogError> {
    let path = dir.join(PARTITION_METADATA_FILE);
    let bytes = read_small_file(fs, &path, 1 << 16).map_err(LogError::new("read", &path))?;
    let text = String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
    Ok(text
        .lines()
        .find_map(|line| line.strip_prefix("topic_id: "))
        .and_then(|id| id.trim().parse().ok())
        .map(TopicId))
}
