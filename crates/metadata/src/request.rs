//! What can be asked of the controller, and what it answers: the input and output of `plan`.
//!
//! Every item-wise answer carries Kafka's error code and a message for people; `None` as message sends null.

use crate::record::{ConfigResource, Endpoint};
use milena_types::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, ErrorCode, IncarnationId, LeaderEpoch, MetadataVersion,
    PartitionEpoch, TopicId, TopicIdPartition, TopicName,
};

/// An error code with an optional explanation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// `ErrorCode::None` when it worked.
    pub error: ErrorCode,
    /// For people.
    pub message: Option<String>,
}

impl Outcome {
    /// It worked.
    pub const OK: Outcome = Outcome {
        error: ErrorCode::None,
        message: None,
    };

    /// It failed, and why.
    #[must_use]
    pub fn failed(error: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            error,
            message: Some(message.into()),
        }
    }
}

/// A broker announces itself. Source: `BrokerRegistrationRequest`.
#[derive(Clone, Debug, PartialEq)]
pub struct RegisterBroker {
    /// `node.id`.
    pub broker: BrokerId,
    /// Must be the cluster's; `None` when the broker's directories are not formatted yet: it learns the id from the answer.
    pub cluster: Option<ClusterId>,
    /// This run of the process.
    pub incarnation: IncarnationId,
    /// Advertised listeners.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// Storage ids of its log directories, as far as they can be read.
    pub directories: Vec<DirectoryId>,
    /// How many there are besides that cannot be read. The broker says what their replicas are, and makes none of them anew.
    pub unreadable_directories: u32,
    /// The broker epoch in the clean-shutdown file, if the last stop was clean (KIP-966).
    pub previous_epoch: Option<BrokerEpoch>,
}

/// The answer to [`RegisterBroker`].
#[derive(Clone, Debug, PartialEq)]
pub struct RegisterBrokerReply {
    /// None, DUPLICATE_BROKER_REGISTRATION, INCONSISTENT_CLUSTER_ID, …
    pub outcome: Outcome,
    /// The new epoch when it worked.
    pub epoch: BrokerEpoch,
    /// The cluster's id.
    pub cluster: Option<ClusterId>,
}

/// A broker is alive. Source: `BrokerHeartbeatRequest`.
#[derive(Clone, Debug, PartialEq)]
pub struct Heartbeat {
    /// Who.
    pub broker: BrokerId,
    /// Under which registration.
    pub epoch: BrokerEpoch,
    /// How far it has applied the metadata log.
    pub applied: MetadataVersion,
    /// It is not ready to serve.
    pub want_fence: bool,
    /// It wants a controlled shutdown.
    pub want_shutdown: bool,
}

/// The answer to [`Heartbeat`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeartbeatReply {
    /// STALE_BROKER_EPOCH, BROKER_ID_NOT_REGISTERED, …
    pub outcome: Outcome,
    /// It has applied its own registration.
    pub is_caught_up: bool,
    /// It is fenced now.
    pub is_fenced: bool,
    /// It leads nothing any more and may exit.
    pub should_shutdown: bool,
    /// The metadata that this was answered from: whatever was done to the broker while it was silent is in it.
    pub version: MetadataVersion,
    /// How many milliseconds ago a majority of the voters acknowledged that the controller which answers is the active one: nobody
    /// else was before. The largest number: it is not known.
    pub quorum_age_ms: u64,
}

/// A leader asks for another ISR (KIP-497, KIP-903). Source: `AlterPartitionRequest`.
#[derive(Clone, Debug, PartialEq)]
pub struct AlterPartition {
    /// The leader.
    pub broker: BrokerId,
    /// Its registration.
    pub broker_epoch: BrokerEpoch,
    /// One item a partition.
    pub partitions: Vec<AlterPartitionItem>,
}

/// One partition of [`AlterPartition`].
#[derive(Clone, Debug, PartialEq)]
pub struct AlterPartitionItem {
    /// Which.
    pub id: TopicIdPartition,
    /// The epoch in which the sender leads.
    pub leader_epoch: LeaderEpoch,
    /// The registration that the proposal is built on.
    pub partition_epoch: PartitionEpoch,
    /// The ISR wanted, each member with the broker epoch under which it was seen in sync.
    pub isr: Vec<(BrokerId, BrokerEpoch)>,
    /// True while the leader is still recovering from an unclean election.
    pub recovering: bool,
}

