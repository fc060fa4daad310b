//! The cleaner of a real node as its operator sees it: metrics, and settings that are altered while it runs.

use milena_cluster_tests::{Cluster, Settings, admin, until};
use milena_record::crc32c;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const WAIT: Duration = Duration::from_secs(30);
/// Distinct keys of each topic.
const KEYS: usize = 10_000;
/// Room for 43,690 keys.
const BUFFER: &str = "1048600";

struct Node {
    cluster: Cluster,
}

impl Node {
    fn start() -> Self {
        let settings = Settings::default()
            .with("log.cleaner.backoff.ms", "100")
            .with("log.cleaner.dedupe.buffer.size", BUFFER);
        Self {
            cluster: Cluster::start(1, settings),
        }
    }

    fn metric(&self, name: &str) -> f64 {
        self.cluster
            .metric(1, name)
            .unwrap_or_else(|| panic!("no {name}"))
    }

    fn wait_metric(&self, name: &str, is_right: impl Fn(f64) -> bool) {
        until(name, WAIT, || is_right(self.metric(name)).then_some(()));
    }

    /// Asks to replace a resource's settings. The client does not say whether they are refused.
    fn alter(&self, specifier: ResourceSpecifier<'_>, entries: &[(&str, &str)]) {
        let client: AdminClient<DefaultClientContext> =
            admin::client(&self.cluster.bootstrap()).create().expect("client");
        let altered = AlterConfig {
            specifier,
            entries: entries.iter().copied().collect(),
        };
        let done = admin::block_on(client.alter_configs([&altered], &AdminOptions::new()));
        done.expect("answered");
    }

    /// A setting of the broker, as it describes itself.
    fn setting(&self, key: &str) -> Option<String> {
        let client: AdminClient<DefaultClientContext> =
            admin::client(&self.cluster.bootstrap()).create().expect("client");
        let broker = [ResourceSpecifier::Broker(1)];
        let described = admin::block_on(client.describe_configs(&broker, &AdminOptions::new()));
        let broker = described.expect("answered").remove(0).expect("described");
        broker.get(key)?.value.clone()
    }

    /// Writes two values of each key, dated two hours ago.
    fn fill(&self, topic: &str) {
        let producer: ThreadedProducer<DefaultProducerContext> = admin::client(&self.cluster.bootstrap())
            .set("acks", "all")
            .set("batch.size", "10000")
            .create()
            .expect("producer");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("clock");
        let time = i64::try_from(now.as_millis()).expect("a time") - 2 * 3_600_000;
        for value in ["first", "second"] {
            for key in 0..KEYS {
                let (key, value) = (key.to_string(), value.repeat(10));
                let record = BaseRecord::to(topic).key(&key).payload(&value).timestamp(time);
                producer.send(record).map_err(|(error, _)| error).expect("send");
            }
        }
        producer.flush(WAIT).expect("flush");
    }

    fn cleaner_threads(&self) -> usize {
        let pid = self.cluster.pid(1).expect("it runs");
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))
            .expect("tasks")
            .flatten();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name.starts_with("log-cleaner-")).count()
    }
}

/// Calls the first batch of a file compressed with gzip, which it is not; the checksum is right.
fn make_unreadable(path: &PathBuf) {
    const CRC: usize = 17;
    const ATTRIBUTES: usize = 21;
    let mut bytes = std::fs::read(path).expect("read");
    let length = u32::from_be_bytes(bytes[8..12].try_into().expect("4 bytes"));
    let end = 12 + usize::try_from(length).expect("a length");
    bytes[ATTRIBUTES + 1] |= 1;
    let crc = crc32c(&bytes[ATTRIBUTES..end]);
    bytes[CRC..ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
    std::fs::write(path, bytes).expect("write");
}

const WAITING: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("internal.segment.bytes", "200000"),
    ("min.compaction.lag.ms", "36000000"),
    ("max.compaction.lag.ms", "72000000"),
];
const NEVER_DUE: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("internal.segment.bytes", "200000"),
    ("min.cleanable.dirty.ratio", "1"),
];
const DUE: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("internal.segment.bytes", "200000"),
    ("min.cleanable.dirty.ratio", "0"),
    ("max.compaction.lag.ms", "3600000"),
];
const CLEANER: &str = "kafka_log_logcleaner";

