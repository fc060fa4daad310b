//! A compaction as an operation: every group of it is either as it was or as the model says, whatever dies meanwhile.

use super::cleaned::{Closed, Last, Pass, Plan};
use super::random::Random;
use super::run::{Run, Step, told};
use super::state::Ended;
use crate::support::DIR;
use milena_log::compaction::{CompactionError, CompactionJob, CompactionRules, GroupDone, OffsetMap};
use milena_log::env::FileSystem;
use milena_types::{Offset, Timestamp};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many groups were swapped in, in all lives.
pub(crate) static SWAPPED: AtomicU64 = AtomicU64::new(0);

const RULES: CompactionRules = CompactionRules {
    min_cleanable_dirty_ratio: 0.0,
    min_compaction_lag_ms: 0,
    max_compaction_lag_ms: i64::MAX,
    delete_retention_ms: 1000,
};

impl Run {
    pub(crate) fn compact(&mut self, random: &mut Random) -> Step {
        if !self.config.compact {
            return self.append_plain(random);
        }
        if random.one_in(2) {
            self.roll()?;
            self.flush()?;
        }
        self.model.cleaner_ms += random.between(0, 1500);
        let replicated = random.between(self.model.end() - 12, self.model.end());
        let slots = [3, 4, 6, 1000][random.below(4) as usize];
        let Some(pass) = self.pass(replicated, slots)? else {
            return Ok(());
        };
        let plan = pass.plan(&self.model);
        let stable = Offset(self.last_stable());
        let cleanable = self
            .log
            .cleanable(&RULES, stable, Timestamp(pass.now))
            .map_err(told)?;
        let job = self.log.begin_compaction(
            &cleanable.unwrap(),
            &RULES,
            Offset(replicated),
            Timestamp(pass.now),
        );
        let id = job.id();
        let table = self.model.table();
        let done = self.follow(job, &plan, slots, random);
        if !self.log.is_compacting() {
            // The end of the log went, or all of it was opened again.
            return done;
        }
        self.log
            .compaction_over(id, done.is_ok().then_some(Offset(plan.end)));
        done?;
        self.model.mark = Some(plan.end);
        let (mut after, from) = (self.model.clone(), pass.kept_ends[1]);
        after.lineage.retain(|entry| entry.base < from);
        assert_eq!(after.table(), table, "what a reader of all of it knows");
        Ok(())
    }

    fn last_stable(&self) -> i64 {
        let unstable = self.model.first_unstable().unwrap_or(i64::MAX);
        unstable.min(self.model.high_watermark)
    }

    /// All segments, by the names of their files.
    fn segments(&self) -> Result<Vec<Closed>, String> {
        let mut segments: Vec<Closed> = Vec::new();
        for path in self.fs.paths() {
            let base = path
                .file_name()
                .and_then(|name| name.to_str()?.strip_suffix(".log")?.parse().ok());
            let Some(base) = base.filter(|_| path.parent() == Some(Path::new(DIR))) else {
                continue;
            };
            if let Some(last) = segments.last_mut() {
                last.end = base;
            }
            let size = self.fs.file_len(&path).map_err(told)?.unwrap_or(0);
            segments.push(Closed {
                base,
                size,
                end: i64::MAX,
            });
        }
        Ok(segments)
    }

