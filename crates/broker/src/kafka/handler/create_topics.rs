//! CreateTopics (19): forwarded to the active controller. Source: `ControllerApis.createTopics`,
//! `ReplicationControlManager.createTopics`.

use super::text::{owned, text, topic_name};
use crate::kafka::dispatch::Call;
use crate::kafka::error_map::{code_and_message, controller_failed};
use milena_metadata::MetadataImage;
use milena_metadata::config::{BrokerDefaults, describe_created};
use milena_metadata::request::{
    AdminReply, AdminRequest, CreateTopic, CreateTopicResult, CreateTopics, Outcome,
};
use milena_types::{BrokerId, ErrorCode, TopicId};
use milena_wire::messages::CreateTopicsResponse;
use milena_wire::messages::create_topics_request::CreatableTopic;
use milena_wire::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use milena_wire::split::CreateTopicsRequest;
use milena_wire::uuid;
use std::collections::{BTreeMap, HashMap};

pub(in crate::kafka) async fn handle(call: &Call, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let ctx = &call.peer.ctx;
    let topics: Vec<_> = request
        .iter()
        .map(|topic| creation(&topic, call.version))
        .collect();
    let admin = AdminRequest::CreateTopics(CreateTopics {
        topics: topics.clone(),
        validate_only: request.head.validate_only,
        default_partitions: ctx.config.num_partitions,
        default_replication_factor: ctx.config.default_replication_factor,
    });
    let results = match ctx.cluster.admin(admin).await {
        Ok(AdminReply::CreateTopics(results)) => results,
        Ok(_) => failed(&topics, &controller_failed(ErrorCode::None)),
        Err(error) => failed(&topics, &controller_failed(error)),
    };
    let image = ctx.image();
    let by_name: HashMap<&str, &CreateTopic> =
        topics.iter().map(|topic| (topic.name.as_str(), topic)).collect();
    let rows = results.into_iter().map(|result| {
        let asked = by_name.get(result.name.as_str()).copied();
        row(&image, &ctx.defaults, result, asked, call.version)
    });
    CreateTopicsResponse::default().with_topics(rows.collect())
}

fn creation(topic: &CreatableTopic, version: i16) -> CreateTopic {
    // -1 means the default since version 4; before, the controller refuses it as any other wrong number.
    let or_default = |number: i64| version < 4 || number != -1;
    let manual = !topic.assignments.is_empty();
    CreateTopic {
        name: owned(&topic.name.0),
        partitions: (or_default(topic.num_partitions.into()) && !manual
            || (manual && topic.num_partitions != -1))
            .then_some(topic.num_partitions),
        replication_factor: (or_default(topic.replication_factor.into()) && !manual
            || (manual && topic.replication_factor != -1))
            .then_some(topic.replication_factor),
        assignments: topic
            .assignments
            .iter()
            .map(|a| {
                (
                    a.partition_index,
                    a.broker_ids.iter().map(|id| BrokerId(id.0)).collect(),
                )
            })
            .collect(),
        configs: topic
            .configs
            .iter()
            .map(|config| (owned(&config.name), config.value.as_ref().map(owned)))
            .collect(),
    }
}

fn failed(topics: &[CreateTopic], outcome: &Outcome) -> Vec<CreateTopicResult> {
    let failed = |topic: &CreateTopic| CreateTopicResult {
        name: topic.name.clone(),
        outcome: outcome.clone(),
        id: TopicId::default(),
        partitions: -1,
        replication_factor: -1,
    };
    topics.iter().map(failed).collect()
}

fn row(
    image: &MetadataImage,
    defaults: &BrokerDefaults,
    result: CreateTopicResult,
    asked: Option<&CreateTopic>,
    version: i16,
) -> CreatableTopicResult {
    let is_created = result.outcome.error.is_none();
    let (code, message) = code_and_message(result.outcome);
    let mut row = CreatableTopicResult::default()
        .with_name(topic_name(result.name))
        .with_topic_id(uuid(result.id))
        .with_error_code(code)
        .with_error_message(message)
        .with_num_partitions(result.partitions)
        .with_replication_factor(result.replication_factor)
        .with_configs(Some(Vec::new()));
    if let Some(asked) = asked.filter(|_| is_created && version >= 5) {
        let set = asked
            .configs
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
        let overrides: BTreeMap<String, String> = set.collect();
        row.configs = Some(configs(image, &overrides, defaults));
    }
    row
}

fn configs(
    image: &MetadataImage,
    overrides: &BTreeMap<String, String>,
    defaults: &BrokerDefaults,
) -> Vec<CreatableTopicConfigs> {
    let entries = describe_created(image, overrides, defaults);
    let row = |entry: milena_metadata::config::ConfigEntry| {
        CreatableTopicConfigs::default()
            .with_name(text(entry.name))
            .with_value(entry.value.map(text))
            .with_read_only(false)
            .with_config_source(entry.source.wire_code())
            .with_is_sensitive(entry.sensitive)
    };
    entries.into_iter().map(row).collect()
}
