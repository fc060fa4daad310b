//! Whole configurations, as people write them: what they become, and what is said about them.

use super::*;
use crate::config::{QuorumTiming, Roles};

fn inputs(file: &str, environment: &[(&str, &str)]) -> Inputs {
    let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
    Inputs {
        file: Some(("server.properties".to_owned(), file.as_bytes().to_vec())),
        environment: environment.iter().map(owned).collect(),
        hostname: "thishost".to_owned(),
        ..Inputs::default()
    }
}

fn config(file: &str) -> NodeConfig {
    load(&inputs(file, &[]))
        .unwrap_or_else(|e| panic!("{file}: {e}"))
        .config
}

fn problems(file: &str) -> Vec<String> {
    match load(&inputs(file, &[])) {
        Err(ConfigError::Problems { problems, .. }) => problems.iter().map(Problem::to_string).collect(),
        other => panic!("{file}: {other:?}"),
    }
}

fn shown<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

#[test]
fn an_empty_configuration_is_a_single_combined_node() {
    let config = config("");
    assert_eq!(config.node_id.0, 1);
    assert_eq!(
        config.roles,
        Roles {
            broker: true,
            controller: true
        }
    );
    assert_eq!(shown(&config.broker_listeners), "PLAINTEXT://:9092");
    assert_eq!(shown(&config.advertised_listeners), "PLAINTEXT://thishost:9092");
    assert_eq!(shown(&config.controller_listeners), "CONTROLLER://127.0.0.1:9093");
    assert_eq!(shown(&config.voters), "1@127.0.0.1:9093");
    assert_eq!(config.inter_broker_listener, "PLAINTEXT");
    assert_eq!(config.log_dirs, [std::path::PathBuf::from("/tmp/kafka-logs")]);
    assert_eq!(config.metadata_log_dir, config.log_dirs[0]);
}

#[test]
fn node_zero_alone_is_valid() {
    let config =
        config("process.roles=broker,controller\nnode.id=0\ncontroller.quorum.voters=0@127.0.0.1:19093");
    assert_eq!(config.node_id.0, 0);
    assert_eq!(shown(&config.controller_listeners), "CONTROLLER://0.0.0.0:19093");
}

#[test]
fn the_file_that_ships_with_kafka_is_a_single_node() {
    let config = config(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.bootstrap.servers=localhost:9093\n\
         listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
         advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL\n\
         num.io.threads=8\nlog.dirs=/tmp/kraft-combined-logs\nlog.retention.hours=168",
    );
    assert_eq!(shown(&config.voters), "1@127.0.0.1:9093");
    assert_eq!(shown(&config.advertised_listeners), "PLAINTEXT://localhost:9092");
    assert_eq!(shown(&config.broker_listeners), "PLAINTEXT://:9092");
    assert_eq!(shown(&config.controller_addresses), "127.0.0.1:9093");
}

