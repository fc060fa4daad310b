//! Configurations of topics, brokers and loggers: described and altered.

use super::broker::TestBroker;
use super::client::{Client, text};
use milena_wire::messages::describe_configs_request::DescribeConfigsResource;
use milena_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use milena_wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use milena_wire::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;

fn wanted(kind: i8, name: &str, keys: Option<Vec<&str>>) -> DescribeConfigsResource {
    DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(keys.map(|keys| keys.into_iter().map(text).collect()))
}

async fn describe(client: &mut Client, kind: i8, name: &str) -> DescribeConfigsResult {
    let request = DescribeConfigsRequest::default()
        .with_include_synonyms(true)
        .with_resources(vec![wanted(kind, name, None)]);
    client.call(4, &request).await.results.remove(0)
}

fn of<'a>(result: &'a DescribeConfigsResult, key: &str) -> &'a DescribeConfigsResourceResult {
    let found = result.configs.iter().find(|config| config.name.as_str() == key);
    found.unwrap_or_else(|| panic!("{key} is not described"))
}

fn change(kind: i8, name: &str, op: i8, key: &str, value: &str) -> AlterConfigsResource {
    let change = AlterableConfig::default()
        .with_name(text(key))
        .with_config_operation(op)
        .with_value((op != DELETE).then(|| text(value)));
    AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(vec![change])
}

/// The error code and text of one change.
async fn alter(client: &mut Client, kind: i8, name: &str, op: i8, key: &str, value: &str) -> (i16, String) {
    let resource = change(kind, name, op, key, value);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let response = client.call(1, &request).await.responses.remove(0);
    let message = response
        .error_message
        .map_or(String::new(), |text| text.as_str().to_owned());
    (response.error_code, message)
}

#[tokio::test]
async fn configurations_are_described_with_their_sources() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("configured", 1).await;
    let done = alter(&mut client, TOPIC, "configured", SET, "retention.ms", "5000").await;
    assert_eq!(done.0, 0, "{}", done.1);
    for version in 1..=4 {
        let request = DescribeConfigsRequest::default()
            .with_include_synonyms(true)
            .with_resources(vec![
                wanted(TOPIC, "configured", Some(vec!["retention.ms"])),
                wanted(TOPIC, "nowhere", None),
                wanted(BROKER, "1", None),
                wanted(BROKER, "7", None),
            ]);
        let response = client.call(version, &request).await;
        let config = &response.results[0].configs[0];
        assert_eq!((config.value.as_deref(), config.config_source), (Some("5000"), 1));
        assert!(config.synonyms.len() >= 2);
        assert_eq!(response.results[1].error_code, 3);
        assert_eq!(
            of(&response.results[2], "num.partitions").value.as_deref(),
            Some("7")
        );
        assert_eq!(response.results[3].error_code, 42);
    }
}

/// Not even as the first of them says. Source: `ConfigAdminManager.preprocess`.
#[tokio::test]
async fn what_is_named_twice_is_not_altered() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("t", 1).await;
    let root = of(&describe(&mut client, BROKER_LOGGER, "1").await, "root")
        .value
        .clone();
    let topic = |value| change(TOPIC, "t", SET, "retention.ms", value);
    let logger = |level| change(BROKER_LOGGER, "1", SET, "root", level);
    let twice = vec![topic("5000"), logger("DEBUG"), topic("6000"), logger("ERROR")];
    let request = IncrementalAlterConfigsRequest::default().with_resources(twice);
    let answers = client.call(1, &request).await.responses;
    assert!(answers.iter().all(|answer| answer.error_code == 42) && answers.len() == 4);
    let topic = describe(&mut client, TOPIC, "t").await;
    assert_eq!(of(&topic, "retention.ms").config_source, 5);
    let loggers = describe(&mut client, BROKER_LOGGER, "1").await;
    assert_eq!(of(&loggers, "root").value, root);
}

#[tokio::test]
async fn a_broker_shows_kafkas_whole_table_of_keys() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    let result = describe(&mut client, BROKER, "1").await;
    assert!(result.configs.len() > 340, "{} keys", result.configs.len());
    // Source, read-only, sensitive, type, as Kafka 4.3 answers.
    for (key, value, source, read_only, sensitive, kind) in [
        ("num.partitions", Some("7"), 4, true, false, 3),
        ("log.cleaner.threads", Some("1"), 5, false, false, 3),
        ("ssl.keystore.password", None, 4, false, true, 9),
        ("broker.rack", None, 5, true, false, 2),
        ("transaction.state.log.min.isr", Some("2"), 5, true, false, 3),
        ("log.cleanup.policy", Some("delete"), 5, false, false, 7),
    ] {
        let config = of(&result, key);
        assert_eq!(config.value.as_deref(), value, "{key}");
        let shown = (
            config.config_source,
            config.read_only,
            config.is_sensitive,
            config.config_type,
        );
        assert_eq!(shown, (source, read_only, sensitive, kind), "{key}");
    }
    assert!(
        of(&result, "ssl.keystore.password")
            .synonyms
            .iter()
            .all(|synonym| synonym.value.is_none())
    );
    assert_eq!(
        of(&result, "num.partitions").synonyms.len(),
        2,
        "the default stands behind it"
    );
}

