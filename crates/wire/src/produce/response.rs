//! The Produce response.

use crate::frame::{LENGTH_BYTES, ResponseFrame};
use crate::header::put_response_header;
use crate::node_endpoint::{NodeEndpoint, put_node_endpoints};
use crate::versions::ApiKey;
use crate::writer::{put_count, put_nullable_text, put_tag, put_text, put_varint};
use bytes::{BufMut, BytesMut};
use kafka_protocol::protocol::StrBytes;
use milena_types::{ErrorCode, TopicId};

/// The answer to a Produce request.
#[derive(Debug, Default)]
pub struct ProduceResponse {
    /// In the order of the request.
    pub topics: Vec<ProduceTopicResponse>,
    /// How long the client is throttled, in milliseconds.
    pub throttle_time_ms: i32,
    /// Where the leaders named in the answer are (version 10 and later, KIP-951).
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// The answers for one topic.
#[derive(Debug, Default)]
pub struct ProduceTopicResponse {
    /// The name, up to version 12.
    pub name: StrBytes,
    /// The id, from version 13 on.
    pub id: TopicId,
    /// In the order of the request.
    pub partitions: Vec<ProducePartitionResponse>,
}

/// The answer for one partition.
#[derive(Debug)]
pub struct ProducePartitionResponse {
    /// The partition's number.
    pub index: i32,
    /// What became of the batch.
    pub error: ErrorCode,
    /// The offset of its first record; -1 when nothing was appended.
    pub base_offset: i64,
    /// The broker's time when the topic stamps on append; else -1.
    pub log_append_time_ms: i64,
    /// The partition's first offset; -1 when unknown.
    pub log_start_offset: i64,
    /// Which records were refused (version 8 and later).
    pub record_errors: Vec<RecordError>,
    /// For people (version 8 and later).
    pub error_message: Option<String>,
    /// Who leads, and in which epoch, when it is not this broker (version 10 and later, KIP-951).
    pub current_leader: Option<(i32, i32)>,
}

/// One refused record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// Its position in the batch, from 0.
    pub batch_index: i32,
    /// Why.
    pub message: Option<String>,
}

impl ProduceResponse {
    /// Writes the whole frame in a version of 3 to 13.
    #[must_use]
    pub fn encode(&self, version: i16, correlation_id: i32) -> ResponseFrame {
        let compact = version >= 9;
        let partitions: usize = self.topics.iter().map(|topic| topic.partitions.len()).sum();
        let mut out = BytesMut::with_capacity(64 + 64 * (self.topics.len() + partitions));
        out.put_bytes(0, LENGTH_BYTES);
        put_response_header(&mut out, ApiKey::Produce, version, correlation_id);
        put_count(&mut out, compact, self.topics.len());
        for topic in &self.topics {
            if version >= 13 {
                out.put_slice(&topic.id.0.0);
            } else {
                put_text(&mut out, compact, &topic.name);
            }
            put_count(&mut out, compact, topic.partitions.len());
            topic
                .partitions
                .iter()
                .for_each(|partition| partition.put(&mut out, version));
            put_tag_end(&mut out, compact);
        }
        out.put_i32(self.throttle_time_ms);
        if compact {
            put_node_endpoints(
                &mut out,
                0,
                if version >= 10 { &self.node_endpoints } else { &[] },
            );
        }
        ResponseFrame::from_buffer(out)
    }
}

impl ProducePartitionResponse {
    fn put(&self, out: &mut BytesMut, version: i16) {
        let compact = version >= 9;
        out.put_i32(self.index);
        out.put_i16(self.error.code());
        out.put_i64(self.base_offset);
        out.put_i64(self.log_append_time_ms);
        if version >= 5 {
            out.put_i64(self.log_start_offset);
        }
        if version >= 8 {
            put_count(out, compact, self.record_errors.len());
            for record in &self.record_errors {
                out.put_i32(record.batch_index);
                put_nullable_text(out, compact, record.message.as_deref());
                put_tag_end(out, compact);
            }
            put_nullable_text(out, compact, self.error_message.as_deref());
        }
        match self.current_leader {
            Some((leader, epoch)) if version >= 10 => {
                put_varint(out, 1);
                let mut content = BytesMut::with_capacity(9);
                content.put_i32(leader);
                content.put_i32(epoch);
                content.put_u8(0);
                put_tag(out, 0, &content);
            }
            _ => put_tag_end(out, compact),
        }
    }
}

fn put_tag_end(out: &mut BytesMut, compact: bool) {
    if compact {
        out.put_u8(0);
    }
}
