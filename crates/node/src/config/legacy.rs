//! Keys of Kafka before 4: what replaces them, with the values that fit the configuration at hand.

use super::address::{Address, Listener};
use super::environment::variable_of;
use super::layers::Layers;
use super::settings::Origin;

/// (key, or prefix when it ends with a dot; what to do instead).
const REPLACED: &[(&str, &str)] = &[
    (
        "advertised.host.name",
        "set advertised.listeners=PLAINTEXT://{value}:9092 instead",
    ),
    (
        "advertised.port",
        "set advertised.listeners=PLAINTEXT://<host>:{value} instead",
    ),
    (
        "auto.include.jmx.reporter",
        "there is no JMX; metrics are served by milena.admin.listen",
    ),
    ("broker.id.generation.enable", "set node.id on each node instead"),
    (
        "control.plane.listener.name",
        "set controller.listener.names instead",
    ),
    (
        "controlled.shutdown.max.retries",
        "a controlled shutdown is driven by heartbeats; remove it",
    ),
    (
        "controlled.shutdown.retry.backoff.ms",
        "a controlled shutdown is driven by heartbeats; remove it",
    ),
    (
        "delegation.token.master.key",
        "set delegation.token.secret.key instead",
    ),
    (
        "eligible.leader.replicas.enable",
        "eligible leader replicas are always on; remove it",
    ),
    (
        "group.coordinator.new.enable",
        "there is one group coordinator; remove it",
    ),
    (
        "group.share.enable",
        "set group.coordinator.rebalance.protocols instead",
    ),
    ("host.name", "set listeners=PLAINTEXT://{value}:9092 instead"),
    (
        "inter.broker.protocol.version",
        "all nodes speak the current version; remove it",
    ),
    (
        "leader.imbalance.per.broker.percentage",
        "set auto.leader.rebalance.enable instead",
    ),
    (
        "log.message.downconversion.enable",
        "records are only kept in the current format; remove it",
    ),
    (
        "log.message.format.version",
        "records are only kept in the current format; remove it",
    ),
    (
        "log.message.timestamp.difference.max.ms",
        "set log.message.timestamp.before.max.ms={value} and log.message.timestamp.after.max.ms={value} instead",
    ),
    (
        "offsets.commit.required.acks",
        "offset commits always wait for all in-sync replicas; remove it",
    ),
    (
        "password.encoder.",
        "dynamic secrets are not encrypted with it since Kafka 4; remove it",
    ),
    ("port", "set listeners=PLAINTEXT://:{value} instead"),
    (
        "quota.consumer.default",
        "set a default quota of clients with kafka-configs instead",
    ),
    (
        "quota.producer.default",
        "set a default quota of clients with kafka-configs instead",
    ),
    ("reserved.broker.max.id", "set node.id on each node instead"),
    (
        "zookeeper.",
        "there is no ZooKeeper; set process.roles and controller.quorum.voters instead",
    ),
];

/// What replaces an old key; `None` when the key is not one of them.
pub(super) fn replacement(key: &str, value: &str) -> Option<String> {
    let matches = |name: &str| {
        if name.ends_with('.') {
            key.starts_with(name)
        } else {
            key == name
        }
    };
    let (_, text) = REPLACED.iter().find(|(name, _)| matches(name))?;
    Some(text.replace("{value}", value.trim()))
}

/// What to say of `zookeeper.connect` where its place is taken; `None` when nothing takes it, and that is a problem.
pub(super) fn beside_zookeeper(has_roles: bool, has_voters: bool) -> Option<String> {
    let what = match (has_roles, has_voters) {
        (false, false) => return None,
        (true, true) => "process.roles and controller.quorum.voters, which are set, replace it; remove it",
        (true, false) => {
            "process.roles, which is set, and controller.quorum.voters replace it: set the latter and remove this"
        }
        (false, true) => {
            "process.roles and controller.quorum.voters, which is set, replace it: set the former and remove this"
        }
    };
    Some(format!(
        "has no effect since Kafka 4: the nodes keep the metadata themselves (KRaft), and {what}"
    ))
}

/// The port proposed for controllers; the same on all nodes, so that every node proposes the same voters.
const PROPOSED_CONTROLLER_PORT: u16 = 19090;