/// The answer for one partition of [`AlterPartition`]. The truth arrives by the metadata stream, not here.
#[derive(Clone, Debug, PartialEq)]
pub struct AlterPartitionResult {
    /// Which.
    pub id: TopicIdPartition,
    /// What became of it.
    pub error: ErrorCode,
}

/// A broker says how some of its replicas are.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaStates {
    /// Who.
    pub broker: BrokerId,
    /// Under which registration.
    pub broker_epoch: BrokerEpoch,
    /// Each partition at most once.
    pub replicas: Vec<ReplicaStateItem>,
}

/// One replica of [`ReplicaStates`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaStateItem {
    /// Of which partition.
    pub id: TopicIdPartition,
    /// How it is.
    pub state: ReplicaState,
}

/// How a replica is, as its broker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplicaState {
    /// Its directory failed, or its log is damaged: it neither leads nor follows.
    Offline,
    /// Its directory is full: nothing can be appended. Where nobody else can go on it stays as it is, to be read.
    Full,
    /// It is about to be cut and fetched anew from the leader: what it held counts no more.
    Refill,
    /// Its log is in doubt and about to be cut, others have been waited for: what it held counts no more where they can go on;
    /// where nobody can, it leads.
    Cut,
    /// Its log is in use.
    Online,
}

/// A topic to create. Source: `CreateTopicsRequest.CreatableTopic`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTopic {
    /// As the client wrote it: `plan` validates it.
    pub name: String,
    /// `None` (-1 on the wire): `num.partitions`.
    pub partitions: Option<i32>,
    /// `None` (-1 on the wire): `default.replication.factor`.
    pub replication_factor: Option<i16>,
    /// Manual assignment: (partition, replicas); empty for automatic.
    pub assignments: Vec<(i32, Vec<BrokerId>)>,
    /// Topic configurations; a null value is refused.
    pub configs: Vec<(String, Option<String>)>,
}

/// Topics to create in one request.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTopics {
    /// Each is decided alone; a name that occurs twice is INVALID_REQUEST for all of its occurrences.
    pub topics: Vec<CreateTopic>,
    /// Check only.
    pub validate_only: bool,
    /// The `num.partitions` of the broker that took the request.
    pub default_partitions: i32,
    /// Its `default.replication.factor`.
    pub default_replication_factor: i16,
}

/// The answer for one topic of [`CreateTopics`].
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTopicResult {
    /// As asked.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The new topic's id.
    pub id: TopicId,
    /// Its partition count; -1 on error.
    pub partitions: i32,
    /// Its replication factor; -1 on error.
    pub replication_factor: i16,
}

/// A topic by name or by id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TopicRef {
    /// By name, as the client wrote it.
    Name(String),
    /// By id.
    Id(TopicId),
}

/// The answer for one topic of a DeleteTopics request.
#[derive(Clone, Debug, PartialEq)]
pub struct DeleteTopicResult {
    /// The topic's name, when known.
    pub name: Option<String>,
    /// The topic's id; zero when unknown.
    pub id: TopicId,
    /// What became of it.
    pub outcome: Outcome,
}

/// One topic of a CreatePartitions request.
#[derive(Clone, Debug, PartialEq)]
pub struct GrowTopic {
    /// The topic.
    pub name: String,
    /// The new total count.
    pub count: i32,
    /// Replicas of each new partition; `None` for automatic placement.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// How one configuration key changes. Source: `AlterConfigOp.OpType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigOp {
    /// Set to the value.
    Set,
    /// Back to the default.
    Delete,
    /// Add items to a list.
    Append,
    /// Remove items from a list.
    Subtract,
}

/// Changes of one resource's configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct AlterConfig {
    /// Whose.
    pub resource: ConfigResource,
    /// (key, how, value).
    pub changes: Vec<(String, ConfigOp, Option<String>)>,
    /// The old AlterConfigs (33): keys that are not named go back to their default.
    pub replace_all: bool,
}

