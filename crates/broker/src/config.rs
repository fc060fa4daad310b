//! What a broker must know before it starts. Typed and validated by the caller; `Default` is the only source of values.
//!
//! Node configuration (a local file); what is replicated (topic configurations) lives in the metadata image.

use crate::loggers::Loggers;
pub use milena_log::quarantine::QuarantineRules;
use milena_metadata::config::BrokerDefaults;
use milena_types::{BrokerId, ClusterId};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How bytes travel on a listener. Source: `listener.security.protocol.map`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL over plain TCP.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// Kafka's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    /// Parses Kafka's name, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl]
            .into_iter()
            .find(|protocol| protocol.as_str().eq_ignore_ascii_case(text))
    }
}

/// One entry of `listeners` joined with its `advertised.listeners` and protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Upper-case name, for example `PLAINTEXT` or `INTERNAL`.
    pub name: String,
    /// Where it binds; port 0 takes any free port, which is then the advertised one if that is 0 too.
    pub bind: SocketAddr,
    /// The host that clients are told.
    pub advertised_host: String,
    /// The port that clients are told; 0: the bound one.
    pub advertised_port: u16,
    /// Plain, TLS or SASL.
    pub security_protocol: SecurityProtocol,
}

/// One entry of `controller.quorum.voters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerVoter {
    /// `node.id` of the controller.
    pub id: BrokerId,
    /// Host name or address.
    pub host: String,
    /// Port of its CONTROLLER listener.
    pub port: u16,
}

impl ControllerVoter {
    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Replication: Kafka's `replica.*` keys and Milena's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaConfig {
    /// `replica.lag.time.max.ms`: a follower that has not caught up for this long leaves the ISR.
    pub lag_time_max: Duration,
    /// `replica.high.watermark.checkpoint.interval.ms`: for all checkpoints of a log directory. Kafka writes recovery points and log
    /// start offsets once a minute.
    pub high_watermark_checkpoint_interval: Duration,
    /// `replica.fetch.backoff.ms`, at most: the longest pause before a broken replication stream is tried again.
    pub reconnect_backoff_max: Duration,
    /// Bytes in flight that a follower grants to each stream.
    pub link_credit_bytes: usize,
    /// Largest payload of one replication frame.
    pub frame_bytes_max: usize,
    /// Memory of all tail rings of the broker: recent appends kept for followers and tail consumers.
    pub tail_ring_bytes: usize,
    /// `replica.selector.class`: where consumers that name their rack are sent to read.
    pub selector: ReplicaSelector,
    /// `milena.doubtful.replica.wait.ms`: how long a replica whose log is in doubt keeps it, and its place among those who could
    /// lead; ADR 0009.
    pub doubt_patience: Duration,
    /// `milena.quarantine.max.bytes`, `milena.quarantine.retention.ms`: what is kept of the ends that logs lose in unclean elections, or by damage;
    /// ADR 0011.
    pub quarantine: QuarantineRules,
    /// `milena.flush.stall.ms`: after so long without a sign of life from a flush others go on without its replicas.
    pub flush_stall: Duration,
}

impl Default for ReplicaConfig {
    fn default() -> Self {
        Self {
            lag_time_max: Duration::from_secs(30),
            high_watermark_checkpoint_interval: Duration::from_secs(5),
            reconnect_backoff_max: Duration::from_secs(1),
            link_credit_bytes: 8 << 20,
            frame_bytes_max: 1 << 20,
            tail_ring_bytes: 16 << 20,
            selector: ReplicaSelector::Leader,
            doubt_patience: Duration::from_secs(30),
            quarantine: QuarantineRules {
                bytes_max: 1 << 30,
                age_max_ms: 7 * 24 * 3_600_000,
            },
            flush_stall: Duration::from_secs(10),
        }
    }
}

/// What `replica.selector.class` names (KIP-392).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaSelector {
    /// Nothing: everybody reads from the leader.
    Leader,
    /// `org.apache.kafka.common.replica.RackAwareReplicaSelector`: a replica in the consumer's rack.
    RackAware,
}

