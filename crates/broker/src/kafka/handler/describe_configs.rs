//! DescribeConfigs (32): topics, this broker and its loggers, with sources, synonyms, types and texts.
//! Source: `ConfigHelper`.

use super::broker_logger;
use super::config_resource::{BROKER_LOGGER, parse};
use super::text::text;
use crate::kafka::context::KafkaContext;
use crate::kafka::dispatch::Call;
use crate::kafka::error_map::code_and_message;
use crate::loggers::LogLevel;
use milena_metadata::MetadataImage;
use milena_metadata::config::broker::{
    BrokerConfigEntry, BrokerSynonymEntry, StaticSettings, describe_broker, describe_dynamic,
};
use milena_metadata::config::{ConfigEntry, ConfigSynonymEntry, ConfigType, describe_topic};
use milena_metadata::record::ConfigResource;
use milena_metadata::request::Outcome;
use milena_types::{BrokerId, ErrorCode};
use milena_wire::messages::DescribeConfigsResponse;
use milena_wire::messages::describe_configs_request::DescribeConfigsResource;
use milena_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use milena_wire::split::DescribeConfigsRequest;
use std::collections::HashSet;

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

// Sources beside those of topics and brokers. Source: `DescribeConfigsResponse.ConfigSource`.
const DYNAMIC_BROKER_LOGGER: i8 = 6;
const DYNAMIC_CLIENT_METRICS: i8 = 7;
const DYNAMIC_GROUP: i8 = 8;

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

impl From<BrokerConfigEntry> for Entry {
    fn from(entry: BrokerConfigEntry) -> Self {
        let synonym = |s: BrokerSynonymEntry| (s.name, s.value, s.source.wire_code());
        Self {
            name: entry.name,
            value: entry.value,
            read_only: entry.read_only,
            source: entry.source.wire_code(),
            sensitive: entry.sensitive,
            kind: entry.kind,
            doc: entry.doc,
            synonyms: entry.synonyms.into_iter().map(synonym).collect(),
        }
    }
}

impl From<(String, LogLevel)> for Entry {
    fn from((name, level): (String, LogLevel)) -> Self {
        Self {
            name,
            value: Some(level.as_str().to_owned()),
            read_only: false,
            source: DYNAMIC_BROKER_LOGGER,
            sensitive: false,
            kind: 0,
            doc: "",
            synonyms: Vec::new(),
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
    let mut entries = match resource.resource_type {
        BROKER_LOGGER => of_loggers(ctx, resource.resource_name.as_str())?,
        kind => of_metadata(ctx, image, parse(kind, resource.resource_name.as_str())?)?,
    };
    if let Some(keys) = &resource.configuration_keys {
        let keys: HashSet<&str> = keys.iter().map(|key| key.as_str()).collect();
        entries.retain(|entry| keys.contains(entry.name.as_str()));
    }
    Ok(entries)
}

fn of_loggers(ctx: &KafkaContext, name: &str) -> Result<Vec<Entry>, Outcome> {
    let levels = broker_logger::levels(ctx, name)?;
    Ok(levels.into_iter().map(Entry::from).collect())
}

fn of_metadata(
    ctx: &KafkaContext,
    image: &MetadataImage,
    resource: ConfigResource,
) -> Result<Vec<Entry>, Outcome> {
    fn all<E: Into<Entry>>(entries: Vec<E>) -> Vec<Entry> {
        entries.into_iter().map(Into::into).collect()
    }
    match resource {
        ConfigResource::Topic(name) if image.topic_by_name(name.as_str()).is_none() => Err(Outcome {
            error: ErrorCode::UnknownTopicOrPartition,
            message: None,
        }),
        ConfigResource::Topic(name) => Ok(all(describe_topic(image, &name, &ctx.defaults))),
        ConfigResource::Broker(None) => Ok(all(describe_dynamic(image, None))),
        ConfigResource::Broker(Some(id)) if id == ctx.config.node_id => {
            let settings = StaticSettings {
                given: &ctx.config.properties,
                defaults: &ctx.config.own_defaults,
            };
            Ok(all(describe_broker(image, id, settings)))
        }
        ConfigResource::Broker(Some(BrokerId(id))) => {
            let own = ctx.config.node_id;
            let message = format!("Unexpected broker id, expected {own} or empty string, but received {id}");
            Err(Outcome::failed(ErrorCode::InvalidRequest, message))
        }
        other @ ConfigResource::ClientMetrics(_) => Ok(set_on(image, &other, DYNAMIC_CLIENT_METRICS)),
        other @ ConfigResource::Group(_) => Ok(set_on(image, &other, DYNAMIC_GROUP)),
    }
}

/// What was set on a group or a client-metrics subscription, and nothing else.
fn set_on(image: &MetadataImage, resource: &ConfigResource, source: i8) -> Vec<Entry> {
    let set = image.configs.get(resource).map(|set| set.iter());
    let entry = |(name, value): (&String, &String)| Entry {
        name: name.clone(),
        value: Some(value.clone()),
        read_only: false,
        source,
        sensitive: false,
        kind: ConfigType::String.wire_code(),
        doc: "",
        synonyms: vec![(name.clone(), Some(value.clone()), source)],
    };
    set.into_iter().flatten().map(entry).collect()
}