#[tokio::test]
async fn dynamic_settings_of_brokers_are_taken_and_read_only_ones_refused() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    let refused = alter(&mut client, BROKER, "1", SET, "num.partitions", "5").await;
    assert_eq!(
        refused,
        (
            42,
            "Cannot update these configs dynamically: [num.partitions]".to_owned()
        )
    );
    let refused = alter(&mut client, BROKER, "", SET, "log.cleaner.threads", "zwei").await;
    assert_eq!(refused.0, 42, "{}", refused.1);
    assert_eq!(
        alter(&mut client, BROKER, "", SET, "log.retention.ms", "5000")
            .await
            .0,
        0
    );
    assert_eq!(
        alter(&mut client, BROKER, "1", SET, "log.retention.ms", "6000")
            .await
            .0,
        0
    );
    let result = describe(&mut client, BROKER, "1").await;
    let config = of(&result, "log.retention.ms");
    let sources: Vec<_> = config.synonyms.iter().map(|synonym| synonym.source).collect();
    assert_eq!(
        (config.value.as_deref(), config.config_source, sources),
        (Some("6000"), 2, vec![2, 3, 5])
    );
    let all = describe(&mut client, BROKER, "").await;
    let shown: Vec<_> = all
        .configs
        .iter()
        .map(|config| (config.name.as_str(), config.config_source))
        .collect();
    // The second was set when the metadata began.
    assert_eq!(
        shown,
        [("log.retention.ms", 3), ("min.insync.replicas", 3)],
        "only what was set"
    );
}

#[tokio::test]
async fn the_number_of_cleaner_threads_changes_by_half_or_double_at_most() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    let refused = |why: &str| {
        let text = format!(
            "Invalid value org.apache.kafka.common.config.ConfigException: {why} for configuration Invalid dynamic configuration"
        );
        (42, text)
    };
    let key = "log.cleaner.threads";
    let too_many = "Log cleaner threads cannot be increased to more than double the current value 1";
    for (name, value, expected) in [
        ("1", "3", refused(too_many)),
        ("", "3", refused(too_many)),
        ("1", "0", refused("Log cleaner threads should be at least 1")),
        ("1", "2", (0, String::new())),
        ("1", "4", (0, String::new())),
        (
            "1",
            "1",
            refused("Log cleaner threads cannot be reduced to less than half the current value 4"),
        ),
        // The broker's own value stands over it.
        ("", "100", (0, String::new())),
        // 128 MiB are not enough for so many.
        (
            "1",
            "128",
            (
                42,
                "requirement failed: log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread."
                    .to_owned(),
            ),
        ),
    ] {
        let altered = alter(&mut client, BROKER, name, SET, key, value).await;
        assert_eq!(altered, expected, "{value} of {name:?}");
    }
    let back = alter(&mut client, BROKER, "1", DELETE, key, "").await;
    assert_eq!(
        back,
        refused("Log cleaner threads cannot be increased to more than double the current value 4")
    );
    let key = "replica.alter.log.dirs.io.max.bytes.per.second";
    let refused = alter(&mut client, BROKER, "1", SET, key, "-1").await;
    let text = format!("Invalid value -1 for configuration {key}: Value must be at least 0");
    assert_eq!(refused, (42, text));
    assert_eq!(alter(&mut client, BROKER, "1", SET, key, "1000000").await.0, 0);
    let result = describe(&mut client, BROKER, "1").await;
    let config = of(&result, key);
    assert_eq!(
        (
            config.value.as_deref(),
            config.config_source,
            config.is_sensitive,
            config.read_only
        ),
        (Some("1000000"), 2, false, false)
    );
}

#[tokio::test]
async fn log_levels_change_at_run_time() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    let level = async |client: &mut Client| {
        let result = describe(client, BROKER_LOGGER, "1").await;
        let config = of(&result, "milena_broker");
        assert_eq!((config.config_source, config.read_only), (6, false));
        config.value.as_deref().unwrap_or_default().to_owned()
    };
    assert_eq!(level(&mut client).await, "INFO");
    assert_eq!(
        alter(&mut client, BROKER_LOGGER, "1", SET, "milena_broker", "DEBUG")
            .await
            .0,
        0
    );
    assert_eq!(level(&mut client).await, "DEBUG");
    for (name, op, logger, value, code, message) in [
        ("1", SET, "nobody", "INFO", 40, "Logger nobody does not exist!"),
        (
            "1",
            SET,
            "root",
            "LOUD",
            40,
            "Cannot set the log level of root to LOUD",
        ),
        (
            "1",
            DELETE,
            "root",
            "",
            42,
            "Removing the log level of the root logger is not allowed",
        ),
        (
            "1",
            APPEND,
            "root",
            "INFO",
            42,
            "APPEND operation is not allowed for the BROKER_LOGGER resource",
        ),
        (
            "7",
            SET,
            "root",
            "INFO",
            42,
            "Unexpected broker id, expected 1, but received 7",
        ),
    ] {
        let (error, text) = alter(&mut client, BROKER_LOGGER, name, op, logger, value).await;
        assert_eq!(error, code, "{text}");
        assert!(text.contains(message), "{text}");
    }
    assert_eq!(level(&mut client).await, "DEBUG", "nothing changed");
    assert_eq!(
        alter(&mut client, BROKER_LOGGER, "1", DELETE, "milena_broker", "")
            .await
            .0,
        0
    );
    assert_eq!(level(&mut client).await, "INFO");
    assert_eq!(describe(&mut client, BROKER_LOGGER, "7").await.error_code, 42);
}
