//! The checker: what was acknowledged against what can be read.

use crate::admin::client;
use crate::load::LoadReport;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Everything in a topic, by partition: (offset, value).
///
/// # Panics
/// When the topic cannot be read to its end within `deadline`.
#[must_use]
pub fn read_all(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
    deadline: Duration,
) -> HashMap<i32, Vec<(i64, String)>> {
    let consumer: BaseConsumer = client(bootstrap)
        .set("group.id", format!("check-{topic}"))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        .create()
        .expect("consumer");
    let mut assignment = TopicPartitionList::new();
    for p in 0..partitions {
        assignment
            .add_partition_offset(topic, p, Offset::Offset(0))
            .expect("assignment");
    }
    consumer.assign(&assignment).expect("assign");
    let (mut found, mut at_end) = (
        HashMap::<i32, Vec<(i64, String)>>::new(),
        std::collections::HashSet::new(),
    );
    let start = Instant::now();
    while at_end.len() < usize::try_from(partitions).unwrap_or(0) {
        assert!(
            start.elapsed() < deadline,
            "{topic} not read within {deadline:?}: ends {at_end:?}"
        );
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(m)) => {
                let value = String::from_utf8_lossy(m.payload().unwrap_or_default()).into_owned();
                found.entry(m.partition()).or_default().push((m.offset(), value));
            }
            Some(Err(KafkaError::PartitionEOF(p))) => {
                at_end.insert(p);
            }
            Some(Err(error)) => panic!("reading {topic}: {error}"),
            None => {}
        }
    }
    found
}

/// Checks INV-R-1 and idempotence from outside: every acknowledged record is there exactly once, at the offset that the producer was
/// told, in order per partition; nothing is there that was not sent.
///
/// # Panics
/// With every difference found, at most twenty of them; when nothing was acknowledged.
pub fn assert_nothing_lost(bootstrap: &str, topic: &str, partitions: i32, report: &LoadReport) {
    assert!(!report.acked.is_empty(), "{topic}: nothing was acknowledged");
    let found = read_all(bootstrap, topic, partitions, Duration::from_secs(120));
    let mut faults = Vec::new();
    let mut seen: HashMap<u64, (i32, i64)> = HashMap::new();
    for (partition, records) in &found {
        let mut last = None;
        for (offset, value) in records {
            let Some(sequence) = value.split(' ').next().and_then(|s| s.parse::<u64>().ok()) else {
                faults.push(format!("{topic}-{partition}@{offset}: a foreign value {value:?}"));
                continue;
            };
            if sequence >= report.sent {
                faults.push(format!(
                    "{topic}-{partition}@{offset}: record {sequence} was never sent"
                ));
            }
            if let Some((p, o)) = seen.insert(sequence, (*partition, *offset)) {
                faults.push(format!(
                    "record {sequence} is at {partition}@{offset} and at {p}@{o}: a duplicate"
                ));
            }
            if last.is_some_and(|l| l >= sequence) {
                faults.push(format!(
                    "{topic}-{partition}@{offset}: record {sequence} after {last:?}: out of order"
                ));
            }
            last = Some(sequence);
        }
    }
    for acked in &report.acked {
        match seen.get(&acked.sequence) {
            None => faults.push(format!(
                "record {} acknowledged at {}@{} is LOST",
                acked.sequence, acked.partition, acked.offset
            )),
            Some((p, o)) if (*p, *o) != (acked.partition, acked.offset) => faults.push(format!(
                "record {} acknowledged at {}@{} is at {p}@{o}",
                acked.sequence, acked.partition, acked.offset
            )),
            Some(_) => {}
        }
    }
    assert!(
        faults.is_empty(),
        "{} faults in {} acknowledged records:\n{}",
        faults.len(),
        report.acked.len(),
        faults.iter().take(20).cloned().collect::<Vec<_>>().join("\n")
    );
}
