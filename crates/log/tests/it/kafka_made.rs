//! Logs that Apache Kafka 4.3.1 wrote, as kill -9 and as a clean stop left them: every answer is what Kafka's own clients got.
//!
//! `tests/interop/format/make_fixture.sh` writes the fixtures: all codecs, null keys and values, headers, append time, transactions
//! (committed, aborted, open), a compacted log with empty segments and holes, a log start inside a segment, two leader epochs,
//! indexes that Kafka had preallocated with zeros.

use crate::support::{batch, ctx};
use bytes::Bytes;
use milena_log::{LogConfig, LogDir, OpenReport, PartitionLog};
use milena_record::{TimestampType, batches, records};
use milena_types::{BrokerId, Offset, PartitionIndex, Timestamp, TopicId, TopicName, TopicPartition, Uuid};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const TOPICS: [&str; 5] = ["codecs", "appended", "txn", "compacted", "trimmed"];
/// Just after the newest record, or producers would have expired.
const NOW: Timestamp = Timestamp(1_700_005_200_000);

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kafka-4.3.1")
}

fn unpack(how: &str) -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    let archive = fixtures().join(format!("{how}.tar.gz"));
    let mut tar = Command::new("tar");
    let status = tar
        .arg("-xzf")
        .arg(archive)
        .arg("-C")
        .arg(temp.path())
        .status()
        .unwrap();
    assert!(status.success());
    temp
}

fn open(dir: &LogDir, topic: &str) -> (PartitionLog, OpenReport) {
    let partition = TopicPartition {
        topic: TopicName::new(topic).unwrap(),
        partition: PartitionIndex(0),
    };
    let config = LogConfig {
        compact: topic == "compacted",
        retention_ms: -1,
        index_interval_bytes: 256,
        ..LogConfig::default()
    };
    let opts = dir.open_options(partition, TopicId(Uuid::ZERO), Arc::new(config), NOW);
    PartitionLog::open(opts).unwrap()
}

