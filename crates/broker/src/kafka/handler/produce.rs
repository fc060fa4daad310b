//! Produce (0): batches to the partitions that this broker leads. Source: `KafkaApis.handleProduceRequest`,
//! `ProduceRequest.validateRecords`.
//!
//! The appends have begun, in the order of the requests, when [`begin`] returns; only the acknowledgement is awaited.

use crate::kafka::dispatch::Call;
use crate::kafka::pending::{Answer, Begun};
use crate::kafka::{endpoints, topics};
use crate::shard::{ProduceCall, ProducePartition, ProduceResult};
use bytes::BytesMut;
use milena_metadata::MetadataImage;
use milena_metadata::image::TopicImage;
use milena_record::{BATCH_OVERHEAD, BatchError, BatchHeader};
use milena_types::{Acks, BrokerId, ErrorCode, Offset, Timestamp, TopicId, TopicIdPartition};
use milena_wire::DecodeError;
use milena_wire::produce::{
    ProducePartitionResponse, ProduceRequest, ProduceResponse, ProduceTopicResponse, RecordError,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The only client that may write to internal topics. Source: `AdminUtils.ADMIN_CLIENT_ID`.
const ADMIN_CLIENT: &str = "__admin_client";

/// Topics have their ids instead of their names (KIP-516).
const FIRST_VERSION_WITH_IDS: i16 = 13;

/// Where the length of a batch stands, after its offset.
const AT_BATCH_LENGTH: usize = 8;

/// How long a topic id that this broker does not know may be one that it is about to hear of. Without this pause a client
/// that another broker told of a new topic gets UNKNOWN_TOPIC_ID, which librdkafka takes for the end of its records.
const TOPIC_PATIENCE: Duration = Duration::from_millis(500);

pub(in crate::kafka) fn begin(call: Call, body: BytesMut) -> Result<Begun, DecodeError> {
    let request = ProduceRequest::decode(call.version, body)?;
    let image = call.peer.ctx.image();
    let unknown = unknown_topics(&image, call.version, &request);
    if unknown.is_empty() {
        return Ok(Begun {
            answer: Box::pin(append(call, &image, request)),
            pipelined: true,
        });
    }
    let answer = async move {
        let _ = tokio::time::timeout(TOPIC_PATIENCE, hear_of(&call, &unknown)).await;
        let image = call.peer.ctx.image();
        append(call, &image, request).await
    };
    Ok(Begun {
        answer: Box::pin(answer),
        // What follows on this connection must not be appended before this.
        pipelined: false,
    })
}

/// Waits until these topics exist here, or are known to be gone.
async fn hear_of(call: &Call, topics: &[TopicId]) {
    let ctx = &call.peer.ctx;
    for topic in topics {
        ctx.metadata.decided(*topic).await;
    }
    ctx.router.followed(ctx.image().version).await;
}

fn unknown_topics(image: &MetadataImage, version: i16, request: &ProduceRequest) -> Vec<TopicId> {
    if version < FIRST_VERSION_WITH_IDS {
        return Vec::new();
    }
    let ids = request.topics.iter().map(|topic| topic.id);
    ids.filter(|id| image.topics.get(id).is_none()).collect()
}

/// Begins the appends at once; the future waits for what the acks rule asks for.
fn append(
    call: Call,
    image: &MetadataImage,
    request: ProduceRequest,
) -> impl Future<Output = Answer> + use<> {
    let acks = Acks::from_wire(request.acks);
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let transactional = request.transactional_id.is_some();
    let mut response = ProduceResponse::default();
    let mut accepted = Vec::new();
    // Where the answer of each accepted partition goes.
    let mut places = Vec::new();
    for topic in request.topics {
        let found = topics::find(
            image,
            &topic.name,
            topic.id,
            call.version >= FIRST_VERSION_WITH_IDS,
        );
        let mut answers = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let checked = match acks {
                None => Err((ErrorCode::InvalidRequiredAcks, None)),
                Some(_) => check(
                    &call,
                    found,
                    transactional,
                    partition.index,
                    partition.records.as_deref(),
                ),
            };
            let error = match (checked, partition.records) {
                (Ok(id), Some(batch)) => {
                    places.push((response.topics.len(), answers.len()));
                    accepted.push(ProducePartition { id, batch });
                    (ErrorCode::None, None)
                }
                (Ok(_), None) => (ErrorCode::InvalidRecord, None),
                (Err(error), _) => error,
            };
            answers.push(unanswered(partition.index, error));
        }
        response.topics.push(ProduceTopicResponse {
            name: topic.name,
            id: topic.id,
            partitions: answers,
        });
    }
    let produce = ProduceCall {
        acks: acks.unwrap_or(Acks::None),
        timeout,
        zstd_allowed: call.version >= 7,
        partitions: accepted,
    };
    let results = (!places.is_empty()).then(|| call.peer.ctx.router.produce(produce));
    async move {
        if let Some(results) = results {
            for (result, (topic, partition)) in results.await.into_iter().zip(places) {
                fill(&mut response.topics[topic].partitions[partition], result);
            }
        }
        match acks {
            Some(Acks::None) => without_answer(&response),
            _ => {
                response.node_endpoints = leaders(&call, &response);
                Answer::Frame(response.encode(call.version, call.correlation_id))
            }
        }
    }
}

