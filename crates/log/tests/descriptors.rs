//! A process with 64 file descriptors and 200 partitions: in a program of its own, for the limit holds for the process.
//!
//! What meets the limit says so (`is_shortage`), nothing that was acknowledged is lost, and with more descriptors all goes on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "it/support.rs"]
#[expect(dead_code, reason = "what other tests need")]
mod support;

use milena_log::compaction::{CompactionError, CompactionRules, GroupDone, OffsetMap};
use milena_log::env::StdFileSystem;
use milena_log::{AppendError, Env, LogConfig, LogError, OpenError, OpenOptions, PartitionLog, ReadError};
use milena_types::{PartitionIndex, Timestamp};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use support::{batch, disk, dump, options, small, try_append};

const PARTITIONS: i32 = 200;
const DESCRIPTORS: u64 = 64;
const NOW: Timestamp = Timestamp(1_000_000);

/// Open descriptors of this process, without the one that is opened to count them.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

/// Lowers the limit while it lives.
struct Limit(Rlimit);

impl Limit {
    fn of(descriptors: u64) -> Self {
        let before = getrlimit(Resource::Nofile);
        let current = Some(descriptors);
        setrlimit(Resource::Nofile, Rlimit { current, ..before }).unwrap();
        Self(before)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.0).unwrap();
    }
}

/// Takes descriptors until so many are left.
fn leave(free: usize) -> Vec<File> {
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    taken.truncate(taken.len().saturating_sub(free));
    taken
}

struct Partition {
    options: OpenOptions,
    log: PartitionLog,
    appended: BTreeMap<i64, String>,
    /// Below it a compaction may have taken what is superseded.
    cleaned: i64,
}

/// Shortages that were met, by operation.
type Met = BTreeMap<&'static str, usize>;

fn short(met: &mut Met, what: &'static str, error: &LogError) {
    assert!(error.is_shortage(), "{what}: {error:?}");
    *met.entry(what).or_default() += 1;
}

impl Partition {
    fn open(env: &Arc<Env>, root: &Path, index: i32) -> Self {
        let compact = index % 4 == 0;
        let config = LogConfig {
            compact,
            delete: !compact,
            retention_bytes: 2000,
            file_delete_delay_ms: 0,
            ..small()
        };
        let mut options = options(&disk(), &config);
        options.env = env.clone();
        options.partition.partition = PartitionIndex(index);
        options.dir = root.join(format!("topic-{index}"));
        let (log, _) = PartitionLog::open(options.clone()).unwrap();
        Self {
            options,
            log,
            appended: BTreeMap::new(),
            cleaned: 0,
        }
    }

    /// Every operation once; each may meet the limit.
    fn work(&mut self, met: &mut Met) {
        for _ in 0..3 {
            self.append(met);
        }
        self.read(met);
        if let Err(error) = self.log.roll(NOW) {
            short(met, "roll", &error);
        }
        self.flush(met);
        let end = self.log.log_end_offset();
        self.log.on_high_watermark(end);
        if let Err(error) = self.log.delete_old_segments(NOW, end) {
            short(met, "retention", &error);
        }
        for removal in self.log.take_removals(NOW) {
            removal.run().unwrap();
        }
        assert!(!self.log.is_failed());
        self.clean(met);
    }

    /// A compaction, and what follows from one that failed.
    fn clean(&mut self, met: &mut Met) {
        if self.log.config().compact
            && let Err(error) = self.compact()
        {
            let CompactionError::Log(error) = &error else {
                panic!("{error:?}");
            };
            short(met, "compaction", error);
        }
        if self.log.is_failed() {
            self.reopen(met);
        }
    }

