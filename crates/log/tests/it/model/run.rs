//! One life of a log: random operations on it and on its model, until they have all run or the disk dies.

use super::check::check;
use super::entry::{Content, Entry};
use super::random::Random;
use super::state::Model;
use crate::support::*;
use milena_log::env::FaultyFileSystem;
use milena_log::{
    AppendContext, AppendOrigin, CorruptionPolicy, FlushTicket, LogConfig, LogError, OpenOptions,
    PartitionLog,
};
use milena_types::{LeaderEpoch, Offset, Timestamp};
use std::sync::Arc;

/// A log, its model, and what goes on between them.
pub(crate) struct Run {
    pub(crate) fs: FaultyFileSystem,
    pub(crate) log: PartitionLog,
    pub(crate) model: Model,
    /// The operation that is under way would end in one of these; else it changes no record.
    pub(crate) outcomes: Vec<Model>,
    pub(crate) config: LogConfig,
    tickets: Vec<FlushTicket>,
    pub(crate) epoch: i32,
    pub(crate) clock: i64,
    pub(crate) serial: u64,
    coordinator: i32,
    /// Some compactions die while they swap.
    pub(crate) deadly: bool,
    pub(crate) done: Vec<String>,
}

/// What an operation ended in when it did not end well: the disk died.
pub(crate) type Step = Result<(), String>;

