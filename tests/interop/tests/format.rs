//! Kafka's own tools and code over what Milena has on disk: written under load, left by kill -9, recovered, closed.

use milena_cluster_tests::{Cluster, Settings, admin, until};
use milena_interop_tests::disk::{
    LONGEST_EXPIRATION_MS, Verdict, copy_dir, judged_by_kafka, now, seen_by_milena,
};
use milena_log::checkpoint::OffsetCheckpoint;
use milena_log::compaction::{CompactionRules, GroupDone, OffsetMap};
use milena_log::{AppendContext, AppendOrigin, LogConfig, LogDir, PartitionLog};
use milena_record::control::ControlRecord;
use milena_record::{BatchBuilder, Compression, TimestampType, batches, records};
use milena_types::{
    BrokerEpoch, BrokerId, ClusterId, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId,
    Timestamp, TopicId, TopicName, TopicPartition, Uuid,
};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Topics, what the producer compresses with (librdkafka is built with two codecs only), and what the broker stores with.
const CODECS: [(&str, &str, &str); 5] = [
    ("none", "none", "producer"),
    ("gzip", "none", "gzip"),
    ("snappy", "snappy", "producer"),
    ("lz4", "lz4", "producer"),
    ("zstd", "lz4", "zstd"),
];

/// Tells the loads to stop, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn assert_agreed(how: &str, dir: &Path, verdict: &Verdict) {
    let expected = seen_by_milena(dir, BrokerId(1));
    for (ours, kafkas) in expected.iter().zip(&verdict.seen) {
        assert_eq!(ours, kafkas, "{how}: what Milena sees, and what Kafka sees");
    }
    assert_eq!(expected.len(), verdict.seen.len(), "{how}");
}

/// Kafka read two index files for each log; so many segments, one of each partition, may have been killed before theirs were made.
fn assert_indexed(how: &str, verdict: &Verdict, unmade_max: usize) {
    let [logs, indexes, _] = verdict.dumped[..] else {
        panic!("{how}: {:?}", verdict.dumped);
    };
    let complete = 2 * logs;
    assert!(
        (complete - 2 * unmade_max.min(logs)..=complete).contains(&indexes),
        "{how}: {indexes} index files of {logs} logs"
    );
}

/// Sends records of every shape until it is told to stop, or the broker is gone.
fn load(bootstrap: &str, topic: &str, codec: &str, stop: &AtomicBool) {
    let producer: ThreadedProducer<DefaultProducerContext> = admin::client(bootstrap)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("compression.type", codec)
        .set("linger.ms", "2")
        .set("batch.size", "8000")
        .set("queue.buffering.max.messages", "2000")
        .create()
        .expect("producer");
    let mut i = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let noise = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let key = format!("key {i}");
        let value = format!("value {i} {noise:x} {}", "lorem ipsum ".repeat((i % 20) as usize));
        let mut record = BaseRecord::<String, String>::to(topic).partition((i % 2) as i32);
        if i % 5 != 4 {
            record = record.key(&key);
        }
        if i % 7 != 6 {
            record = record.payload(&value);
        }
        if !i.is_multiple_of(3) {
            let value = i.is_multiple_of(2).then_some("header value");
            record = record.headers(OwnedHeaders::new().insert(Header { key: "name", value }));
        }
        match producer.send(record) {
            Ok(()) => i += 1,
            Err(_) => std::thread::yield_now(),
        }
    }
    producer.purge(rdkafka::producer::PurgeConfig::default().queue().inflight());
}

fn segments(dir: &Path) -> usize {
    let logs = std::fs::read_dir(dir).into_iter().flatten().flatten();
    logs.filter(|entry| entry.file_name().to_string_lossy().ends_with(".log"))
        .count()
}