/// The settings that stand in for `zookeeper.connect` in this very configuration.
///
/// Hosts that end in the node's id (`kafka1` of node 1) are continued for the other nodes; how many there are
/// follows from `offsets.topic.replication.factor`.
pub(super) fn instead_of_zookeeper(layers: &Layers, node_id: Option<i32>) -> String {
    let listeners = advertised(layers);
    let id = node_id.unwrap_or(1);
    let host = listeners
        .first()
        .map_or("localhost", |l| l.address.host.as_str())
        .to_owned();
    let port = proposed_port(&listeners);
    let factor = layers
        .get("offsets.topic.replication.factor")
        .and_then(|e| e.value.trim().parse().ok());
    let nodes = factor.unwrap_or(if id > 3 { id } else { 3 }).clamp(1, 9);
    let voters = match host.strip_suffix(&id.to_string()) {
        Some(stem) if id <= nodes => {
            let all: Vec<_> = (1..=nodes).map(|n| format!("{n}@{stem}{n}:{port}")).collect();
            all.join(",")
        }
        _ => format!("{id}@{host}:{port}"),
    };
    let from_environment = layers
        .get("zookeeper.connect")
        .is_some_and(|entry| matches!(entry.origin, Origin::Environment { .. }));
    let line = |key: &str, value: &str| match from_environment {
        true => format!("\n{}: {value}", variable_of(key)),
        false => format!("\n{key}={value}"),
    };
    let mut text = "there is no ZooKeeper: the nodes themselves keep the metadata. Replace it by".to_owned();
    text.push_str(&line("process.roles", "broker,controller"));
    text.push_str(&line("controller.quorum.voters", &voters));
    if layers
        .get("listeners")
        .is_some_and(|entry| !entry.value.trim().is_empty())
    {
        let given = layers.get("listeners").map_or("", |entry| entry.value.trim());
        text.push_str(&line("listeners", &format!("{given},CONTROLLER://:{port}")));
    }
    text.push_str("\n(controller.quorum.voters is the same on every node and names each node that votes)");
    text
}

/// The advertised listeners, the inter-broker one first.
fn advertised(layers: &Layers) -> Vec<Listener> {
    let text = layers
        .get("advertised.listeners")
        .or_else(|| layers.get("listeners"));
    let items = text.map_or("", |entry| entry.value.as_str()).split(',');
    let mut listeners: Vec<_> = items
        .filter_map(Listener::parse)
        .filter(|l| !l.address.host.is_empty())
        .collect();
    let inter = layers
        .get("inter.broker.listener.name")
        .map(|entry| entry.value.trim().to_ascii_uppercase());
    listeners.sort_by_key(|listener| Some(&listener.name) != inter.as_ref());
    listeners
}

fn proposed_port(listeners: &[Listener]) -> u16 {
    let is_free = |port: u16| {
        let address = Address {
            host: String::new(),
            port,
        };
        !listeners.iter().any(|l| l.address.collides_with(&address))
    };
    (PROPOSED_CONTROLLER_PORT..)
        .find(|port| is_free(*port))
        .unwrap_or(PROPOSED_CONTROLLER_PORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_keys_say_what_replaces_them() {
        assert_eq!(
            replacement("port", "9092").unwrap(),
            "set listeners=PLAINTEXT://:9092 instead"
        );
        assert!(
            replacement("zookeeper.set.acl", "true")
                .unwrap()
                .contains("process.roles")
        );
        assert!(replacement("password.encoder.secret", "x").is_some());
        assert_eq!(replacement("ports", "9092"), None);
        for (name, _) in REPLACED {
            assert!(
                super::super::lookup(name).is_none(),
                "{name} is a key of Kafka 4.3"
            );
        }
    }

    #[test]
    fn zookeeper_is_replaced_with_values_that_fit_the_compose_file_of_the_books() {
        let variable = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        let mut layers = Layers::default();
        layers.add_environment(&[
            variable("KAFKA_BROKER_ID", "2"),
            variable("KAFKA_ZOOKEEPER_CONNECT", "zookeeper:2181"),
            variable(
                "KAFKA_ADVERTISED_LISTENERS",
                "EXTERNAL://host.docker.internal:9093,INTERNAL://kafka2:29092",
            ),
            variable("KAFKA_INTER_BROKER_LISTENER_NAME", "INTERNAL"),
            variable("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "3"),
        ]);
        let text = instead_of_zookeeper(&layers, Some(2));
        assert!(
            text.contains("\nKAFKA_PROCESS_ROLES: broker,controller\n"),
            "{text}"
        );
        let voters = "1@kafka1:19090,2@kafka2:19090,3@kafka3:19090";
        assert!(
            text.contains(&format!("\nKAFKA_CONTROLLER_QUORUM_VOTERS: {voters}\n")),
            "{text}"
        );
        assert!(!text.contains("LISTENERS"), "{text}");
    }

    #[test]
    fn zookeeper_in_a_file_is_replaced_by_lines_of_a_file() {
        let mut layers = Layers::default();
        let file = b"broker.id=0\nlisteners=PLAINTEXT://h:19090\nzookeeper.connect=z:1";
        layers.add_file("f", file, &mut Vec::new()).unwrap();
        let text = instead_of_zookeeper(&layers, Some(0));
        for line in [
            "process.roles=broker,controller",
            "controller.quorum.voters=0@h:19091",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(
            text.contains("listeners=PLAINTEXT://h:19090,CONTROLLER://:19091"),
            "{text}"
        );
    }
}
