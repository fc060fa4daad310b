//! One file of a small log is replaced by hostile bytes; then the log is opened, in one of several ways.

use milena_log::env::{FaultyFileSystem, FileSystem};
use milena_log::{
    AppendContext, AppendOrigin, CorruptionPolicy, Env, LogConfig, OpenError, OpenOptions, PartitionLog,
};
use milena_record::control::ControlRecord;
use milena_record::{BatchBuilder, Compression, TimestampType, batches, crc_is_valid};
use milena_types::{
    LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Timestamp, TopicId, TopicName,
    TopicPartition, Uuid,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

const DIR: &str = "/logs/topic-0";

/// The files that are replaced, by the end of their name; the first of that name, the last for `.log`.
pub(crate) const FILES: [&str; 8] = [
    ".log",
    ".index",
    ".timeindex",
    ".txnindex",
    ".snapshot",
    "leader-epoch-checkpoint",
    "txn-index-checkpoint",
    "recovery-floor",
];

/// A log that was written and closed, and what it answers.
struct Sample {
    disk: FaultyFileSystem,
    end: Offset,
    records: Vec<u8>,
    aborted: Vec<(i64, i64)>,
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 500,
        index_interval_bytes: 100,
        ..LogConfig::default()
    }
}

fn options(disk: &FaultyFileSystem) -> OpenOptions {
    let topic = TopicName::new("topic").unwrap_or_else(|e| panic!("{e:?}"));
    let partition = TopicPartition {
        topic,
        partition: PartitionIndex(0),
    };
    let (env, id) = (Env::with(Arc::new(disk.clone()), 4), TopicId(Uuid([7; 16])));
    let (config, now) = (Arc::new(config()), Timestamp(1_000));
    OpenOptions::new(env, PathBuf::from(DIR), partition, id, config, now)
}

fn append(log: &mut PartitionLog, batch: bytes::BytesMut, epoch: i32, client: bool) {
    let origin = if client {
        AppendOrigin::Client
    } else {
        AppendOrigin::Coordinator {
            marker_epoch_must_grow: false,
        }
    };
    let (epoch, now) = (LeaderEpoch(epoch), Timestamp(1_000));
    let context = AppendContext { epoch, now, origin };
    let appended = log.append_as_leader(batch, &context);
    appended.unwrap_or_else(|e| panic!("{e:?}"));
}

fn write() -> Sample {
    let disk = FaultyFileSystem::default();
    disk.create_dir_all(Path::new("/logs"))
        .unwrap_or_else(|e| panic!("{e}"));
    let (mut log, _) = PartitionLog::open(options(&disk)).unwrap_or_else(|e| panic!("{e}"));
    for i in 0..8_i32 {
        let producer = Some((ProducerId(1), ProducerEpoch(0), i));
        let kind = TimestampType::CreateTime;
        let mut batch = BatchBuilder::new(Offset(0), Compression::None, kind, producer, true, false);
        batch.append(Timestamp(100 + i64::from(i)), Some(b"k"), Some(b"value"), &[]);
        append(&mut log, batch.build(), i / 3, true);
        let kind = if i % 2 == 0 {
            ControlRecord::Abort
        } else {
            ControlRecord::Commit
        };
        let marker = kind.batch(Offset(0), Timestamp(100), (ProducerId(1), ProducerEpoch(0)), 0);
        append(&mut log, marker, i / 3, false);
    }
    log.close().unwrap_or_else(|e| panic!("{e:?}"));
    disk.overwrite(&Path::new(DIR).join("recovery-floor"), b"16\n");
    let (records, aborted) = (dump(&log), aborted(&log));
    let end = log.log_end_offset();
    Sample {
        disk,
        end,
        records: records.unwrap_or_default(),
        aborted,
    }
}

fn the_sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(write)
}

fn path(file: usize) -> PathBuf {
    let of_kind = |path: &PathBuf| path.to_string_lossy().ends_with(FILES[file % FILES.len()]);
    let mut paths = the_sample().disk.paths().into_iter().filter(of_kind);
    let found = if file.is_multiple_of(FILES.len()) {
        paths.next_back()
    } else {
        paths.next()
    };
    found.unwrap_or_else(|| panic!("the sample has no {}", FILES[file % FILES.len()]))
}