/// Connections: Kafka's `socket.*`, `connections.*`, `queued.*`, `fetch.*` keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkConfig {
    /// `socket.request.max.bytes`.
    pub request_max_bytes: usize,
    /// `socket.send.buffer.bytes`; `None` leaves it to the kernel (-1).
    pub send_buffer_bytes: Option<usize>,
    /// `socket.receive.buffer.bytes`; `None` leaves it to the kernel (-1).
    pub receive_buffer_bytes: Option<usize>,
    /// `connections.max.idle.ms`.
    pub max_idle: Duration,
    /// `max.connections`.
    pub max_connections: usize,
    /// `max.connections.per.ip`.
    pub max_connections_per_ip: usize,
    /// `queued.max.request.bytes`: bytes of requests that are being worked on, over all connections.
    pub queued_max_request_bytes: usize,
    /// `fetch.max.bytes`: the largest Fetch response.
    pub fetch_max_bytes: usize,
    /// `max.incremental.fetch.session.cache.slots`.
    pub fetch_session_slots: usize,
    /// `max.request.partition.size.limit`.
    pub request_partitions_max: usize,
    /// Memory of retired read buffers that all data threads together keep. More than the tail rings, whose batches are
    /// pieces of such buffers: less, and the pages of every buffer are touched for the first time again and again.
    pub read_pool_bytes: usize,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            request_max_bytes: 100 << 20,
            send_buffer_bytes: Some(100 << 10),
            receive_buffer_bytes: Some(100 << 10),
            max_idle: Duration::from_millis(600_000),
            max_connections: i32::MAX as usize,
            max_connections_per_ip: i32::MAX as usize,
            queued_max_request_bytes: 512 << 20,
            fetch_max_bytes: 55 << 20,
            fetch_session_slots: 1000,
            request_partitions_max: 2000,
            read_pool_bytes: 32 << 20,
        }
    }
}

/// The offsets topic and the groups: Kafka's `offsets.*` and `group.*` keys.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupConfig {
    /// `offsets.topic.num.partitions`.
    pub offsets_topic_partitions: i32,
    /// `offsets.topic.replication.factor`.
    pub offsets_topic_replication_factor: i16,
    /// `offsets.topic.segment.bytes`.
    pub offsets_topic_segment_bytes: u64,
    /// `offsets.retention.minutes`.
    pub offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval: Duration,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_max_bytes: usize,
    /// `offsets.commit.timeout.ms`.
    pub offsets_commit_timeout: Duration,
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout: Duration,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay: Duration,
    /// `group.max.size`.
    pub max_size: usize,
    /// `group.consumer.session.timeout.ms`.
    pub consumer_session_timeout: Duration,
    /// `group.consumer.min.session.timeout.ms`.
    pub consumer_min_session_timeout: Duration,
    /// `group.consumer.max.session.timeout.ms`.
    pub consumer_max_session_timeout: Duration,
    /// `group.consumer.heartbeat.interval.ms`.
    pub consumer_heartbeat_interval: Duration,
    /// `group.consumer.min.heartbeat.interval.ms`.
    pub consumer_min_heartbeat_interval: Duration,
    /// `group.consumer.max.heartbeat.interval.ms`.
    pub consumer_max_heartbeat_interval: Duration,
    /// `group.consumer.max.size`.
    pub consumer_max_size: usize,
    /// `group.consumer.assignors`, the first is the default.
    pub consumer_assignors: Vec<String>,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            offsets_topic_partitions: 50,
            offsets_topic_replication_factor: 3,
            offsets_topic_segment_bytes: 100 << 20,
            offsets_retention: Duration::from_secs(10_080 * 60),
            offsets_retention_check_interval: Duration::from_secs(600),
            offset_metadata_max_bytes: 4096,
            offsets_commit_timeout: Duration::from_secs(5),
            min_session_timeout: Duration::from_secs(6),
            max_session_timeout: Duration::from_secs(1800),
            initial_rebalance_delay: Duration::from_secs(3),
            max_size: i32::MAX as usize,
            consumer_session_timeout: Duration::from_secs(45),
            consumer_min_session_timeout: Duration::from_secs(45),
            consumer_max_session_timeout: Duration::from_secs(60),
            consumer_heartbeat_interval: Duration::from_secs(5),
            consumer_min_heartbeat_interval: Duration::from_secs(5),
            consumer_max_heartbeat_interval: Duration::from_secs(15),
            consumer_max_size: i32::MAX as usize,
            consumer_assignors: vec!["uniform".to_owned(), "range".to_owned()],
        }
    }
}

/// Background work on logs: Kafka's `log.*` keys that are not defaults of topic configurations.
#[derive(Clone, Debug, PartialEq)]
pub struct LogWorkConfig {
    /// `log.retention.check.interval.ms`.
    pub retention_check_interval: Duration,
    /// `log.initial.task.delay.ms`.
    pub initial_task_delay: Duration,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration: Duration,
    /// `log.cleaner.*`.
    pub cleaner: CleanerConfig,
    /// `num.recovery.threads.per.data.dir`: threads that open logs, for each of `log.dirs`.
    pub recovery_threads: usize,
    /// A log that was not written to for so long is closed.
    pub close_after: Duration,
}

/// Compaction: Kafka's `log.cleaner.*` keys that are not defaults of topic configurations.
#[derive(Clone, Debug, PartialEq)]
pub struct CleanerConfig {
    /// `log.cleaner.enable`.
    pub enable: bool,
    /// `log.cleaner.threads`.
    pub threads: usize,
    /// `log.cleaner.dedupe.buffer.size`: most memory of the key maps of all threads together.
    pub dedupe_buffer_bytes: usize,
    /// `log.cleaner.io.buffer.load.factor`: share of a key map that is filled.
    pub load_factor: f64,
    /// `log.cleaner.io.max.bytes.per.second`: bytes read and written by all threads together.
    pub io_bytes_per_second: f64,
    /// `log.cleaner.backoff.ms`: the pause when nothing is to be compacted.
    pub backoff: Duration,
}

