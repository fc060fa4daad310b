//! Log directories as Kafka's own code sees them, and as Milena does: the same lines, to be compared.
//!
//! `format/Check.java` runs DumpLogSegments over every file and opens every partition with Kafka's `UnifiedLog`.

use bytes::Bytes;
use milena_log::{LogConfig, LogDir, PartitionLog};
use milena_record::{batches, crc32c, records};
use milena_types::{BrokerId, Timestamp, TopicId, Uuid};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// `producer.id.expiration.ms` of both readers, the longest that Kafka can be told: what they see must not depend on the day.
pub const LONGEST_EXPIRATION_MS: i64 = i32::MAX as i64;

/// What Kafka says about one log directory.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// What DumpLogSegments complains about.
    pub complaints: Vec<String>,
    /// How many log, index and other files it read.
    pub dumped: Vec<usize>,
    /// Bytes that the start of a Kafka broker would cut off, over all partitions.
    pub cut_bytes: i64,
    /// Lines that [`seen_by_milena`] gives too.
    pub seen: Vec<String>,
}

/// Has Kafka read log directories, in copies: a verdict each.
///
/// # Panics
/// When Java cannot run the program, Kafka's code throws, or a line of its verdict cannot be read.
#[must_use]
pub fn judged_by_kafka(dirs: &[&Path]) -> Vec<Verdict> {
    let temp = tempfile::tempdir().expect("temporary directory");
    let copies: Vec<PathBuf> = (0..dirs.len()).map(|i| temp.path().join(i.to_string())).collect();
    for (dir, copy) in dirs.iter().zip(&copies) {
        copy_dir(dir, copy);
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = Command::new("timeout")
        .args(["-k", "5", "120", "bash"])
        .arg(here.join("format/check.sh"))
        .args(&copies)
        .output()
        .expect("run Kafka's code");
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let mut verdicts: Vec<Verdict> = Vec::new();
    for line in text.lines() {
        let (kind, rest) = line.split_once('\t').unwrap_or((line, ""));
        if kind == "dir" {
            verdicts.push(Verdict::default());
        }
        let Some(verdict) = verdicts.last_mut() else {
            continue;
        };
        match kind {
            "complaint" => verdict.complaints.push(rest.to_owned()),
            "dumped" => {
                let counts = rest.split('\t').map(|n| n.parse().expect("a count"));
                verdict.dumped = counts.collect();
            }
            "cut" => verdict.cut_bytes += rest.parse::<i64>().expect("a number of bytes"),
            "meta" | "clean" | "log" | "epoch" | "producer" | "unstable" => {
                verdict.seen.push(line.to_owned())
            }
            _ => {}
        }
    }
    assert_eq!(verdicts.len(), dirs.len(), "{text}");
    verdicts
}

/// The lines that Kafka's verdict must have, from opening a copy of the directory with `milena-log`.
///
/// # Panics
/// When the directory cannot be opened.
#[must_use]
pub fn seen_by_milena(dir: &Path, node: BrokerId) -> Vec<String> {
    let temp = tempfile::tempdir().expect("temporary directory");
    let copy = temp.path().join("log");
    copy_dir(dir, &copy);
    let dir = LogDir::open(&copy, node, None).expect("open the log directory");
    let (meta, clean) = (dir.meta_properties(), dir.was_clean());
    let mut lines = vec![
        format!(
            "meta\tV1\t{}\t{}\t{}",
            meta.cluster_id,
            meta.node_id,
            dir.directory_id()
        ),
        format!(
            "clean\t{}\t{}",
            clean.is_some(),
            clean.map_or("-".to_owned(), |epoch| epoch.to_string())
        ),
    ];
    for partition in dir.partitions().expect("list the partitions") {
        let name = partition.to_string();
        let config = Arc::new(LogConfig {
            retention_ms: -1,
            producer_expiration_ms: LONGEST_EXPIRATION_MS,
            ..LogConfig::default()
        });
        let path = dir.partition_path(&partition).join("partition.metadata");
        let text = std::fs::read_to_string(path).expect("read the topic's id");
        let id: Uuid = text
            .lines()
            .find_map(|line| line.strip_prefix("topic_id: "))
            .expect("a topic id")
            .parse()
            .expect("an id");
        let (mut log, _) = PartitionLog::open(dir.open_options(partition, TopicId(id), config, now()))
            .expect("open the log");
        log.on_high_watermark(log.log_end_offset());
        describe(&log, &name, &id, &mut lines);
    }
    lines
}

fn describe(log: &PartitionLog, name: &str, id: &Uuid, lines: &mut Vec<String>) {
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    let (mut count, mut content, mut at) = (0, Vec::new(), start);
    while at < end {
        let read = log.read(at, 1 << 20, end, true).expect("read the log");
        for batch in batches(&read.records) {
            let (_, bytes) = batch.expect("a batch");
            for record in records(&Bytes::copy_from_slice(bytes), 64 << 20).expect("records") {
                if record.offset < start {
                    continue;
                }
                let size = |field: &Option<Bytes>| {
                    field
                        .as_ref()
                        .map_or("-1".to_owned(), |bytes| bytes.len().to_string())
                };
                let head = format!(
                    "{} {} {} {}",
                    record.offset,
                    record.timestamp,
                    size(&record.key),
                    size(&record.value)
                );
                content.extend_from_slice(head.as_bytes());
                content.extend_from_slice(&record.key.unwrap_or_default());
                content.extend_from_slice(&record.value.unwrap_or_default());
                count += 1;
            }
        }
        at = read.next_offset;
    }
    let (segments, crc) = (log.segments(), crc32c(&content));
    lines.push(format!(
        "log\t{name}\t{id}\t{start}\t{end}\t{segments}\t{count}\t{crc}"
    ));
    for (epoch, start) in log.epoch_entries() {
        lines.push(format!("epoch\t{name}\t{epoch}\t{start}"));
    }
    let mut producers: Vec<_> = log.active_producers().entries().collect();
    producers.sort_by_key(|(id, _)| *id);
    for (id, entry) in producers {
        let (epoch, sequence) = (
            entry.epoch.map_or(-1, |epoch| epoch.0),
            entry.last_sequence().unwrap_or(-1),
        );
        let (time, coordinator) = (entry.last_timestamp, entry.coordinator_epoch);
        let open = entry.txn_first_offset().map_or(-1, |offset| offset.0);
        lines.push(format!(
            "producer\t{name}\t{id}\t{epoch}\t{sequence}\t{time}\t{coordinator}\t{open}"
        ));
    }
    let unstable = log
        .active_producers()
        .first_unstable_offset()
        .map_or(-1, |offset| offset.0);
    lines.push(format!("unstable\t{name}\t{unstable}"));
}

/// The clock.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or_default())
}

/// Copies a directory whose owner is gone, holes included.
///
/// # Panics
/// When `cp` fails.
pub fn copy_dir(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .args(["-r", "--sparse=always"])
        .arg(from)
        .arg(to)
        .status();
    assert!(status.expect("run cp").success());
}
