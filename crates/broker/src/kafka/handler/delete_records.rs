//! DeleteRecords (21): moves log start offsets. Source: `KafkaApis.handleDeleteRecordsRequest`, `ReplicaManager.deleteRecords`.

use crate::kafka::dispatch::Call;
use crate::kafka::topics;
use crate::shard::DeleteRecordsItem;
use milena_types::{ErrorCode, Offset};
use milena_wire::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use milena_wire::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use std::time::Duration;

/// "Up to the high watermark".
const HIGH_WATERMARK: i64 = -1;

pub(in crate::kafka) async fn handle(call: &Call, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let image = call.peer.ctx.image();
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let mut response = Vec::with_capacity(request.topics.len());
    let (mut items, mut places) = (Vec::new(), Vec::new());
    for topic in &request.topics {
        let mut answers = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let found = topics::partition_by_name(&image, &topic.name, partition.partition_index);
            let internal = image
                .topic_by_name(&topic.name)
                .is_some_and(|topic| topic.name.is_internal());
            let item = found.and_then(|id| match partition.offset {
                _ if internal => Err(ErrorCode::InvalidTopicException),
                HIGH_WATERMARK => Ok(DeleteRecordsItem { id, before: None }),
                offset if offset < 0 => Err(ErrorCode::OffsetOutOfRange),
                offset => Ok(DeleteRecordsItem {
                    id,
                    before: Some(Offset(offset)),
                }),
            });
            let mut answer = DeleteRecordsPartitionResult::default()
                .with_partition_index(partition.partition_index)
                .with_low_watermark(-1);
            match item {
                Ok(item) => {
                    items.push(item);
                    places.push((response.len(), answers.len()));
                }
                Err(error) => answer.error_code = error.code(),
            }
            answers.push(answer);
        }
        response.push(
            DeleteRecordsTopicResult::default()
                .with_name(topic.name.clone())
                .with_partitions(answers),
        );
    }
    if !items.is_empty() {
        let results = call.peer.ctx.router.delete_records(items, timeout).await;
        for (result, (topic, partition)) in results.into_iter().zip(places) {
            let answer = &mut response[topic].partitions[partition];
            answer.error_code = result.error.code();
            answer.low_watermark = result.low_watermark.0;
        }
    }
    DeleteRecordsResponse::default().with_topics(response)
}
