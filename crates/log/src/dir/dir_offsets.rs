//! What the checkpoints of a log directory say of its partitions, and will say when they are written next: high watermarks, recovery
//! points, log start offsets and compacted offsets.
//!
//! All of them are hints: a stale high watermark is learnt again, a stale recovery point means that more of the log is scanned. But they
//! go by names, and a name may have had another log: see [`DirOffsets::believe`] and [`DirOffsets::stale_offset`].

use super::LogDir;
use crate::checkpoint::OffsetCheckpoint;
use crate::config::LogConfig;
use crate::error::LogError;
use crate::partition::OpenOptions;
use milena_types::{Offset, Timestamp, TopicId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the checkpoints know of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpointed {
    /// Everything below it has been flushed.
    pub recovery_point: Offset,
    /// Committed up to there.
    pub high_watermark: Offset,
    /// The first offset that may be read.
    pub log_start: Offset,
}

impl Checkpointed {
    /// What is to be believed of it when the log has a recovery floor: it may be of a log that was there before the one that is, or of
    /// before it was truncated.
    fn below_floor(self, floor: Offset) -> Self {
        Self {
            high_watermark: self.high_watermark.min(floor),
            log_start: if floor < self.log_start {
                Offset::ZERO
            } else {
                self.log_start
            },
            ..self
        }
    }

    /// The recovery floor of the partition's log, if it has one that counts: after a crash, and when anything is known.
    ///
    /// # Errors
    /// The file could not be read.
    pub fn doubted_below(self, dir: &LogDir, name: &TopicPartition) -> Result<Option<Offset>, LogError> {
        if dir.was_clean().is_some() || self == Self::default() {
            return Ok(None);
        }
        dir.recovery_floor(name)
    }
}

/// The checkpoints of one directory, as they will be written next. Touches the disk only where a [`LogDir`] is given.
#[derive(Debug, Default)]
pub struct DirOffsets {
    recovery_points: BTreeMap<TopicPartition, Offset>,
    high_watermarks: BTreeMap<TopicPartition, Offset>,
    log_starts: BTreeMap<TopicPartition, Offset>,
    cleaned: BTreeMap<TopicPartition, Offset>,
    /// The greatest offset that the files may still say of a log that is gone, or a write that is under way.
    forgotten: BTreeMap<TopicPartition, Offset>,
    /// Logs with a recovery floor, which is void once what is noted here is on disk.
    floors: BTreeSet<TopicPartition>,
    changed: bool,
}

/// Checkpoints to be written.
#[derive(Debug)]
pub struct CheckpointWrite {
    files: [(OffsetCheckpoint, BTreeMap<TopicPartition, Offset>); 4],
    forgotten: BTreeMap<TopicPartition, Offset>,
}

impl CheckpointWrite {
    /// Writes the files, durably, one after the other: high watermarks before log starts, which they are never below. A log start that
    /// is above them is damage, whenever the crash came.
    ///
    /// # Errors
    /// A file could not be written: tell [`DirOffsets::on_write_failed`].
    pub fn write(&self, dir: &LogDir) -> Result<(), LogError> {
        let mut files = self.files.iter();
        files.try_for_each(|(kind, offsets)| dir.write_checkpoint(*kind, offsets))
    }
}

impl DirOffsets {
    /// What the files say at the start.
    ///
    /// # Errors
    /// A file could not be read; a damaged one counts as empty.
    pub fn read(dir: &LogDir) -> Result<Self, LogError> {
        Ok(Self {
            recovery_points: dir.read_checkpoint(OffsetCheckpoint::RecoveryPoint)?,
            high_watermarks: dir.read_checkpoint(OffsetCheckpoint::HighWatermark)?,
            log_starts: dir.read_checkpoint(OffsetCheckpoint::LogStart)?,
            cleaned: dir.read_checkpoint(OffsetCheckpoint::Cleaner)?,
            ..Self::default()
        })
    }

    /// What is known of a partition.
    #[must_use]
    pub fn of(&self, name: &TopicPartition) -> Checkpointed {
        let find = |map: &BTreeMap<TopicPartition, Offset>| map.get(name).copied().unwrap_or_default();
        Checkpointed {
            recovery_point: find(&self.recovery_points),
            high_watermark: find(&self.high_watermarks),
            log_start: find(&self.log_starts),
        }
    }

    /// What is to be believed of a partition that this run has not opened yet, whose log has that recovery floor
    /// ([`Checkpointed::doubted_below`]). What is not believed is not written again either, for the floor goes once the files are written.
    pub fn believe(&mut self, name: &TopicPartition, floor: Option<Offset>) -> Checkpointed {
        let known = self.of(name);
        let believed = floor.map_or(known, |floor| known.below_floor(floor));
        if believed != known {
            self.set(name, believed);
        }
        believed
    }

    /// The partition's offsets are these, and its log has a recovery floor, or has none. True when the log is to be told that its
    /// recovery point is on disk, once the next write is done: when that is news, or is waited for by a floor.
    pub fn note(&mut self, name: &TopicPartition, offsets: Checkpointed, has_floor: bool) -> bool {
        match has_floor {
            true => drop(self.floors.insert(name.clone())),
            false => drop(self.floors.remove(name)),
        }
        self.set(name, offsets) || has_floor
    }

    fn set(&mut self, name: &TopicPartition, offsets: Checkpointed) -> bool {
        let mut changed = replace(&mut self.recovery_points, name, offsets.recovery_point);
        changed |= replace(&mut self.high_watermarks, name, offsets.high_watermark);
        // No entry is a start at 0. One of a former log of this name must not stay: it would cut this one.
        changed |= match offsets.log_start {
            Offset::ZERO => self.log_starts.remove(name).is_some(),
            start => replace(&mut self.log_starts, name, start),
        };
        self.changed |= changed;
        changed
    }

    /// The partition is compacted up to that offset. For Kafka, should it open the directory one day: Milena goes by the mark
    /// that each log keeps.
    pub fn note_cleaned(&mut self, name: &TopicPartition, offset: Offset) {
        self.cleaned.insert(name.clone(), offset);
        self.changed = true;
    }

    /// The greatest offset of a log that is gone which the files may say of a log of this name that is made anew.
    fn stale_offset(&self, name: &TopicPartition) -> Offset {
        self.forgotten.get(name).copied().unwrap_or_default()
    }

    /// The partition is gone.
    pub fn forget(&mut self, name: &TopicPartition) {
        let known = [
            self.recovery_points.remove(name),
            self.high_watermarks.remove(name),
            self.log_starts.remove(name),
        ];
        if let Some(offset) = known.into_iter().flatten().max() {
            self.changed = true;
            self.keep_forgotten([(name.clone(), offset)]);
        }
        self.changed |= self.cleaned.remove(name).is_some();
        self.floors.remove(name);
    }

    /// How to open the log of a partition of which `known` is believed.
    #[must_use]
    pub fn open_options(
        &self,
        dir: &LogDir,
        name: &TopicPartition,
        topic: TopicId,
        config: &Arc<LogConfig>,
        known: Checkpointed,
        now: Timestamp,
    ) -> OpenOptions {
        let on_disk = dir.open_options(name.clone(), topic, Arc::clone(config), now);
        OpenOptions {
            recovery_point: known.recovery_point,
            stale_offset: on_disk.stale_offset.max(self.stale_offset(name)),
            log_start_offset: known.log_start,
            high_watermark: known.high_watermark,
            ..on_disk
        }
    }

    /// What is to be written, if anything has changed since the last time. What is forgotten from here on may be in these files.
    pub fn take_write(&mut self) -> Option<CheckpointWrite> {
        std::mem::take(&mut self.changed).then(|| CheckpointWrite {
            files: [
                (OffsetCheckpoint::RecoveryPoint, self.recovery_points.clone()),
                (OffsetCheckpoint::HighWatermark, self.high_watermarks.clone()),
                (OffsetCheckpoint::LogStart, self.log_starts.clone()),
                (OffsetCheckpoint::Cleaner, self.cleaned.clone()),
            ],
            forgotten: std::mem::take(&mut self.forgotten),
        })
    }

    /// The logs that still have a recovery floor when the last checkpoints are on disk: it is to go before the directory is marked as
    /// left in order ([`LogDir::remove_recovery_floor`]).
    pub fn take_floors(&mut self) -> BTreeSet<TopicPartition> {
        std::mem::take(&mut self.floors)
    }

    /// The old files stay; they are hints. The next time is another try.
    pub fn on_write_failed(&mut self, failed: CheckpointWrite) {
        self.changed = true;
        self.keep_forgotten(failed.forgotten);
    }

    fn keep_forgotten(&mut self, forgotten: impl IntoIterator<Item = (TopicPartition, Offset)>) {
        for (name, offset) in forgotten {
            let known = self.forgotten.entry(name).or_default();
            *known = offset.max(*known);
        }
    }
}

/// True when that changes the map. The name is copied only when it is new: most notes are of partitions that are there.
fn replace(map: &mut BTreeMap<TopicPartition, Offset>, name: &TopicPartition, offset: Offset) -> bool {
    match map.get_mut(name) {
        Some(known) => std::mem::replace(known, offset) != offset,
        None => map.insert(name.clone(), offset).is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Env, FaultyFileSystem, Survival};
    use milena_types::{BrokerId, ClusterId};
    use std::path::Path;

    #[test]
    fn nothing_past_the_floor_is_believed() {
        let known = Checkpointed {
            recovery_point: Offset(50),
            high_watermark: Offset(40),
            log_start: Offset(30),
        };
        let at = |floor| known.below_floor(Offset(floor));
        assert_eq!(at(40), known);
        let (high_watermark, log_start) = (at(35).high_watermark, at(35).log_start);
        assert_eq!((high_watermark, log_start), (Offset(35), Offset(30)));
        assert_eq!(at(30).log_start, Offset(30));
        assert_eq!(at(29).log_start, Offset::ZERO);
    }

    fn name() -> TopicPartition {
        crate::format::parse_partition_dir_name("t-0").unwrap()
    }

    /// Else a crash between the files would look like a log start that is damaged.
    #[test]
    fn no_log_start_is_on_disk_before_a_high_watermark_that_reaches_as_far() {
        let name = name();
        let at = |offset| Checkpointed {
            recovery_point: Offset(0),
            high_watermark: Offset(offset),
            log_start: Offset(offset),
        };
        let open = |fs: &FaultyFileSystem| {
            let env = Env::with(Arc::new(fs.clone()), 4);
            let cluster = ClusterId("c".to_owned());
            LogDir::open_in(env, Path::new("/d"), BrokerId(1), Some(&cluster), None).unwrap()
        };
        let run = |budget| {
            let fs = FaultyFileSystem::default();
            let (dir, mut offsets) = (open(&fs), DirOffsets::default());
            offsets.note(&name, at(10), false);
            offsets.take_write().unwrap().write(&dir).unwrap();
            offsets.note(&name, at(500), false);
            let before = fs.spent();
            if let Some(budget) = budget {
                fs.die_after(budget);
            }
            let written = offsets.take_write().unwrap().write(&dir);
            assert_eq!(written.is_ok(), budget.is_none());
            (fs.spent() - before, fs)
        };
        let (bytes, _) = run(None);
        let mut seen = std::collections::BTreeSet::new();
        for budget in 0..bytes {
            let (_, fs) = run(Some(budget));
            for survival in [Survival::ProcessKilled, Survival::NothingUnsynced] {
                let found = DirOffsets::read(&open(&fs.after_crash(survival)))
                    .unwrap()
                    .of(&name);
                assert!(
                    found.log_start <= found.high_watermark,
                    "{budget} {survival:?} {found:?}"
                );
                seen.insert((found.high_watermark, found.log_start));
            }
        }
        assert!(
            seen.contains(&(Offset(500), Offset(10))),
            "a crash came between the files"
        );
    }

    /// After a stop in order nobody looks at floors, and the files are believed.
    #[test]
    fn what_is_not_believed_is_not_written_again() {
        let name = name();
        let mut offsets = DirOffsets::default();
        let said = Checkpointed {
            recovery_point: Offset(50),
            high_watermark: Offset(50),
            log_start: Offset(30),
        };
        offsets.note(&name, said, false);
        offsets.take_write().unwrap();
        assert_eq!(offsets.believe(&name, None), said);
        assert!(offsets.take_write().is_none());
        let believed = offsets.believe(&name, Some(Offset(0)));
        assert_eq!(
            (believed.high_watermark, believed.log_start),
            (Offset(0), Offset(0))
        );
        assert_eq!(offsets.of(&name), believed);
        assert!(offsets.take_write().is_some());
    }

    #[test]
    fn a_log_with_a_floor_waits_for_the_next_checkpoint_news_or_not() {
        let (mut offsets, name) = (DirOffsets::default(), name());
        let known = Checkpointed {
            recovery_point: Offset(10),
            ..Checkpointed::default()
        };
        assert!(offsets.note(&name, known, true), "it is news");
        assert!(!offsets.note(&name, known, false));
        assert!(offsets.take_floors().is_empty(), "it has none any more");
        assert!(offsets.note(&name, known, true));
        assert_eq!(offsets.take_floors(), BTreeSet::from([name.clone()]));
        assert!(offsets.note(&name, known, true));
        offsets.forget(&name);
        assert!(offsets.take_floors().is_empty());
    }
}