    /// What may be compacted now; compared with what the log says.
    fn pass(&mut self, replicated: i64, slots: usize) -> Result<Option<Pass>, String> {
        let mut segments = self.segments()?;
        let point = self.log.recovery_point().0;
        assert!(point <= self.model.flushed.max(self.model.start));
        let bound = self.last_stable().min(point);
        let active = segments.pop().map(|active| active.base);
        let open = segments.iter().position(|segment| segment.end > bound);
        let upper = open.map(|at| segments[at].base).or(active).unwrap_or(0);
        segments.retain(|segment| segment.end <= upper);
        let undecided = |txn: &Ended| txn.marker >= self.model.flushed && txn.first < upper;
        if self.model.producers().1.iter().any(undecided) {
            // A crash may take the marker from the page cache.
            return Ok(None);
        }
        let first = segments.first().map_or(upper, |segment| segment.base);
        let deleted = first..self.model.start_max;
        let mut data = self
            .model
            .lineage
            .iter()
            .filter(|entry| entry.transactional && entry.marker.is_none());
        if data.any(|entry| deleted.contains(&entry.base)) {
            // A restart may have forgotten what was of a transaction whose records are deleted.
            return Ok(None);
        }
        let (now, stable) = (self.model.cleaner_ms, Offset(self.last_stable()));
        let found = self.log.cleanable(&RULES, stable, Timestamp(now)).map_err(told)?;
        let known = self.model.mark.map(|mark| mark.max(self.model.start));
        let Some(found) = found else {
            let nothing = segments.is_empty() || known.is_none_or(|mark| upper <= mark);
            assert!(nothing, "{segments:?} could be compacted");
            return Ok(None);
        };
        let first_dirty = found.first_dirty.0;
        assert_eq!(found.upper.0, upper, "what may be touched");
        assert!(
            known.is_none_or(|mark| mark == first_dirty),
            "{known:?} {first_dirty}"
        );
        assert_eq!(
            self.model.repeated_below(first_dirty),
            None,
            "below {first_dirty}"
        );
        let producers = self.log.active_producers();
        let last = |entry: &milena_log::producer::ProducerEntry| match entry.batches().last() {
            Some(batch) => Some(Last::Data(batch.last_offset.0)),
            None => entry.epoch.map(|epoch| Last::Marker(epoch.0)),
        };
        let producers = producers
            .entries()
            .filter_map(|(id, entry)| Some((id.0, last(entry)?)));
        Ok(Some(Pass {
            now,
            delete_retention_ms: RULES.delete_retention_ms,
            replicated,
            keys_max: ((slots as f64 * 0.9) as usize).clamp(1, slots - 1),
            first_dirty,
            segments,
            segment_bytes: self.config.segment_bytes,
            kept_ends: [self.model.high_watermark, self.model.end()],
            producers: producers.collect(),
        }))
    }

    fn follow(&mut self, mut job: CompactionJob, plan: &Plan, slots: usize, random: &mut Random) -> Step {
        let mut map = OffsetMap::new(24 * slots, 0.9);
        let mut pace = |_| true;
        job.build_map(&mut map, &mut pace).map_err(told)?;
        assert_eq!(job.end_offset().0, plan.end, "how far the map came");
        for group in &plan.groups {
            let done = job.clean_group(&map, &mut pace);
            if done.is_err() {
                // It may fail too; what is left goes when the log is opened.
                let _ = job.discard();
            }
            let GroupDone::Ready { deletes_below } = done.map_err(told)? else {
                assert!(!group.written, "a group was left alone: {group:?}");
                continue;
            };
            assert!(group.written, "a group was written: {group:?}");
            assert_eq!(deletes_below.map(|at| at.0), group.deletes_below, "{group:?}");
            self.interrupt(random)?;
            if !self.log.is_compacting() {
                let late = job.commit();
                assert!(matches!(late, Err(CompactionError::Ended)), "{late:?}");
                return Ok(());
            }
            let mut after = self.model.clone();
            after.replace(&group.changes);
            after.compacted = after.compacted.max(plan.end);
            self.outcomes = vec![after.clone()];
            if self.deadly && random.one_in(3) {
                self.fs.die_after(1 + random.below(160));
            }
            job.commit().map_err(told)?;
            self.model = after;
            self.outcomes.clear();
            if random.one_in(12) {
                self.truncate(random)?;
            }
            let swapped = self
                .log
                .swap_compacted(job.id(), Timestamp(1_000_000))
                .map_err(told)?;
            assert_eq!(swapped, self.log.is_compacting());
            if !swapped {
                return Ok(());
            }
            job.finish_swap().map_err(told)?;
            SWAPPED.fetch_add(1, Ordering::Relaxed);
            for removal in self.log.take_removals(Timestamp(1_000_000)) {
                removal.run().map_err(told)?;
            }
        }
        let last = job.clean_group(&map, &mut pace).map_err(told)?;
        assert_eq!(last, GroupDone::Last);
        job.write_mark().map_err(told)
    }

    /// Other things happen while a compaction runs; some end it.
    fn interrupt(&mut self, random: &mut Random) -> Step {
        match random.below(20) {
            0..=1 => self.append_plain(random),
            2 => self.truncate(random),
            3 => self.reopen(false),
            _ => Ok(()),
        }
    }
}
