//! Lives in which one renaming, removal, change of length, read or look at a name fails, at every call.
//!
//! The operation says what has failed; nothing that was acknowledged is lost, neither to those who go on (with the log as it
//! was, or opened again if it says so) nor to a start after a crash right then; tried again, the operation succeeds.

use crate::compaction::{compact, compacted, keyed, roll};
use crate::support::*;
use milena_log::checkpoint::OffsetCheckpoint;
use milena_log::env::{Fault, FaultyFileSystem, FileSystem, Survival};
use milena_log::{
    AppendContext, AppendError, AppendOrigin, Env, LogConfig, LogDir, LogDirError, LogError, OpenError,
    OpenOptions, PartitionLog, ReadError,
};
use milena_record::control::ControlRecord;
use milena_record::stamp;
use milena_types::{
    BrokerEpoch, BrokerId, ClusterId, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp,
};
use std::path::Path;
use std::sync::Arc;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// So many appends: records, transactions that are aborted, of the present epoch.
    Append(i32),
    /// A new leader epoch.
    Epoch,
    Flush,
    Checkpoint,
    Roll,
    /// Retention by size.
    Retain,
    /// Removes the files of what retention took.
    Remove,
    /// Records below the end minus this may go.
    DeleteRecords(i64),
    /// Cuts so many offsets.
    Truncate(i64),
    /// Begins anew so far behind the end.
    StartAt(i64),
    Idle,
    /// A clean stop and start; `true`: as many logs at once are closed.
    Restart(bool),
    /// A kill and start.
    Kill,
}

use Op::{
    Append, Checkpoint, DeleteRecords, Epoch, Flush, Idle, Kill, Remove, Restart, Retain, Roll, StartAt,
    Truncate,
};

const LIFE: &[Op] = &[
    Append(7),
    Flush,
    Checkpoint,
    Append(9),
    Epoch,
    Append(6),
    Idle,
    Flush,
    Idle,
    Append(4),
    Restart(false),
    Append(6),
    Roll,
    Flush,
    Truncate(4),
    Append(3),
    Kill,
    Append(5),
    Flush,
    Checkpoint,
    Retain,
    Append(2),
    Remove,
    DeleteRecords(6),
    Epoch,
    Append(4),
    Truncate(9),
    Append(6),
    Restart(true),
    Append(3),
    StartAt(5),
    Append(8),
    Flush,
    Checkpoint,
    Kill,
    StartAt(-6),
    Append(9),
    DeleteRecords(1),
    Remove,
    Append(2),
    Flush,
    Checkpoint,
    Idle,
    Truncate(2),
    Restart(false),
    Append(2),
];

#[derive(Clone, Debug)]
struct Record {
    offset: i64,
    value: String,
    epoch: i32,
}

struct Life {
    fault: Fault,
    fs: FaultyFileSystem,
    dir: LogDir,
    log: PartitionLog,
    appends: i32,
    epoch: i32,
    all: Vec<Record>,
    /// First and last offset.
    aborts: Vec<(i64, i64)>,
    /// Below it everything is on disk.
    kept: i64,
    /// The log may begin here at most.
    start: i64,
    came: bool,
    /// Where the open transaction begins.
    open: Option<i64>,
}

fn config() -> LogConfig {
    LogConfig {
        retention_bytes: 1200,
        file_delete_delay_ms: 0,
        ..small()
    }
}

fn open_dir(fs: &FaultyFileSystem) -> Result<LogDir, LogError> {
    let (env, path) = (Env::with(Arc::new(fs.clone()), 4), Path::new("/logs"));
    let cluster = ClusterId("c".to_owned());
    LogDir::open_in(env, path, BrokerId(1), Some(&cluster), None).map_err(|error| match error {
        LogDirError::Log(error) => error,
        error => panic!("{error}"),
    })
}

fn opts(dir: &LogDir, fs: &FaultyFileSystem) -> OpenOptions {
    let of = options(fs, &config());
    dir.open_options(of.partition, of.topic_id, of.config, of.now)
}