pub(crate) fn told(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// Small segments, so that all kinds of files come and go.
pub(crate) fn config(random: &mut Random) -> LogConfig {
    LogConfig {
        segment_bytes: 400 + random.below(900),
        index_interval_bytes: 80 + random.below(250) as u32,
        file_delete_delay_ms: 0,
        compact: random.one_in(2),
        ..LogConfig::default()
    }
}

pub(crate) fn open_model(
    fs: &FaultyFileSystem,
    config: &LogConfig,
    model: &Model,
    clean: bool,
    corruption: CorruptionPolicy,
) -> Result<PartitionLog, String> {
    let options = OpenOptions {
        recovery_point: Offset(model.recovery_point),
        log_start_offset: Offset(model.start_checkpoint),
        clean,
        corruption,
        ..options(fs, config)
    };
    PartitionLog::open(options).map(|(log, _)| log).map_err(told)
}

impl Run {
    pub(crate) fn new(fs: FaultyFileSystem, log: PartitionLog, model: Model, config: LogConfig) -> Self {
        let epoch = model.lineage.last().map_or(0, |entry| entry.epoch);
        Self {
            fs,
            log,
            model,
            outcomes: Vec::new(),
            config,
            tickets: Vec::new(),
            epoch,
            clock: 1000,
            serial: 0,
            coordinator: 0,
            deadly: false,
            done: Vec::new(),
        }
    }

    /// One operation; an error means that the disk died during it.
    pub(crate) fn step(&mut self, random: &mut Random) -> Step {
        self.outcomes.clear();
        self.model.long |= self.log.segments() >= 8;
        let kind = random.below(46);
        self.done
            .push(format!("{kind}@{}..{}", self.model.start, self.model.end()));
        match kind {
            0..=9 => self.append_plain(random),
            10..=15 => self.append_produced(random),
            16..=18 => self.append_marker(random),
            19..=21 => self.append_from_leader(random),
            22..=24 => self.flush(),
            25 => self.take_ticket(),
            26..=27 => self.sync_ticket(random),
            28..=29 => self.truncate(random),
            30 => self.new_epoch(),
            31..=32 => self.delete_records(random),
            33..=34 => self.retention(),
            35..=36 => self.checkpoint(),
            37 => self.roll(),
            38 => self.idle(),
            39..=40 => self.high_watermark(random),
            41 => self.reopen(true),
            42 => self.reopen(false),
            _ => self.compact(random),
        }
    }

    fn content(&mut self, random: &mut Random, records: i64) -> Content {
        self.serial += 1;
        self.clock += random.between(-15, 30);
        let times = (0..records).map(|i| self.clock + i).collect();
        Content {
            times,
            value_bytes: random.below(90) as usize,
            producer: None,
            transactional: false,
            marker: None,
            serial: self.serial,
        }
    }

    /// Appends as the leader; the model follows.
    fn append(&mut self, content: &Content) -> Step {
        let entry = content.at(self.model.end(), self.epoch);
        let mut after = self.model.clone();
        after.push(entry);
        self.outcomes = vec![after.clone()];
        let origin = if content.marker.is_some() {
            AppendOrigin::Coordinator {
                marker_epoch_must_grow: false,
            }
        } else {
            AppendOrigin::Client
        };
        let ctx = AppendContext {
            origin,
            ..ctx(self.epoch)
        };
        let appended = self.log.append_as_leader(content.build(), &ctx).map_err(told)?;
        assert!(!appended.duplicate, "a new batch is taken for a duplicate");
        assert_eq!(appended.range.from.0, self.model.end(), "where it was appended");
        self.model = after;
        Ok(())
    }

    pub(crate) fn append_plain(&mut self, random: &mut Random) -> Step {
        let records = random.between(1, 3);
        let content = self.content(random, records);
        self.append(&content)
    }

    /// A batch of producer 1 (idempotent), 2 or 3 (transactional): mostly the next one, else a repetition or a gap.
    fn append_produced(&mut self, random: &mut Random) -> Step {
        let id = random.between(1, 3);
        let records = random.between(1, 3);
        let mut content = self.content(random, records);
        let (producers, _) = self.model.producers();
        let known = producers.get(&id).cloned().unwrap_or_default();
        let mut epoch = known.epoch.unwrap_or(0);
        content.transactional = id > 1;
        let last = known.batches.last().map(|(sequence, ..)| *sequence);
        // Of a producer whose records are all deleted, a restart may have forgotten all or nothing.
        // Nor need it know one of which only compacted batches are left, because a crash took the newest.
        let gone = known.batches.last().is_some_and(|(.., there)| !there);
        let forgotten = gone || (known.newest < self.model.start_max && known.epoch.is_some());
        if forgotten || (random.one_in(8) && known.open_since.is_none()) {
            epoch += 1;
            content.producer = Some((id, epoch, 0));
            return self.append(&content);
        }
        content.producer = Some((id, epoch, last.map_or(0, |last| last + 1)));
        let repeated = known.batches.len().checked_sub(1 + random.below(5) as usize);
        let there = |at: &usize| known.batches[*at..].iter().all(|(.., there)| *there);
        match repeated.filter(there).map(|at| known.batches[at]) {
            Some((sequence, base, end, true))
                if base >= self.model.start_max && !self.model.long && random.one_in(4) =>
            {
                let count = (end - base + 1) as i32;
                content.times.resize(count as usize, self.clock);
                content.producer = Some((id, epoch, sequence - count + 1));
                let again = self
                    .log
                    .append_as_leader(content.build(), &ctx(self.epoch))
                    .map_err(told)?;
                assert!(again.duplicate, "a repetition was appended");
                assert_eq!((again.range.from.0, again.range.to.0), (base, end + 1));
                Ok(())
            }
            _ if last.is_some() && random.one_in(8) => {
                content.producer = Some((id, epoch, last.unwrap_or(0) + 7));
                let gap = self.log.append_as_leader(content.build(), &ctx(self.epoch));
                assert!(gap.is_err(), "a gap in sequences was appended");
                Ok(())
            }
            _ => self.append(&content),
        }
    }

    /// Ends the transaction of producer 2 or 3, or writes a marker where none is open.
    fn append_marker(&mut self, random: &mut Random) -> Step {
        let id = random.between(2, 3);
        let (producers, _) = self.model.producers();
        let known = producers.get(&id).cloned().unwrap_or_default();
        if known.open_since.is_none() && random.one_in(2) {
            return Ok(());
        }
        let mut content = self.content(random, 1);
        self.coordinator = self.coordinator.max(known.coordinator) + i32::from(random.one_in(3));
        content.producer = Some((id, known.epoch.unwrap_or(0), -1));
        content.transactional = true;
        content.marker = Some((random.one_in(2), self.coordinator));
        self.append(&content)
    }

    /// Some batches of a leader, perhaps of a newer epoch.
    fn append_from_leader(&mut self, random: &mut Random) -> Step {
        let mut after = self.model.clone();
        let mut bytes = Vec::new();
        let mut epoch = self.epoch;
        for _ in 0..random.between(1, 3) {
            epoch += i32::from(random.one_in(5));
            let records = random.between(1, 2);
            let entry: Entry = self.content(random, records).at(after.end(), epoch);
            bytes.extend_from_slice(&entry.bytes);
            after.push(entry);
        }
        self.outcomes = vec![after.clone()];
        let range = self
            .log
            .append_as_follower(bytes.into(), LeaderEpoch(epoch), Timestamp(1_000_000));
        let range = range.map_err(told)?;
        assert_eq!((range.from.0, range.to.0), (self.model.end(), after.end()));
        (self.model, self.epoch) = (after, epoch);
        Ok(())
    }

    fn take_ticket(&mut self) -> Step {
        self.tickets.extend(self.log.take_flush().map_err(told)?);
        Ok(())
    }

    fn sync_ticket(&mut self, random: &mut Random) -> Step {
        if self.tickets.is_empty() {
            return self.flush();
        }
        let at = random.below(self.tickets.len() as u64) as usize;
        let ticket = self.tickets.swap_remove(at);
        self.sync(&ticket)
    }

    fn sync(&mut self, ticket: &FlushTicket) -> Step {
        ticket.sync().map_err(told)?;
        self.model.flushed = self.model.flushed.max(ticket.upto.0);
        let flushed = self.log.on_flushed(ticket).0;
        assert_eq!(flushed, self.model.flushed, "the flushed offset");
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Step {
        match self.log.take_flush().map_err(told)? {
            Some(ticket) => self.sync(&ticket),
            None => Ok(()),
        }
    }

    pub(crate) fn truncate(&mut self, random: &mut Random) -> Step {
        let (start, end) = (self.model.start, self.model.end());
        let back = if random.one_in(3) {
            end - start
        } else {
            (end - start).min(6)
        };
        let to = random.between(end - back, end);
        let compacted = |entry: &Entry| entry.is_gone() && entry.producer.is_some();
        let below = to < self.model.compacted && self.model.lineage.iter().any(compacted);
        let (_, ended) = self.model.producers();
        if below
            || ended
                .iter()
                .any(|txn| txn.first < self.model.compacted && txn.marker >= to)
        {
            // Below the high watermark, and what is left does not say what producers and transactions were there.
            return Ok(());
        }
        let mut after = self.model.clone();
        if to >= end {
            after.epochs.retain(|(_, at)| *at < end);
        } else if to <= start {
            after.begin_again(to);
        } else {
            after.truncate(to);
            // Everything that is left is durable afterwards.
            after.flushed = after.end();
            if after.end() < start {
                // The batch that holds the log start went: nothing is left.
                after.begin_again(start);
            }
        }
        let (producers, _) = after.producers();
        let torn = |since: i64| since < after.start_max;
        if producers.values().filter_map(|p| p.open_since).any(torn) {
            // Its marker would go, and its records are deleted: nobody truncates below the high watermark so.
            return Ok(());
        }
        if to < end {
            self.outcomes = vec![after.clone()];
        }
        let old = std::mem::take(&mut self.tickets);
        self.log.truncate_to(Offset(to)).map_err(told)?;
        self.model = after;
        if to >= end {
            self.tickets = old;
        } else {
            for ticket in &old {
                ticket.sync().map_err(told)?;
                let flushed = self.log.on_flushed(ticket).0;
                assert_eq!(flushed, self.model.flushed, "a ticket from before a truncation");
            }
            self.log.on_high_watermark(self.log.log_end_offset());
            self.model.high_watermark = self.model.end();
        }
        self.epoch += 1;
        Ok(())
    }

    fn new_epoch(&mut self) -> Step {
        self.epoch += 1;
        self.log.assign_epoch_at_become_leader(LeaderEpoch(self.epoch));
        let end = self.model.end();
        self.model.assign(self.epoch, end);
        Ok(())
    }

    /// Where records may be deleted up to: no transaction is torn apart.
    fn deletable(&self) -> i64 {
        let stable = self.model.first_unstable().unwrap_or(i64::MAX);
        // What this replica has not flushed lies above the high watermark.
        let replicated = self.model.high_watermark.min(self.model.flushed);
        // Stable must it be without what a crash may take.
        let mut sure = self.model.clone();
        sure.truncate(self.model.flushed);
        let stable = stable.min(sure.first_unstable().unwrap_or(i64::MAX));
        replicated.min(stable)
    }

    fn delete_records(&mut self, random: &mut Random) -> Step {
        let upper = self.deletable();
        if upper <= self.model.start {
            return Ok(());
        }
        let to = random.between(self.model.start, upper.min(self.model.start + 8));
        let start = self.log.set_log_start_offset(Offset(to));
        self.model.set_start(to);
        assert_eq!(start.0, self.model.start);
        if random.one_in(2) {
            self.model.start_checkpoint = start.0;
        }
        Ok(())
    }

    /// Deletes the oldest segments by size.
    fn retention(&mut self) -> Step {
        let upper = self.deletable();
        let limit = i64::try_from(self.log.size_bytes() / 2).unwrap_or(0);
        let config = LogConfig {
            retention_bytes: limit,
            ..self.config.clone()
        };
        let before = self.log.log_start_offset().0;
        let mut after = self.model.clone();
        after.set_start(upper);
        self.outcomes = vec![after];
        self.log.set_config(Arc::new(config));
        let deleted = self
            .log
            .delete_old_segments(Timestamp(1_000_000), Offset(upper))
            .map_err(told)?;
        self.log.set_config(Arc::new(self.config.clone()));
        let start = self.log.log_start_offset().0;
        assert!(start >= before && start <= self.model.start.max(upper), "{start}");
        if !deleted.is_empty() {
            self.model.set_start(start);
            self.model.start_checkpoint = start;
        }
        for removal in self.log.take_removals(Timestamp(1_000_000)) {
            removal.run().map_err(told)?;
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Step {
        let point = self.log.recovery_point();
        assert!(
            point.0 <= self.model.flushed.max(self.model.start),
            "the recovery point {point} is past what was flushed, {}",
            self.model.flushed
        );
        self.model.recovery_point = point.0;
        self.log.on_recovery_point_saved(point);
        Ok(())
    }

    pub(crate) fn roll(&mut self) -> Step {
        if self
            .log
            .active_base_offset()
            .is_none_or(|base| base.0 == self.model.end())
        {
            return Ok(());
        }
        self.log.roll(Timestamp(1_000_000)).map_err(told)
    }

    fn idle(&mut self) -> Step {
        self.log.release_idle().map(|_| ()).map_err(told)
    }

    fn high_watermark(&mut self, random: &mut Random) -> Step {
        let to = random.between(
            self.model.high_watermark,
            self.model.end().max(self.model.high_watermark),
        );
        self.log.on_high_watermark(Offset(to));
        self.model.high_watermark = self.model.high_watermark.max(to);
        Ok(())
    }

    pub(crate) fn reopen(&mut self, clean: bool) -> Step {
        self.tickets.clear();
        if clean {
            let closed: Result<(), LogError> = self.log.close();
            closed.map_err(told)?;
            self.model.flushed = self.model.end();
            self.model.recovery_point = self.model.end();
            self.model.start_checkpoint = self.model.start;
            self.log
                .on_recovery_point_saved(Offset(self.model.recovery_point));
        }
        self.log = open_model(
            &self.fs,
            &self.config,
            &self.model,
            clean,
            CorruptionPolicy::RefuseDoubtful,
        )?;
        let found = self.log.log_start_offset().0;
        assert!(
            (self.model.start_checkpoint..=self.model.start).contains(&found),
            "log start {found}, checkpoint {}, before {}..{}; {:?}",
            self.model.start_checkpoint,
            self.model.start,
            self.model.end(),
            self.done
        );
        self.model.start = found;
        self.settle();
        Ok(())
    }

    /// After a restart: what has no record is forgotten, and all replicas are here.
    pub(crate) fn settle(&mut self) {
        self.model.restart();
        if self.model.start == self.model.end() {
            // What is known of epochs without records is as the file says; it need not have survived.
            let known = self.log.epoch_entries().iter();
            self.model.epochs = known.map(|(epoch, start)| (epoch.0, start.0)).collect();
            assert!(self.model.epochs.iter().all(|(_, at)| *at <= self.model.start));
        }
        self.log.on_high_watermark(self.log.log_end_offset());
        self.model.high_watermark = self.model.end();
        self.epoch = self
            .epoch
            .max(self.model.epochs.last().map_or(0, |(epoch, _)| *epoch));
    }

    /// Compares all of it; an error means that the disk died meanwhile.
    pub(crate) fn check(&self, random: &mut Random) -> Step {
        check(&self.log, &self.model, random)
    }
}
