//! The broker's configuration, and the defaults of topics that both roles know.

use super::resolve::{ResolveError, bind_address};
use crate::config::{NodeConfig, Settings};
use milena_broker::BrokerConfig;
use milena_broker::config::{
    CleanerConfig, ControllerVoter, GroupConfig, Listener, LogWorkConfig, NetworkConfig, QuarantineRules,
    ReplicaConfig, ReplicaSelector, SecurityProtocol,
};
use milena_metadata::config::BrokerDefaults;
use milena_types::{BrokerId, ClusterId};
use std::collections::BTreeMap;
use std::time::Duration;

/// Makes the broker's configuration; `cluster_id` is the one on disk or the one asked for.
///
/// # Errors
/// When a listener's host cannot be resolved.
pub fn broker_config(node: &NodeConfig, cluster_id: Option<ClusterId>) -> Result<BrokerConfig, ResolveError> {
    let settings = &node.settings;
    let defaults = BrokerConfig::default();
    // Kafka shows the old name beside the new one.
    let node_id = node.node_id.to_string();
    let shown = settings
        .given()
        .map(|(key, text, is_secret)| (key, if is_secret { "" } else { text }));
    Ok(BrokerConfig {
        node_id: node.node_id,
        cluster_id,
        rack: settings.text("broker.rack"),
        listeners: listeners(node)?,
        inter_broker_listener: node.inter_broker_listener.clone(),
        controller_voters: voters(node),
        log_dirs: node.log_dirs.clone(),
        metadata_dir: Some(node.metadata_log_dir.clone()),
        data_threads: settings
            .is_given("num.io.threads")
            .then(|| settings.count("num.io.threads")),
        session_timeout: settings.millis("broker.session.timeout.ms"),
        heartbeat_interval: settings.millis("broker.heartbeat.interval.ms"),
        initial_registration_timeout: settings.millis("initial.broker.registration.timeout.ms"),
        controlled_shutdown: settings.boolean("controlled.shutdown.enable"),
        request_timeout: settings.millis("request.timeout.ms"),
        auto_create_topics: settings.boolean("auto.create.topics.enable"),
        num_partitions: settings.int("num.partitions"),
        default_replication_factor: factor(settings, "default.replication.factor"),
        delete_topic: settings.boolean("delete.topic.enable"),
        replica: replica(settings),
        network: network(settings),
        group: group(settings),
        log_work: log_work(settings),
        topic_defaults: topic_defaults(node),
        properties: shown
            .chain([("broker.id", node_id.as_str())])
            .map(|(key, text)| (key.to_owned(), text.to_owned()))
            .collect(),
        own_defaults: own_defaults(node),
        ..defaults
    })
}