#[test]
fn the_metrics_show_what_the_cleaner_does_and_cannot_do() {
    let mut node = Node::start();
    let of = |name: &str| format!("{CLEANER}_{name}");
    let of_manager = |name: &str| format!("{CLEANER}manager_{name}");
    let dir = node.cluster.log_dir(1).display().to_string();
    let of_dir = |name: &str| format!("{}{{logDirectory=\"{dir}\"}}", of_manager(name));
    for name in [
        of("max_buffer_utilization_percent"),
        of("cleaner_recopy_percent"),
        of("max_clean_time_secs"),
        of("max_compaction_delay_secs"),
        of("deadthreadcount"),
        of_manager("max_dirty_percent"),
        of_dir("uncleanable_partitions_count"),
        of_dir("uncleanable_bytes"),
    ] {
        assert_eq!(node.metric(&name), 0.0, "{name} at the start");
    }
    node.wait_metric(&of_manager("time_since_last_run_ms"), |ms| ms < 1000.0);

    let bootstrap = node.cluster.bootstrap();
    admin::create_topic(&bootstrap, "compacted", 1, 1, WAITING);
    admin::create_topic(&bootstrap, "unreadable", 1, 1, NEVER_DUE);
    node.fill("compacted");
    node.fill("unreadable");
    // Of a log that was never compacted all is dirty.
    node.wait_metric(&of_manager("max_dirty_percent"), |percent| percent == 100.0);
    assert_eq!(node.metric(&of("cleaner_recopy_percent")), 0.0, "nothing is due");
    node.alter(ResourceSpecifier::Topic("compacted"), DUE);
    node.wait_metric(&of("cleaner_recopy_percent"), |percent| {
        (30.0..80.0).contains(&percent)
    });
    let utilization = node.metric(&of("max_buffer_utilization_percent"));
    assert!(
        (15.0..=22.0).contains(&utilization),
        "10,000 of 43,690: {utilization}"
    );
    let delay = node.metric(&of("max_compaction_delay_secs"));
    assert!(
        (3600.0..4000.0).contains(&delay),
        "two hours old, one too much: {delay}"
    );
    assert!(node.metric(&of("max_clean_time_secs")) < 30.0);

    node.cluster.stop(1, WAIT);
    let closed = node.cluster.closed_segments(1, "unreadable");
    let bytes: u64 = closed
        .iter()
        .map(|path| path.metadata().expect("size").len())
        .sum();
    make_unreadable(&closed[0]);
    node.cluster.start_node(1);
    admin::wait_full_isr(&bootstrap, "unreadable", 1, WAIT);
    node.alter(ResourceSpecifier::Topic("unreadable"), DUE);
    node.wait_metric(&of_dir("uncleanable_partitions_count"), |count| count == 1.0);
    #[expect(clippy::cast_precision_loss, reason = "a small log")]
    let bytes = bytes as f64;
    node.wait_metric(&of_dir("uncleanable_bytes"), |found| found == bytes);
    assert_eq!(node.metric(&of("deadthreadcount")), 0.0);
}

#[test]
fn the_number_of_threads_changes_while_the_node_runs() {
    let node = Node::start();
    let threads = |count: usize| {
        until("the threads", WAIT, || {
            (node.cleaner_threads() == count).then_some(())
        });
    };
    threads(1);
    let key = "log.cleaner.threads";
    // (asked for, what is there then): more than double and less than half are refused.
    for (asked, count) in [("2", 2), ("5", 2), ("4", 4), ("1", 4), ("2", 2)] {
        let entries = [("log.cleaner.dedupe.buffer.size", "8000000"), (key, asked)];
        node.alter(ResourceSpecifier::Broker(1), &entries);
        let there = count.to_string();
        until("the setting", WAIT, || {
            (node.setting(key) == Some(there.clone())).then_some(())
        });
        threads(count);
    }
    assert_eq!(node.metric(&format!("{CLEANER}_deadthreadcount")), 0.0);
}
