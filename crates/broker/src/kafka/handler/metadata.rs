//! Metadata (3): brokers, topics, leaders; creates topics that clients name. Source: `KafkaApis.handleTopicMetadataRequest`.

use super::partition_view::{is_reachable, view};
use super::text::{broker, brokers, owned, text, topic_name};
use crate::kafka::dispatch::Call;
use crate::kafka::{authorized_operations, endpoints};
use milena_metadata::MetadataImage;
use milena_metadata::image::TopicImage;
use milena_metadata::record::PartitionRegistration;
use milena_types::{BrokerId, ErrorCode, TopicName};
use milena_wire::messages::MetadataResponse;
use milena_wire::messages::metadata_request::MetadataRequestTopic;
use milena_wire::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use milena_wire::split::MetadataRequest;
use milena_wire::{topic_id, uuid};

pub(in crate::kafka) async fn handle(call: &Call, request: MetadataRequest) -> MetadataResponse {
    let ctx = &call.peer.ctx;
    ctx.metadata.undoubted().await;
    let image = ctx.image();
    let departed = ctx.metadata.departed_within(ctx.config.session_timeout);
    let scope = Scope {
        image: &image,
        listener: &call.peer.listener,
        version: call.version,
        operations: authorized_operations::of_topic(request.head.include_topic_authorized_operations),
    };
    let mut missing = Vec::new();
    // An empty list is "all" in version 0 and "none" afterwards; null is "all".
    let all = request.is_empty() && (call.version == 0 || request.elements.is_none());
    let topics = match all {
        true => image
            .topic_ids
            .values()
            .filter_map(|id| image.topics.get(id))
            .map(|t| scope.topic(t))
            .collect(),
        false => request
            .iter()
            .map(|topic| scope.named(&topic, &mut missing))
            .collect(),
    };
    let request = request.head;
    // Before version 4 a client could not say no.
    if ctx.config.auto_create_topics && (request.allow_auto_topic_creation || call.version < 4) {
        create_missing(call, missing);
    }
    MetadataResponse::default()
        .with_brokers(listed_brokers(&image, &call.peer.listener, &departed))
        .with_cluster_id(image.cluster.as_ref().map(|cluster| text(cluster.0.as_str())))
        .with_controller_id(ctx.controller(&image, &call.peer.listener).into())
        .with_topics(topics)
        .with_cluster_authorized_operations(authorized_operations::of_cluster(
            request.include_cluster_authorized_operations,
        ))
}

fn listed_brokers(
    image: &MetadataImage,
    listener: &str,
    departed: &[BrokerId],
) -> Vec<MetadataResponseBroker> {
    let row = |(registration, endpoint): (
        &milena_metadata::record::BrokerRegistration,
        &milena_metadata::record::Endpoint,
    )| {
        MetadataResponseBroker::default()
            .with_node_id(broker(registration.id))
            .with_host(text(endpoint.host.as_str()))
            .with_port(i32::from(endpoint.port))
            .with_rack(registration.rack.as_deref().map(text))
    };
    endpoints::listed(image, listener, departed).map(row).collect()
}

/// Starts the creation of what a client named. The offsets topic is created with its own settings.
fn create_missing(call: &Call, missing: Vec<String>) {
    let ctx = &call.peer.ctx;
    let (internal, names): (Vec<_>, Vec<_>) = missing
        .into_iter()
        .partition(|name| TopicName::new(name).is_ok_and(|name| name.is_internal()));
    if internal.iter().any(|name| name == "__consumer_offsets") {
        let groups = ctx.groups.clone();
        // The client asks again, and is told then.
        tokio::task::spawn_local(async move { groups.ensure_topic().await.is_ok() });
    }
    ctx.auto_creation.start(ctx, names);
}

/// From where and in which version the topics are looked at.
struct Scope<'a> {
    image: &'a MetadataImage,
    listener: &'a str,
    version: i16,
    operations: i32,
}

impl Scope<'_> {
    /// A topic that the request names, or asks for by id.
    fn named(&self, asked: &MetadataRequestTopic, missing: &mut Vec<String>) -> MetadataResponseTopic {
        if let Some(name) = asked.name.as_ref().filter(|_| asked.topic_id.is_nil()) {
            if let Some(topic) = self.image.topic_by_name(name.as_str()) {
                return self.topic(topic);
            }
            let error = match TopicName::new(name.as_str()) {
                Ok(_) => {
                    missing.push(owned(&name.0));
                    ErrorCode::UnknownTopicOrPartition
                }
                Err(error) => crate::kafka::error_map::topic_name_error(&error),
            };
            return self.failed(asked, error);
        }
        match self.image.topics.get(&topic_id(asked.topic_id)) {
            // Ids are in the schema since version 10, but mean something since 12.
            _ if self.version < 12 || asked.topic_id.is_nil() => {
                self.failed(asked, ErrorCode::InvalidRequest)
            }
            Some(topic) => self.topic(topic),
            None => self.failed(asked, ErrorCode::UnknownTopicId),
        }
    }

    fn failed(&self, asked: &MetadataRequestTopic, error: ErrorCode) -> MetadataResponseTopic {
        // Null only where the schema allows it.
        let name = asked
            .name
            .clone()
            .or_else(|| (self.version < 12).then(|| topic_name("")));
        let is_internal = name
            .as_ref()
            .is_some_and(|name| TopicName::new(name).is_ok_and(|name| name.is_internal()));
        MetadataResponseTopic::default()
            .with_error_code(error.code())
            .with_name(name)
            .with_topic_id(asked.topic_id)
            .with_is_internal(is_internal)
    }

    fn topic(&self, topic: &TopicImage) -> MetadataResponseTopic {
        let partitions = topic
            .partitions
            .iter()
            .map(|(index, state)| self.partition(index.0, state))
            .collect();
        MetadataResponseTopic::default()
            .with_name(Some(topic_name(topic.name.as_str())))
            .with_topic_id(uuid(topic.id))
            .with_is_internal(topic.name.is_internal())
            .with_partitions(partitions)
            .with_topic_authorized_operations(if self.version >= 8 {
                self.operations
            } else {
                i32::MIN
            })
    }

    fn partition(&self, index: i32, state: &PartitionRegistration) -> MetadataResponsePartition {
        let seen = view(self.image, self.listener, state, self.version >= 6);
        let mut error = seen.error;
        let (mut replicas, mut isr) = (state.replicas.clone(), state.isr.clone());
        if self.version == 0 {
            // Version 0 lists live replicas only, and says when some are missing.
            let reachable = |id: &BrokerId| is_reachable(self.image, self.listener, *id);
            replicas.retain(reachable);
            isr.retain(reachable);
            if error.is_none() && !seen.offline.is_empty() {
                error = ErrorCode::ReplicaNotAvailable;
            }
        }
        MetadataResponsePartition::default()
            .with_error_code(error.code())
            .with_partition_index(index)
            .with_leader_id(seen.leader.into())
            .with_leader_epoch(state.leader_epoch.0)
            .with_replica_nodes(brokers(&replicas))
            .with_isr_nodes(brokers(&isr))
            .with_offline_replicas(brokers(&seen.offline))
    }
}
