//! The dispatcher of administrative requests: it only dispatches.

use super::context::{PlanContext, Planned};
use super::{
    PRODUCER_ID_BLOCK, allocate_producer_ids, alter_configs, alter_partition_reassignments,
    create_partitions, create_topics, delete_topics, elect_leaders, unregister_broker,
};
use crate::image::MetadataImage;
use crate::request::{AdminReply, AdminRequest};

/// Plans any administrative request; the reply's variant is the request's.
#[must_use]
pub fn admin(image: &MetadataImage, request: &AdminRequest, ctx: &PlanContext<'_>) -> Planned<AdminReply> {
    match request {
        AdminRequest::CreateTopics(topics) => create_topics(image, topics, ctx).map(AdminReply::CreateTopics),
        AdminRequest::DeleteTopics(topics) => delete_topics(image, topics, ctx).map(AdminReply::DeleteTopics),
        AdminRequest::CreatePartitions {
            topics,
            validate_only,
        } => create_partitions(image, topics, *validate_only, ctx).map(AdminReply::CreatePartitions),
        AdminRequest::AlterConfigs {
            resources,
            validate_only,
        } => alter_configs(image, resources, *validate_only, ctx).map(AdminReply::AlterConfigs),
        AdminRequest::ElectLeaders { election, partitions } => {
            elect_leaders(image, *election, partitions.as_deref(), ctx).map(AdminReply::ElectLeaders)
        }
        AdminRequest::AlterPartitionReassignments {
            partitions,
            allow_replication_factor_change,
        } => alter_partition_reassignments(image, partitions, *allow_replication_factor_change, ctx)
            .map(AdminReply::AlterPartitionReassignments),
        AdminRequest::UnregisterBroker(broker) => {
            unregister_broker(image, *broker, ctx).map(AdminReply::UnregisterBroker)
        }
        AdminRequest::AllocateProducerIds { broker, epoch } => {
            allocate_producer_ids(image, *broker, *epoch, ctx).map(|(outcome, first)| {
                let count = if outcome.error.is_none() {
                    PRODUCER_ID_BLOCK
                } else {
                    0
                };
                AdminReply::AllocateProducerIds {
                    outcome,
                    first,
                    count,
                }
            })
        }
    }
}
