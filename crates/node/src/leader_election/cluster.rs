//! The brokers and the partitions of a cluster, as one of its brokers says.

use super::connection::Connection;
use super::{ElectionError, Wanted};
use milena_types::{BrokerId, ErrorCode};
use milena_wire::StrBytes;
use milena_wire::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use milena_wire::messages::describe_topic_partitions_response::DescribeTopicPartitionsResponsePartition;
use milena_wire::messages::{
    BrokerId as WireBrokerId, DescribeTopicPartitionsRequest, MetadataRequest, TopicName,
};
use std::collections::{BTreeMap, BTreeSet};

const METADATA_VERSION: i16 = 12;
const DESCRIBE_VERSION: i16 = 0;
/// So many partitions are asked for at once.
const PAGE: i32 = 2000;

/// One partition's registration.
#[derive(Clone, Debug)]
pub(super) struct PartitionState {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) leader: Option<BrokerId>,
    pub(super) leader_epoch: i32,
    pub(super) replicas: Vec<BrokerId>,
    pub(super) offline: Vec<BrokerId>,
    /// In sync; eligible; the last known leader.
    pub(super) holders: [Vec<BrokerId>; 3],
}

/// A cluster, and connections to its brokers.
pub(super) struct Cluster {
    addresses: BTreeMap<BrokerId, String>,
    open: BTreeMap<BrokerId, Connection>,
    first: Connection,
}

impl Cluster {
    /// Asks the first of `bootstrap` (`host:port`, separated by commas) that answers.
    pub(super) fn ask(bootstrap: &str) -> Result<Self, ElectionError> {
        let mut first = first_of(bootstrap)?;
        let nobody = MetadataRequest::default().with_topics(Some(Vec::new()));
        let metadata = first.call(METADATA_VERSION, &nobody)?;
        let addresses = metadata.brokers.iter().map(|broker| {
            (
                BrokerId(broker.node_id.0),
                format!("{}:{}", broker.host, broker.port),
            )
        });
        Ok(Self {
            addresses: addresses.collect(),
            open: BTreeMap::new(),
            first,
        })
    }

    /// The connection to a broker.
    pub(super) fn broker(&mut self, id: BrokerId) -> Result<&mut Connection, ElectionError> {
        if !self.open.contains_key(&id) {
            let address = self.addresses.get(&id);
            let address = address.ok_or_else(|| ElectionError::Unreachable(format!("broker {id}")))?;
            self.open.insert(id, Connection::open(address)?);
        }
        let open = self.open.get_mut(&id);
        open.ok_or_else(|| ElectionError::Unreachable(format!("broker {id}")))
    }

    /// The partitions wanted, by topic and number.
    pub(super) fn partitions(&mut self, wanted: &Wanted) -> Result<Vec<PartitionState>, ElectionError> {
        let names: BTreeSet<&String> = wanted.iter().flatten().map(|(topic, _)| topic).collect();
        let topics: Vec<_> = names
            .into_iter()
            .map(|name| TopicRequest::default().with_name(topic_name(name)))
            .collect();
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let request = DescribeTopicPartitionsRequest::default()
                .with_topics(topics.clone())
                .with_response_partition_limit(PAGE)
                .with_cursor(cursor.take());
            let response = self.first.call(DESCRIBE_VERSION, &request)?;
            for topic in &response.topics {
                let name = topic.name.as_ref().map_or("", |name| name.as_str());
                match ErrorCode::from_code(topic.error_code) {
                    ErrorCode::None | ErrorCode::UnknownTopicOrPartition => {}
                    error => return Err(self.first.refused(format!("topic {name}: {error:?}"))),
                }
                all.extend(topic.partitions.iter().map(|partition| state(name, partition)));
            }
            let Some(next) = response.next_cursor else { break };
            let next = Cursor::default()
                .with_topic_name(next.topic_name)
                .with_partition_index(next.partition_index);
            cursor = Some(next);
        }
        let Some(wanted) = wanted else { return Ok(all) };
        let find = |(topic, partition): &(String, i32)| {
            let found = all
                .iter()
                .find(|state| state.topic == *topic && state.partition == *partition);
            found.cloned().ok_or_else(|| ElectionError::UnknownPartition {
                topic: topic.clone(),
                partition: *partition,
            })
        };
        wanted.iter().map(find).collect()
    }
}

/// The first of the addresses that answers.
pub(super) fn first_of(bootstrap: &str) -> Result<Connection, ElectionError> {
    let addresses = bootstrap
        .split(',')
        .map(str::trim)
        .filter(|address| !address.is_empty());
    let mut connections = addresses.filter_map(|address| Connection::open(address).ok());
    let first = connections.next();
    first.ok_or_else(|| ElectionError::Unreachable(bootstrap.to_owned()))
}

pub(super) fn topic_name(name: &str) -> TopicName {
    StrBytes::from_string(name.to_owned()).into()
}

fn state(topic: &str, partition: &DescribeTopicPartitionsResponsePartition) -> PartitionState {
    let ids = |list: &[WireBrokerId]| list.iter().map(|id| BrokerId(id.0)).collect::<Vec<_>>();
    let maybe = |list: &Option<Vec<WireBrokerId>>| ids(list.as_deref().unwrap_or_default());
    PartitionState {
        topic: topic.to_owned(),
        partition: partition.partition_index,
        leader: (partition.leader_id.0 >= 0).then_some(BrokerId(partition.leader_id.0)),
        leader_epoch: partition.leader_epoch,
        replicas: ids(&partition.replica_nodes),
        offline: ids(&partition.offline_replicas),
        holders: [
            ids(&partition.isr_nodes),
            maybe(&partition.eligible_leader_replicas),
            maybe(&partition.last_known_elr),
        ],
    }
}
