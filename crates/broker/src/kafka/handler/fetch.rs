//! Fetch (1): records for consumers. Source: `KafkaApis.handleFetchRequest`.

use crate::kafka::dispatch::Call;
use crate::kafka::pending::{Answer, Begun};
use crate::kafka::session::{FetchContext, Key};
use crate::kafka::{endpoints, topics};
use crate::shard::{FetchCall, FetchPartition, FetchPartitionResult, Reader};
use bytes::Bytes;
use milena_metadata::MetadataImage;
use milena_types::{BrokerId, ErrorCode, LeaderEpoch, Offset, TopicIdPartition};
use milena_wire::DecodeError;
use milena_wire::fetch::{FetchPartitionResponse, FetchRequest, FetchResponse, FetchTopicResponse};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Isolation level: read committed.
const READ_COMMITTED: i8 = 1;

pub(in crate::kafka) fn begin(call: Call, body: Bytes) -> Result<Begun, DecodeError> {
    let request = FetchRequest::decode(call.version, body)?;
    let answer = async move {
        let response = handle(&call, &request).await;
        Answer::Frame(response.encode(call.version, call.correlation_id))
    };
    Ok(Begun {
        answer: Box::pin(answer),
        pipelined: false,
    })
}

type Answers = Vec<(Key, FetchPartitionResponse)>;

async fn handle(call: &Call, request: &FetchRequest) -> FetchResponse {
    let ctx = &call.peer.ctx;
    let by_id = call.version >= 13;
    let context = match ctx.sessions.context(request, by_id, Instant::now()) {
        Ok(context) => context,
        Err(error) => {
            return FetchResponse {
                error,
                ..FetchResponse::default()
            };
        }
    };
    let wanted = context.wanted(request);
    if request.replica_id >= 0 {
        // Replication has a protocol of its own: whoever claims to be a replica here must not move a high watermark.
        let refused = |(key, _): (Key, _)| {
            let answer = FetchPartitionResponse::failed(key.partition, ErrorCode::ClusterAuthorizationFailed);
            (key, answer)
        };
        return respond(call, &context, wanted.into_iter().map(refused).collect());
    }
    let image = ctx.image();
    let mut answers: Answers = Vec::with_capacity(wanted.len());
    let (mut reads, mut places) = (Vec::with_capacity(wanted.len()), Vec::with_capacity(wanted.len()));
    for (key, partition) in wanted {
        let error = match locate(&image, &key, by_id) {
            Ok(id) => {
                reads.push(read_of(id, &partition));
                places.push(answers.len());
                ErrorCode::None
            }
            Err(error) => error,
        };
        answers.push((key, FetchPartitionResponse::failed(partition.partition, error)));
    }
    drop(image);
    if !reads.is_empty() {
        let results = ctx.router.fetch(limits(call, request, reads)).await;
        for (result, place) in results.into_iter().zip(places) {
            fill(&mut answers[place].1, result);
        }
    }
    respond(call, &context, answers)
}

fn locate(image: &MetadataImage, key: &Key, by_id: bool) -> Result<TopicIdPartition, ErrorCode> {
    topics::partition(topics::find(image, &key.name, key.id, by_id)?, key.partition)
}

fn read_of(id: TopicIdPartition, wanted: &milena_wire::fetch::FetchPartition) -> FetchPartition {
    let epoch = |epoch: i32| (epoch >= 0).then_some(LeaderEpoch(epoch));
    FetchPartition {
        id,
        current_leader_epoch: epoch(wanted.current_leader_epoch),
        offset: Offset(wanted.fetch_offset),
        last_fetched_epoch: epoch(wanted.last_fetched_epoch),
        max_bytes: usize::try_from(wanted.max_bytes).unwrap_or(0),
    }
}

fn limits(call: &Call, request: &FetchRequest, partitions: Vec<FetchPartition>) -> FetchCall {
    let cap = call.peer.ctx.config.network.fetch_max_bytes;
    let bytes = |value: i32| usize::try_from(value).unwrap_or(0).min(cap);
    FetchCall {
        partitions,
        max_wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
        min_bytes: bytes(request.min_bytes),
        max_bytes: bytes(request.max_bytes),
        read_committed: request.isolation_level == READ_COMMITTED,
        reader: reader(call, request),
    }
}

/// Clients know that they may be sent to a follower from the version on that can say so.
fn reader(call: &Call, request: &FetchRequest) -> Option<Reader> {
    (call.version >= 11).then(|| {
        let rack = request.rack_id.as_str();
        Reader {
            rack: (!rack.is_empty()).then(|| Arc::from(rack)),
            listener: Arc::clone(&call.peer.listener),
        }
    })
}

fn fill(answer: &mut FetchPartitionResponse, result: FetchPartitionResult) {
    answer.error = result.error;
    answer.high_watermark = result.high_watermark.0;
    answer.last_stable_offset = result.last_stable_offset.0;
    answer.log_start_offset = result.log_start_offset.0;
    answer.aborted = result
        .aborted
        .map(|list| list.into_iter().map(|(id, offset)| (id.0, offset.0)).collect());
    answer.diverging = result.diverging.map(|(epoch, end)| (epoch.0, end.0));
    answer.current_leader = result.current_leader.map(|(leader, epoch)| (leader.0, epoch.0));
    answer.preferred_read_replica = result.preferred_read_replica.map_or(-1, |broker| broker.0);
    answer.records = result.records;
}

fn respond(call: &Call, context: &FetchContext, mut answers: Answers) -> FetchResponse {
    context.retain_changed(&mut answers);
    let leaders: BTreeSet<i32> = answers
        .iter()
        .filter_map(|(_, a)| a.current_leader)
        .map(|(id, _)| id)
        .collect();
    let mut response = FetchResponse {
        session_id: context.session_id(),
        ..FetchResponse::default()
    };
    if call.version >= 16 && !leaders.is_empty() {
        let image = call.peer.ctx.image();
        let node = |id| endpoints::node(&image, &call.peer.listener, BrokerId(id));
        response.node_endpoints = leaders.into_iter().filter_map(node).collect();
    }
    for (key, answer) in answers {
        match response.topics.last_mut() {
            Some(topic) if topic.id == key.id && topic.name == key.name => topic.partitions.push(answer),
            _ => {
                let topic = FetchTopicResponse {
                    name: key.name,
                    id: key.id,
                    partitions: vec![answer],
                };
                response.topics.push(topic);
            }
        }
    }
    response
}
