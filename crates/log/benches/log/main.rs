//! What a log costs: appends against a bare `pwritev` of the same bytes, recovery against a bare read, compaction against a
//! bare copy.
//!
//! `cargo bench -p milena-log -- [MEBIBYTES] [NAME]` prints MB per second of CPU time (of this thread, kernel included), MB
//! per second of wall time, and the ratio to the bare call, in CPU time; of the benches with NAME in their names only, when it
//! is given. Everything stays in the page cache; only a compaction and the copy beside it force what they write to the disk.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]

mod compaction;
mod cost;

use bytes::{Bytes, BytesMut};
use cost::Cost;
use milena_log::{AppendContext, AppendOrigin, Env, LogConfig, OpenOptions, PartitionLog};
use milena_record::{BatchBuilder, crc32c, stamp};
use milena_types::{
    LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId, TopicName, TopicPartition, Uuid,
};
use std::fs::File;
use std::io::IoSlice;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Batches that are made before the clock runs.
const AHEAD_BYTES: usize = 16 << 20;
const RECORD_BYTES: usize = 1000;

fn batch(bytes: usize) -> BytesMut {
    let mut builder = BatchBuilder::plain(Offset(0));
    while builder.size_bytes() + RECORD_BYTES < bytes {
        builder.append(
            Timestamp(1),
            Some(b"a key"),
            Some(&[b'v'; RECORD_BYTES - 20]),
            &[],
        );
    }
    builder.build()
}

fn open(dir: &Path) -> PartitionLog {
    let partition = TopicPartition {
        topic: TopicName::new("bench").unwrap(),
        partition: PartitionIndex(0),
    };
    let (id, config) = (TopicId(Uuid([1; 16])), Arc::new(LogConfig::default()));
    let options = OpenOptions::new(Env::real(), dir.to_owned(), partition, id, config, Timestamp(1));
    PartitionLog::open(options).unwrap().0
}

/// Runs `write` for batches of together `total` bytes, some of them made ahead each time.
fn appends(template: &BytesMut, total: usize, mut write: impl FnMut(BytesMut)) -> Cost {
    let mut cost = Cost::default();
    let mut left = total / template.len();
    while left > 0 {
        let many = left.min(AHEAD_BYTES / template.len());
        let ahead: Vec<BytesMut> = (0..many).map(|_| template.clone()).collect();
        cost.measure(|| ahead.into_iter().for_each(&mut write));
        left -= many;
    }
    cost
}

fn bench_appends(size: usize, total: usize) {
    let template = batch(size);
    let temp = tempfile::tempdir().unwrap();
    let file = File::create(temp.path().join("bare")).unwrap();
    let mut at = 0;
    let bare = appends(&template, total, |batch| {
        at += rustix::io::pwritev(&file, &[IoSlice::new(&batch)], at).unwrap() as u64;
    });
    bare.print(&format!("bare pwritev, {} KiB", size >> 10), total, None);

    let temp = tempfile::tempdir().unwrap();
    let mut log = open(&temp.path().join("bench-0"));
    let context = AppendContext {
        epoch: LeaderEpoch(0),
        now: Timestamp(1),
        origin: AppendOrigin::Client,
    };
    let leader = appends(&template, total, |batch| {
        log.append_as_leader(batch, &context).unwrap();
    });
    leader.print(
        &format!("append as leader, {} KiB", size >> 10),
        total,
        Some(bare),
    );

    let temp = tempfile::tempdir().unwrap();
    let mut log = open(&temp.path().join("bench-0"));
    let follower = appends(&template, total, |mut batch| {
        stamp(&mut batch, log.log_end_offset(), LeaderEpoch(0));
        log.append_as_follower(batch.freeze(), LeaderEpoch(0), Timestamp(1))
            .unwrap();
    });
    follower.print(
        &format!("append as follower, {} KiB", size >> 10),
        total,
        Some(bare),
    );
}

fn bench_recovery(size: usize, total: usize) {
    let template = batch(size);
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("bench-0");
    let mut log = open(&dir);
    appends(&template, total, |mut batch| {
        stamp(&mut batch, log.log_end_offset(), LeaderEpoch(0));
        log.append_as_follower(Bytes::from(batch), LeaderEpoch(0), Timestamp(1))
            .unwrap();
    });
    let (end, bytes) = (log.log_end_offset(), usize::try_from(log.size_bytes()).unwrap());
    drop(log);
    let file = File::open(dir.join("00000000000000000000.log")).unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut bare = Cost::default();
    bare.measure(|| {
        let mut at = 0;
        while let Ok(n @ 1..) = file.read_at(&mut buffer, at) {
            std::hint::black_box(crc32c(&buffer[..n]));
            at += n as u64;
        }
    });
    bare.print("bare pread and CRC-32C", bytes, None);
    let mut cost = Cost::default();
    let log = cost.measure(|| open(&dir));
    assert_eq!(log.log_end_offset(), end);
    cost.print(
        &format!("recovery, {} KiB batches", size >> 10),
        bytes,
        Some(bare),
    );
}

fn main() {
    // cargo passes `--bench`.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let mebibytes = words.iter().find_map(|word| word.parse::<usize>().ok());
    let total = mebibytes.unwrap_or(512) << 20;
    let name = words.iter().find(|word| word.parse::<usize>().is_err());
    let is_asked = |bench: &str| name.is_none_or(|name| bench.contains(name.as_str()));
    for size in [16 << 10, 64 << 10] {
        if is_asked("append") {
            bench_appends(size, total);
        }
        if is_asked("recovery") {
            bench_recovery(size, total);
        }
    }
    compaction::bench(total / 4, is_asked);
}
