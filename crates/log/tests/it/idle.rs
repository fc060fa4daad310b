//! What a partition costs while nobody uses it: memory, files, and what a start and a recovery touch.

use crate::counting_fs::{Call, CountingFs};
use crate::support::*;
use milena_counting::peak_bytes;
use milena_log::env::{FaultyFileSystem, FileSystem, Survival};
use milena_log::{Env, LogConfig, LogDir, OpenOptions, PartitionLog};
use milena_types::{
    BrokerEpoch, BrokerId, ClusterId, LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId, TopicName,
    TopicPartition, Uuid,
};
use std::path::Path;
use std::sync::Arc;

/// Bytes that an idle log may take; what its owner adds has to fit below 1 KiB.
const IDLE_BYTES_MAX: usize = 800;
const LOGS: usize = 300;

fn options_of(from: &OpenOptions, index: usize) -> OpenOptions {
    let index = i32::try_from(index).unwrap();
    OpenOptions {
        dir: format!("/logs/orders-of-the-day-{index}").into(),
        partition: TopicPartition {
            topic: from.partition.topic.clone(),
            partition: PartitionIndex(index),
        },
        ..from.clone()
    }
}

#[test]
fn a_partition_that_was_never_written_costs_its_struct_and_its_path() {
    let fs = disk();
    let from = options(&fs, &LogConfig::default());
    let open = |index| PartitionLog::open(options_of(&from, index)).unwrap().0;
    let (logs, bytes) = peak_bytes(|| (0..LOGS).map(open).collect::<Vec<_>>());
    let each = bytes / logs.len();
    assert!(each <= IDLE_BYTES_MAX, "{each} bytes");
    assert!(fs.paths().is_empty());
}

/// What a log takes beside its own struct when it is had back by word, and beside what the word held.
const RESUMED_BYTES_MAX: usize = 100;

#[test]
fn a_partition_that_has_gone_idle_costs_little_more() {
    let temp = tempfile::tempdir().unwrap();
    let from = OpenOptions {
        env: Env::real(),
        ..options(&disk(), &LogConfig::default())
    };
    let used = |index| {
        let of = options_of(&from, index);
        let dir = temp.path().join(of.dir.file_name().unwrap());
        let mut log = PartitionLog::open(OpenOptions { dir, ..of }).unwrap().0;
        for i in 0..3 {
            log.append_as_leader(produced(1, 0, 3 * i, 3, false), &ctx(i))
                .unwrap();
        }
        flush(&mut log);
        assert!(log.release_idle().unwrap());
        log
    };
    let logs = LOGS / 5;
    let (idle, bytes) = peak_bytes(|| (0..logs).map(used).collect::<Vec<_>>());
    // What the last one held while it was open is not part of it.
    let each = (bytes - 4096) / logs;
    assert!(each <= IDLE_BYTES_MAX, "{each} bytes");
    assert_eq!((idle.len(), from.env.sealed_open()), (logs, 0));
    // Nor does it cost more after a restart.
    let words: Vec<_> = idle.iter().map(|log| log.idle_log().unwrap()).collect();
    let known: Vec<_> = (0..logs).map(|index| options_of(&from, index)).collect();
    let resume = |(of, word)| PartitionLog::resume_clean(of, word).unwrap();
    let (resumed, bytes) = peak_bytes(|| known.iter().zip(words).map(resume).collect::<Vec<_>>());
    println!("idle {each}, resumed {}", bytes / logs);
    assert!(
        bytes / logs <= size_of::<PartitionLog>() + RESUMED_BYTES_MAX,
        "{}",
        bytes / logs
    );
    assert_eq!(resumed.len(), logs);
}

struct Disk {
    fs: FaultyFileSystem,
    calls: CountingFs,
}

const PARTITIONS: usize = 20;

fn name(index: usize) -> TopicPartition {
    TopicPartition {
        topic: TopicName::new("t").unwrap(),
        partition: PartitionIndex(i32::try_from(index).unwrap()),
    }
}

impl Disk {
    fn of(fs: FaultyFileSystem) -> Self {
        let calls = CountingFs::new(&fs);
        Self { fs, calls }
    }

    fn dir(&self) -> LogDir {
        let env = Env::with(Arc::new(self.calls.clone()), 64);
        let cluster = ClusterId("c".to_owned());
        LogDir::open_in(env, Path::new("/logs"), BrokerId(1), Some(&cluster), None).unwrap()
    }

