//! What brokers send for themselves: registration, heartbeat, AlterPartition.

use super::record::directory_bytes;
use super::{ConvertError, each, error_code, outcome, required, uuid, uuid_bytes};
use crate::proto;
use milena_metadata::request::{
    AlterPartition, AlterPartitionItem, AlterPartitionResult, Heartbeat, HeartbeatReply, RegisterBroker,
    RegisterBrokerReply, ReplicaState, ReplicaStateItem, ReplicaStates,
};
use milena_types::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, IncarnationId, LeaderEpoch, MetadataVersion,
    PartitionEpoch,
};

pub(super) fn directories(list: &[bytes::Bytes]) -> Result<Vec<DirectoryId>, ConvertError> {
    list.iter()
        .map(|bytes| Ok(DirectoryId(uuid(bytes, "directory")?)))
        .collect()
}

impl From<&RegisterBroker> for proto::RegisterBrokerRequest {
    fn from(request: &RegisterBroker) -> Self {
        Self {
            broker: request.broker.0,
            cluster: request.cluster.as_ref().map(|id| id.0.clone()),
            incarnation: uuid_bytes(request.incarnation.0),
            endpoints: request.endpoints.iter().map(Into::into).collect(),
            rack: request.rack.clone(),
            directories: directory_bytes(&request.directories),
            unreadable_directories: request.unreadable_directories,
            previous_epoch: request.previous_epoch.map(|epoch| epoch.0),
        }
    }
}

impl TryFrom<proto::RegisterBrokerRequest> for RegisterBroker {
    type Error = ConvertError;

    fn try_from(request: proto::RegisterBrokerRequest) -> Result<Self, ConvertError> {
        if request.broker < 0 {
            return Err(ConvertError::Range {
                field: "broker",
                value: i64::from(request.broker),
            });
        }
        Ok(Self {
            broker: BrokerId(request.broker),
            cluster: request.cluster.map(ClusterId),
            incarnation: IncarnationId(uuid(&request.incarnation, "incarnation")?),
            endpoints: each(request.endpoints)?,
            rack: request.rack,
            directories: directories(&request.directories)?,
            unreadable_directories: request.unreadable_directories,
            previous_epoch: request.previous_epoch.map(BrokerEpoch),
        })
    }
}

impl From<&RegisterBrokerReply> for proto::RegisterBrokerResponse {
    fn from(reply: &RegisterBrokerReply) -> Self {
        Self {
            outcome: Some((&reply.outcome).into()),
            epoch: reply.epoch.0,
            cluster: reply.cluster.as_ref().map(|id| id.0.clone()),
        }
    }
}

impl TryFrom<proto::RegisterBrokerResponse> for RegisterBrokerReply {
    type Error = ConvertError;

    fn try_from(reply: proto::RegisterBrokerResponse) -> Result<Self, ConvertError> {
        Ok(Self {
            outcome: outcome(reply.outcome)?,
            epoch: BrokerEpoch(reply.epoch),
            cluster: reply.cluster.map(ClusterId),
        })
    }
}

impl From<&Heartbeat> for proto::HeartbeatRequest {
    fn from(request: &Heartbeat) -> Self {
        Self {
            broker: request.broker.0,
            epoch: request.epoch.0,
            applied: request.applied.0,
            want_fence: request.want_fence,
            want_shutdown: request.want_shutdown,
        }
    }
}

impl TryFrom<proto::HeartbeatRequest> for Heartbeat {
    type Error = ConvertError;

    fn try_from(request: proto::HeartbeatRequest) -> Result<Self, ConvertError> {
        Ok(Self {
            broker: BrokerId(request.broker),
            epoch: BrokerEpoch(request.epoch),
            applied: MetadataVersion(request.applied),
            want_fence: request.want_fence,
            want_shutdown: request.want_shutdown,
        })
    }
}

impl From<&HeartbeatReply> for proto::HeartbeatResponse {
    fn from(reply: &HeartbeatReply) -> Self {
        Self {
            outcome: Some((&reply.outcome).into()),
            is_caught_up: reply.is_caught_up,
            is_fenced: reply.is_fenced,
            should_shutdown: reply.should_shutdown,
            version: reply.version.0,
            quorum_age_ms: reply.quorum_age_ms,
        }
    }
}

impl TryFrom<proto::HeartbeatResponse> for HeartbeatReply {
    type Error = ConvertError;

    fn try_from(reply: proto::HeartbeatResponse) -> Result<Self, ConvertError> {
        Ok(Self {
            outcome: outcome(reply.outcome)?,
            is_caught_up: reply.is_caught_up,
            is_fenced: reply.is_fenced,
            should_shutdown: reply.should_shutdown,
            version: MetadataVersion(reply.version),
            quorum_age_ms: reply.quorum_age_ms,
        })
    }
}