fn hex(bytes: Option<&Bytes>) -> String {
    bytes.map_or("-".to_owned(), |bytes| {
        bytes.iter().fold("x".to_owned(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    })
}

/// What a consumer sees, in the lines of `expected.tsv`; and the offsets of records that are not part of an aborted transaction.
fn read(log: &PartitionLog, topic: &str, stable: Offset, lines: &mut Vec<String>) {
    let end = log.log_end_offset();
    let aborted = log.aborted_transactions(log.log_start_offset(), stable).unwrap();
    let mut committed = Vec::new();
    let mut at = log.log_start_offset();
    while at < end {
        let read = log.read(at, 700, end, true).unwrap();
        assert!(read.next_offset > at, "no progress at {at}");
        for found in batches(&read.records) {
            let (header, bytes) = found.unwrap();
            if header.is_control() {
                continue;
            }
            let append_time = header.timestamp_type() == TimestampType::LogAppendTime;
            let kind = if append_time {
                "LogAppendTime"
            } else {
                "CreateTime"
            };
            for record in records(&Bytes::copy_from_slice(bytes), 1 << 20).unwrap() {
                let (offset, epoch) = (record.offset, header.partition_leader_epoch);
                if offset < log.log_start_offset() {
                    continue;
                }
                let headers: Vec<String> = record
                    .headers
                    .iter()
                    .map(|(name, value)| format!("{}={}", String::from_utf8_lossy(name), hex(value.as_ref())))
                    .collect();
                let (key, value) = (hex(record.key.as_ref()), hex(record.value.as_ref()));
                let (time, headers) = (record.timestamp, headers.join(","));
                lines.push(format!(
                    "record\t{topic}\t{offset}\t{time}\t{kind}\t{epoch}\t{key}\t{value}\t{headers}"
                ));
                let is_aborted = header.is_transactional()
                    && aborted.iter().any(|txn| {
                        Some(txn.producer_id) == header.producer_id
                            && (txn.first_offset..=txn.last_offset).contains(&offset)
                    });
                if offset < stable && !is_aborted {
                    committed.push(offset.to_string());
                }
            }
        }
        at = read.next_offset;
    }
    lines.push(format!("committed\t{topic}\t{}", committed.join(",")));
}

/// Kafka's answers to time lookups in the compacted log are all "none": it asks the first segment, which compaction has emptied, and
/// whose age it takes from its file. Here the right answer is expected.
fn by_time(line: &str, records: &[String]) -> String {
    let wanted = line.split('\t').nth(2).unwrap();
    let field = |record: &String, at| record.split('\t').nth(at).unwrap().to_owned();
    let found = records
        .iter()
        .filter(|record| record.starts_with("record"))
        .find(|record| field(record, 3).as_str() >= wanted);
    let (offset, time) = found.map_or(("-1".to_owned(), "-1".to_owned()), |r| (field(r, 2), field(r, 3)));
    format!("time\tcompacted\t{wanted}\t{offset}\t{time}")
}

fn compare(how: &str, topic: &str, log: &mut PartitionLog) {
    let text = std::fs::read_to_string(fixtures().join("expected.tsv")).unwrap();
    let of_topic = |line: &&str| line.split('\t').nth(1) == Some(topic);
    log.on_high_watermark(log.log_end_offset());
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    let stable = log.first_unstable_offset().unwrap_or(end);
    let mut lines = vec![format!("bounds\t{topic}\t{start}\t{end}\t{stable}")];
    let newest = log.offset_of_max_timestamp(end).unwrap().unwrap();
    lines.push(format!(
        "newest\t{topic}\t{}\t{}",
        newest.offset, newest.timestamp
    ));
    read(log, topic, stable, &mut lines);
    let (mut expected, mut producers) = (Vec::new(), Vec::new());
    for line in text.lines().filter(of_topic) {
        match line.split('\t').next().unwrap() {
            "time" if topic == "compacted" => expected.push(by_time(line, &lines)),
            kind if kind == format!("producer-{how}") => producers.push(line.to_owned()),
            kind if kind.starts_with("producer") => {}
            _ => expected.push(line.to_owned()),
        }
    }
    for line in expected.iter().filter(|line| line.starts_with("time\t")) {
        let wanted = line.split('\t').nth(2).unwrap();
        let found = log
            .offset_for_timestamp(Timestamp(wanted.parse().unwrap()), end)
            .unwrap();
        let (offset, time) = found.map_or((-1, -1), |found| (found.offset.0, found.timestamp.0));
        lines.push(format!("time\t{topic}\t{wanted}\t{offset}\t{time}"));
    }
    for (line, expected) in lines.iter().zip(&expected) {
        assert_eq!(line, expected, "{how}");
    }
    assert_eq!(lines.len(), expected.len(), "{how} {topic}");
    // Kafka forgets producers by the real clock; more may be known here.
    let known: Vec<String> = log
        .active_producers()
        .entries()
        .map(|(id, entry)| {
            let (epoch, sequence) = (entry.epoch.unwrap(), entry.last_sequence().unwrap_or(-1));
            let open = entry.txn_first_offset().map_or(-1, |offset| offset.0);
            let (time, coordinator) = (entry.last_timestamp, entry.coordinator_epoch);
            format!("producer-{how}\t{topic}\t{id}\t{epoch}\t{sequence}\t{time}\t{coordinator}\t{open}")
        })
        .collect();
    for line in &producers {
        assert!(known.contains(line), "{how}: {line} is not among {known:#?}");
    }
}

#[test]
fn a_directory_that_kafka_closed_is_served_as_kafka_serves_it() {
    let temp = unpack("clean");
    let dir = LogDir::open(temp.path(), BrokerId(1), None).unwrap();
    assert!(dir.was_clean().is_some_and(|epoch| epoch.0 > 0));
    let names: Vec<_> = dir
        .partitions()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        names,
        ["appended-0", "codecs-0", "compacted-0", "trimmed-0", "txn-0"]
    );
    for topic in TOPICS {
        let (mut log, report) = open(&dir, topic);
        assert_eq!((report.segments_scanned, report.cut), (0, None), "{topic}");
        compare("clean", topic, &mut log);
    }
}

#[test]
fn a_directory_that_a_killed_kafka_left_loses_nothing() {
    let temp = unpack("killed");
    let dir = LogDir::open(temp.path(), BrokerId(1), None).unwrap();
    assert_eq!(dir.was_clean(), None);
    for topic in TOPICS {
        let (mut log, report) = open(&dir, topic);
        assert_eq!(report.cut, None, "{topic}");
        compare("killed", topic, &mut log);
        drop(log);
        let (mut again, _) = open(&dir, topic);
        compare("killed", topic, &mut again);
    }
}

/// The recovery point may be as old as the log: Kafka writes it once a minute.
#[test]
fn a_directory_without_recovery_points_loses_nothing() {
    let temp = unpack("killed");
    std::fs::remove_file(temp.path().join("recovery-point-offset-checkpoint")).unwrap();
    let dir = LogDir::open(temp.path(), BrokerId(1), None).unwrap();
    for topic in TOPICS {
        let (mut log, report) = open(&dir, topic);
        assert_eq!(report.cut, None, "{topic}");
        compare("killed", topic, &mut log);
    }
}

#[test]
fn what_kafka_wrote_is_appended_to() {
    for how in ["clean", "killed"] {
        let temp = unpack(how);
        let dir = LogDir::open(temp.path(), BrokerId(1), None).unwrap();
        for topic in TOPICS {
            let (mut log, _) = open(&dir, topic);
            let end = log.log_end_offset();
            let appended = log.append_as_leader(batch(&["one", "two"]), &ctx(9)).unwrap();
            assert_eq!(appended.range.from, end, "{how} {topic}");
            log.close().unwrap();
            let (log, report) = open(&dir, topic);
            assert_eq!(
                (log.log_end_offset(), report.cut),
                (end.plus(2), None),
                "{how} {topic}"
            );
            let read = log.read(end, 1, end.plus(2), true).unwrap();
            assert_eq!(
                (read.records, read.next_offset),
                (appended.bytes, end.plus(2)),
                "{how} {topic}"
            );
        }
    }
}

/// Every small file as Kafka wrote it is what Milena would write.
#[test]
fn small_files_are_kafkas_to_the_byte() {
    use milena_log::checkpoint::{encode_epochs, encode_offsets, parse_epochs, parse_offsets};
    let temp = unpack("clean");
    let read = |name: &str| std::fs::read_to_string(temp.path().join(name)).unwrap();
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[2..].sort();
        lines
    };
    for name in ["recovery-point", "replication", "log-start", "cleaner"] {
        let text = read(&format!("{name}-offset-checkpoint"));
        let again = encode_offsets(&parse_offsets(text.as_bytes()).unwrap());
        // Kafka writes the lines in the order of a hash map.
        assert_eq!(
            (sorted(&again), again.len()),
            (sorted(&text), text.len()),
            "{name}"
        );
    }
    for topic in TOPICS {
        let text = read(&format!("{topic}-0/leader-epoch-checkpoint"));
        assert_eq!(
            encode_epochs(&parse_epochs(text.as_bytes()).unwrap()),
            text,
            "{topic}"
        );
    }
    let (kafkas, clean) = (read("meta.properties"), read(".kafka_cleanshutdown"));
    let metadata = read("codecs-0/partition.metadata");
    let dir = LogDir::open(temp.path(), BrokerId(1), None).unwrap();
    let without_date: String = kafkas
        .lines()
        .filter(|line| !line.starts_with("#") || line.len() == 1)
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(dir.meta_properties().encode(), without_date);
    dir.write_clean_shutdown(dir.was_clean().unwrap()).unwrap();
    assert_eq!(read(".kafka_cleanshutdown"), clean);
    // Written when a log's directory is created, from the id of the topic.
    let id: Uuid = metadata.lines().nth(1).unwrap()["topic_id: ".len()..]
        .parse()
        .unwrap();
    let partition = TopicPartition {
        topic: TopicName::new("made-here").unwrap(),
        partition: PartitionIndex(0),
    };
    let opts = dir.open_options(partition, TopicId(id), Arc::new(LogConfig::default()), NOW);
    let (mut log, _) = PartitionLog::open(opts).unwrap();
    log.append_as_leader(batch(&["v"]), &ctx(0)).unwrap();
    assert_eq!(read("made-here-0/partition.metadata"), metadata);
}
