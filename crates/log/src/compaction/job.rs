//! One compaction of one log, on the cleaner's thread.

use super::error::CompactionError;
use super::filter::{Fate, FilterRules, filter};
use super::group::{Source, groups};
use super::manifest::{self, NewSegment, Replacement};
use super::map::OffsetMap;
use super::output::{Output, Place};
use super::permit::{CompactionId, Permit};
use super::transactions::CleanedTransactions;
use crate::config::LogConfig;
use crate::env::{Env, LogFile, OpenMode};
use crate::error::LogError;
use crate::format::{FileKind, HOLES_FILE, file_path};
use crate::partition::{AbortedTxn, EARLY_END, TxnIndexSum, read_txn_index};
use crate::segment::{ScanDepth, ScanStop, Scanner};
use milena_record::{BatchHeader, unpack};
use milena_types::{Offset, TopicPartition};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

/// What one compaction has done so far; bytes of logs and numbers of batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionStats {
    /// Bytes that were read, the key map's first.
    pub bytes_read: u64,
    /// Bytes of the segments that were looked through, before.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
    /// Keys in the map.
    pub keys: usize,
}

/// What became of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupDone {
    /// It is ready to be committed. `deletes_below`: tombstones or markers below this offset are gone in it; the owner must
    /// say that every replica's log reaches it.
    Ready {
        /// One past the last of them; `None`: there are none.
        deletes_below: Option<Offset>,
    },
    /// Nothing in it changes.
    Unchanged,
    /// There are no more groups.
    Last,
}

/// What a log hands to the cleaner.
pub(crate) struct JobParts {
    pub(crate) env: Arc<Env>,
    pub(crate) dir: PathBuf,
    pub(crate) partition: TopicPartition,
    pub(crate) config: Arc<LogConfig>,
    pub(crate) permit: Arc<Permit>,
    /// The segments that may be touched, from the first of the log on.
    pub(crate) sources: Vec<Source>,
    /// Every segment that has a transaction index, and what is in it.
    pub(crate) txn_indexes: Vec<(Offset, TxnIndexSum)>,
    pub(crate) first_dirty: Offset,
    pub(crate) upper: Offset,
    pub(crate) rules: FilterRules,
    pub(crate) has_holes: bool,
}

/// A compaction under way: build the map, then group by group clean, commit, (the owner swaps), finish; at the end mark.
pub struct CompactionJob {
    parts: JobParts,
    aborted: Vec<AbortedTxn>,
    transactions: CleanedTransactions,
    groups: VecDeque<Vec<Source>>,
    pending: Option<Replacement>,
    end: Offset,
    stats: CompactionStats,
}

/// Is told how many bytes were read or written, may sleep to keep a rate; false ends the compaction.
pub type Pace<'a> = &'a mut dyn FnMut(u64) -> bool;

impl CompactionJob {
    pub(crate) fn new(parts: JobParts) -> Self {
        Self {
            aborted: Vec::new(),
            transactions: CleanedTransactions::default(),
            groups: VecDeque::new(),
            pending: None,
            end: parts.first_dirty,
            stats: CompactionStats::default(),
            parts,
        }
    }

    /// Which compaction it is.
    #[must_use]
    pub fn id(&self) -> CompactionId {
        self.parts.permit.id()
    }

    /// Which log it is.
    #[must_use]
    pub fn partition(&self) -> &TopicPartition {
        &self.parts.partition
    }

    /// Up to where the log will be clean; known once the map is built.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.end
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> CompactionStats {
        self.stats
    }

