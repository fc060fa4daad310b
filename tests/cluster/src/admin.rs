//! What a test asks of a cluster through librdkafka's own admin and metadata calls.

use crate::wait::until;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::time::Duration;

/// A client configuration that reconnects fast, as tests need.
#[must_use]
pub fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "100")
        .set("socket.connection.setup.timeout.ms", "2000")
        .set("log_level", "0");
    config
}

/// How many brokers the cluster shows to clients now; 0 when none answers.
#[must_use]
pub fn live_brokers(bootstrap: &str) -> usize {
    let Ok(consumer) = client(bootstrap).create::<BaseConsumer>() else {
        return 0;
    };
    consumer
        .fetch_metadata(Some("__no_such_topic"), Duration::from_millis(1000))
        .map_or(0, |m| m.brokers().len())
}

/// One partition as metadata shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionView {
    /// Its number.
    pub index: i32,
    /// Its leader, -1 for none.
    pub leader: i32,
    /// Its replicas.
    pub replicas: Vec<i32>,
    /// Its in-sync replicas.
    pub isr: Vec<i32>,
}

/// The partitions of a topic, empty when it is unknown or nobody answers.
#[must_use]
pub fn partitions(bootstrap: &str, topic: &str) -> Vec<PartitionView> {
    let Ok(consumer) = client(bootstrap)
        .set("allow.auto.create.topics", "false")
        .create::<BaseConsumer>()
    else {
        return Vec::new();
    };
    let Ok(metadata) = consumer.fetch_metadata(Some(topic), Duration::from_millis(1000)) else {
        return Vec::new();
    };
    let Some(found) = metadata.topics().first() else {
        return Vec::new();
    };
    let mut views: Vec<PartitionView> = found
        .partitions()
        .iter()
        .map(|p| PartitionView {
            index: p.id(),
            leader: p.leader(),
            replicas: p.replicas().to_vec(),
            isr: p.isr().to_vec(),
        })
        .collect();
    views.sort_by_key(|v| v.index);
    views
}

/// Waits until every partition has a leader and a full ISR.
///
/// # Panics
/// When `deadline` passes.
pub fn wait_full_isr(bootstrap: &str, topic: &str, count: usize, deadline: Duration) {
    let mut last = Vec::new();
    let start = std::time::Instant::now();
    loop {
        last = {
            let now = partitions(bootstrap, topic);
            if now.is_empty() { last } else { now }
        };
        let full = |v: &PartitionView| v.leader >= 0 && v.isr.len() == v.replicas.len();
        if last.len() == count && last.iter().all(full) {
            return;
        }
        assert!(
            start.elapsed() < deadline,
            "ISR of {topic} not full within {deadline:?}: {last:?}"
        );
    }
}

/// Creates a topic and waits until it is healthy.
///
/// # Panics
/// When the cluster refuses, or the topic is not healthy within 30 s.
pub fn create_topic(
    bootstrap: &str,
    name: &str,
    partitions: i32,
    replication: i32,
    configs: &[(&str, &str)],
) {
    let admin: AdminClient<DefaultClientContext> = client(bootstrap).create().expect("admin client");
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
    for (key, value) in configs {
        topic = topic.set(key, value);
    }
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(10)));
    let results = block_on(admin.create_topics([&topic], &options)).expect("create topics");
    for result in results {
        result.expect("topic created");
    }
    wait_full_isr(
        bootstrap,
        name,
        usize::try_from(partitions).unwrap_or(0),
        Duration::from_secs(30),
    );
}

/// Tries once to create a topic; true when the cluster says it did.
#[must_use]
pub fn try_create_topic(bootstrap: &str, name: &str, timeout: Duration) -> bool {
    let Ok(admin) = client(bootstrap).create::<AdminClient<DefaultClientContext>>() else {
        return false;
    };
    let topic = NewTopic::new(name, 1, TopicReplication::Fixed(-1));
    let options = AdminOptions::new()
        .request_timeout(Some(timeout))
        .operation_timeout(Some(timeout));
    matches!(block_on(admin.create_topics([&topic], &options)), Ok(r) if r.iter().all(Result::is_ok))
}

/// Runs a future whose progress comes from librdkafka's own threads.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    until(
        "a future of the client",
        Duration::from_secs(60),
        || match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        },
    )
}