#[test]
fn kafka_finds_nothing_wrong_with_a_broker_killed_under_load() {
    let mut cluster = Cluster::start(1, Settings::default());
    for (topic, _, stored) in CODECS {
        let small = [
            ("internal.segment.bytes", "40000"),
            ("index.interval.bytes", "512"),
            ("compression.type", stored),
        ];
        admin::create_topic(&cluster.bootstrap(), topic, 2, 1, &small);
    }
    let log_dir = cluster.log_dir(1);
    let stop = AtomicBool::new(false);
    let temp = tempfile::tempdir().expect("temporary directory");
    let dead = temp.path().join("dead");
    std::thread::scope(|scope| {
        let stopping = Stop(&stop);
        for (topic, sent, _) in CODECS {
            let (bootstrap, stop) = (cluster.bootstrap(), &stop);
            scope.spawn(move || load(&bootstrap, topic, sent, stop));
        }
        until("every log has several segments", Duration::from_secs(60), || {
            let grown = |topic| (0..2).all(|i| segments(&log_dir.join(format!("{topic}-{i}"))) >= 3);
            CODECS.into_iter().all(|(topic, _, _)| grown(topic)).then_some(())
        });
        cluster.kill(1);
        drop(stopping);
        copy_dir(&log_dir, &dead);
    });

    cluster.start_node(1);
    cluster.wait_brokers(1);
    until("every log is recovered", Duration::from_secs(30), || {
        let said = std::fs::read_to_string(cluster.log_file(1)).unwrap_or_default();
        let recovered = |topic: &str, i| said.contains(&format!("recovered the log partition={topic}-{i}"));
        let all = CODECS
            .iter()
            .all(|(topic, ..)| (0..2).all(|i| recovered(topic, i)));
        all.then_some(())
    });
    cluster.kill(1);
    let recovered = temp.path().join("recovered");
    copy_dir(&log_dir, &recovered);
    cluster.start_node(1);
    cluster.wait_brokers(1);
    cluster.stop(1, Duration::from_secs(30));

    let states = [
        ("dead", dead.as_path()),
        ("recovered", recovered.as_path()),
        ("closed", log_dir.as_path()),
    ];
    let verdicts = judged_by_kafka(&states.map(|(_, dir)| dir));
    for ((how, dir), mut verdict) in states.into_iter().zip(verdicts) {
        if how == "dead" {
            // A write that the death cut short; recovery cuts it off.
            verdict
                .complaints
                .retain(|complaint| !complaint.contains("invalid bytes at the end"));
        } else {
            assert_eq!(verdict.cut_bytes, 0, "{how}: nothing is left to repair");
        }
        assert_eq!(verdict.complaints, Vec::<String>::new(), "{how}");
        assert_indexed(how, &verdict, if how == "dead" { 2 * CODECS.len() } else { 0 });
        assert!(
            verdict.dumped[0] >= 30 && verdict.dumped[2] >= 20,
            "{how}: {:?}",
            verdict.dumped
        );
        assert_agreed(how, dir, &verdict);
        println!(
            "{how}: {:?} files, {} lines agreed",
            verdict.dumped,
            verdict.seen.len()
        );
    }
}

/// Writes through `milena-log` what a broker with a transaction coordinator would: there is none yet.
struct Writer {
    log: PartitionLog,
    sequences: [i32; 3],
    epoch: i32,
    time: i64,
}

impl Writer {
    fn new(dir: &LogDir, topic: &str) -> Self {
        let config = LogConfig {
            segment_bytes: 8000,
            index_interval_bytes: 300,
            timestamp_after_max_ms: i64::MAX,
            ..LogConfig::default()
        };
        let partition = TopicPartition {
            topic: TopicName::new(topic).expect("name"),
            partition: PartitionIndex(0),
        };
        let opts = dir.open_options(partition, TopicId(Uuid([3; 16])), Arc::new(config), now());
        let (log, _) = PartitionLog::open(opts).expect("open");
        Self {
            log,
            sequences: [0; 3],
            epoch: 0,
            time: now().0 - 3_600_000,
        }
    }

