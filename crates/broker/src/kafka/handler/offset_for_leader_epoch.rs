//! OffsetForLeaderEpoch (23): where a leader epoch ends, so that consumers notice truncation (KIP-320).

use crate::kafka::dispatch::Call;
use crate::kafka::topics;
use crate::shard::EpochEndItem;
use milena_types::{ErrorCode, LeaderEpoch};
use milena_wire::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use milena_wire::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

/// Milena's own, for `milena leader-election --plan`: any replica answers for its own log. Kafka's tools and clients do not send it
/// (-2, which some clients leave there, is a consumer).
const ANY_REPLICA: i32 = -3;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let image = call.peer.ctx.image();
    let mut response = Vec::with_capacity(request.topics.len());
    let (mut items, mut places) = (Vec::new(), Vec::new());
    for topic in &request.topics {
        let mut answers = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let mut answer = EpochEndOffset::default()
                .with_partition(partition.partition)
                .with_leader_epoch(-1)
                .with_end_offset(-1);
            match topics::partition_by_name(&image, &topic.topic, partition.partition) {
                // A real follower compares over its own protocol; nobody else may claim to be one.
                _ if request.replica_id.0 >= 0 => {
                    answer.error_code = ErrorCode::ClusterAuthorizationFailed.code()
                }
                Ok(id) => {
                    let epoch = partition.current_leader_epoch;
                    items.push(EpochEndItem {
                        id,
                        current_leader_epoch: (epoch >= 0).then_some(LeaderEpoch(epoch)),
                        leader_epoch: LeaderEpoch(partition.leader_epoch),
                        any_replica: request.replica_id.0 == ANY_REPLICA,
                    });
                    places.push((response.len(), answers.len()));
                }
                Err(error) => answer.error_code = error.code(),
            }
            answers.push(answer);
        }
        response.push(
            OffsetForLeaderTopicResult::default()
                .with_topic(topic.topic.clone())
                .with_partitions(answers),
        );
    }
    if !items.is_empty() {
        let results = call.peer.ctx.router.offsets_for_leader_epoch(items).await;
        for (result, (topic, partition)) in results.into_iter().zip(places) {
            let answer = &mut response[topic].partitions[partition];
            answer.error_code = result.error.code();
            if let Some((epoch, end)) = result.end {
                (answer.leader_epoch, answer.end_offset) = (epoch.0, end.0);
            }
        }
    }
    OffsetForLeaderEpochResponse::default().with_topics(response)
}
