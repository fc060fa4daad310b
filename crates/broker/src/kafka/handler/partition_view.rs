//! A partition as Metadata and DescribeTopicPartitions show it: who leads, who can be reached. Source:
//! `KRaftMetadataCache.partitionMetadata`.

use crate::kafka::endpoints;
use milena_metadata::MetadataImage;
use milena_metadata::record::PartitionRegistration;
use milena_types::{BrokerId, ErrorCode};

/// What a client is told about one partition's leader.
pub(super) struct PartitionView {
    /// NONE, LEADER_NOT_AVAILABLE or LISTENER_NOT_FOUND.
    pub(super) error: ErrorCode,
    /// -1 when there is none that the client can reach.
    pub(super) leader: i32,
    /// Replicas that are not alive, not on the client's listener, or whose log is out of use.
    pub(super) offline: Vec<BrokerId>,
}

/// Looks at a partition from one listener. `listener_errors` is false for clients that do not know LISTENER_NOT_FOUND.
pub(super) fn view(
    image: &MetadataImage,
    listener: &str,
    state: &PartitionRegistration,
    listener_errors: bool,
) -> PartitionView {
    let offline = state
        .replicas
        .iter()
        .copied()
        .filter(|id| !is_reachable(image, listener, *id) || state.offline.contains(id))
        .collect();
    let (error, leader) = match state.leader {
        None => (ErrorCode::LeaderNotAvailable, -1),
        Some(leader) if is_reachable(image, listener, leader) => (ErrorCode::None, leader.0),
        Some(leader) if is_alive(image, leader) && listener_errors => (ErrorCode::ListenerNotFound, -1),
        Some(_) => (ErrorCode::LeaderNotAvailable, -1),
    };
    PartitionView {
        error,
        leader,
        offline,
    }
}

fn is_alive(image: &MetadataImage, id: BrokerId) -> bool {
    image.broker(id).is_some_and(|broker| !broker.fenced)
}

/// True for a live broker on the client's listener.
pub(super) fn is_reachable(image: &MetadataImage, listener: &str, id: BrokerId) -> bool {
    image
        .broker(id)
        .is_some_and(|broker| !broker.fenced && endpoints::on_listener(broker, listener).is_some())
}