    fn context(&self, epoch: i32, origin: AppendOrigin) -> AppendContext {
        AppendContext {
            epoch: LeaderEpoch(epoch),
            now: Timestamp(self.time),
            origin,
        }
    }

    fn data(&mut self, epoch: i32, producer: Option<usize>, count: usize, codec: Compression) {
        self.time += 1000;
        let sequence = producer.map(|id| (ProducerId(70 + id as i64), ProducerEpoch(0), self.sequences[id]));
        let mut builder = BatchBuilder::new(
            Offset(0),
            codec,
            TimestampType::CreateTime,
            sequence,
            producer.is_some(),
            false,
        );
        for i in 0..count {
            // Backwards in time within the batch.
            let time = Timestamp(self.time - i as i64);
            let value = format!("value {} {}", i, "abc ".repeat(10));
            let headers = [("h".into(), (i % 2 == 0).then(|| "v".into()))];
            let headers: &[_] = if i % 3 == 0 { &headers } else { &[] };
            builder.append(
                time,
                Some(b"key"),
                (i % 4 != 3).then_some(value.as_bytes()),
                headers,
            );
        }
        let context = self.context(epoch, AppendOrigin::Client);
        self.log
            .append_as_leader(builder.build(), &context)
            .expect("append");
        if let Some(id) = producer {
            self.sequences[id] += count as i32;
        }
    }

    fn end(&mut self, epoch: i32, producer: usize, kind: ControlRecord) {
        self.time += 10;
        let marker = kind.batch(
            Offset(0),
            Timestamp(self.time),
            (ProducerId(70 + producer as i64), ProducerEpoch(0)),
            5,
        );
        let origin = AppendOrigin::Coordinator {
            marker_epoch_must_grow: false,
        };
        let context = self.context(epoch, origin);
        self.log
            .append_as_leader(marker, &context)
            .expect("append a marker");
    }

    fn flush(&mut self) {
        if let Some(ticket) = self.log.take_flush().expect("ticket") {
            ticket.sync().expect("flush");
            self.log.on_flushed(&ticket);
        }
    }

    /// Transactions of three producers that overlap; the last of each producer stays open.
    fn transactions(&mut self, rounds: usize) {
        for round in 0..rounds {
            self.epoch += i32::from(round % 10 == 9);
            let epoch = self.epoch;
            let codec = Compression::ALL[round % 5];
            self.data(epoch, Some(round % 3), 3 + round % 4, codec);
            self.data(epoch, None, 2, codec);
            self.data(epoch, Some((round + 1) % 3), 2, codec);
            if round % 5 != 4 && round + 3 < rounds {
                let kind = if round % 2 == 0 {
                    ControlRecord::Abort
                } else {
                    ControlRecord::Commit
                };
                self.end(epoch, round % 3, kind);
            }
        }
    }
}

fn offsets(topic: &str, offset: Offset) -> std::collections::BTreeMap<TopicPartition, Offset> {
    let partition = TopicPartition {
        topic: TopicName::new(topic).expect("name"),
        partition: PartitionIndex(0),
    };
    [(partition, offset)].into()
}

fn new_dir(path: &Path) -> LogDir {
    LogDir::open(
        path,
        BrokerId(1),
        Some(&ClusterId("Zm9ybWF0LXRlc3QtMDAwMQ".to_owned())),
    )
    .expect("open")
}

