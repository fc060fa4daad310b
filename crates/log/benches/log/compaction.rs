//! What a compaction costs, by bytes of the log before it, beside a bare copy of that log.

use crate::cost::Cost;
use crate::open;
use milena_log::PartitionLog;
use milena_log::compaction::{CompactionRules, GroupDone, OffsetMap};
use milena_record::{BatchBuilder, Compression, TimestampType, stamp};
use milena_types::{LeaderEpoch, Offset, Timestamp};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const BATCH_BYTES: usize = 64 << 10;
const RECORD_BYTES: usize = 1000;
/// Kafka's `log.cleaner.dedupe.buffer.size`.
const MAP_BYTES: usize = 128 << 20;

/// Which records are superseded by later ones.
#[derive(Clone, Copy)]
enum Keys {
    /// Most of them: each key comes fifty times.
    Few,
    /// One in twenty, anywhere: hardly a batch stays as it is.
    Scattered,
    /// The first twentieth, by the last: a batch stays or goes.
    Whole,
}

impl Keys {
    const ALL: [(Keys, &str); 3] = [
        (Keys::Few, "few records stay"),
        (Keys::Scattered, "most stay, scattered"),
        (Keys::Whole, "most stay, by batches"),
    ];

    /// The key of record number `at` of `count`.
    fn key(self, at: u64, count: u64, random: &mut Random) -> u64 {
        match self {
            Keys::Few => random.below(count.div_ceil(50)),
            Keys::Scattered if random.below(20) == 0 => random.below(at + 1),
            Keys::Scattered => at,
            Keys::Whole => at % (count - count / 20),
        }
    }
}

/// The same numbers in every run: xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Text of some 1000 words: a codec halves it, more or less.
    fn text(&mut self, bytes: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(bytes + 16);
        while text.len() < bytes {
            let word = 1_000_003 * (17 + self.below(1000));
            text.extend_from_slice(format!("{word:x} ").as_bytes());
        }
        text.truncate(bytes);
        text
    }
}

/// Appends records of together `total` bytes before compression, and closes the segment; its size.
fn fill(log: &mut PartitionLog, keys: Keys, codec: Compression, total: usize) -> usize {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    // Enough of them that no batch has one twice.
    let values: Vec<Vec<u8>> = (0..509).map(|_| random.text(RECORD_BYTES - 36)).collect();
    let count = (total / RECORD_BYTES) as u64;
    let mut at = 0;
    while at < count {
        let base = log.log_end_offset();
        let mut builder = BatchBuilder::new(base, codec, TimestampType::CreateTime, None, false, false);
        while at < count && builder.size_bytes() + RECORD_BYTES < BATCH_BYTES {
            let key = format!("key-{:016x}", keys.key(at, count, &mut random));
            let value = &values[usize::try_from(at).unwrap() % values.len()];
            builder.append(Timestamp(1), Some(key.as_bytes()), Some(value), &[]);
            at += 1;
        }
        let mut batch = builder.build();
        stamp(&mut batch, base, LeaderEpoch(0));
        log.append_as_follower(batch.freeze(), LeaderEpoch(0), Timestamp(1))
            .unwrap();
    }
    let bytes = usize::try_from(log.size_bytes()).unwrap();
    log.roll(Timestamp(1)).unwrap();
    let ticket = log.take_flush().unwrap().unwrap();
    ticket.sync().unwrap();
    log.on_flushed(&ticket);
    log.on_high_watermark(log.log_end_offset());
    bytes
}

/// Reads a log and writes it again, as large as the cleaner's buffers are, and forces it to the disk.
fn copy(from: &Path, to: &Path) {
    let (from, to) = (File::open(from).unwrap(), File::create(to).unwrap());
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while let Ok(n @ 1..) = from.read_at(&mut buffer, at) {
        to.write_all_at(&buffer[..n], at).unwrap();
        at += n as u64;
    }
    to.sync_data().unwrap();
}

/// The whole of a compaction, the log's part included; bytes before and after.
fn compact(log: &mut PartitionLog) -> (u64, u64) {
    let (rules, now, end) = (CompactionRules::default(), Timestamp(1), log.log_end_offset());
    let cleanable = log.cleanable(&rules, end, now).unwrap().unwrap();
    let mut job = log.begin_compaction(&cleanable, &rules, end, now);
    let mut map = OffsetMap::new(MAP_BYTES, 0.9);
    let mut pace = |_| true;
    job.build_map(&mut map, &mut pace).unwrap();
    loop {
        match job.clean_group(&map, &mut pace).unwrap() {
            GroupDone::Last => break,
            GroupDone::Unchanged => {}
            GroupDone::Ready { .. } => {
                job.commit().unwrap();
                assert!(log.swap_compacted(job.id(), now).unwrap());
                job.finish_swap().unwrap();
            }
        }
    }
    assert_eq!(job.end_offset(), end);
    job.write_mark().unwrap();
    log.compaction_over(job.id(), Some(end));
    (job.stats().bytes_before, job.stats().bytes_after)
}

/// Fills a log, copies it, and compacts it: what the copy and the compaction took, bytes before and after.
fn run(keys: Keys, codec: Compression, total: usize) -> (Cost, Cost, usize, u64) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("bench-0");
    let mut log = open(&dir);
    let bytes = fill(&mut log, keys, codec, total);
    let segment = dir.join(format!("{:020}.log", Offset::ZERO.0));
    let (mut bare, mut cost) = (Cost::default(), Cost::default());
    bare.measure(|| copy(&segment, &temp.path().join("bare")));
    let (before, after) = cost.measure(|| compact(&mut log));
    assert_eq!(usize::try_from(before), Ok(bytes));
    (bare, cost, bytes, after)
}

/// Compacts logs of `total` bytes before compression, each three times; the cheapest counts, and of the copies too.
pub(crate) fn bench(total: usize, is_asked: impl Fn(&str) -> bool) {
    for codec in [Compression::None, Compression::Lz4, Compression::Zstd] {
        for (keys, name) in Keys::ALL {
            let name = format!("compaction, {codec:?}, {name}");
            if !is_asked(&name) {
                continue;
            }
            let mut least: Option<(Cost, Cost, usize, u64)> = None;
            for _ in 0..3 {
                let (bare, cost, bytes, after) = run(keys, codec, total);
                let (bare_before, cost_before) = least.map(|(bare, cost, ..)| (bare, cost)).unzip();
                least = Some((bare.least(bare_before), cost.least(cost_before), bytes, after));
            }
            let (bare, cost, bytes, after) = least.unwrap();
            bare.print("bare copy", bytes, None);
            let kept = 100 * after / bytes as u64;
            cost.print(&format!("{name} ({kept} %)"), bytes, Some(bare));
        }
    }
}
