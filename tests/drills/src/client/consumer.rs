//! Consumers that read along, and one that reads everything in the end.

use super::ledger::Ledger;
use crate::Outcome;
use crate::oracle::{Id, Seen};
use milena_cluster_tests::{admin, check};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A consumer of all partitions that notes what it is given.
pub struct Consumers {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Consumers {
    /// Starts it, at offset 0.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub fn start(bootstrap: &str, topic: &str, partitions: i32, ledger: &Ledger) -> Outcome<Self> {
        let told = |error: rdkafka::error::KafkaError| format!("a consumer: {error}");
        let consumer: BaseConsumer = admin::client(bootstrap)
            .set("group.id", "drill")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("socket.timeout.ms", "5000")
            .set("fetch.wait.max.ms", "200")
            .create()
            .map_err(told)?;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            let added = assignment.add_partition_offset(topic, partition, Offset::Offset(0));
            added.map_err(told)?;
        }
        consumer.assign(&assignment).map_err(told)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stop2, ledger) = (Arc::clone(&stop), ledger.clone());
        let thread = std::thread::spawn(move || {
            while !stop2.load(Ordering::Relaxed) {
                // An error is a connection that broke, which it mends itself.
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                    let value = String::from_utf8_lossy(message.payload().unwrap_or_default());
                    ledger.polled(Seen {
                        partition: message.partition(),
                        offset: message.offset(),
                        id: Id::of(&value),
                    });
                }
            }
        });
        Ok(Self { stop, thread })
    }

    /// Stops it.
    pub fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
    }

    /// Everything that is in the topic, read by a new consumer from offset 0.
    ///
    /// # Panics
    /// When it cannot be read to its end within two minutes.
    #[must_use]
    pub fn read_all(bootstrap: &str, topic: &str, partitions: i32) -> BTreeMap<i32, Vec<Seen>> {
        let found = check::read_all(bootstrap, topic, partitions, Duration::from_secs(120));
        let seen = |partition: i32, (offset, value): (i64, String)| Seen {
            partition,
            offset,
            id: Id::of(&value),
        };
        let of = |(partition, records): (i32, Vec<(i64, String)>)| {
            (
                partition,
                records
                    .into_iter()
                    .map(|record| seen(partition, record))
                    .collect(),
            )
        };
        found.into_iter().map(of).collect()
    }
}