/// Closed, with a log start inside a segment, after retention has taken the segments below it.
fn write_closed(path: &Path) {
    let dir = new_dir(path);
    let mut writer = Writer::new(&dir, "closed");
    writer.transactions(60);
    let end = writer.log.log_end_offset();
    writer.log.on_high_watermark(end);
    writer.log.set_log_start_offset(Offset(301));
    let deleted = writer.log.delete_old_segments(now(), end).expect("retention");
    assert!(!deleted.is_empty());
    writer.log.close().expect("close");
    for (checkpoint, offset) in [
        (OffsetCheckpoint::RecoveryPoint, end),
        (OffsetCheckpoint::HighWatermark, end),
        (OffsetCheckpoint::LogStart, Offset(301)),
    ] {
        dir.write_checkpoint(checkpoint, &offsets("closed", offset))
            .expect("checkpoint");
    }
    dir.write_clean_shutdown(BrokerEpoch(42))
        .expect("clean shutdown file");
}

/// Left by a crash: some is flushed, less is known to be.
fn write_dead(path: &Path) {
    let dir = new_dir(path);
    let mut writer = Writer::new(&dir, "dead");
    writer.transactions(25);
    writer.flush();
    dir.write_checkpoint(
        OffsetCheckpoint::RecoveryPoint,
        &offsets("dead", writer.log.recovery_point()),
    )
    .expect("checkpoint");
    writer.transactions(10);
    writer.flush();
    writer.transactions(25);
}

/// Cut, as a follower that diverged is, and written on; left by a crash.
fn write_cut(path: &Path) {
    let dir = new_dir(path);
    let mut writer = Writer::new(&dir, "cut");
    writer.transactions(40);
    writer.log.truncate_to(Offset(200)).expect("truncate");
    let producers: Vec<_> = writer
        .log
        .active_producers()
        .entries()
        .map(|(id, entry)| (id, entry.last_sequence()))
        .collect();
    for (id, last) in producers {
        writer.sequences[(id.0 - 70) as usize] = last.map_or(0, |last| last + 1);
    }
    for round in 0..10 {
        writer.data(9, Some(round % 3), 2, Compression::Zstd);
        writer.end(9, round % 3, ControlRecord::Abort);
    }
    writer.flush();
}

/// One compaction, as the cleaner does it.
fn compact(log: &mut PartitionLog, now: Timestamp) -> bool {
    let rules = CompactionRules {
        delete_retention_ms: 0,
        ..CompactionRules::default()
    };
    let end = log.log_end_offset();
    let stable = log.first_unstable_offset().unwrap_or(end);
    let Some(cleanable) = log.cleanable(&rules, stable, now).expect("cleanable") else {
        return false;
    };
    let mut job = log.begin_compaction(&cleanable, &rules, end, now);
    let mut map = OffsetMap::new(1 << 20, 0.9);
    job.build_map(&mut map, &mut |_| true).expect("map");
    loop {
        match job.clean_group(&map, &mut |_| true).expect("clean") {
            GroupDone::Last => break,
            GroupDone::Unchanged => {}
            GroupDone::Ready { .. } => {
                job.commit().expect("commit");
                assert!(log.swap_compacted(job.id(), now).expect("swap"));
                job.finish_swap().expect("finish");
            }
        }
    }
    job.write_mark().expect("mark");
    log.compaction_over(job.id(), Some(job.end_offset()));
    true
}

/// Compacted three times, with aborted data, tombstones and markers in every state of their going; then closed.
fn write_compacted(path: &Path) {
    let dir = new_dir(path);
    let mut writer = Writer::new(&dir, "compacted");
    let mut config = LogConfig::clone(writer.log.config());
    config.compact = true;
    writer.log.set_config(Arc::new(config));
    let before_size = |writer: &Writer| writer.log.size_bytes();
    for pass in 0..3 {
        writer.transactions(30);
        writer.flush();
        let end = writer.log.log_end_offset();
        writer.log.on_high_watermark(end);
        let before = before_size(&writer);
        let mut expected = committed(&writer.log);
        assert!(compact(&mut writer.log, Timestamp(now().0 + pass)), "pass {pass}");
        // Every record has the same key: below the clean end only the last one stays.
        let clean = writer.log.clean_offset().expect("clean").0;
        let below = expected.iter().map(|(at, ..)| *at).filter(|at| *at < clean);
        let last = below.max().expect("something is clean");
        expected.retain(|(at, ..)| *at >= last);
        assert_eq!(committed(&writer.log), expected, "pass {pass}");
        assert!(writer.log.size_bytes() < before, "pass {pass}");
    }
    let (end, clean) = (
        writer.log.log_end_offset(),
        writer.log.clean_offset().expect("clean"),
    );
    writer.log.close().expect("close");
    for (checkpoint, offset) in [
        (OffsetCheckpoint::RecoveryPoint, end),
        (OffsetCheckpoint::HighWatermark, end),
        (OffsetCheckpoint::Cleaner, clean),
    ] {
        dir.write_checkpoint(checkpoint, &offsets("compacted", offset))
            .expect("checkpoint");
    }
    dir.write_clean_shutdown(BrokerEpoch(42))
        .expect("clean shutdown file");
}