    fn append(&mut self, met: &mut Met) {
        if self.log.is_failed() {
            return;
        }
        let value = format!("value {}", self.appended.len());
        let end = self.log.log_end_offset();
        match try_append(&mut self.log, batch(&[&value])) {
            Ok(appended) => drop(self.appended.insert(appended.range.from.0, value)),
            Err(AppendError::Log(error)) => {
                short(met, "append", &error);
                assert_eq!(self.log.log_end_offset(), end);
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn read(&self, met: &mut Met) {
        let (mut at, end) = (self.log.log_start_offset(), self.log.log_end_offset());
        while at < end {
            match self.log.read(at, 200, end, true) {
                Ok(read) => at = read.next_offset,
                Err(ReadError::Log(error)) => return short(met, "read", &error),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn flush(&mut self, met: &mut Met) {
        match self.log.take_flush() {
            Err(error) => short(met, "flush", &error),
            Ok(None) => {}
            Ok(Some(ticket)) => match ticket.sync() {
                Ok(()) => drop(self.log.on_flushed(&ticket)),
                Err(error) => {
                    assert!(milena_log::is_shortage(&error), "{error:?}");
                    *met.entry("flush").or_default() += 1;
                    self.log.on_flush_postponed();
                }
            },
        }
    }

    fn compact(&mut self) -> Result<(), CompactionError> {
        let (rules, end) = (CompactionRules::default(), self.log.log_end_offset());
        let Some(cleanable) = self.log.cleanable(&rules, end, NOW)? else {
            return Ok(());
        };
        self.cleaned = self.cleaned.max(cleanable.upper.0);
        let mut job = self.log.begin_compaction(&cleanable, &rules, end, NOW);
        let (mut map, mut pace) = (OffsetMap::new(1 << 16, 0.9), |_| true);
        let log = &mut self.log;
        let mut run = || {
            job.build_map(&mut map, &mut pace)?;
            loop {
                match job.clean_group(&map, &mut pace)? {
                    GroupDone::Last => return job.write_mark(),
                    GroupDone::Unchanged => continue,
                    GroupDone::Ready { .. } => {}
                }
                job.commit()?;
                assert!(log.swap_compacted(job.id(), NOW)?);
                job.finish_swap()?;
            }
        };
        let result = run();
        if result.is_err() {
            let dropped = job.discard();
            assert!(
                matches!(dropped, Ok(()) | Err(CompactionError::Ended)),
                "{dropped:?}"
            );
        }
        let end = result.is_ok().then(|| job.end_offset());
        assert!(self.log.compaction_over(job.id(), end));
        result
    }

    fn reopen(&mut self, met: &mut Met) {
        let options = OpenOptions {
            recovery_point: self.log.recovery_point(),
            log_start_offset: self.log.log_start_offset(),
            ..self.options.clone()
        };
        match PartitionLog::open(options) {
            Ok((log, report)) => {
                assert_eq!(report.cut, None);
                self.log = log;
            }
            Err(OpenError::Log(error)) => short(met, "open", &error),
            Err(error) => panic!("{error}"),
        }
    }

    /// Is every record there, but for those that a compaction or retention may have taken?
    fn check(&self) {
        let start = self.log.log_start_offset().0;
        let found: BTreeMap<i64, String> = dump(&self.log, 1000).into_iter().collect();
        for (offset, value) in &found {
            assert_eq!(self.appended.get(offset), Some(value));
        }
        let newest = self.appended.last_key_value().map(|(offset, _)| *offset);
        for (offset, value) in self.appended.range(start..) {
            if *offset >= self.cleaned || Some(*offset) == newest {
                assert_eq!(found.get(offset), Some(value));
            }
        }
        assert!(self.log.config().compact || start == 0 || self.log.size_bytes() >= 2000);
    }

    fn release(&mut self) {
        let mut met = Met::new();
        self.flush(&mut met);
        assert!(self.log.release_idle().unwrap());
        assert!(met.is_empty(), "{met:?}");
    }
}

/// Whatever the number of descriptors that are left.
fn tight(partitions: &mut [Partition], met: &mut Met) {
    for free in 0..9 {
        let limit = Limit::of(DESCRIPTORS);
        let ballast = leave(free);
        partitions.iter_mut().for_each(|partition| partition.work(met));
        drop((ballast, limit));
        for partition in &mut *partitions {
            let mut none = Met::new();
            if partition.log.is_failed() {
                partition.reopen(&mut none);
            }
            partition.append(&mut none);
            partition.log.roll(NOW).unwrap();
            partition.log.on_high_watermark(partition.log.log_end_offset());
            partition.release();
            assert!(none.is_empty(), "{none:?}");
            let limit = Limit::of(DESCRIPTORS);
            let ballast = leave(free);
            partition.clean(met);
            drop((ballast, limit));
            partition.check();
        }
    }
}

/// With all the descriptors that there are.
fn settle(partitions: &mut [Partition]) {
    let mut met = Met::new();
    for partition in &mut *partitions {
        if partition.log.is_failed() {
            partition.reopen(&mut met);
        }
        partition.check();
        partition.work(&mut met);
        partition.check();
        partition.release();
    }
    assert!(met.is_empty(), "{met:?}");
}

fn at_the_limit() {
    let temp = directory();
    let base = descriptors();
    for sealed_open_max in [8, Env::SEALED_OPEN_MAX] {
        let env = Env::with(Arc::new(StdFileSystem), sealed_open_max);
        let root = temp.path().join(sealed_open_max.to_string());
        std::fs::create_dir(&root).unwrap();
        let partitions = (0..PARTITIONS).map(|index| Partition::open(&env, &root, index));
        let mut partitions: Vec<_> = partitions.collect();
        assert_eq!(descriptors(), base, "none is open");
        let mut met = Met::new();
        let limit = Limit::of(DESCRIPTORS);
        for _ in 0..2 {
            partitions
                .iter_mut()
                .for_each(|partition| partition.work(&mut met));
        }
        drop(limit);
        settle(&mut partitions);
        assert_eq!(
            (descriptors(), env.sealed_open()),
            (base, 0),
            "idle logs have no file open"
        );
        tight(&mut partitions[..12], &mut met);
        settle(&mut partitions);
        println!("{sealed_open_max} sealed segments: {met:?}");
        for what in ["append", "read", "roll", "flush", "compaction"] {
            assert!(met.get(what).is_some_and(|met| *met > 4), "{what}: {met:?}");
        }
        for partition in &mut partitions {
            partition.log.close().unwrap();
            partition.reopen(&mut met);
            partition.check();
            partition.release();
        }
        assert_eq!(descriptors(), base);
    }
}

/// More closed segments are read than files can be open: those that nobody reads make room.
fn more_segments_than_descriptors() {
    let temp = directory();
    let env = Env::with(Arc::new(StdFileSystem), Env::SEALED_OPEN_MAX);
    let mut partition = Partition::open(&env, temp.path(), 1);
    let mut met = Met::new();
    for _ in 0..100 {
        partition.append(&mut met);
        partition.log.roll(NOW).unwrap();
    }
    partition.release();
    let limit = Limit::of(DESCRIPTORS);
    read_patiently(&partition, &mut met);
    // Nor do they keep others from an append or a flush.
    let ballast = leave(0);
    partition.append(&mut met);
    assert_eq!(met.get("append"), Some(&1));
    partition.append(&mut met);
    assert_eq!((met["append"], partition.appended.len()), (1, 101));
    drop(ballast);
    read_patiently(&partition, &mut met);
    let ballast = leave(1);
    assert!(partition.log.roll(NOW).unwrap_err().is_shortage());
    partition.log.roll(NOW).unwrap();
    drop(ballast);
    read_patiently(&partition, &mut met);
    let ballast = leave(0);
    partition.flush(&mut met);
    assert_eq!(met.get("flush"), Some(&1));
    partition.flush(&mut met);
    assert_eq!((met["flush"], partition.log.flushed_offset().0), (1, 101));
    drop((ballast, limit));
    assert!(met["read"] > 0 && met["read"] < 10, "{met:?}");
    partition.check();
}

/// Reads all of a log, and tries again once.
fn read_patiently(partition: &Partition, met: &mut Met) {
    let (mut at, end) = (partition.log.log_start_offset(), partition.log.log_end_offset());
    let mut tries = 0;
    while at < end {
        match partition.log.read(at, 1, end, true) {
            Ok(read) => (at, tries) = (read.next_offset, 0),
            Err(ReadError::Log(error)) => short(met, "read", &error),
            Err(error) => panic!("{error}"),
        }
        tries += 1;
        assert!(tries < 3, "at {at}");
    }
}

/// On a file system in memory where there is one: the disk is not what is tested.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

#[test]
fn a_process_at_its_limit_of_descriptors_loses_nothing() {
    more_segments_than_descriptors();
    at_the_limit();
}