/// The good content of a file.
pub(crate) fn sample(file: usize) -> Vec<u8> {
    the_sample().disk.content(&path(file)).unwrap_or_default()
}

/// All records, or nothing when a reader hears of damage.
fn dump(log: &PartitionLog) -> Option<Vec<u8>> {
    let (mut at, end) = (log.log_start_offset(), log.log_end_offset());
    let mut all = Vec::new();
    while at < end {
        let read = log.read(at, 4096, end, true).ok()?;
        assert!(read.next_offset > at, "a reader at {at} does not get on");
        all.extend_from_slice(&read.records);
        at = read.next_offset;
    }
    Some(all)
}

fn aborted(log: &PartitionLog) -> Vec<(i64, i64)> {
    let found = log.aborted_transactions(Offset(0), log.log_end_offset());
    let found = found.unwrap_or_else(|e| panic!("{e:?}"));
    found
        .iter()
        .map(|txn| (txn.first_offset.0, txn.last_offset.0))
        .collect()
}

/// The first byte chooses the file, the second how the log is opened; the rest is the file's content. True when it opened.
pub(crate) fn recovery(data: &[u8]) -> bool {
    let (Some((&[file, how], content)), sample) = (data.split_first_chunk::<2>(), the_sample()) else {
        return false;
    };
    let file = usize::from(file) % FILES.len();
    let disk = sample.disk.copied();
    disk.overwrite(&path(file), content);
    let clean = how & 16 != 0;
    let points = [Offset(0), Offset(sample.end.0 / 2), sample.end];
    // A clean shutdown leaves a checkpoint; who loses it too has nothing left to compare with.
    let trusted = points[usize::from(how) % 3].max(if clean { points[1] } else { points[0] });
    let open = |corruption, clean| {
        PartitionLog::open(OpenOptions {
            clean,
            recovery_point: trusted,
            corruption,
            ..options(&disk)
        })
    };
    let policy = if how & 32 == 0 {
        CorruptionPolicy::Refuse
    } else {
        CorruptionPolicy::Truncate
    };
    let (mut log, report) = match open(policy, clean) {
        Ok(opened) => opened,
        Err(OpenError::Corrupt { .. }) => {
            assert!(file == 0 && policy == CorruptionPolicy::Refuse, "{}", FILES[file]);
            return false;
        }
        Err(error) => panic!("{error:?}"),
    };
    let found = dump(&log);
    if file == 0 {
        let checked = report.segments_scanned > 0 && trusted.0 == 0;
        let context = || format!("{how:#x} {trusted} {report:?}");
        only_valid_batches(found.as_deref().unwrap_or_default(), checked, context);
        let _ = log.offset_for_timestamp(Timestamp(104), log.log_end_offset());
    } else {
        assert_eq!(found.as_ref(), Some(&sample.records), "{}", FILES[file]);
        assert_eq!(aborted(&log), sample.aborted, "{}", FILES[file]);
    }
    // Again, on what the first time left: after a repair, that is not what the clean shutdown left.
    let clean = clean && !report.lost_flushed;
    let (mut again, report) = open(CorruptionPolicy::Refuse, clean).unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(report.cut, None, "a second recovery has nothing to cut");
    assert_eq!(
        (dump(&again), again.log_end_offset()),
        (found, log.log_end_offset())
    );
    assert_eq!(again.epoch_entries(), log.epoch_entries());
    // A snapshot tells nothing of transactions that ended before it; once all is committed they do not matter.
    for log in [&mut log, &mut again] {
        log.on_high_watermark(log.log_end_offset());
    }
    assert_eq!(again.active_producers(), log.active_producers());
    true
}

/// Whole batches in their places; those that nothing vouched for have their checksum.
fn only_valid_batches(found: &[u8], checked: bool, context: impl Fn() -> String) {
    let mut expected = Offset(0);
    for batch in batches(found) {
        let (header, bytes) = batch.unwrap_or_else(|e| panic!("{e:?}, {}", context()));
        assert_eq!(header.base_offset, expected, "{header:?}, {}", context());
        assert!(
            !checked || crc_is_valid(bytes),
            "a batch without its checksum, {}",
            context()
        );
        expected = header.next_offset();
    }
}