    fn options(dir: &LogDir, index: usize) -> OpenOptions {
        let config = Arc::new(small());
        dir.open_options(name(index), TopicId(Uuid([7; 16])), config, Timestamp(1_000_000))
    }

    /// As a broker has a partition back.
    fn resume_or_open(dir: &LogDir, index: usize) -> PartitionLog {
        let options = Self::options(dir, index);
        dir.resume(&options)
            .unwrap_or_else(|| PartitionLog::open(options).unwrap().0)
    }

    /// Files of partitions that were touched since the last time; the directory's own do not count.
    fn touched(&self) -> Vec<Call> {
        let mut calls = self.calls.take_calls();
        calls.retain(|call| {
            let (Call::Open(path)
            | Call::List(path)
            | Call::Stat(path)
            | Call::Change(path)
            | Call::Read(path, ..)) = call;
            path.starts_with("/logs")
                && path
                    .strip_prefix("/logs")
                    .unwrap()
                    .to_string_lossy()
                    .starts_with("t-")
        });
        calls
    }

    fn fill(&self) -> Vec<PartitionLog> {
        let dir = self.dir();
        let mut logs = Vec::new();
        for index in 0..PARTITIONS {
            let mut log = PartitionLog::open(Self::options(&dir, index)).unwrap().0;
            for i in 0..20 {
                log.append_as_leader(produced(5, 1, 2 * i, 2, false), &ctx(i / 10))
                    .unwrap();
            }
            flush(&mut log);
            logs.push(log);
        }
        logs
    }

    fn leave_word(dir: &LogDir, logs: &[PartitionLog]) {
        let mut encoded = Vec::new();
        for (index, log) in logs.iter().enumerate() {
            // The process that leaves it had it open.
            let _ = Self::options(dir, index);
            log.idle_log().unwrap().encode_into(&mut encoded);
        }
        dir.write_idle_logs(&[encoded]).unwrap();
    }
}

/// A disk whose logs were closed and whose directory was marked as such.
fn cleanly_shut_down() -> Disk {
    let disk = Disk::of(disk());
    let mut logs = disk.fill();
    for log in &mut logs {
        log.close().unwrap();
    }
    let dir = disk.dir();
    Disk::leave_word(&dir, &logs);
    dir.write_clean_shutdown(BrokerEpoch(1)).unwrap();
    disk
}

fn facts(log: &PartitionLog) -> impl PartialEq + std::fmt::Debug {
    (
        (
            log.log_start_offset(),
            log.log_end_offset(),
            log.flushed_offset(),
            log.recovery_point(),
        ),
        (
            log.segments(),
            log.size_bytes(),
            log.has_dirty_data(),
            log.first_unstable_offset(),
        ),
        log.epoch_entries().to_vec(),
        log.active_producers().clone(),
        dump(log, 1),
    )
}

#[test]
fn a_start_after_a_clean_shutdown_touches_no_file_of_a_partition() {
    let disk = cleanly_shut_down();
    disk.calls.take_calls();
    let dir = disk.dir();
    assert_eq!(dir.partitions().unwrap().len(), PARTITIONS);
    let mut logs: Vec<_> = (0..PARTITIONS)
        .map(|index| dir.resume(&Disk::options(&dir, index)).unwrap())
        .collect();
    let ends: Vec<_> = logs.iter().map(PartitionLog::log_end_offset).collect();
    assert_eq!(ends, vec![Offset(40); PARTITIONS]);
    for log in &mut logs {
        // Neither leading, nor retention, nor the next shutdown wants one.
        log.assign_epoch_at_become_leader(LeaderEpoch(9));
        assert!(
            log.delete_old_segments(Timestamp(1_000_000), Offset(40))
                .unwrap()
                .is_empty()
        );
        assert!(log.release_idle().unwrap());
        log.close().unwrap();
    }
    assert_eq!(disk.touched(), []);
    Disk::leave_word(&dir, &logs);
    assert_eq!(disk.touched(), []);
}