#[test]
fn the_environment_of_the_books_needs_two_more_settings() {
    let book = [
        ("KAFKA_BROKER_ID", "1"),
        (
            "KAFKA_ADVERTISED_LISTENERS",
            "INTERNAL://kafka1:29092,EXTERNAL://host.docker.internal:9092",
        ),
        (
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
            "INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT",
        ),
        ("KAFKA_INTER_BROKER_LISTENER_NAME", "INTERNAL"),
        ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "3"),
        ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
    ];
    let mut with_zookeeper = book.to_vec();
    with_zookeeper.push(("KAFKA_ZOOKEEPER_CONNECT", "zookeeper:2181"));
    let Err(ConfigError::Problems { problems, .. }) = load(&inputs("", &with_zookeeper)) else {
        panic!("accepted")
    };
    assert_eq!(problems.len(), 1);
    let voters = "1@kafka1:19090,2@kafka2:19090,3@kafka3:19090";
    for line in [
        "KAFKA_PROCESS_ROLES: broker,controller",
        &format!("KAFKA_CONTROLLER_QUORUM_VOTERS: {voters}"),
    ] {
        assert!(problems[0].to_string().contains(line), "{}", problems[0]);
    }

    let mut replaced = book.to_vec();
    replaced.extend([
        ("KAFKA_PROCESS_ROLES", "broker,controller"),
        ("KAFKA_CONTROLLER_QUORUM_VOTERS", voters),
    ]);
    let config = load(&inputs("", &replaced)).unwrap().config;
    assert_eq!(config.node_id.0, 1);
    assert_eq!(
        shown(&config.broker_listeners),
        "INTERNAL://0.0.0.0:29092,EXTERNAL://0.0.0.0:9092"
    );
    assert_eq!(shown(&config.controller_listeners), "CONTROLLER://0.0.0.0:19090");
    assert_eq!(config.inter_broker_listener, "INTERNAL");

    replaced.push(("KAFKA_ZOOKEEPER_CONNECT", "zookeeper:2181"));
    let warnings = load(&inputs("", &replaced)).unwrap().warnings;
    assert!(
        warnings.iter().any(|w| w.contains("zookeeper.connect")
            && w.contains("controller.quorum.voters, which are set, replace it; remove it")),
        "{warnings:?}"
    );
}

#[test]
fn all_problems_are_reported_at_once_with_key_value_and_what_is_allowed() {
    let found = problems(
        "node.id=-1\nlog.segment.bytes=12\nauto.create.topics.enable=maybe\nlisteners=PLAINTEXT://:99999\n\
         ssl.keystore.password=secret\nnum.partitions=0\nbroker.heartbeat.interval.ms=9000\nlog.dirs=/a,/a",
    );
    for part in [
        "node.id = '-1' (server.properties line 1): allowed: an integer of 32 bits, at least 0",
        "log.segment.bytes = '12' (server.properties line 2): allowed: an integer of 32 bits, at least 1048576",
        "auto.create.topics.enable = 'maybe' (server.properties line 3): allowed: true or false",
        "listeners = 'PLAINTEXT://:99999' (server.properties line 4): 'PLAINTEXT://:99999' is not allowed",
        "num.partitions = '0' (server.properties line 6): allowed: an integer of 32 bits, at least 1",
        "broker.heartbeat.interval.ms = '9000' (server.properties line 7): contradicts broker.session.timeout.ms = 9000",
        "log.dirs = '/a,/a' (server.properties line 8): '/a' is given twice",
    ] {
        assert!(
            found.iter().any(|p| p.starts_with(part)),
            "{part} is not in {found:#?}"
        );
    }
    assert!(found.iter().all(|p| !p.contains("secret")));
}