    /// Notes the last offset of every key of the dirty part, as far as `map` has room.
    ///
    /// # Errors
    /// [`CompactionError`].
    pub fn build_map(&mut self, map: &mut OffsetMap, pace: Pace<'_>) -> Result<(), CompactionError> {
        map.clear();
        self.read_aborted()?;
        let first_dirty = self.parts.first_dirty;
        let dirty: Vec<Source> = self
            .parts
            .sources
            .iter()
            .filter(|source| source.end > first_dirty)
            .copied()
            .collect();
        // Those that were decided before the walk begins would take later ones of their producers for aborted.
        let begin = dirty.first().map_or(first_dirty, |source| source.base);
        let overlapping = self.aborted.iter().filter(|txn| txn.last_offset >= begin);
        let mut transactions = CleanedTransactions::new(overlapping.copied().collect());
        for source in dirty {
            let whole = self.walk(source, pace, |job, header, batch| {
                job.map_batch(map, &mut transactions, header, batch)
            })?;
            if !whole {
                break;
            }
            // What a former compaction removed at its end needs no looking for.
            map.set_latest(source.end.plus(-1));
        }
        self.stats.keys = map.len();
        self.end = map.latest().map_or(first_dirty, |latest| latest.plus(1));
        let touched: Vec<Source> = self
            .parts
            .sources
            .iter()
            .filter(|source| source.base < self.end)
            .copied()
            .collect();
        self.groups = groups(&touched, self.parts.config.segment_bytes).into();
        self.transactions = CleanedTransactions::new(self.aborted.clone());
        Ok(())
    }

    /// False when the map is full; it then ends with some record of this batch.
    fn map_batch(
        &self,
        map: &mut OffsetMap,
        transactions: &mut CleanedTransactions,
        header: &BatchHeader,
        batch: &[u8],
    ) -> Result<bool, milena_record::BatchError> {
        let first_dirty = self.parts.first_dirty;
        if header.is_control() {
            let marker = crate::partition::marker_of(batch).map(|(commit, _)| commit);
            transactions.on_control(header, Some(marker));
        } else if !transactions.on_data(header) && header.last_offset() >= first_dirty {
            for record in unpack(batch, self.parts.rules.decompressed_bytes_max)?.records() {
                let (offset, record) = record?;
                let Some(key) = record.key.filter(|_| offset >= first_dirty) else {
                    continue;
                };
                if !map.put(key, offset) {
                    return Ok(false);
                }
            }
        }
        if header.last_offset() >= first_dirty {
            map.set_latest(header.last_offset());
        }
        Ok(true)
    }

    fn read_aborted(&mut self) -> Result<(), CompactionError> {
        for (base, sum) in &self.parts.txn_indexes {
            let read = read_txn_index(&*self.parts.env.fs, &self.parts.dir, *base, *sum);
            // Of a log that was cut or deleted meanwhile it need not be the one that was written.
            self.parts.permit.check()?;
            let read = read?;
            let below = read.into_iter().filter(|txn| txn.first_offset < self.parts.upper);
            self.aborted.extend(below);
        }
        Ok(())
    }

    /// Visits every batch of a segment, checksum verified, until `visit` says false; true: all of them.
    fn walk(
        &mut self,
        source: Source,
        pace: Pace<'_>,
        mut visit: impl FnMut(&Self, &BatchHeader, &[u8]) -> Result<bool, milena_record::BatchError>,
    ) -> Result<bool, CompactionError> {
        let (path, file) = self.open(source)?;
        let mut scanner = Scanner::new(&*file, 0, source.size, ScanDepth::Checked);
        while let Some(batch) = scanner.next().map_err(LogError::new("read", &path))? {
            let batch = batch.map_err(|stop| self.found(corrupt(&path, source.base, stop)))?;
            self.stats.bytes_read += batch.bytes.len() as u64;
            let visited = visit(self, &batch.header, batch.bytes)
                .map_err(|error| self.found(unreadable(&path, batch.position, error)))?;
            if !visited {
                return Ok(false);
            }
            self.keep_pace(pace, batch.bytes.len())?;
        }
        Ok(true)
    }

    /// Damage that was found, unless the owner has ended the compaction: then it may have cut the very segment.
    fn found(&self, damage: CompactionError) -> CompactionError {
        self.parts.permit.check().err().unwrap_or(damage)
    }

    fn open(&self, source: Source) -> Result<(PathBuf, Arc<dyn LogFile>), CompactionError> {
        let path = file_path(&self.parts.dir, source.base, FileKind::Log);
        let fs = &self.parts.env.fs;
        let file = self.parts.permit.with_names(|_| {
            let file = fs.open(&path, OpenMode::Read);
            Ok(file.map_err(LogError::new("open", &path))?)
        })?;
        Ok((path, file))
    }

