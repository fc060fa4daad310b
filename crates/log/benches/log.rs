//! What a log costs: appends against a bare `pwritev` of the same bytes, recovery against a bare read.
//!
//! `cargo bench -p milena-log [MEBIBYTES]` prints MB per second of CPU time (of this thread, kernel included), MB per second
//! of wall time, and the ratio to the bare call, in CPU time. Everything stays in the page cache: nothing is flushed.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]

use bytes::{Bytes, BytesMut};
use milena_log::{AppendContext, AppendOrigin, CorruptionPolicy, Env, LogConfig, OpenOptions, PartitionLog};
use milena_record::{BatchBuilder, crc32c, stamp};
use milena_types::{
    LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId, TopicName, TopicPartition, Uuid,
};
use std::fs::File;
use std::io::IoSlice;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Batches that are made before the clock runs.
const AHEAD_BYTES: usize = 16 << 20;
const RECORD_BYTES: usize = 1000;

/// CPU time of this thread.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanos = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap();
    Duration::from_nanos(nanos)
}

/// CPU and wall time of what is measured.
#[derive(Clone, Copy, Default)]
struct Cost {
    cpu: Duration,
    wall: Duration,
}

impl Cost {
    fn measure<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (cpu_before, began) = (cpu(), Instant::now());
        let result = work();
        self.wall += began.elapsed();
        self.cpu += cpu() - cpu_before;
        result
    }

    fn print(self, what: &str, bytes: usize, bare: Option<Cost>) {
        let rate = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
        let ratio = bare.map_or(String::new(), |bare| {
            format!("{:8.2} of bare", bare.cpu.as_secs_f64() / self.cpu.as_secs_f64())
        });
        println!(
            "{what:<34} {:8.0} MB/CPU-s {:8.0} MB/s {ratio}",
            rate(self.cpu),
            rate(self.wall)
        );
    }
}

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
    let options = OpenOptions {
        env: Env::real(),
        dir: dir.to_owned(),
        partition: TopicPartition {
            topic: TopicName::new("bench").unwrap(),
            partition: PartitionIndex(0),
        },
        topic_id: TopicId(Uuid([1; 16])),
        config: Arc::new(LogConfig::default()),
        recovery_point: Offset(0),
        log_start_offset: Offset(0),
        compacted: false,
        clean: false,
        has_files: false,
        corruption: CorruptionPolicy::Refuse,
        now: Timestamp(1),
    };
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
    let asked = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let total = asked.unwrap_or(512_usize) << 20;
    for size in [16 << 10, 64 << 10] {
        bench_appends(size, total);
        bench_recovery(size, total);
    }
    // Compaction joins here: MB per second of a log of repeated keys, against a bare copy of what it keeps.
}