impl From<&AlterPartition> for proto::AlterPartitionRequest {
    fn from(request: &AlterPartition) -> Self {
        Self {
            broker: request.broker.0,
            broker_epoch: request.broker_epoch.0,
            partitions: request.partitions.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<proto::AlterPartitionRequest> for AlterPartition {
    type Error = ConvertError;

    fn try_from(request: proto::AlterPartitionRequest) -> Result<Self, ConvertError> {
        Ok(Self {
            broker: BrokerId(request.broker),
            broker_epoch: BrokerEpoch(request.broker_epoch),
            partitions: each(request.partitions)?,
        })
    }
}

impl From<&AlterPartitionItem> for proto::AlterPartitionItem {
    fn from(item: &AlterPartitionItem) -> Self {
        Self {
            id: Some((&item.id).into()),
            leader_epoch: item.leader_epoch.0,
            partition_epoch: item.partition_epoch.0,
            isr: item
                .isr
                .iter()
                .map(|(broker, epoch)| proto::IsrMember {
                    broker: broker.0,
                    epoch: epoch.0,
                })
                .collect(),
            recovering: item.recovering,
        }
    }
}

impl TryFrom<proto::AlterPartitionItem> for AlterPartitionItem {
    type Error = ConvertError;

    fn try_from(item: proto::AlterPartitionItem) -> Result<Self, ConvertError> {
        Ok(Self {
            id: required(item.id, "id")?.try_into()?,
            leader_epoch: LeaderEpoch(item.leader_epoch),
            partition_epoch: PartitionEpoch(item.partition_epoch),
            isr: item
                .isr
                .into_iter()
                .map(|member| (BrokerId(member.broker), BrokerEpoch(member.epoch)))
                .collect(),
            recovering: item.recovering,
        })
    }
}

impl From<&AlterPartitionResult> for proto::AlterPartitionResult {
    fn from(result: &AlterPartitionResult) -> Self {
        Self {
            id: Some((&result.id).into()),
            error: i32::from(result.error.code()),
        }
    }
}

impl TryFrom<proto::AlterPartitionResult> for AlterPartitionResult {
    type Error = ConvertError;

    fn try_from(result: proto::AlterPartitionResult) -> Result<Self, ConvertError> {
        Ok(Self {
            id: required(result.id, "id")?.try_into()?,
            error: error_code(result.error),
        })
    }
}

impl From<&[AlterPartitionResult]> for proto::AlterPartitionResponse {
    fn from(results: &[AlterPartitionResult]) -> Self {
        Self {
            partitions: results.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<proto::AlterPartitionResponse> for Vec<AlterPartitionResult> {
    type Error = ConvertError;

    fn try_from(response: proto::AlterPartitionResponse) -> Result<Self, ConvertError> {
        each(response.partitions)
    }
}

impl From<&ReplicaStates> for proto::ReportReplicasRequest {
    fn from(request: &ReplicaStates) -> Self {
        Self {
            broker: request.broker.0,
            broker_epoch: request.broker_epoch.0,
            replicas: request.replicas.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<proto::ReportReplicasRequest> for ReplicaStates {
    type Error = ConvertError;

    fn try_from(request: proto::ReportReplicasRequest) -> Result<Self, ConvertError> {
        Ok(Self {
            broker: BrokerId(request.broker),
            broker_epoch: BrokerEpoch(request.broker_epoch),
            replicas: each(request.replicas)?,
        })
    }
}

impl From<&ReplicaStateItem> for proto::ReplicaStateItem {
    fn from(item: &ReplicaStateItem) -> Self {
        let state = match item.state {
            ReplicaState::Offline => proto::ReplicaState::Offline,
            ReplicaState::Full => proto::ReplicaState::Full,
            ReplicaState::Refill => proto::ReplicaState::Refill,
            ReplicaState::Cut => proto::ReplicaState::Cut,
            ReplicaState::Online => proto::ReplicaState::Online,
        };
        Self {
            id: Some((&item.id).into()),
            state: state.into(),
        }
    }
}

impl TryFrom<proto::ReplicaStateItem> for ReplicaStateItem {
    type Error = ConvertError;

    fn try_from(item: proto::ReplicaStateItem) -> Result<Self, ConvertError> {
        let state = proto::ReplicaState::try_from(item.state).map_err(|_| ConvertError::Range {
            field: "state",
            value: i64::from(item.state),
        })?;
        Ok(Self {
            id: required(item.id, "id")?.try_into()?,
            state: match state {
                proto::ReplicaState::Offline => ReplicaState::Offline,
                proto::ReplicaState::Full => ReplicaState::Full,
                proto::ReplicaState::Refill => ReplicaState::Refill,
                proto::ReplicaState::Cut => ReplicaState::Cut,
                proto::ReplicaState::Online => ReplicaState::Online,
            },
        })
    }
}