    fn keep_pace(&self, pace: Pace<'_>, bytes: usize) -> Result<(), CompactionError> {
        if !pace(bytes as u64) {
            return Err(CompactionError::Ended);
        }
        self.parts.permit.check()
    }

    /// Compacts the next group into new files, all of them on disk afterwards.
    ///
    /// # Errors
    /// [`CompactionError`]; the log is as it was.
    pub fn clean_group(&mut self, map: &OffsetMap, pace: Pace<'_>) -> Result<GroupDone, CompactionError> {
        let Some(group) = self.groups.pop_front() else {
            return Ok(GroupDone::Last);
        };
        let mut cleaned = Cleaned::default();
        let env = self.parts.env.clone();
        let (dir, permit) = (self.parts.dir.clone(), self.parts.permit.clone());
        let place = Place {
            fs: &*env.fs,
            dir: &dir,
            permit: &permit,
            interval_bytes: self.parts.config.index_interval_bytes,
            index_bytes_max: self.parts.config.segment_index_bytes,
        };
        // The next segment begins where this one ends: a hole between them would look like a lost tail.
        self.parts.rules.group_end = group[group.len() - 1].end;
        let mut output = Output::create(place, group[0].base)?;
        for source in &group {
            output = self.clean_segment(*source, map, pace, place, output, &mut cleaned)?;
        }
        let before = group.iter().map(|source| source.size).sum::<u64>();
        self.stats.bytes_before += before;
        if group.len() == 1 && cleaned.new.is_empty() && !cleaned.changed {
            self.stats.bytes_after += before;
            self.discard()?;
            return Ok(GroupDone::Unchanged);
        }
        let modified = self.modified(&group);
        cleaned.new.push(output.finish(modified)?);
        self.stats.bytes_after += cleaned.new.iter().map(|segment| segment.size).sum::<u64>();
        self.pending = Some(Replacement {
            old: group.iter().map(|source| source.base).collect(),
            new: cleaned.new,
        });
        Ok(GroupDone::Ready {
            deletes_below: cleaned.last_delete.map(|offset| offset.plus(1)),
        })
    }