/// What runs where nothing was set and the table's default, which is Kafka's, does not hold.
fn own_defaults(node: &NodeConfig) -> BTreeMap<String, String> {
    let timing = crate::config::QuorumTiming::of(&node.settings);
    let election = timing.election_min.as_millis().to_string();
    let threads = BrokerConfig::default().data_threads();
    let listeners = node.broker_listeners.iter().chain(&node.controller_listeners);
    let written = |listeners: &mut dyn Iterator<Item = &crate::config::Listener>| {
        listeners.map(ToString::to_string).collect::<Vec<_>>().join(",")
    };
    let own = [
        (
            "advertised.listeners",
            written(&mut node.advertised_listeners.iter()),
        ),
        ("controller.quorum.election.timeout.ms", election.clone()),
        ("controller.quorum.fetch.timeout.ms", election),
        (
            "controller.quorum.heartbeat.ms",
            timing.heartbeat.as_millis().to_string(),
        ),
        ("inter.broker.listener.name", node.inter_broker_listener.clone()),
        ("listeners", written(&mut { listeners })),
        ("metadata.log.dir", node.metadata_log_dir.display().to_string()),
        ("node.id", node.node_id.to_string()),
        ("num.io.threads", threads.to_string()),
    ];
    let own = own.into_iter().filter(|(key, _)| !node.settings.is_given(key));
    own.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The broker-level settings that topics inherit.
pub(super) fn topic_defaults(node: &NodeConfig) -> BrokerDefaults {
    let given = node
        .settings
        .given()
        .map(|(key, text, _)| (key.to_owned(), text.to_owned()));
    BrokerDefaults::new(node.roles.broker.then_some(node.node_id), given)
}

fn listeners(node: &NodeConfig) -> Result<Vec<Listener>, ResolveError> {
    let mut listeners = Vec::new();
    for listener in &node.broker_listeners {
        // A listener that is not advertised is bound and serves; nobody is told of it.
        let advertised = node.advertised_listeners.iter().find(|a| a.name == listener.name);
        let told = advertised.unwrap_or(listener);
        listeners.push(Listener {
            name: listener.name.clone(),
            bind: bind_address(listener)?,
            advertised_host: told.address.host.clone(),
            advertised_port: told.address.port,
            security_protocol: SecurityProtocol::Plaintext,
        });
    }
    Ok(listeners)
}

/// Where controllers are reached; without `controller.quorum.voters` their ids are not known and numbered.
fn voters(node: &NodeConfig) -> Vec<ControllerVoter> {
    if !node.voters.is_empty() {
        let voter = |v: &crate::config::Voter| ControllerVoter {
            id: BrokerId(v.id),
            host: v.address.host.clone(),
            port: v.address.port,
        };
        return node.voters.iter().map(voter).collect();
    }
    let numbered = node.controller_addresses.iter().zip(0..);
    numbered
        .map(|(a, n)| ControllerVoter {
            id: BrokerId(n),
            host: a.host.clone(),
            port: a.port,
        })
        .collect()
}

fn factor(settings: &Settings, key: &str) -> i16 {
    i16::try_from(settings.int(key)).unwrap_or(i16::MAX)
}

fn replica(settings: &Settings) -> ReplicaConfig {
    ReplicaConfig {
        lag_time_max: settings.millis("replica.lag.time.max.ms"),
        high_watermark_checkpoint_interval: settings.millis("replica.high.watermark.checkpoint.interval.ms"),
        reconnect_backoff_max: settings.millis("replica.fetch.backoff.ms"),
        selector: match settings.text("replica.selector.class") {
            Some(_) => ReplicaSelector::RackAware,
            None => ReplicaSelector::Leader,
        },
        doubt_patience: settings.millis("milena.doubtful.replica.wait.ms"),
        quarantine: QuarantineRules {
            bytes_max: settings
                .integer("milena.quarantine.max.bytes")
                .max(0)
                .unsigned_abs(),
            age_max_ms: settings.integer("milena.quarantine.retention.ms").max(0),
        },
        flush_stall: settings.millis("milena.flush.stall.ms"),
        ..ReplicaConfig::default()
    }
}

fn network(settings: &Settings) -> NetworkConfig {
    let defaults = NetworkConfig::default();
    // -1: the operating system's size.
    let buffer = |key: &str| usize::try_from(settings.integer(key)).ok();
    let queued = usize::try_from(settings.integer("queued.max.request.bytes")).ok();
    NetworkConfig {
        request_max_bytes: settings.count("socket.request.max.bytes"),
        send_buffer_bytes: buffer("socket.send.buffer.bytes"),
        receive_buffer_bytes: buffer("socket.receive.buffer.bytes"),
        max_idle: settings.millis("connections.max.idle.ms"),
        max_connections: settings.count("max.connections"),
        max_connections_per_ip: settings.count("max.connections.per.ip"),
        queued_max_request_bytes: queued.unwrap_or(defaults.queued_max_request_bytes),
        fetch_max_bytes: settings.count("fetch.max.bytes"),
        fetch_session_slots: settings.count("max.incremental.fetch.session.cache.slots"),
        request_partitions_max: settings.count("max.request.partition.size.limit"),
        ..defaults
    }
}

fn group(settings: &Settings) -> GroupConfig {
    let minutes = settings
        .integer("offsets.retention.minutes")
        .max(0)
        .unsigned_abs();
    GroupConfig {
        offsets_topic_partitions: settings.int("offsets.topic.num.partitions"),
        offsets_topic_replication_factor: factor(settings, "offsets.topic.replication.factor"),
        offsets_topic_segment_bytes: settings
            .integer("offsets.topic.segment.bytes")
            .max(1)
            .unsigned_abs(),
        offsets_retention: Duration::from_secs(minutes * 60),
        offsets_retention_check_interval: settings.millis("offsets.retention.check.interval.ms"),
        offset_metadata_max_bytes: settings.count("offset.metadata.max.bytes"),
        offsets_commit_timeout: settings.millis("offsets.commit.timeout.ms"),
        min_session_timeout: settings.millis("group.min.session.timeout.ms"),
        max_session_timeout: settings.millis("group.max.session.timeout.ms"),
        initial_rebalance_delay: settings.millis("group.initial.rebalance.delay.ms"),
        max_size: settings.count("group.max.size"),
        ..GroupConfig::default()
    }
}

fn log_work(settings: &Settings) -> LogWorkConfig {
    LogWorkConfig {
        retention_check_interval: settings.millis("log.retention.check.interval.ms"),
        initial_task_delay: settings.millis("log.initial.task.delay.ms"),
        producer_id_expiration: settings.millis("producer.id.expiration.ms"),
        cleaner: CleanerConfig {
            enable: settings.boolean("log.cleaner.enable"),
            threads: settings.count("log.cleaner.threads"),
            dedupe_buffer_bytes: settings.count("log.cleaner.dedupe.buffer.size"),
            load_factor: settings.double("log.cleaner.io.buffer.load.factor"),
            io_bytes_per_second: settings.double("log.cleaner.io.max.bytes.per.second"),
            backoff: settings.millis("log.cleaner.backoff.ms"),
        },
        recovery_threads: settings.count("num.recovery.threads.per.data.dir"),
        ..LogWorkConfig::default()
    }
}