/// What DumpLogSegments must say of a compacted log, and no more: a line for each record that does not follow the one before it in its
/// file, and one for each time index entry whose batch was emptied and keeps its header for the producer's sake. Sorted.
fn said_of_compacted(partition: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(partition)
        .expect("list")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    names.retain(|path| path.extension().is_some_and(|end| end == "log"));
    let mut lines = Vec::new();
    for log in names {
        let dir = partition.file_name().expect("a name").to_string_lossy();
        let name = log.file_name().expect("a name").to_string_lossy();
        let bytes = bytes::Bytes::from(std::fs::read(&log).expect("read"));
        let base: i64 = name[..20].parse().expect("a base offset");
        let (mut last, mut emptied) = (-1, Vec::new());
        for batch in batches(&bytes) {
            let (header, batch) = batch.expect("a batch");
            let found = records(&bytes.slice_ref(batch), 64 << 20).expect("records");
            if found.is_empty() {
                emptied.push((header.last_offset().0, header.max_timestamp.0));
            }
            for record in found {
                let at = record.offset.0;
                // Of the beginning of a file the tool says so whenever it is not 0.
                if at != last + 1 && (last >= 0 || at != base) {
                    lines.push(format!("  {last} is followed by {at}\t{dir}/{name}"));
                }
                last = at;
            }
        }
        let times = std::fs::read(log.with_extension("timeindex")).expect("read");
        for entry in times.chunks_exact(12) {
            let time = i64::from_be_bytes(entry[..8].try_into().expect("8 bytes"));
            let at = base + i64::from(i32::from_be_bytes(entry[8..].try_into().expect("4 bytes")));
            if emptied.contains(&(at, time)) {
                lines.push(format!(
                    "  Index timestamp: {time}, log timestamp: -1\t{dir}/{}",
                    name.replace("log", "timeindex")
                ));
            }
        }
    }
    lines.sort();
    lines
}

/// Offset, key and value of a data record.
type Data = (i64, Option<Vec<u8>>, Option<Vec<u8>>);

/// Every data record that a read_committed consumer sees.
fn committed(log: &PartitionLog) -> Vec<Data> {
    let (mut at, end) = (log.log_start_offset(), log.log_end_offset());
    let aborted = log.aborted_transactions(at, end).expect("aborted");
    let mut all = Vec::new();
    while at < end {
        let read = log.read(at, 1 << 20, end, true).expect("read");
        for batch in batches(&read.records) {
            let (header, batch) = batch.expect("a batch");
            let hidden = header.is_transactional()
                && aborted.iter().any(|txn| {
                    Some(txn.producer_id) == header.producer_id
                        && (txn.first_offset..=txn.last_offset).contains(&header.base_offset)
                });
            if header.is_control() || hidden {
                continue;
            }
            for record in records(&read.records.slice_ref(batch), 64 << 20).expect("records") {
                all.push((
                    record.offset.0,
                    record.key.map(|k| k.to_vec()),
                    record.value.map(|v| v.to_vec()),
                ));
            }
        }
        at = read.next_offset;
    }
    all
}