    fn clean_segment<'p>(
        &mut self,
        source: Source,
        map: &OffsetMap,
        pace: Pace<'_>,
        place: Place<'p>,
        mut output: Output<'p>,
        cleaned: &mut Cleaned,
    ) -> Result<Output<'p>, CompactionError> {
        let (path, file) = self.open(source)?;
        let mut scanner = Scanner::new(&*file, 0, source.size, ScanDepth::Checked);
        let mut reached = source.base;
        while let Some(batch) = scanner.next().map_err(LogError::new("read", &path))? {
            let batch = batch.map_err(|stop| self.found(corrupt(&path, source.base, stop)))?;
            reached = batch.header.next_offset();
            let (header, bytes) = (batch.header, batch.bytes);
            self.stats.bytes_read += bytes.len() as u64;
            let filtered = filter(&header, bytes, map, &mut self.transactions, &self.parts.rules)
                .map_err(|error| self.found(unreadable(&path, batch.position, error)))?;
            cleaned.last_delete = cleaned.last_delete.max(filtered.last_delete);
            cleaned.changed |= !matches!(filtered.fate, Fate::Same);
            let changed;
            let kept: &[u8] = match filtered.fate {
                Fate::Gone => &[],
                Fate::Same => bytes,
                Fate::Changed(batch) => {
                    changed = batch;
                    &changed
                }
            };
            if let Ok(header) = BatchHeader::parse(kept) {
                if output.is_full_for(&header, kept.len()) {
                    let end = output.end();
                    cleaned.new.push(output.finish(None)?);
                    output = Output::create(place, end)?;
                }
                output.append(&header, kept)?;
            }
            if let Some(entry) = filtered.index_entry {
                output.add_aborted(entry);
            }
            self.keep_pace(pace, bytes.len() + kept.len())?;
        }
        if reached < source.end && !source.may_part {
            let stop = ScanStop {
                position: source.size,
                error: EARLY_END,
            };
            return Err(self.found(corrupt(&path, source.base, stop)));
        }
        Ok(output)
    }

    /// When the youngest file of a group changed last.
    fn modified(&self, group: &[Source]) -> Option<i64> {
        let last = group.last()?;
        let path = file_path(&self.parts.dir, last.base, FileKind::Log);
        // A time that cannot be read is no reason to stop.
        self.parts.env.fs.modified(&path).ok()
    }

    /// Makes the swap of the group that is ready certain; then the owner must complete it.
    ///
    /// # Errors
    /// `Ended`: nothing happened. `Log`: there was no space, no file or no memory, and either nothing happened, or the swap may be
    /// certain: then [`Self::discard`] says `Ended`, and the log `is_failed` once the owner was told of the end. `Sync`: the
    /// directory is to be taken offline.
    pub fn commit(&mut self) -> Result<(), CompactionError> {
        let Some(replacement) = self.pending.take() else {
            return Ok(());
        };
        let (fs, dir) = (&*self.parts.env.fs, &self.parts.dir);
        let holes = !self.parts.has_holes;
        let write = |replacement: &Replacement| {
            let write = || {
                if holes {
                    // Recovery takes a hole for damage unless the log says that it has some.
                    crate::durable_file::replace_file(fs, &dir.join(HOLES_FILE), b"")?;
                }
                replacement.commit(fs, dir)
            };
            write()
                .map_err(LogError::new("commit the compaction of", dir))
                .map_err(CompactionError::of_durable_write)
        };
        let in_doubt = || manifest::may_be_there(fs, dir);
        self.parts.permit.commit(replacement, write, in_doubt)?;
        self.parts.has_holes = true;
        Ok(())
    }

    /// After the owner's swap: makes it durable, with the sums of the transaction indexes, and forgets the manifest.
    ///
    /// # Errors
    /// `Ended`; `Log`, when there was no space, no file or no memory: the log `is_failed` once the owner was told of the end;
    /// `Sync`.
    pub fn finish_swap(&mut self) -> Result<(), CompactionError> {
        let (fs, dir) = (&*self.parts.env.fs, &self.parts.dir);
        self.parts.permit.finish(|sums| {
            sums.map_or(Ok(()), |sums| sums.run(fs))
                .and_then(|()| manifest::remove(fs, dir))
                .map_err(LogError::new("finish the compaction of", dir))
                .map_err(CompactionError::of_durable_write)
        })
    }

    /// After the last group: the log is clean up to [`Self::end_offset`].
    ///
    /// # Errors
    /// `Ended`; `Log`, when there was no space, no file or no memory: the log is whole, its next compaction looks through it
    /// again; `Sync`.
    pub fn write_mark(&mut self) -> Result<(), CompactionError> {
        let (fs, dir, end) = (&*self.parts.env.fs, &self.parts.dir, self.end);
        self.parts.permit.with_names(|_| {
            super::mark::write_mark(fs, dir, end)
                .map_err(LogError::new("write the compaction mark of", dir))
                .map_err(CompactionError::of_durable_write)
        })
    }

    /// Drops the files of the group that was being written.
    ///
    /// # Errors
    /// `Ended`: the owner has dropped them. `Log`: they stay until the log is opened again.
    pub fn discard(&mut self) -> Result<(), CompactionError> {
        self.pending = None;
        let fs = &self.parts.env.fs;
        self.parts.permit.with_names(|files| {
            let mut result = Ok(());
            for path in files.drain(..) {
                result = result.and(fs.remove_file(&path).map_err(LogError::new("remove", &path)));
            }
            Ok(result?)
        })
    }
}

/// What a group has become so far.
#[derive(Default)]
struct Cleaned {
    new: Vec<NewSegment>,
    changed: bool,
    last_delete: Option<Offset>,
}

fn corrupt(path: &std::path::Path, base: Offset, stop: ScanStop) -> CompactionError {
    CompactionError::Corrupt {
        path: path.to_owned(),
        base,
        position: stop.position,
        error: stop.error,
    }
}

fn unreadable(path: &std::path::Path, position: u64, error: milena_record::BatchError) -> CompactionError {
    CompactionError::Unreadable {
        path: path.to_owned(),
        position,
        error,
    }
}