#[test]
fn contradictions_of_the_topology_are_problems() {
    let cases = [
        ("node.id=1\nbroker.id=2", "broker.id = '2'"),
        (
            "process.roles=broker,controller\nnode.id=4\ncontroller.quorum.voters=1@a:1,2@b:1",
            "add 4@",
        ),
        (
            "process.roles=broker\nnode.id=1\ncontroller.quorum.voters=1@a:1",
            "1@a:1 is this node",
        ),
        (
            "controller.quorum.voters=1@a:1,1@b:1\nnode.id=1",
            "id 1 is given twice",
        ),
        (
            "controller.quorum.voters=1@a:1,2@a:1\nnode.id=1",
            "address a:1 is given twice",
        ),
        (
            "controller.quorum.voters=1@a:1,2@b:1",
            "required when there are several voters",
        ),
        (
            "process.roles=broker\nnode.id=1",
            "a broker without the controller role needs it",
        ),
        ("process.roles=worker", "one or more of broker, controller"),
        (
            "listeners=PLAINTEXT://:9092",
            "needs a listener of controller.listener.names",
        ),
        ("listeners=PLAINTEXT://:9092,CONTROLLER://:9092", "share a port"),
        (
            "listeners=P://:1,P://:2,CONTROLLER://:3",
            "the name P is given twice",
        ),
        ("listeners=P://:1,CONTROLLER://:3", "listener P has no entry"),
        (
            "listeners=SSL://:1,CONTROLLER://:3",
            "SSL uses SSL, which is not supported yet",
        ),
        (
            "advertised.listeners=PLAINTEXT://0.0.0.0:9092",
            "can not be reached by others",
        ),
        (
            "listeners=PLAINTEXT://:1,CONTROLLER://:2\nadvertised.listeners=SSL://h:1",
            "SSL is not in listeners",
        ),
        (
            "inter.broker.listener.name=INTERNAL",
            "is not an advertised listener; allowed: PLAINTEXT",
        ),
        (
            "inter.broker.listener.name=PLAINTEXT\nsecurity.inter.broker.protocol=PLAINTEXT",
            "one of the two",
        ),
        ("listener.security.protocol.map=A:B", "'B' of A is no protocol"),
        (
            "group.min.session.timeout.ms=10\ngroup.max.session.timeout.ms=9",
            "allowed: at most 9",
        ),
        ("milena.admin.listen=nowhere", "allowed: host:port"),
    ];
    for (file, part) in cases {
        let found = problems(file);
        assert!(
            found.iter().any(|p| p.contains(part)),
            "{file}: {part} is not in {found:#?}"
        );
    }
}

#[test]
fn roles_can_be_split_over_nodes() {
    let three = "controller.quorum.voters=1@a:1,2@b:1,3@c:1\n";
    let split = [
        ("process.roles=broker\nnode.id=9\n", "PLAINTEXT://:9092", ""),
        (
            "process.roles=controller\nnode.id=2\n",
            "",
            "CONTROLLER://0.0.0.0:1",
        ),
    ];
    for (file, brokers, controllers) in split {
        let config = config(&format!("{file}{three}"));
        assert_eq!(shown(&config.broker_listeners), brokers);
        assert_eq!(shown(&config.controller_listeners), controllers);
        assert_eq!(config.controller_addresses.len(), 3);
    }
}

#[test]
fn unknown_keys_are_warnings_with_the_nearest_name_and_problems_when_strict() {
    let mut inputs = inputs("log.dris=/a\nzzz=1", &[("KAFKA_CFG_NODE_ID", "1")]);
    let warnings = load(&inputs).unwrap().warnings;
    for part in [
        "log.dris (server.properties line 1), it has no effect; did you mean log.dirs?",
        "mean node.id?",
    ] {
        assert!(
            warnings.iter().any(|w| w.contains(part)),
            "{part} is not in {warnings:#?}"
        );
    }
    inputs.strict = true;
    let Err(ConfigError::Problems { problems, .. }) = load(&inputs) else {
        panic!("accepted")
    };
    assert_eq!(problems.len(), 3);
}

#[test]
fn known_keys_without_effect_and_old_keys_are_named_once() {
    let file = "num.replica.fetchers=4\nsocket.listen.backlog.size=9\nport=9092\nlistener.name.x.ssl.key=1";
    let warnings = load(&inputs(file, &[])).unwrap().warnings;
    let naming = |key: &str| warnings.iter().filter(|w| w.contains(key)).count();
    for key in ["num.replica.fetchers", "port (server", "listener.name.x.ssl.key"] {
        assert_eq!(naming(key), 1, "{key} in {warnings:#?}");
    }
}

#[test]
fn overrides_win() {
    let mut inputs = inputs("num.partitions=2", &[("KAFKA_NUM_PARTITIONS", "3")]);
    inputs.overrides = vec!["num.partitions=4".to_owned()];
    let settings = load(&inputs).unwrap().config.settings;
    assert_eq!(settings.int("num.partitions"), 4);
}