#[test]
fn a_resumed_log_is_the_log_that_opening_gives() {
    let disk = cleanly_shut_down();
    let copy = Disk::of(disk.fs.after_crash(Survival::NothingUnsynced));
    let (resumed, opened) = (disk.dir(), copy.dir());
    for index in 0..PARTITIONS {
        let mut a = resumed.resume(&Disk::options(&resumed, index)).unwrap();
        let (mut b, report) = PartitionLog::open(Disk::options(&opened, index)).unwrap();
        assert_eq!(report.segments_scanned, 0);
        assert_eq!(format!("{:?}", facts(&a)), format!("{:?}", facts(&b)));
        for log in [&mut a, &mut b] {
            // A retry of the last batch is known as one, and the next batch goes on.
            let retry = log
                .append_as_leader(produced(5, 1, 38, 2, false), &ctx(1))
                .unwrap();
            assert!(retry.duplicate);
            log.append_as_leader(produced(5, 1, 40, 2, false), &ctx(2))
                .unwrap();
        }
        assert_eq!(format!("{:?}", facts(&a)), format!("{:?}", facts(&b)));
    }
}

#[test]
fn logs_that_are_closed_together_are_as_durable_as_one_by_one() {
    let disk = Disk::of(disk());
    let mut logs = disk.fill();
    for log in &mut logs {
        // The last batches are in the page cache only, and the index in memory.
        log.append_as_leader(produced(5, 1, 40, 2, false), &ctx(3))
            .unwrap();
        assert!(log.is_unclosed());
        log.begin_close().unwrap();
        assert!(log.idle_log().is_none(), "nothing is on disk yet");
    }
    disk.calls.sync_file_system(Path::new("/logs")).unwrap();
    for log in &mut logs {
        log.finish_close();
        assert!(!log.is_unclosed());
    }
    let dir = disk.dir();
    Disk::leave_word(&dir, &logs);
    dir.write_clean_shutdown(BrokerEpoch(1)).unwrap();
    let copy = Disk::of(disk.fs.after_crash(Survival::NothingUnsynced));
    let (resumed, opened) = (
        copy.dir(),
        Disk::of(copy.fs.after_crash(Survival::NothingUnsynced)).dir(),
    );
    for (index, log) in logs.iter().enumerate() {
        let a = resumed.resume(&Disk::options(&resumed, index)).unwrap();
        let b = PartitionLog::open(OpenOptions {
            clean: true,
            ..Disk::options(&opened, index)
        });
        assert_eq!(format!("{:?}", facts(&a)), format!("{:?}", facts(log)));
        assert_eq!(format!("{:?}", facts(&b.unwrap().0)), format!("{:?}", facts(log)));
    }
}

#[test]
fn word_of_another_shutdown_is_not_believed() {
    let disk = cleanly_shut_down();
    // As Kafka would write it, after a run of its own.
    let kafkas = br#"{"version":0,"brokerEpoch":4}"#;
    disk.fs.overwrite(Path::new("/logs/.kafka_cleanshutdown"), kafkas);
    let dir = disk.dir();
    assert_eq!(dir.was_clean(), Some(BrokerEpoch(4)));
    assert!(dir.resume(&Disk::options(&dir, 0)).is_none());
    let (log, report) = PartitionLog::open(Disk::options(&dir, 0)).unwrap();
    assert_eq!((log.log_end_offset(), report.segments_scanned), (Offset(40), 0));
}

#[test]
fn the_log_of_another_topic_of_the_name_is_not_resumed() {
    let disk = cleanly_shut_down();
    let dir = disk.dir();
    let other = OpenOptions {
        topic_id: TopicId(Uuid([8; 16])),
        ..Disk::options(&dir, 3)
    };
    assert!(dir.resume(&other).is_none());
}

#[test]
fn word_of_one_partition_says_nothing_of_another() {
    let disk = cleanly_shut_down();
    let dir = disk.dir();
    let options = |index| Disk::options(&dir, index);
    let idle = dir.resume(&options(0)).unwrap().idle_log().unwrap();
    assert!(PartitionLog::resume_clean(&options(0), idle.clone()).is_some());
    assert!(PartitionLog::resume_clean(&options(1), idle).is_none());
}

#[test]
fn files_that_changed_behind_a_clean_shutdown_are_noticed_before_they_are_used() {
    let disk = cleanly_shut_down();
    let dir = disk.dir();
    let logs: Vec<_> = disk
        .fs
        .paths()
        .into_iter()
        .filter(|path| path.starts_with("/logs/t-2") && path.extension().is_some_and(|e| e == "log"))
        .collect();
    let last = logs.last().unwrap();
    let shorter = disk.fs.content(last).unwrap();
    disk.fs.overwrite(last, &shorter[..shorter.len() - 1]);
    disk.fs.remove_file(&logs[0]).unwrap();
    let mut log = dir.resume(&Disk::options(&dir, 2)).unwrap();
    let error = log.read(Offset(0), 1000, Offset(40), true).unwrap_err();
    assert!(error.to_string().contains("verify"), "{error}");
    let refused = log.append_as_leader(produced(5, 1, 40, 2, false), &ctx(2));
    assert!(refused.unwrap_err().to_string().contains("verify"));
}

