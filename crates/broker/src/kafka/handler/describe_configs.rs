//! DescribeConfigs (32): topics and this broker, with sources, synonyms, types and texts. Source: `ConfigHelper`.

use super::config_resource::parse;
use super::text::{owned, text};
use crate::kafka::context::KafkaContext;
use crate::kafka::dispatch::Call;
use crate::kafka::error_map::code_and_message;
use milena_metadata::MetadataImage;
use milena_metadata::config::{
    ConfigEntry, ConfigSource, ConfigSynonymEntry, ConfigType, TOPIC_KEYS, describe_topic,
};
use milena_metadata::record::ConfigResource;
use milena_metadata::request::Outcome;
use milena_types::{BrokerId, ErrorCode};
use milena_wire::messages::DescribeConfigsResponse;
use milena_wire::messages::describe_configs_request::DescribeConfigsResource;
use milena_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use milena_wire::split::DescribeConfigsRequest;
use std::collections::BTreeMap;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let ctx = &call.peer.ctx;
    let image = ctx.image();
    let wanted = Wanted {
        synonyms: request.head.include_synonyms,
        documentation: request.head.include_documentation && call.version >= 3,
    };
    let rows = request.iter().map(|resource| {
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(text(resource.resource_name.as_str()));
        match entries(ctx, &image, &resource) {
            Ok(entries) => result.with_configs(entries.into_iter().map(|entry| wanted.row(entry)).collect()),
            Err(outcome) => {
                let (code, message) = code_and_message(outcome);
                result.with_error_code(code).with_error_message(message)
            }
        }
    });
    DescribeConfigsResponse::default().with_results(rows.collect())
}

/// One configuration key of any resource.
struct Entry {
    name: String,
    value: Option<String>,
    read_only: bool,
    source: i8,
    sensitive: bool,
    kind: i8,
    doc: &'static str,
    synonyms: Vec<(String, Option<String>, i8)>,
}

impl From<ConfigEntry> for Entry {
    fn from(entry: ConfigEntry) -> Self {
        let synonym = |s: ConfigSynonymEntry| (s.name, s.value, s.source.wire_code());
        Self {
            name: entry.name.to_owned(),
            value: entry.value,
            read_only: false,
            source: entry.source.wire_code(),
            sensitive: entry.sensitive,
            kind: entry.kind.wire_code(),
            doc: entry.doc,
            synonyms: entry.synonyms.into_iter().map(synonym).collect(),
        }
    }
}

/// What the client wants to see of each entry.
struct Wanted {
    synonyms: bool,
    documentation: bool,
}

impl Wanted {
    fn row(&self, entry: Entry) -> DescribeConfigsResourceResult {
        let synonym = |(name, value, source): (String, Option<String>, i8)| {
            DescribeConfigsSynonym::default()
                .with_name(text(name))
                .with_value(value.map(text))
                .with_source(source)
        };
        let synonyms = if self.synonyms { entry.synonyms } else { Vec::new() };
        DescribeConfigsResourceResult::default()
            .with_name(text(entry.name))
            .with_value(entry.value.map(text))
            .with_read_only(entry.read_only)
            .with_config_source(entry.source)
            .with_is_sensitive(entry.sensitive)
            .with_synonyms(synonyms.into_iter().map(synonym).collect())
            .with_config_type(entry.kind)
            .with_documentation(self.documentation.then(|| text(entry.doc)))
    }
}

fn entries(
    ctx: &KafkaContext,
    image: &MetadataImage,
    resource: &DescribeConfigsResource,
) -> Result<Vec<Entry>, Outcome> {
    let mut entries = match parse(resource.resource_type, resource.resource_name.as_str())? {
        ConfigResource::Topic(name) => match image.topic_by_name(name.as_str()) {
            Some(_) => describe_topic(image, &name, &ctx.defaults)
                .into_iter()
                .map(Entry::from)
                .collect(),
            None => {
                return Err(Outcome {
                    error: ErrorCode::UnknownTopicOrPartition,
                    message: None,
                });
            }
        },
        ConfigResource::Broker(None) => dynamic_entries(
            image,
            &ConfigResource::Broker(None),
            ConfigSource::DynamicDefaultBroker,
        ),
        ConfigResource::Broker(Some(id)) if id == ctx.config.node_id => broker_entries(ctx, image),
        ConfigResource::Broker(Some(BrokerId(id))) => {
            let own = ctx.config.node_id;
            let message = format!("Unexpected broker id, expected {own} or empty string, but received {id}");
            return Err(Outcome::failed(ErrorCode::InvalidRequest, message));
        }
        other @ (ConfigResource::Group(_) | ConfigResource::ClientMetrics(_)) => {
            dynamic_entries(image, &other, ConfigSource::DynamicBroker)
        }
    };
    if let Some(keys) = &resource.configuration_keys {
        let keys: Vec<String> = keys.iter().map(owned).collect();
        entries.retain(|entry| keys.contains(&entry.name));
    }
    Ok(entries)
}