#[test]
fn an_empty_value_is_refused_where_it_is_no_value_wherever_it_is_given() {
    let mut inputs = inputs(
        "node.id=\nlog.dirs=\nmin.insync.replicas=2\ndefault.replication.factor=3",
        &[("KAFKA_PROCESS_ROLES", ""), ("KAFKA_NUM_PARTITIONS", " ")],
    );
    inputs.overrides = vec![
        "auto.create.topics.enable=".to_owned(),
        "controller.listener.names=".to_owned(),
        "compression.type=".to_owned(),
        // Beside these the rest of the topology can not be told: no word of it.
        "controller.quorum.voters=1@a:1,2@b:1".to_owned(),
    ];
    let Err(ConfigError::Problems { problems, .. }) = load(&inputs) else {
        panic!("accepted")
    };
    let found: Vec<_> = problems.iter().map(Problem::to_string).collect();
    let expected = [
        "auto.create.topics.enable = '' (--override): allowed: true or false",
        "compression.type = '' (--override): allowed: one of uncompressed, zstd, lz4, snappy, gzip, producer",
        "controller.listener.names = '' (--override): allowed: a list separated by commas, not empty",
        "log.dirs = '' (server.properties line 2): allowed: a list separated by commas, not empty",
        "node.id = '' (server.properties line 1): allowed: an integer of 32 bits, at least 0",
        "num.partitions = ' ' (KAFKA_NUM_PARTITIONS): allowed: an integer of 32 bits, at least 1",
        "process.roles = '' (KAFKA_PROCESS_ROLES): allowed: a list separated by commas, one or more of broker, controller",
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_may_be_empty_is_taken_as_empty() {
    let file = "sasl.enabled.mechanisms=\nbroker.rack=\nssl.keystore.password=\nauthorizer.class.name=\n\
                controller.quorum.voters=\ncontroller.quorum.bootstrap.servers=localhost:9093\nmilena.admin.listen=\nsuper.users=\nlog.cleanup.policy=";
    let settings = config(file).settings;
    assert!(settings.list("sasl.enabled.mechanisms").is_empty());
    assert_eq!(settings.text("broker.rack"), None);
}

/// Each line, added to a sound file, has exactly one problem: what it says of it.
fn assert_one_problem_each(cases: &[(&str, &str)]) {
    let base = "node.id=1\ncontroller.quorum.voters=1@h:2\nlisteners=PLAINTEXT://:1,CONTROLLER://:2\n";
    for (line, part) in cases {
        let found = problems(&format!("{base}{line}"));
        assert_eq!(found.len(), 1, "{line}: {found:#?}");
        assert!(found[0].contains(part), "{line}: {part} is not in {found:#?}");
        assert!(!found[0].trim_end().ends_with(':'), "{line}: {found:#?}");
    }
}

#[test]
fn a_wrong_listener_is_complained_of_once_and_says_what_is_allowed() {
    let form = "is not allowed; allowed: items of the form NAME://host:port with a port from 1 to 65535";
    let list = "(server.properties line 4): allowed: a list separated by commas, not empty";
    assert_one_problem_each(&[
        (
            "listeners=foo",
            &format!("listeners = 'foo' (server.properties line 4): 'foo' {form}"),
        ),
        ("listeners=", &format!("listeners = '' {list}")),
        (
            "listeners=PLAINTEXT://:0,CONTROLLER://:2\nadvertised.listeners=PLAINTEXT://h:1",
            form,
        ),
        (
            "listeners=CONTROLLER://:2\nadvertised.listeners=PLAINTEXT://h:1",
            "the broker role needs a listener",
        ),
        (
            "listeners=P://:1,P://:1,CONTROLLER://:2\nlistener.security.protocol.map=P:PLAINTEXT",
            "the name P is given twice",
        ),
        ("advertised.listeners=foo,foo", form),
        ("advertised.listeners=foo\ninter.broker.listener.name=NOPE", form),
        (
            "advertised.listeners=CONTROLLER://h:1",
            "allowed: at least one that clients use, for example PLAINTEXT://<host>:1",
        ),
        (
            "advertised.listeners=PLAINTEXT://h:1,PLAINTEXT://i:1",
            "the name PLAINTEXT is given twice",
        ),
        (
            "advertised.listeners=",
            &format!("advertised.listeners = '' {list}"),
        ),
        (
            "listener.security.protocol.map=foo",
            "'foo' is not allowed; allowed: items of the form NAME:PROTOCOL",
        ),
        ("listener.security.protocol.map=", "allowed: text, not empty"),
        (
            "security.inter.broker.protocol=SSL",
            "no advertised listener uses it; allowed: PLAINTEXT",
        ),
    ]);
}

#[test]
fn another_wrong_value_is_complained_of_once_and_says_what_is_allowed() {
    assert_one_problem_each(&[
        (
            "process.roles=worker",
            "process.roles = 'worker' (server.properties line 4): allowed:",
        ),
        ("node.id=x", "node.id = 'x' (server.properties line 4): allowed:"),
        ("controller.quorum.voters=1@h:2,1@h:2", "id 1 is given twice"),
        (
            "controller.quorum.voters=",
            "controller.quorum.voters = '' (server.properties line 4): allowed: id@host:port of each",
        ),
        (
            "controller.quorum.heartbeat.ms=900\ncontroller.quorum.election.timeout.ms=800",
            "allowed: at most 266, a third of it",
        ),
        (
            "controller.quorum.fetch.timeout.ms=2",
            "controller.quorum.fetch.timeout.ms = '2' (server.properties line 4): is shorter than 3 heartbeats; allowed: at least 3",
        ),
        (
            "log.dirs=/a,/a,/a",
            "'/a' is given twice; allowed: each directory once",
        ),
        (
            "milena.log.level=loud",
            "'loud' is not a log level; allowed: off, error",
        ),
    ]);
}

#[test]
fn warnings_are_said_beside_problems() {
    let file = "num.partitions=x\nlog.dris=/a\nzookeeper.connect=z:1\nport=9\nnum.replica.fetchers=2\nbroker.id=1\n\
                process.roles=broker,controller\ncontroller.quorum.voters=1@h:1";
    let error = load(&inputs(file, &[])).unwrap_err().to_string();
    for line in [
        "1 problem in the configuration:\n  - num.partitions = 'x'",
        "\n5 warnings in the configuration:\n",
        "did you mean log.dirs?",
        "set listeners=PLAINTEXT://:9 instead",
        "these settings have no effect: num.replica.fetchers",
        "broker.id (server.properties line 6) is a key of Kafka before 4: set node.id=1 instead",
        "zookeeper.connect (server.properties line 3) has no effect since Kafka 4: the nodes keep the metadata \
         themselves (KRaft), and process.roles and controller.quorum.voters, which are set, replace it; remove it",
    ] {
        assert!(error.contains(line), "{line} is not in {error}");
    }
}

#[test]
fn a_used_key_is_not_said_to_have_no_effect() {
    let file = "num.partitions=2\nack.durability=replicated\nbroker.rack=a\nlog.preallocate=true";
    let warnings = load(&inputs(file, &[])).unwrap().warnings;
    assert_eq!(warnings, ["these settings have no effect: log.preallocate"]);
}

#[test]
fn the_heartbeat_follows_a_short_election_unless_it_is_given() {
    let timing = |file: &str| {
        let timing = QuorumTiming::of(&config(file).settings);
        [timing.heartbeat, timing.election_min, timing.election_max].map(|time| time.as_millis())
    };
    assert_eq!(timing(""), [200, 600, 1_200]);
    assert_eq!(
        timing("controller.quorum.election.timeout.ms=300"),
        [100, 300, 600]
    );
    assert_eq!(
        timing("controller.quorum.fetch.timeout.ms=300\ncontroller.quorum.heartbeat.ms=50"),
        [50, 300, 600]
    );
    assert_eq!(
        timing("controller.quorum.fetch.timeout.ms=3000"),
        [200, 3_000, 6_000]
    );
}