#[test]
fn after_a_crash_only_logs_that_were_written_lately_are_read() {
    let disk = Disk::of(disk());
    let mut logs = disk.fill();
    for log in &mut logs {
        assert!(log.release_idle().unwrap());
        log.take_flush().unwrap().iter().for_each(|ticket| {
            ticket.sync().unwrap();
        });
    }
    // Segments that were closed are flushed with the next ticket; then the word of them is complete.
    for log in &mut logs {
        log.flush().unwrap();
    }
    Disk::leave_word(&disk.dir(), &logs);
    for log in &mut logs[..2] {
        log.append_as_leader(produced(5, 1, 40, 2, false), &ctx(2))
            .unwrap();
    }
    let killed = Disk::of(disk.fs.after_crash(Survival::ProcessKilled));
    let dir = killed.dir();
    killed.calls.take_calls();
    for (index, before) in logs.iter().enumerate() {
        let log = Disk::resume_or_open(&dir, index);
        let calls = killed.touched();
        let reads = calls
            .iter()
            .filter(|call| matches!(call, Call::Read(..) | Call::Open(_)))
            .count();
        assert_eq!(reads > 0, index < 2, "{index}: {calls:?}");
        assert_eq!(log.log_end_offset(), before.log_end_offset());
        assert_eq!(log.active_producers(), before.active_producers());
    }
}

/// Whatever happened to a log after the word of it: it is opened, and is what its files say.
#[test]
fn after_a_crash_a_log_that_differs_from_the_word_of_it_is_opened() {
    let idle = || {
        let disk = Disk::of(disk());
        let mut logs = disk.fill();
        for log in &mut logs {
            log.release_idle().unwrap();
            log.flush().unwrap();
        }
        Disk::leave_word(&disk.dir(), &logs);
        (disk, logs)
    };
    type Change = fn(&Disk, &mut PartitionLog);
    let changes: [(&str, Change); 6] = [
        ("with what a deletion has left", |disk, _| {
            disk.fs
                .overwrite(Path::new("/logs/t-0/00000000000000000000.log.deleted"), b"")
        }),
        ("grown", |_, log| {
            log.append_as_leader(produced(5, 1, 40, 2, false), &ctx(2))
                .unwrap();
        }),
        ("cut and as long again", |_, log| {
            log.truncate_to(Offset(38)).unwrap();
            log.append_as_leader(produced(6, 1, 0, 2, false), &ctx(2))
                .unwrap();
        }),
        ("a snapshot of a shutdown that did not end", |_, log| {
            log.close().unwrap()
        }),
        ("without its oldest segment", |_, log| {
            let late = Timestamp(1 << 50);
            assert!(!log.delete_old_segments(late, Offset(40)).unwrap().is_empty());
        }),
        ("of a shorter file", |disk, _| {
            let is_log = |path: &std::path::PathBuf| {
                path.starts_with("/logs/t-0") && path.extension().is_some_and(|e| e == "log")
            };
            let last = disk.fs.paths().into_iter().rfind(is_log).unwrap();
            let bytes = disk.fs.content(&last).unwrap();
            disk.fs.overwrite(&last, &bytes[..bytes.len() - 1]);
        }),
    ];
    for (name, change) in changes {
        let (disk, mut logs) = idle();
        change(&disk, &mut logs[0]);
        let killed = Disk::of(disk.fs.after_crash(Survival::ProcessKilled));
        let dir = killed.dir();
        assert!(dir.resume(&Disk::options(&dir, 1)).is_some(), "{name}");
        assert!(dir.resume(&Disk::options(&dir, 0)).is_none(), "{name}");
    }
}

