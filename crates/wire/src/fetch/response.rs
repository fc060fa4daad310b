//! The Fetch response: heads are written into buffers, records are linked between them.

use crate::frame::ResponseFrame;
use crate::header::put_response_header;
use crate::node_endpoint::{NodeEndpoint, put_node_endpoints};
use crate::versions::ApiKey;
use crate::writer::{put_count, put_null_count, put_tag, put_text, put_varint};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use milena_types::{ErrorCode, TopicId};

/// The answer to a Fetch request.
#[derive(Debug, Default)]
pub struct FetchResponse {
    /// How long the client is throttled, in milliseconds.
    pub throttle_time_ms: i32,
    /// Of the whole request (version 7 and later).
    pub error: ErrorCode,
    /// The fetch session, or 0 (version 7 and later).
    pub session_id: i32,
    /// In the order in which they were read.
    pub topics: Vec<FetchTopicResponse>,
    /// Where the leaders named in the answer are (version 16 and later, KIP-951).
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// What was read of one topic.
#[derive(Debug, Default)]
pub struct FetchTopicResponse {
    /// The name, up to version 12.
    pub name: StrBytes,
    /// The id, from version 13 on.
    pub id: TopicId,
    /// Its partitions.
    pub partitions: Vec<FetchPartitionResponse>,
}

/// What was read of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchPartitionResponse {
    /// The partition's number.
    pub partition: i32,
    /// What became of the read.
    pub error: ErrorCode,
    /// -1 when unknown.
    pub high_watermark: i64,
    /// -1 when unknown.
    pub last_stable_offset: i64,
    /// -1 when unknown.
    pub log_start_offset: i64,
    /// (epoch, end offset) where the client's log leaves ours (version 12 and later).
    pub diverging: Option<(i32, i64)>,
    /// (leader, epoch) when it is not this broker (version 12 and later).
    pub current_leader: Option<(i32, i32)>,
    /// (producer id, first offset); `None` for readers of uncommitted records.
    pub aborted: Option<Vec<(i64, i64)>>,
    /// -1 for none (version 11 and later).
    pub preferred_read_replica: i32,
    /// Whole batches; empty is sent as empty, never as null, which old clients do not survive.
    pub records: Bytes,
}

impl FetchPartitionResponse {
    /// An answer without records.
    #[must_use]
    pub fn failed(partition: i32, error: ErrorCode) -> Self {
        Self {
            partition,
            error,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging: None,
            current_leader: None,
            aborted: None,
            preferred_read_replica: -1,
            records: Bytes::new(),
        }
    }
}

impl FetchResponse {
    /// Writes the whole frame in a version of 4 to 18.
    #[must_use]
    pub fn encode(self, version: i16, correlation_id: i32) -> ResponseFrame {
        let compact = version >= 12;
        let partitions: usize = self.topics.iter().map(|topic| topic.partitions.len()).sum();
        let mut chain = Chain::new(128 + 64 * (self.topics.len() + partitions), partitions);
        let out = &mut chain.head;
        put_response_header(out, ApiKey::Fetch, version, correlation_id);
        out.put_i32(self.throttle_time_ms);
        if version >= 7 {
            out.put_i16(self.error.code());
            out.put_i32(self.session_id);
        }
        put_count(out, compact, self.topics.len());
        for topic in self.topics {
            if version >= 13 {
                chain.head.put_slice(&topic.id.0.0);
            } else {
                put_text(&mut chain.head, compact, &topic.name);
            }
            put_count(&mut chain.head, compact, topic.partitions.len());
            topic
                .partitions
                .into_iter()
                .for_each(|partition| partition.put(&mut chain, version));
            if compact {
                chain.head.put_u8(0);
            }
        }
        if compact {
            put_node_endpoints(
                &mut chain.head,
                0,
                if version >= 16 { &self.node_endpoints } else { &[] },
            );
        }
        chain.finish()
    }
}

/// Buffers under construction: heads cut from one allocation, records linked.
struct Chain {
    head: BytesMut,
    parts: Vec<Bytes>,
}

impl Chain {
    fn new(bytes: usize, partitions: usize) -> Self {
        Self {
            head: BytesMut::with_capacity(bytes),
            parts: Vec::with_capacity(2 * partitions + 1),
        }
    }

    fn link(&mut self, records: Bytes) {
        if !records.is_empty() {
            self.parts.push(self.head.split().freeze());
            self.parts.push(records);
        }
    }

    fn finish(mut self) -> ResponseFrame {
        self.parts.push(self.head.freeze());
        ResponseFrame::from_chain(self.parts)
    }
}

impl FetchPartitionResponse {
    fn put(self, chain: &mut Chain, version: i16) {
        let compact = version >= 12;
        let out = &mut chain.head;
        out.put_i32(self.partition);
        out.put_i16(self.error.code());
        out.put_i64(self.high_watermark);
        out.put_i64(self.last_stable_offset);
        if version >= 5 {
            out.put_i64(self.log_start_offset);
        }
        match &self.aborted {
            None => put_null_count(out, compact),
            Some(aborted) => {
                put_count(out, compact, aborted.len());
                for (producer, first_offset) in aborted {
                    out.put_i64(*producer);
                    out.put_i64(*first_offset);
                    if compact {
                        out.put_u8(0);
                    }
                }
            }
        }
        if version >= 11 {
            out.put_i32(self.preferred_read_replica);
        }
        put_count(out, compact, self.records.len());
        chain.link(self.records);
        if compact {
            put_tags(&mut chain.head, self.diverging, self.current_leader);
        }
    }
}

fn put_tags(out: &mut BytesMut, diverging: Option<(i32, i64)>, current_leader: Option<(i32, i32)>) {
    put_varint(
        out,
        u32::from(diverging.is_some()) + u32::from(current_leader.is_some()),
    );
    if let Some((epoch, end_offset)) = diverging {
        let mut content = BytesMut::with_capacity(13);
        content.put_i32(epoch);
        content.put_i64(end_offset);
        content.put_u8(0);
        put_tag(out, 0, &content);
    }
    if let Some((leader, epoch)) = current_leader {
        let mut content = BytesMut::with_capacity(9);
        content.put_i32(leader);
        content.put_i32(epoch);
        content.put_u8(0);
        put_tag(out, 1, &content);
    }
}
