//! KIP-392 with a real consumer: it reads from the replica in its rack, and goes on when that one dies.

use milena_cluster_tests::{Cluster, Load, Settings, admin, until};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientContext, Statistics};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const TOPIC: &str = "racks";
const WAIT: Duration = Duration::from_secs(60);
const SELECTOR: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";

/// Which broker the client reads the partition from, as it says itself.
#[derive(Clone, Default)]
struct ReadsFrom(Arc<Mutex<i32>>);

impl ReadsFrom {
    fn broker(&self) -> i32 {
        *self.0.lock().expect("no panic under the lock")
    }
}

impl ClientContext for ReadsFrom {
    fn stats(&self, statistics: Statistics) {
        let topic = statistics.topics.get(TOPIC);
        if let Some(partition) = topic.and_then(|topic| topic.partitions.get(&0)) {
            *self.0.lock().expect("no panic under the lock") = partition.broker;
        }
    }
}

impl ConsumerContext for ReadsFrom {}

struct Reading {
    consumer: BaseConsumer<ReadsFrom>,
    from: ReadsFrom,
    seen: BTreeMap<i64, String>,
}

impl Reading {
    fn in_rack_of(cluster: &Cluster, broker: i32) -> Self {
        let from = ReadsFrom::default();
        let consumer: BaseConsumer<ReadsFrom> = admin::client(&cluster.bootstrap())
            .set("group.id", "racks")
            .set("client.rack", format!("rack-{broker}"))
            .set("statistics.interval.ms", "100")
            .set("auto.offset.reset", "error")
            .set("topic.metadata.refresh.interval.ms", "1000")
            .create_with_context(from.clone())
            .expect("a consumer");
        let mut assignment = TopicPartitionList::new();
        let added = assignment.add_partition_offset(TOPIC, 0, Offset::Offset(0));
        added.and_then(|()| consumer.assign(&assignment)).expect("assign");
        let seen = BTreeMap::new();
        Self { consumer, from, seen }
    }

    fn poll_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(
                start.elapsed() < WAIT,
                "not within {WAIT:?}: {what}; it reads from {}",
                self.from.broker()
            );
            if let Some(Ok(message)) = self.consumer.poll(Duration::from_millis(100)) {
                let value = String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned();
                let before = self.seen.insert(message.offset(), value);
                assert_eq!(before, None, "offset {} twice", message.offset());
            }
        }
    }
}

#[test]
fn a_consumer_reads_in_its_rack_and_goes_on_when_that_replica_dies() {
    let settings = Settings::default()
        .with("broker.rack", "rack-{id}")
        .with("replica.selector.class", SELECTOR);
    let mut cluster = Cluster::start(3, settings);
    let bootstrap = cluster.bootstrap();
    admin::create_topic(&bootstrap, TOPIC, 1, 3, &[("min.insync.replicas", "2")]);
    admin::wait_full_isr(&bootstrap, TOPIC, 1, WAIT);
    let leader = admin::partitions(&bootstrap, TOPIC)[0].leader;
    let near = cluster
        .ids()
        .into_iter()
        .find(|id| *id != leader)
        .expect("a follower");
    let load = Load::start(&bootstrap, TOPIC, 1, 1000);
    until("acknowledgements", WAIT, || (load.acked() > 1000).then_some(()));

    let mut reading = Reading::in_rack_of(&cluster, near);
    reading.poll_until("records of the follower in its rack", |reading| {
        reading.from.broker() == near && reading.seen.len() > 2000
    });
    cluster.kill(near);
    let before = reading.seen.len();
    reading.poll_until("records of the leader", |reading| {
        reading.from.broker() == leader && reading.seen.len() > before + 1000
    });
    cluster.start_ready(near);
    admin::wait_full_isr(&bootstrap, TOPIC, 1, WAIT);
    let report = load.finish();
    let last = report
        .acked
        .iter()
        .map(|acked| acked.offset)
        .max()
        .expect("acknowledgements");
    reading.poll_until("the last record", |reading| reading.seen.contains_key(&last));
    for acked in &report.acked {
        let value = reading.seen.get(&acked.offset).map_or("", String::as_str);
        let sent = value.split(' ').next();
        assert_eq!(
            sent,
            Some(acked.sequence.to_string().as_str()),
            "offset {}",
            acked.offset
        );
    }
}