/// acks=0 has no answer: a failure closes the connection, so that the client looks for the leader again.
fn without_answer(response: &ProduceResponse) -> Answer {
    let partitions = response
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(move |p| (&topic.name, p)));
    match partitions
        .into_iter()
        .find(|(_, partition)| !partition.error.is_none())
    {
        Some((topic, partition)) => {
            let (index, error) = (partition.index, partition.error);
            Answer::Close(format!(
                "acks=0 produce to partition {index} of '{}' failed: {error}",
                topic.escape_debug()
            ))
        }
        None => Answer::Nothing,
    }
}

type Refused = (ErrorCode, Option<String>);

fn check(
    call: &Call,
    topic: Result<&Arc<TopicImage>, ErrorCode>,
    transactional: bool,
    index: i32,
    records: Option<&[u8]>,
) -> Result<TopicIdPartition, Refused> {
    let topic = topic.map_err(|error| (error, None))?;
    let id = topics::partition(topic, index).map_err(|error| (error, None))?;
    if topic.name.is_internal() && call.client_id() != ADMIN_CLIENT {
        return Err((ErrorCode::InvalidTopicException, None));
    }
    if transactional {
        return Err((
            ErrorCode::InvalidTxnState,
            Some("transactions are not supported by this broker".to_owned()),
        ));
    }
    check_shape(records.unwrap_or_default())?;
    Ok(id)
}

const ONE: &str = "Produce requests must contain exactly one record batch per partition";
/// Bytes of the smallest batch that any format has, after its offset and size. Source: `LegacyRecord.RECORD_OVERHEAD_V0`.
const SMALLEST: i32 = 14;

/// Exactly one batch of the current format. Its content is checked where it is appended. What is cut off counts as no batch.
/// Source: `ProduceRequest.validateRecords`, `ByteBufferLogInputStream.nextBatchSize`.
fn check_shape(records: &[u8]) -> Result<(), Refused> {
    let refused = |error, text: &str| Err((error, Some(text.to_owned())));
    let field = |at: usize| records.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    let Some(length) = field(AT_BATCH_LENGTH).map(i32::from_be_bytes) else {
        return refused(ErrorCode::InvalidRecord, ONE);
    };
    if length < SMALLEST {
        let text = format!("Record size {length} is less than the minimum record overhead ({SMALLEST})");
        return refused(ErrorCode::CorruptMessage, &text);
    }
    let size = usize::try_from(length).map_or(usize::MAX, |length| length.saturating_add(BATCH_OVERHEAD));
    let header = match BatchHeader::parse(records) {
        Ok(header) => header,
        Err(BatchError::Magic(0 | 1)) => {
            return refused(
                ErrorCode::InvalidRecord,
                "Produce requests are only allowed to contain record batches with magic version 2",
            );
        }
        Err(BatchError::Magic(magic)) => {
            let text = format!("Invalid magic found in record: {magic}");
            return refused(ErrorCode::CorruptMessage, &text);
        }
        Err(BatchError::Invalid(reason)) => return refused(ErrorCode::InvalidRecord, reason),
        Err(_) if size > records.len() => return refused(ErrorCode::InvalidRecord, ONE),
        Err(_) => return refused(ErrorCode::CorruptMessage, "the record batch is malformed"),
    };
    if size != records.len() {
        return refused(ErrorCode::InvalidRecord, ONE);
    }
    if header.is_transactional() {
        // Without a coordinator nothing would ever end this transaction.
        return refused(
            ErrorCode::InvalidTxnState,
            "transactions are not supported by this broker",
        );
    }
    Ok(())
}