/// The answer for one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct AlterConfigResult {
    /// Whose.
    pub resource: ConfigResource,
    /// What became of it.
    pub outcome: Outcome,
}

/// Which leaders ElectLeaders (43) may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionType {
    /// The first replica of the assignment.
    Preferred,
    /// Any live replica, at the price of records.
    Unclean,
}

/// One partition for ElectLeaders.
#[derive(Clone, Debug, PartialEq)]
pub struct ElectLeader {
    /// Topic name as asked.
    pub topic: TopicName,
    /// Partition.
    pub partition: i32,
}

/// One partition for AlterPartitionReassignments. Source: `AlterPartitionReassignmentsRequest.ReassignablePartition`.
#[derive(Clone, Debug, PartialEq)]
pub struct Reassign {
    /// The topic, as the client wrote it.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The replicas that it is to have; `None` cancels the reassignment that is in progress.
    pub replicas: Option<Vec<BrokerId>>,
}

/// Everything that a client's administrative request can ask; any broker forwards it to the active controller.
#[derive(Clone, Debug, PartialEq)]
pub enum AdminRequest {
    /// CreateTopics (19).
    CreateTopics(CreateTopics),
    /// DeleteTopics (20).
    DeleteTopics(Vec<TopicRef>),
    /// CreatePartitions (37).
    CreatePartitions {
        /// The topics.
        topics: Vec<GrowTopic>,
        /// Check only.
        validate_only: bool,
    },
    /// IncrementalAlterConfigs (44) and AlterConfigs (33).
    AlterConfigs {
        /// The resources.
        resources: Vec<AlterConfig>,
        /// Check only.
        validate_only: bool,
    },
    /// ElectLeaders (43).
    ElectLeaders {
        /// Preferred or unclean.
        election: ElectionType,
        /// `None`: every partition.
        partitions: Option<Vec<ElectLeader>>,
    },
    /// AlterPartitionReassignments (45).
    AlterPartitionReassignments {
        /// The partitions.
        partitions: Vec<Reassign>,
        /// Whether a target may have more or fewer replicas than the partition (KIP-860).
        allow_replication_factor_change: bool,
    },
    /// UnregisterBroker (64).
    UnregisterBroker(BrokerId),
    /// A block of producer ids for a broker (67).
    AllocateProducerIds {
        /// Who hands them out.
        broker: BrokerId,
        /// Under which registration.
        epoch: BrokerEpoch,
    },
}

impl AdminRequest {
    /// What Kafka calls it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CreateTopics(_) => "CreateTopics",
            Self::DeleteTopics(_) => "DeleteTopics",
            Self::CreatePartitions { .. } => "CreatePartitions",
            Self::AlterConfigs { .. } => "AlterConfigs",
            Self::ElectLeaders { .. } => "ElectLeaders",
            Self::AlterPartitionReassignments { .. } => "AlterPartitionReassignments",
            Self::UnregisterBroker(_) => "UnregisterBroker",
            Self::AllocateProducerIds { .. } => "AllocateProducerIds",
        }
    }
}

/// The answers to [`AdminRequest`], variant by variant.
#[derive(Clone, Debug, PartialEq)]
pub enum AdminReply {
    /// To CreateTopics.
    CreateTopics(Vec<CreateTopicResult>),
    /// To DeleteTopics.
    DeleteTopics(Vec<DeleteTopicResult>),
    /// To CreatePartitions: (name, outcome).
    CreatePartitions(Vec<(String, Outcome)>),
    /// To AlterConfigs.
    AlterConfigs(Vec<AlterConfigResult>),
    /// To ElectLeaders: (topic, partition, outcome).
    ElectLeaders(Vec<(TopicName, i32, Outcome)>),
    /// To AlterPartitionReassignments: an outcome for each partition, in the order of the request.
    AlterPartitionReassignments(Vec<Outcome>),
    /// To UnregisterBroker.
    UnregisterBroker(Outcome),
    /// To AllocateProducerIds: ids `[first, first + count)`.
    AllocateProducerIds {
        /// STALE_BROKER_EPOCH, …
        outcome: Outcome,
        /// First id.
        first: i64,
        /// How many; Kafka's block is 1000.
        count: i32,
    },
}