fn open_log(opts: OpenOptions) -> Result<PartitionLog, LogError> {
    match PartitionLog::open(opts) {
        Ok((log, report)) => {
            assert!(!report.lost_flushed);
            Ok(log)
        }
        Err(OpenError::Log(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

fn boot(fs: &FaultyFileSystem) -> Result<(LogDir, PartitionLog), LogError> {
    let dir = open_dir(fs)?;
    let opts = opts(&dir, fs);
    let log = match dir.resume(&opts) {
        Some(log) => log,
        None => {
            let log = open_log(opts)?;
            return Ok((dir, log));
        }
    };
    // As who finds another log than word of it said does with the first read.
    let first = log.log_start_offset();
    match log.read(first, 1, log.log_end_offset(), true) {
        Err(ReadError::Log(error)) if error.is_changed_behind() => {
            let log = open_log(OpenOptions { clean: false, ..opts })?;
            Ok((dir, log))
        }
        Err(ReadError::Log(error)) => Err(error),
        _ => Ok((dir, log)),
    }
}

fn log_error(error: AppendError) -> LogError {
    match error {
        AppendError::Log(error) => error,
        error => panic!("{error}"),
    }
}

impl Life {
    fn new(fault: Fault) -> Self {
        let fs = disk();
        let (dir, log) = boot(&fs).unwrap();
        fs.inject(fault);
        Self {
            fault,
            fs,
            dir,
            log,
            appends: 0,
            epoch: 0,
            all: Vec::new(),
            aborts: Vec::new(),
            kept: 0,
            start: 0,
            came: false,
            open: None,
        }
    }

    fn append(&mut self) -> Result<(), LogError> {
        let context = AppendContext {
            epoch: ctx(self.epoch).epoch,
            ..ctx(0)
        };
        let at = self.log.log_end_offset().0;
        let number = self.appends;
        let value = format!("value {number}");
        // Transactions come in pairs of appends.
        let producer = i64::from(1 + number / 4);
        let (values, aborted) = match number % 4 {
            0 => {
                let batch = produced(producer, 0, 0, 1, true);
                self.log.append_as_leader(batch, &context).map_err(log_error)?;
                (vec!["value".to_owned()], None)
            }
            2 if self.open.is_some() => {
                let first = self.open;
                let producer = (ProducerId(producer), ProducerEpoch(0));
                let batch = ControlRecord::Abort.batch(Offset(0), Timestamp(2000), producer, 0);
                let origin = AppendOrigin::Coordinator {
                    marker_epoch_must_grow: false,
                };
                let context = AppendContext { origin, ..context };
                self.log.append_as_leader(batch, &context).map_err(log_error)?;
                (vec![String::new()], first)
            }
            _ => {
                let batch = batch(&[&value, &value]);
                self.log.append_as_leader(batch, &context).map_err(log_error)?;
                (vec![value.clone(), value], None)
            }
        };
        self.appends += 1;
        if number % 4 == 0 {
            self.open = Some(at);
        }
        if let Some(first) = aborted {
            self.open = None;
            self.aborts.push((first, at));
        }
        for (i, value) in values.into_iter().enumerate() {
            self.all.push(Record {
                offset: at + i as i64,
                value,
                epoch: self.epoch,
            });
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        if let Some(ticket) = self.log.take_flush()? {
            if let Err(source) = ticket.sync() {
                self.log.on_flush_postponed();
                return Err(LogError {
                    operation: "flush",
                    path: "ticket".into(),
                    source,
                });
            }
            self.log.on_flushed(&ticket);
        }
        self.kept = self.log.flushed_offset().0;
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), LogError> {
        let name = opts(&self.dir, &self.fs).partition;
        let (point, start) = (self.log.recovery_point(), self.log.log_start_offset());
        let write = |kind, at| self.dir.write_checkpoint(kind, &[(name.clone(), at)].into());
        write(OffsetCheckpoint::LogStart, start)?;
        write(OffsetCheckpoint::RecoveryPoint, point)?;
        self.log.on_recovery_point_saved(point);
        Ok(())
    }

    fn retain(&mut self) -> Result<(), LogError> {
        let end = self.log.log_end_offset();
        self.log.on_high_watermark(end);
        let deleted = self.log.delete_old_segments(Timestamp(1_000_000), end);
        deleted.map(drop)
    }

    fn restart(&mut self, at_once: bool) -> Result<(), LogError> {
        if at_once {
            self.log.begin_close()?;
            self.fs.sync_file_system(Path::new("/logs")).unwrap();
            self.log.finish_close();
        } else {
            self.log.close()?;
        }
        self.kept = self.log.log_end_offset().0;
        self.checkpoint()?;
        let mut word = Vec::new();
        if let Some(idle) = self.log.idle_log() {
            idle.encode_into(&mut word);
        }
        self.dir.write_idle_logs(&[word])?;
        self.dir.write_clean_shutdown(BrokerEpoch(1))?;
        self.boot()
    }

    fn boot(&mut self) -> Result<(), LogError> {
        (self.dir, self.log) = boot(&self.fs)?;
        Ok(())
    }

    /// Where the operation leaves the end of the log: what it was, or where it is cut.
    fn run(&mut self, op: Op, target: i64) -> Result<(), LogError> {
        match op {
            Append(until) => {
                while self.appends < until {
                    self.append()?;
                }
                Ok(())
            }
            Epoch => {
                self.epoch += 1;
                self.log.assign_epoch_at_become_leader(ctx(self.epoch).epoch);
                Ok(())
            }
            Flush => self.flush(),
            Checkpoint => self.checkpoint(),
            Roll => self.log.roll(Timestamp(1_000_000)),
            Retain => self.retain(),
            Remove => {
                let mut result = Ok(());
                for removal in self.log.take_removals(Timestamp(i64::MAX)) {
                    let path = removal.path().to_owned();
                    if let Err(source) = removal.run() {
                        result = Err(LogError {
                            operation: "remove",
                            path,
                            source,
                        });
                    }
                }
                result
            }
            DeleteRecords(_) => {
                self.log.set_log_start_offset(Offset(target));
                self.checkpoint()?;
                self.retain()
            }
            Truncate(_) => self.log.truncate_to(Offset(target)),
            StartAt(_) => self.log.truncate_fully_and_start_at(Offset(target)),
            Idle => self.log.release_idle().map(drop),
            Restart(at_once) => self.restart(at_once),
            Kill => self.boot(),
        }
    }

    fn op(&mut self, at: usize, op: Op) {
        let end = self.log.log_end_offset().0;
        let (op, target) = match op {
            Append(more) => (Append(self.appends + more), end),
            DeleteRecords(back) | Truncate(back) => (op, (end - back).max(self.log.log_start_offset().0)),
            StartAt(ahead) => (op, (end + ahead).max(0)),
            op => (op, end),
        };
        match op {
            DeleteRecords(_) => self.start = self.start.max(target),
            Truncate(_) => self.kept = self.kept.min(target - 1),
            StartAt(_) => (self.kept, self.start) = (0, self.start.max(target)),
            // What it takes is seen when it is done.
            Retain => self.start = end,
            _ => {}
        }
        let what = format!("{:?}, operation {at}, {op:?}", self.fault);
        let mut tries = 0;
        while let Err(error) = self.run(op, target) {
            let later = self.fs.disarm();
            assert!(later.is_empty() || error.is_changed_behind(), "{what}: {error:?}");
            tries += 1;
            assert!(tries < 3, "{what}: {error:?}");
            if error.is_changed_behind() {
                self.reopen(false);
                later.into_iter().for_each(|fault| self.fs.inject(fault));
                continue;
            }
            self.came = true;
            self.failed(op, &error, &format!("{what}: {error:?}"));
        }
        match op {
            Truncate(_) | StartAt(_) => {
                let end = self.log.log_end_offset().0;
                self.cut(end);
                self.kept = end;
            }
            _ => {}
        }
        if let Checkpoint = op {
            // What it bounds is in the checkpoint now.
            assert!(
                matches!(self.fault, Fault::RemoveFails(_))
                    || files(&self.fs, "recovery-floor").is_empty()
                    || self.log.segments() == 0,
                "{what}"
            );
        }
        if let StartAt(_) = op {
            self.all.clear();
            self.aborts.clear();
            self.open = None;
        }
        if let StartAt(_) | Retain = op {
            self.start = self.log.log_start_offset().0;
        }
        let later = self.fs.disarm();
        self.check(&self.log, &what);
        later.into_iter().for_each(|fault| self.fs.inject(fault));
        if tries > 0 {
            self.crashes(true, &format!("{what}, tried again"));
        }
    }

    fn cut(&mut self, end: i64) {
        self.all.retain(|record| record.offset < end);
        self.aborts.retain(|(_, last)| *last < end);
        self.open = self.open.filter(|first| *first < end);
    }

    fn reopen(&mut self, clean: bool) {
        let opts = opts(&self.dir, &self.fs);
        self.log = open_log(OpenOptions { clean, ..opts }).unwrap();
    }

    fn failed(&mut self, op: Op, error: &LogError, what: &str) {
        let errno = match self.fault {
            Fault::NoSpaceAtWrite(_) | Fault::NoSpaceAtCreate(_) | Fault::NoSpaceAtRename(_) => 28,
            Fault::TooManyOpen(_) => 24,
            _ => 5,
        };
        assert_eq!(error.source.raw_os_error(), Some(errno), "{what}");
        let (no_space, short) = (error.is_no_space(), error.is_shortage());
        assert_eq!((no_space, short), (errno == 28, errno == 24), "{what}");
        let cuts = matches!(op, Truncate(_) | StartAt(_));
        self.crashes(!cuts, what);
        if self.log.is_failed() {
            assert!(cuts, "{what}");
            assert!(try_append(&mut self.log, batch(&["x"])).is_err());
            self.reopen(false);
            let end = self.log.log_end_offset().0;
            self.cut(end);
        }
        self.check(&self.log, what);
    }

    /// What starts find after a crash now; `whole`: after a kill all that is in the log.
    fn crashes(&self, whole: bool, what: &str) {
        for survival in [
            Survival::ProcessKilled,
            Survival::NothingUnsynced,
            Survival::Random(self.appends as u64),
        ] {
            let what = format!("{what}, {survival:?}");
            let fs = self.fs.after_crash(survival);
            let (_, log) = boot(&fs).unwrap();
            self.check(&log, &what);
            let end = log.log_end_offset().0;
            assert!(
                end >= self.kept,
                "{what}: ends at {end}, {} were flushed",
                self.kept
            );
            if whole && survival == Survival::ProcessKilled {
                assert_eq!(log.log_end_offset(), self.log.log_end_offset(), "{what}");
            }
        }
    }

    /// Is what this log holds what was appended?
    fn check(&self, log: &PartitionLog, what: &str) {
        let (start, end) = (log.log_start_offset().0, log.log_end_offset().0);
        assert!(
            start <= self.start,
            "{what}: begins at {start}, not {}",
            self.start
        );
        let inside = |offset: i64| (start..end).contains(&offset);
        let expected: Vec<_> = self.all.iter().filter(|record| inside(record.offset)).collect();
        let found: Vec<_> = dump(log, 1)
            .into_iter()
            .filter(|(offset, _)| inside(*offset))
            .collect();
        let offsets: Vec<_> = expected.iter().map(|record| record.offset).collect();
        assert_eq!(
            found.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(),
            offsets,
            "{what}"
        );
        for (record, (_, value)) in expected.iter().zip(&found) {
            if !record.value.is_empty() {
                assert_eq!(&record.value, value, "{what}");
            }
            let epoch = log.epoch_for_offset(Offset(record.offset));
            assert_eq!(
                epoch.map(|epoch| epoch.0),
                Some(record.epoch),
                "{what}: epoch at {}",
                record.offset
            );
        }
        let aborts: Vec<_> = self
            .aborts
            .iter()
            .filter(|(first, last)| inside(*first) && inside(*last))
            .map(|(first, _)| *first)
            .collect();
        let known = log.aborted_transactions(Offset(start), Offset(end)).unwrap();
        let known: Vec<_> = known
            .iter()
            .map(|txn| txn.first_offset.0)
            .filter(|first| inside(*first))
            .collect();
        assert_eq!(known, aborts, "{what}: aborted transactions");
        for (id, entry) in log.active_producers().entries() {
            if let Some(last) = entry.batches().last() {
                assert!(last.last_offset.0 < end, "{what}: producer {id:?}");
                assert!(
                    last.last_offset.0 < start
                        || expected
                            .iter()
                            .any(|record| record.offset == last.last_offset.0 && record.value == "value"),
                    "{what}: producer {id:?}"
                );
            }
        }
    }
}

fn live(fault: Fault) -> bool {
    let mut life = Life::new(fault);
    for (at, op) in LIFE.iter().enumerate() {
        life.op(at, *op);
    }
    life.came
}

fn at_every_call(kind: impl Fn(u64) -> Fault, most: u64, least: usize) {
    let came = (1..most).filter(|nth| live(kind(*nth))).count();
    assert!(came > least, "{came} calls have failed");
}

#[test]
fn a_life_without_a_fault() {
    assert!(!live(Fault::RenameFails(u64::MAX)));
}

#[test]
fn a_failed_renaming_loses_nothing() {
    at_every_call(Fault::RenameFails, 200, 60);
    at_every_call(Fault::NoSpaceAtRename, 200, 60);
}

#[test]
fn a_failed_removal_loses_nothing() {
    at_every_call(Fault::RemoveFails, 200, 60);
}

#[test]
fn a_failed_change_of_length_loses_nothing() {
    at_every_call(Fault::SetLenFails, 60, 5);
}

#[test]
fn a_failed_read_loses_nothing() {
    at_every_call(Fault::ReadFails, 600, 60);
}

#[test]
fn a_failed_look_at_a_name_loses_nothing() {
    at_every_call(Fault::LookFails, 200, 30);
}

#[test]
fn a_want_of_space_or_files_loses_nothing() {
    at_every_call(Fault::NoSpaceAtWrite, 400, 60);
    at_every_call(Fault::NoSpaceAtCreate, 300, 60);
    at_every_call(Fault::TooManyOpen, 600, 60);
}

#[test]
fn a_snapshot_that_could_not_be_removed_is_not_met_by_the_next_life_of_the_log() {
    let mut came = 0;
    for nth in 1..10 {
        let fs = disk();
        let (mut log, _) = open(&fs, &config());
        (0..60).for_each(|i| drop(try_append(&mut log, produced(1, 0, i, 1, false)).unwrap()));
        let end = log.log_end_offset();
        fs.inject(Fault::RemoveFails(nth));
        let deleted = log.delete_old_segments(Timestamp(1_000_000), end);
        if !fs.disarm().is_empty() {
            assert!(!deleted.unwrap().is_empty());
            continue;
        }
        came += 1;
        assert!(deleted.is_err() && !log.is_failed());
        log.truncate_fully_and_start_at(Offset(0)).unwrap();
        log.set_config(Arc::new(LogConfig::default()));
        (0..60).for_each(|_| drop(append(&mut log, &["plain"])));
        flush(&mut log);
        log.on_recovery_point_saved(Offset(60));
        let (log, _) = open_at(&fs.after_crash(Survival::ProcessKilled), &config(), Offset(60)).unwrap();
        assert!(log.active_producers().is_empty(), "removal {nth}");
    }
    assert!(came > 2, "{came} removals have failed");
}

#[test]
fn a_floor_that_was_written_for_no_cut_goes_with_the_next_checkpoint() {
    let mut came = 0;
    for nth in 1..20 {
        let fs = disk();
        let (mut log, _) = open(&fs, &config());
        (0..30).for_each(|_| drop(append(&mut log, &["x"])));
        flush(&mut log);
        fs.inject(Fault::TooManyOpen(nth));
        let cut = log.truncate_to(Offset(7));
        fs.disarm();
        if cut.is_err() && !log.is_failed() {
            came += usize::from(!files(&fs, "recovery-floor").is_empty());
            log.on_recovery_point_saved(log.recovery_point());
            assert!(files(&fs, "recovery-floor").is_empty(), "opening {nth}");
        }
    }
    assert!(came > 0);
}

#[test]
fn a_checkpoint_that_may_be_on_disk_is_known_to_a_log_that_is_made_anew() {
    let fs = disk();
    let dir = open_dir(&fs).unwrap();
    let name = opts(&dir, &fs).partition;
    // Its name is there, and not certain to stay.
    fs.inject(Fault::TooManyOpen(2));
    let offsets = [(name, Offset(100))].into();
    let written = dir.write_checkpoint(OffsetCheckpoint::RecoveryPoint, &offsets);
    assert!(written.unwrap_err().is_shortage());
    let mut log = open_log(opts(&dir, &fs)).unwrap();
    append(&mut log, &["of another life"]);
    let (_, log) = boot(&fs.after_crash(Survival::ProcessKilled)).unwrap();
    assert_eq!(log.log_end_offset(), Offset(1));
}

#[test]
fn an_empty_segment_that_could_not_give_way_is_not_met_by_what_follows() {
    let mut came = 0;
    for nth in 1..6 {
        let fs = disk();
        let (mut log, _) = open(&fs, &small());
        (0..3).for_each(|_| drop(append(&mut log, &["x"])));
        log.roll(Timestamp(0)).unwrap();
        let end = log.log_end_offset();
        let mut far = batch(&["far"]);
        stamp(&mut far, Offset(5_000_000_000), ctx(0).epoch);
        fs.inject(Fault::RemoveFails(nth));
        let appended = log.append_as_follower_from(end, far.freeze(), ctx(0).epoch, Timestamp(0));
        fs.disarm();
        if appended.is_err() {
            came += 1;
            if log.is_failed() {
                (log, _) = open(&fs, &small());
            }
        }
        (0..20).for_each(|_| drop(append(&mut log, &["next"])));
        let (again, _) = open(&fs.after_crash(Survival::ProcessKilled), &small());
        assert_eq!(again.log_end_offset(), log.log_end_offset(), "removal {nth}");
        assert_eq!(dump(&again, 1), dump(&log, 1), "removal {nth}");
    }
    assert_eq!(came, 4);
}

/// A compacted log with an epoch of which no record is left.
fn without_records_of_an_epoch() -> (FaultyFileSystem, Vec<(LeaderEpoch, Offset)>) {
    let fs = disk();
    let config = LogConfig {
        segment_bytes: 1 << 20,
        ..compacted()
    };
    let (mut log, _) = open(&fs, &config);
    for epoch in 0..3 {
        for _ in 0..4 {
            log.append_as_leader(keyed(&[("a", Some("x"))]), &ctx(epoch))
                .unwrap();
        }
        log.append_as_leader(
            keyed(&[(["b", "a", "c"][epoch as usize], Some("x"))]),
            &ctx(epoch),
        )
        .unwrap();
    }
    log.on_high_watermark(log.log_end_offset());
    roll(&mut log);
    compact(&mut log).unwrap();
    flush(&mut log);
    let epochs = log.epoch_entries().to_vec();
    assert_eq!(epochs.len(), 3);
    each_batch(&log, 1, |header, _| {
        assert_ne!(header.partition_leader_epoch, LeaderEpoch(1))
    });
    (fs, epochs)
}

#[test]
fn an_epoch_without_records_is_not_forgotten_because_a_read_failed() {
    let (fs, epochs) = without_records_of_an_epoch();
    let mut came = 0;
    for nth in 1..60 {
        for fault in [
            Fault::ReadFails(nth),
            Fault::TooManyOpen(nth),
            Fault::LookFails(nth),
        ] {
            let fs = fs.after_crash(Survival::ProcessKilled);
            fs.inject(fault);
            match PartitionLog::open(options(&fs, &compacted())) {
                Ok((log, _)) => assert_eq!(log.epoch_entries(), epochs, "{fault:?}"),
                Err(OpenError::Log(_)) => came += 1,
                Err(error) => panic!("{fault:?}: {error}"),
            }
        }
    }
    assert!(came > 15, "{came} openings have failed");
}