#[test]
fn recovery_reads_the_tail_and_not_the_log() {
    let fs = disk();
    let config = LogConfig {
        index_interval_bytes: 4096,
        ..LogConfig::default()
    };
    let (mut log, _) = open(&fs, &config);
    let value = "v".repeat(10_000);
    let append_some = |log: &mut PartitionLog, bytes: u64| {
        let until = log.size_bytes() + bytes;
        while log.size_bytes() < until {
            append(log, &[&value]);
        }
    };
    // More than the interval between two producer snapshots, twice.
    append_some(&mut log, 150 << 20);
    flush(&mut log);
    let (recovery_point, flushed_bytes) = (log.log_end_offset(), log.size_bytes());
    append_some(&mut log, 1 << 20);
    let whole = log.size_bytes();
    let end = log.log_end_offset();
    let killed = fs.after_crash(Survival::ProcessKilled);
    let calls = CountingFs::new(&killed);
    let (log, report) = PartitionLog::open(OpenOptions {
        env: Env::with(Arc::new(calls.clone()), 4),
        recovery_point,
        ..options(&killed, &config)
    })
    .unwrap();
    assert_eq!((log.log_end_offset(), &report.cut), (end, &None));
    let mut read = 0;
    let mut lowest = u64::MAX;
    for call in calls.take_calls() {
        if let Call::Read(path, at, bytes) = call
            && path.extension().is_some_and(|e| e == "log")
        {
            read += bytes as u64;
            // The header of the first batch says how old the segment is.
            lowest = lowest.min(if at == 0 { lowest } else { at });
        }
    }
    // Headers of what came since the last snapshot, and all of what was not flushed.
    assert!(lowest >= 64 << 20, "read at {lowest} of {flushed_bytes}");
    assert!(
        (1 << 20..80 << 20).contains(&read),
        "read {read} of {whole} bytes"
    );
    assert!(report.producers_replayed_from > Some(Offset(0)), "{report:?}");
}

/// Leading writes nothing, so the first record of the epoch has to: no record is durable before its epoch is.
#[test]
fn the_first_record_of_an_epoch_brings_the_epoch_to_the_disk() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    append(&mut log, &["a"]);
    flush(&mut log);
    log.assign_epoch_at_become_leader(LeaderEpoch(5));
    assert!(!log.has_dirty_data());
    log.append_as_leader(batch(&["b"]), &ctx(5)).unwrap();
    flush(&mut log);
    let epochs = fs.content(&file("leader-epoch-checkpoint")).unwrap();
    assert_eq!(epochs, b"0\n2\n0 0\n5 1\n");
}

/// Retention makes changes of its own: first it looks whether somebody else did, and later nobody takes its for theirs.
#[test]
fn retention_looks_at_a_resumed_log_before_it_changes_it() {
    for intact in [true, false] {
        let disk = cleanly_shut_down();
        let dir = disk.dir();
        let options = OpenOptions {
            config: Arc::new(LogConfig {
                retention_bytes: 1,
                ..small()
            }),
            ..Disk::options(&dir, 0)
        };
        let mut log = dir.resume(&options).unwrap();
        if !intact {
            let stray = options.dir.join("00000000000000000007.log");
            disk.fs.overwrite(&stray, b"somebody's");
        }
        let before = disk.fs.paths();
        let deleted = log.delete_old_segments(Timestamp(1_000_000), Offset(40));
        if intact {
            assert!(!deleted.unwrap().is_empty());
            assert_eq!(dump(&log, 1).last().unwrap().0, 39);
        } else {
            assert!(deleted.unwrap_err().is_changed_behind());
            assert_eq!(disk.fs.paths(), before);
        }
    }
}

/// The flusher writes small files through another name, whether or not the log was looked at.
#[test]
fn a_small_file_on_its_way_is_no_change_behind_the_logs_back() {
    let disk = cleanly_shut_down();
    let dir = disk.dir();
    let options = Disk::options(&dir, 0);
    let log = dir.resume(&options).unwrap();
    disk.fs
        .overwrite(&options.dir.join("leader-epoch-checkpoint.tmp"), b"0\n");
    assert_eq!(dump(&log, 1).len(), 40);
}

#[test]
fn a_log_whose_last_file_was_written_since_the_word_of_it_is_opened() {
    let temp = tempfile::tempdir().unwrap();
    let of = real(&temp, &small());
    let mut log = PartitionLog::open(of.clone()).unwrap().0;
    append(&mut log, &["a"]);
    log.flush().unwrap();
    assert!(log.release_idle().unwrap());
    let idle = log.idle_log().unwrap();
    drop(log);
    assert!(PartitionLog::resume_unchanged(&of, idle.clone()).is_some());
    // Cut and as long again: only the time tells.
    set_modified(&of.dir.join("00000000000000000000.log"), 5);
    assert!(PartitionLog::resume_unchanged(&of, idle).is_none());
}