#[test]
fn kafka_finds_nothing_wrong_with_transactions() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let at = |name: &str| temp.path().join(name);
    write_closed(&at("closed"));
    write_dead(&at("dead"));
    write_cut(&at("cut"));
    write_compacted(&at("compacted"));
    let states = ["closed", "dead", "cut", "compacted"].map(|name| (name, at(name)));
    let verdicts = judged_by_kafka(&states.each_ref().map(|(_, dir)| dir.as_path()));
    for ((how, dir), mut verdict) in states.iter().zip(verdicts) {
        let expected = match *how {
            "compacted" => said_of_compacted(&dir.join("compacted-0")),
            _ => Vec::new(),
        };
        verdict.complaints.sort();
        // Two modes print the same.
        verdict.complaints.dedup();
        assert_eq!(verdict.complaints, expected, "{how}");
        assert_eq!(verdict.cut_bytes, 0, "{how}");
        assert_indexed(how, &verdict, 0);
        assert_agreed(how, dir, &verdict);
        println!(
            "{how}: {:?} files, {} lines agreed",
            verdict.dumped,
            verdict.seen.len()
        );
    }
}

/// A directory that a killed Kafka left, recovered and written on by Milena, goes back to Kafka.
#[test]
fn kafka_takes_back_what_milena_recovered() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let archive = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../crates/log/tests/fixtures/kafka-4.3.1/killed.tar.gz");
    let mut tar = std::process::Command::new("tar");
    let status = tar.arg("-xzf").arg(archive).arg("-C").arg(temp.path()).status();
    assert!(status.expect("run tar").success());
    let dir = LogDir::open(temp.path(), BrokerId(1), None).expect("open");
    let mut ends = std::collections::BTreeMap::new();
    let mut starts = std::collections::BTreeMap::new();
    for partition in dir.partitions().expect("list") {
        let config = LogConfig {
            compact: partition.topic.as_str() == "compacted",
            // As both readers below: the producers of an archive grow old.
            producer_expiration_ms: LONGEST_EXPIRATION_MS,
            ..LogConfig::default()
        };
        let opts = dir.open_options(partition.clone(), TopicId(Uuid::ZERO), Arc::new(config), now());
        let (mut log, _) = PartitionLog::open(opts).expect("open");
        let mut builder = BatchBuilder::plain(Offset(0));
        builder.append(now(), Some(b"key"), Some(b"appended by Milena"), &[]);
        let context = AppendContext {
            epoch: LeaderEpoch(7),
            now: now(),
            origin: AppendOrigin::Client,
        };
        log.append_as_leader(builder.build(), &context).expect("append");
        log.close().expect("close");
        ends.insert(partition.clone(), log.log_end_offset());
        starts.insert(partition, log.log_start_offset());
    }
    assert_eq!(ends.len(), 5);
    for (checkpoint, offsets) in [
        (OffsetCheckpoint::RecoveryPoint, &ends),
        (OffsetCheckpoint::HighWatermark, &ends),
        (OffsetCheckpoint::LogStart, &starts),
    ] {
        dir.write_checkpoint(checkpoint, offsets).expect("checkpoint");
    }
    dir.write_clean_shutdown(BrokerEpoch(43))
        .expect("clean shutdown file");
    drop(dir);
    let mut verdict = judged_by_kafka(&[temp.path()]).remove(0);
    verdict.complaints.sort();
    verdict.complaints.dedup();
    assert_eq!(
        verdict.complaints,
        said_of_compacted(&temp.path().join("compacted-0"))
    );
    assert_eq!(verdict.cut_bytes, 0);
    assert_indexed("taken back", &verdict, 0);
    assert_agreed("taken back", temp.path(), &verdict);
    println!(
        "taken back: {:?} files, {} lines agreed",
        verdict.dumped,
        verdict.seen.len()
    );
}