/// What was set on a resource at run time, and nothing else.
fn dynamic_entries(image: &MetadataImage, resource: &ConfigResource, source: ConfigSource) -> Vec<Entry> {
    let set = image
        .configs
        .get(resource)
        .map(|set| set.iter())
        .into_iter()
        .flatten();
    set.map(|(name, value)| {
        entry_of(
            name,
            vec![(name.clone(), Some(value.clone()), source.wire_code())],
        )
    })
    .collect()
}

/// This broker's own configuration: everything that was configured, and the defaults that topics have from it.
fn broker_entries(ctx: &KafkaContext, image: &MetadataImage) -> Vec<Entry> {
    let mut values: BTreeMap<String, Vec<(String, Option<String>, i8)>> = BTreeMap::new();
    let mut add = |name: &str, value: &str, source: ConfigSource| {
        let row = (name.to_owned(), Some(value.to_owned()), source.wire_code());
        values.entry(name.to_owned()).or_default().push(row);
    };
    let own = ConfigResource::Broker(Some(ctx.config.node_id));
    for (resource, source) in [
        (own, ConfigSource::DynamicBroker),
        (ConfigResource::Broker(None), ConfigSource::DynamicDefaultBroker),
    ] {
        let set = image
            .configs
            .get(&resource)
            .map(|set| set.iter())
            .into_iter()
            .flatten();
        set.for_each(|(name, value)| add(name, value, source));
    }
    ctx.config
        .properties
        .iter()
        .for_each(|(name, value)| add(name, value, ConfigSource::StaticBroker));
    for key in TOPIC_KEYS {
        for synonym in key
            .synonyms
            .iter()
            .filter(|s| s.unit == milena_metadata::config::Unit::Same)
        {
            add(synonym.name, key.default, ConfigSource::Default);
        }
    }
    known_defaults(ctx)
        .into_iter()
        .for_each(|(name, value)| add(name, &value, ConfigSource::Default));
    values
        .into_iter()
        .map(|(name, values)| entry_of(&name, values))
        .collect()
}

/// Settings of the broker that people look up, with the values that it runs with.
fn known_defaults(ctx: &KafkaContext) -> Vec<(&'static str, String)> {
    let config = &ctx.config;
    vec![
        ("auto.create.topics.enable", config.auto_create_topics.to_string()),
        (
            "broker.heartbeat.interval.ms",
            config.heartbeat_interval.as_millis().to_string(),
        ),
        (
            "broker.session.timeout.ms",
            config.session_timeout.as_millis().to_string(),
        ),
        (
            "connections.max.idle.ms",
            config.network.max_idle.as_millis().to_string(),
        ),
        (
            "default.replication.factor",
            config.default_replication_factor.to_string(),
        ),
        ("delete.topic.enable", config.delete_topic.to_string()),
        ("fetch.max.bytes", config.network.fetch_max_bytes.to_string()),
        (
            "group.initial.rebalance.delay.ms",
            config.group.initial_rebalance_delay.as_millis().to_string(),
        ),
        ("inter.broker.listener.name", config.inter_broker_listener.clone()),
        (
            "max.incremental.fetch.session.cache.slots",
            config.network.fetch_session_slots.to_string(),
        ),
        ("node.id", config.node_id.to_string()),
        ("num.partitions", config.num_partitions.to_string()),
        (
            "offsets.retention.minutes",
            (config.group.offsets_retention.as_secs() / 60).to_string(),
        ),
        (
            "offsets.topic.num.partitions",
            config.group.offsets_topic_partitions.to_string(),
        ),
        (
            "offsets.topic.replication.factor",
            config.group.offsets_topic_replication_factor.to_string(),
        ),
        (
            "replica.lag.time.max.ms",
            config.replica.lag_time_max.as_millis().to_string(),
        ),
        (
            "request.timeout.ms",
            config.request_timeout.as_millis().to_string(),
        ),
        (
            "socket.request.max.bytes",
            config.network.request_max_bytes.to_string(),
        ),
    ]
}

/// An entry from its values, the strongest first; what looks like a secret is not shown.
fn entry_of(name: &str, mut values: Vec<(String, Option<String>, i8)>) -> Entry {
    let topic_key = TOPIC_KEYS
        .iter()
        .find(|key| key.synonyms.iter().any(|s| s.name == name));
    let sensitive = ["password", "secret", "jaas.config", "keystore.key"]
        .iter()
        .any(|word| name.contains(word));
    if sensitive {
        values.iter_mut().for_each(|(_, value, _)| *value = None);
    }
    let first = values.first().cloned();
    let kind = topic_key.map(|key| key.kind).or_else(|| {
        let value = first.as_ref()?.1.as_deref()?;
        match value {
            "true" | "false" => Some(ConfigType::Boolean),
            _ if value.parse::<i64>().is_ok() => Some(ConfigType::Long),
            _ => None,
        }
    });
    Entry {
        name: name.to_owned(),
        value: first.as_ref().and_then(|(_, value, _)| value.clone()),
        // What topics inherit can be changed at run time.
        read_only: topic_key.is_none(),
        source: first.map_or(ConfigSource::Default.wire_code(), |(_, _, source)| source),
        sensitive,
        kind: kind.unwrap_or(ConfigType::String).wire_code(),
        doc: topic_key.map_or("", |key| key.doc),
        synonyms: values,
    }
}