fn unanswered(index: i32, (error, error_message): Refused) -> ProducePartitionResponse {
    ProducePartitionResponse {
        index,
        error,
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        record_errors: Vec::new(),
        error_message,
        current_leader: None,
    }
}

fn fill(answer: &mut ProducePartitionResponse, result: ProduceResult) {
    answer.error = result.error;
    answer.base_offset = result.base_offset.map_or(-1, |Offset(offset)| offset);
    answer.log_append_time_ms = result.log_append_time.map_or(-1, |Timestamp(time)| time);
    answer.log_start_offset = result.log_start_offset.0;
    let record_error = |(batch_index, message)| RecordError {
        batch_index,
        message: Some(message),
    };
    answer.record_errors = result.record_errors.into_iter().map(record_error).collect();
    answer.error_message = result.message;
    answer.current_leader = result.current_leader.map(|(leader, epoch)| (leader.0, epoch.0));
}

/// Where the leaders are that the answer names.
fn leaders(call: &Call, response: &ProduceResponse) -> Vec<milena_wire::NodeEndpoint> {
    let named = response
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .filter_map(|p| p.current_leader);
    let named: BTreeSet<i32> = named.map(|(leader, _)| leader).collect();
    if named.is_empty() {
        return Vec::new();
    }
    let image: Arc<MetadataImage> = call.peer.ctx.image();
    named
        .into_iter()
        .filter_map(|id| endpoints::node(&image, &call.peer.listener, BrokerId(id)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_record::{BatchBuilder, Compression, TimestampType};

    fn batch() -> Vec<u8> {
        let mut builder = BatchBuilder::new(
            Offset(0),
            Compression::None,
            TimestampType::CreateTime,
            None,
            false,
            false,
        );
        builder.append(Timestamp(1), None, Some(b"v"), &[]);
        builder.build().to_vec()
    }

    #[test]
    fn one_whole_batch_of_magic_2_is_accepted() {
        let good = batch();
        assert_eq!(check_shape(&good), Ok(()));
        let two = [good.clone(), good.clone()].concat();
        assert_eq!(check_shape(&two).unwrap_err().0, ErrorCode::InvalidRecord);
        assert_eq!(check_shape(&[]).unwrap_err().0, ErrorCode::InvalidRecord);
        for cut in 0..good.len() {
            assert_eq!(
                check_shape(&good[..cut]).unwrap_err().0,
                ErrorCode::InvalidRecord,
                "{cut}"
            );
        }
        let mut with = good.clone();
        for (magic, error) in [
            (0, ErrorCode::InvalidRecord),
            (1, ErrorCode::InvalidRecord),
            (3, ErrorCode::CorruptMessage),
            (0xff, ErrorCode::CorruptMessage),
        ] {
            with[16] = magic;
            assert_eq!(check_shape(&with).unwrap_err().0, error, "{magic}");
        }
        let mut with = good.clone();
        for (length, error) in [
            (-1, ErrorCode::CorruptMessage),
            (13, ErrorCode::CorruptMessage),
            (14, ErrorCode::CorruptMessage),
            (48, ErrorCode::CorruptMessage),
            (i32::MAX, ErrorCode::InvalidRecord),
        ] {
            with[8..12].copy_from_slice(&i32::to_be_bytes(length));
            assert_eq!(check_shape(&with).unwrap_err().0, error, "{length}");
        }
        let mut transactional = good;
        transactional[22] |= 0x10;
        assert_eq!(
            check_shape(&transactional).unwrap_err().0,
            ErrorCode::InvalidTxnState
        );
    }
}
