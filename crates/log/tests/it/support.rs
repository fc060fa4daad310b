//! A log on an in-memory disk, and batches to put into it.

use bytes::{Bytes, BytesMut};
use milena_log::env::{FaultyFileSystem, FileSystem};
use milena_log::{
    AppendContext, AppendError, AppendOrigin, Appended, Env, LogConfig, OpenError, OpenOptions, OpenReport,
    PartitionLog,
};
use milena_record::{BatchBuilder, BatchHeader, Compression, TimestampType, batches, records};
use milena_types::{
    LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Timestamp, TopicId, TopicName,
    TopicPartition, Uuid,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) const DIR: &str = "/logs/topic-0";

/// An in-memory disk with a log directory on it.
pub(crate) fn disk() -> FaultyFileSystem {
    let fs = FaultyFileSystem::default();
    fs.create_dir_all(Path::new("/logs")).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    fs
}

/// A topic with tiny segments and an index entry every 200 bytes.
pub(crate) fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 600,
        index_interval_bytes: 200,
        ..LogConfig::default()
    }
}

pub(crate) fn options(fs: &FaultyFileSystem, config: &LogConfig) -> OpenOptions {
    let partition = TopicPartition {
        topic: TopicName::new("topic").unwrap(),
        partition: PartitionIndex(0),
    };
    let (env, id) = (Env::with(Arc::new(fs.clone()), 4), TopicId(Uuid([7; 16])));
    let (config, now) = (Arc::new(config.clone()), Timestamp(1_000_000));
    OpenOptions::new(env, PathBuf::from(DIR), partition, id, config, now)
}

pub(crate) fn open(fs: &FaultyFileSystem, config: &LogConfig) -> (PartitionLog, OpenReport) {
    PartitionLog::open(options(fs, config)).unwrap()
}

pub(crate) fn open_at(
    fs: &FaultyFileSystem,
    config: &LogConfig,
    recovery_point: Offset,
) -> Result<(PartitionLog, OpenReport), OpenError> {
    PartitionLog::open(OpenOptions {
        recovery_point,
        ..options(fs, config)
    })
}

pub(crate) fn ctx(epoch: i32) -> AppendContext {
    AppendContext {
        epoch: LeaderEpoch(epoch),
        now: Timestamp(1_000_000),
        origin: AppendOrigin::Client,
    }
}

/// A batch of these values with timestamps 1000, 1001 …
pub(crate) fn batch(values: &[&str]) -> BytesMut {
    batch_at(1000, values)
}

pub(crate) fn batch_at(timestamp: i64, values: &[&str]) -> BytesMut {
    let mut builder = BatchBuilder::plain(Offset(0));
    for (i, value) in values.iter().enumerate() {
        builder.append(
            Timestamp(timestamp + i as i64),
            Some(b"k"),
            Some(value.as_bytes()),
            &[],
        );
    }
    builder.build()
}

/// A batch of `count` records of an idempotent or transactional producer.
pub(crate) fn produced(id: i64, epoch: i16, sequence: i32, count: usize, transactional: bool) -> BytesMut {
    let producer = Some((ProducerId(id), ProducerEpoch(epoch), sequence));
    let mut builder = BatchBuilder::new(
        Offset(0),
        Compression::None,
        TimestampType::CreateTime,
        producer,
        transactional,
        false,
    );
    for i in 0..count {
        builder.append(Timestamp(1000 + i as i64), Some(b"k"), Some(b"value"), &[]);
    }
    builder.build()
}

pub(crate) fn append(log: &mut PartitionLog, values: &[&str]) -> Appended {
    log.append_as_leader(batch(values), &ctx(0)).unwrap()
}

pub(crate) fn try_append(log: &mut PartitionLog, batch: BytesMut) -> Result<Appended, AppendError> {
    log.append_as_leader(batch, &ctx(0))
}

/// Flushes as a flusher thread would.
pub(crate) fn flush(log: &mut PartitionLog) {
    if let Some(ticket) = log.take_flush().unwrap() {
        ticket.sync().unwrap();
        log.on_flushed(&ticket);
    }
}

/// Removes what was taken out of the log, as is done some time later.
pub(crate) fn remove_retired(log: &mut PartitionLog) {
    for removal in log.take_removals(Timestamp(i64::MAX)) {
        removal.run().unwrap();
    }
}

/// Shows every batch of the log, by reads of `step` bytes.
pub(crate) fn each_batch(log: &PartitionLog, step: usize, mut see: impl FnMut(BatchHeader, &[u8])) {
    let mut at = log.log_start_offset();
    while at < log.log_end_offset() {
        let read = log.read(at, step, log.log_end_offset(), true).unwrap();
        assert!(read.next_offset > at, "no progress at {at}");
        for batch in batches(&read.records) {
            let (header, bytes) = batch.unwrap();
            see(header, bytes);
        }
        at = read.next_offset;
    }
}

/// Every record of the log as (offset, value), by reads of `step` bytes.
pub(crate) fn dump(log: &PartitionLog, step: usize) -> Vec<(i64, String)> {
    let mut all = Vec::new();
    each_batch(log, step, |_, bytes| {
        for record in records(&Bytes::copy_from_slice(bytes), 1 << 20).unwrap() {
            let value = record.value.unwrap_or_default();
            all.push((record.offset.0, String::from_utf8_lossy(&value).into_owned()));
        }
    });
    all
}

pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// The files on the disk whose path ends so, in order.
pub(crate) fn files(fs: &FaultyFileSystem, ending: &str) -> Vec<PathBuf> {
    let ends_so = |path: &PathBuf| path.to_string_lossy().ends_with(ending);
    fs.paths().into_iter().filter(ends_so).collect()
}

/// On the machine's own disk: only that one has file times.
pub(crate) fn real(temp: &tempfile::TempDir, config: &LogConfig) -> OpenOptions {
    OpenOptions {
        env: Env::real(),
        dir: temp.path().join("topic-0"),
        ..options(&disk(), config)
    }
}

pub(crate) fn set_modified(path: &Path, seconds: u64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
        .unwrap();
}