impl Default for CleanerConfig {
    fn default() -> Self {
        Self {
            enable: true,
            threads: 1,
            dedupe_buffer_bytes: 128 << 20,
            load_factor: 0.9,
            io_bytes_per_second: f64::MAX,
            backoff: Duration::from_millis(15_000),
        }
    }
}

impl Default for LogWorkConfig {
    fn default() -> Self {
        Self {
            retention_check_interval: Duration::from_millis(300_000),
            initial_task_delay: Duration::from_secs(30),
            producer_id_expiration: Duration::from_secs(86_400),
            cleaner: CleanerConfig::default(),
            recovery_threads: 2,
            close_after: Duration::from_secs(30),
        }
    }
}

/// Everything that a broker is started with.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerConfig {
    /// `node.id`.
    pub node_id: BrokerId,
    /// The cluster's id when it is known before the start (`meta.properties`, `cluster.id`); else it is learnt from the
    /// controller at registration, and directories are formatted then.
    pub cluster_id: Option<ClusterId>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// The broker's listeners: those of `listeners` that are not controller listeners.
    pub listeners: Vec<Listener>,
    /// `inter.broker.listener.name`: the listener on which brokers replicate.
    pub inter_broker_listener: String,
    /// `controller.quorum.voters`.
    pub controller_voters: Vec<ControllerVoter>,
    /// `log.dirs`.
    pub log_dirs: Vec<PathBuf>,
    /// `metadata.log.dir`: the last image is kept here; default: the first of `log.dirs`.
    pub metadata_dir: Option<PathBuf>,
    /// `num.io.threads`: data threads; `None`: the number of cores, at most 8.
    pub data_threads: Option<usize>,
    /// `broker.session.timeout.ms`.
    pub session_timeout: Duration,
    /// `broker.heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// `initial.broker.registration.timeout.ms`.
    pub initial_registration_timeout: Duration,
    /// `controlled.shutdown.enable`.
    pub controlled_shutdown: bool,
    /// How long a controlled shutdown may take before the broker stops anyway.
    pub controlled_shutdown_timeout: Duration,
    /// `request.timeout.ms`: towards the controller and other brokers.
    pub request_timeout: Duration,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `delete.topic.enable`.
    pub delete_topic: bool,
    /// `replica.*`.
    pub replica: ReplicaConfig,
    /// `socket.*`, `connections.*`, `fetch.*`.
    pub network: NetworkConfig,
    /// `offsets.*`, `group.*`.
    pub group: GroupConfig,
    /// `log.*` that are no topic defaults.
    pub log_work: LogWorkConfig,
    /// Defaults of topic configurations (for example `log.segment.bytes`).
    pub topic_defaults: BrokerDefaults,
    /// Every key as it was configured, for DescribeConfigs; secrets without their value.
    pub properties: BTreeMap<String, String>,
    /// Defaults of this broker that differ from those of the table of keys, for DescribeConfigs.
    pub own_defaults: BTreeMap<String, String>,
    /// The loggers of the process, for BROKER_LOGGER resources.
    pub loggers: Loggers,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            node_id: BrokerId(1),
            cluster_id: None,
            rack: None,
            listeners: Vec::new(),
            inter_broker_listener: "PLAINTEXT".to_owned(),
            controller_voters: Vec::new(),
            log_dirs: vec![PathBuf::from("/tmp/kafka-logs")],
            metadata_dir: None,
            data_threads: None,
            session_timeout: Duration::from_secs(9),
            heartbeat_interval: Duration::from_secs(2),
            initial_registration_timeout: Duration::from_secs(60),
            controlled_shutdown: true,
            controlled_shutdown_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30),
            auto_create_topics: true,
            num_partitions: 1,
            default_replication_factor: 1,
            delete_topic: true,
            replica: ReplicaConfig::default(),
            network: NetworkConfig::default(),
            group: GroupConfig::default(),
            log_work: LogWorkConfig::default(),
            topic_defaults: BrokerDefaults::default(),
            properties: BTreeMap::new(),
            own_defaults: BTreeMap::new(),
            loggers: Loggers::default(),
        }
    }
}

impl BrokerConfig {
    /// How many data threads to run.
    #[must_use]
    pub fn data_threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from).min(8);
        self.data_threads.unwrap_or_else(cores).max(1)
    }

    /// Where the last metadata image is kept.
    #[must_use]
    pub fn metadata_dir(&self) -> PathBuf {
        self.metadata_dir
            .clone()
            .or_else(|| self.log_dirs.first().cloned())
            .unwrap_or_default()
    }
}
