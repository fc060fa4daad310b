//! The Fetch request.

use crate::error::DecodeError;
use crate::reader::Reader;
use crate::schema::{Budget, memory_budget};
use crate::text;
use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;
use milena_types::{TopicId, Uuid};

/// What a consumer wants to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRequest {
    /// -1 for consumers, -2 for debugging consumers; anything else claims to be a replica.
    pub replica_id: i32,
    /// How long to wait for `min_bytes`, in milliseconds.
    pub max_wait_ms: i32,
    /// Answer once so many bytes are there.
    pub min_bytes: i32,
    /// Answer with no more than so many bytes, but with one whole batch at least.
    pub max_bytes: i32,
    /// 0: read uncommitted; 1: read committed.
    pub isolation_level: i8,
    /// The fetch session; 0 for none (KIP-227).
    pub session_id: i32,
    /// Which request of the session this is; 0 opens one, -1 wants none or closes it.
    pub session_epoch: i32,
    /// Partitions to read, or to add to the session, in the client's order.
    pub topics: Vec<FetchTopic>,
    /// Partitions to remove from the session.
    pub forgotten: Vec<ForgottenTopic>,
    /// The client's rack; empty for none.
    pub rack_id: StrBytes,
}

/// Partitions of one topic to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchTopic {
    /// The name, up to version 12; empty afterwards.
    pub name: StrBytes,
    /// The id, from version 13 on; zero before.
    pub id: TopicId,
    /// In the client's order.
    pub partitions: Vec<FetchPartition>,
}

/// One partition to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchPartition {
    /// The partition's number.
    pub partition: i32,
    /// The leader epoch that the client knows; -1 for none.
    pub current_leader_epoch: i32,
    /// Read from here.
    pub fetch_offset: i64,
    /// The epoch of the last record that the client has; -1 for none.
    pub last_fetched_epoch: i32,
    /// At most so many bytes of this partition.
    pub max_bytes: i32,
}

/// Partitions of one topic that leave the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgottenTopic {
    /// The name, up to version 12; empty afterwards.
    pub name: StrBytes,
    /// The id, from version 13 on; zero before.
    pub id: TopicId,
    /// Their numbers.
    pub partitions: Vec<i32>,
}

impl FetchRequest {
    /// Decodes a body (the frame after its header) in a version of 4 to 18.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(version: i16, body: Bytes) -> Result<Self, DecodeError> {
        if !(4..=18).contains(&version) {
            return Err(DecodeError::Version {
                api: "Fetch",
                version,
            });
        }
        let compact = version >= 12;
        let reader = Reader::new(&body);
        let budget = Budget::new(memory_budget(body.len()).saturating_sub(256));
        Decoder {
            version,
            compact,
            body: &body,
            reader,
            budget,
        }
        .request()
    }
}

struct Decoder<'a> {
    version: i16,
    compact: bool,
    body: &'a Bytes,
    reader: Reader<'a>,
    budget: Budget,
}

impl Decoder<'_> {
    fn request(&mut self) -> Result<FetchRequest, DecodeError> {
        let mut request = FetchRequest {
            replica_id: if self.version <= 14 {
                self.reader.i32("replica_id")?
            } else {
                -1
            },
            max_wait_ms: self.reader.i32("max_wait_ms")?,
            min_bytes: self.reader.i32("min_bytes")?,
            max_bytes: self.reader.i32("max_bytes")?,
            isolation_level: self.reader.i8("isolation_level")?,
            session_id: 0,
            session_epoch: -1,
            topics: Vec::new(),
            forgotten: Vec::new(),
            rack_id: StrBytes::new(),
        };
        if self.version >= 7 {
            request.session_id = self.reader.i32("session_id")?;
            request.session_epoch = self.reader.i32("session_epoch")?;
        }
        request.topics = self.topics()?;
        if self.version >= 7 {
            request.forgotten = self.forgotten()?;
        }
        if self.version >= 11 {
            request.rack_id = self.name("rack_id")?;
        }
        if self.compact {
            let replica_id = &mut request.replica_id;
            let version = self.version;
            self.reader.tagged(|tag, content| match tag {
                0 => content.nullable_text("cluster_id", true).map(|_| true),
                1 if version >= 15 => {
                    *replica_id = content.i32("replica_id")?;
                    content.i64("replica_epoch")?;
                    content.tagged(|_, _| Ok(false))?;
                    Ok(true)
                }
                _ => Ok(false),
            })?;
        }
        self.reader.finish()?;
        Ok(request)
    }

    fn topics(&mut self) -> Result<Vec<FetchTopic>, DecodeError> {
        let count = self
            .reader
            .count("topics", self.compact, if self.version >= 13 { 18 } else { 3 })?;
        self.budget
            .charge_structs("topics", count, size_of::<FetchTopic>())?;
        let mut topics = Vec::with_capacity(count);
        for _ in 0..count {
            let (name, id) = self.topic()?;
            let count = self.reader.count("partitions", self.compact, 16)?;
            self.budget
                .charge_structs("partitions", count, size_of::<FetchPartition>())?;
            let mut partitions = Vec::with_capacity(count);
            for _ in 0..count {
                partitions.push(self.partition()?);
            }
            self.skip_tags()?;
            topics.push(FetchTopic { name, id, partitions });
        }
        Ok(topics)
    }

    fn partition(&mut self) -> Result<FetchPartition, DecodeError> {
        let (version, reader) = (self.version, &mut self.reader);
        let partition = reader.i32("partition")?;
        let current_leader_epoch = if version >= 9 {
            reader.i32("current_leader_epoch")?
        } else {
            -1
        };
        let fetch_offset = reader.i64("fetch_offset")?;
        let last_fetched_epoch = if version >= 12 {
            reader.i32("last_fetched_epoch")?
        } else {
            -1
        };
        if version >= 5 {
            reader.i64("log_start_offset")?;
        }
        let max_bytes = reader.i32("partition_max_bytes")?;
        if self.compact {
            reader.tagged(|tag, content| match tag {
                0 if version >= 17 => content.uuid("replica_directory_id").map(|_| true),
                1 if version >= 18 => content.i64("high_watermark").map(|_| true),
                _ => Ok(false),
            })?;
        }
        Ok(FetchPartition {
            partition,
            current_leader_epoch,
            fetch_offset,
            last_fetched_epoch,
            max_bytes,
        })
    }

    fn forgotten(&mut self) -> Result<Vec<ForgottenTopic>, DecodeError> {
        let count = self.reader.count(
            "forgotten_topics_data",
            self.compact,
            if self.version >= 13 { 18 } else { 3 },
        )?;
        self.budget
            .charge_structs("forgotten_topics_data", count, size_of::<ForgottenTopic>())?;
        let mut topics = Vec::with_capacity(count);
        for _ in 0..count {
            let (name, id) = self.topic()?;
            let count = self.reader.count("partitions", self.compact, 4)?;
            self.budget.charge("partitions", count * size_of::<i32>())?;
            let mut partitions = Vec::with_capacity(count);
            for _ in 0..count {
                partitions.push(self.reader.i32("partitions")?);
            }
            self.skip_tags()?;
            topics.push(ForgottenTopic { name, id, partitions });
        }
        Ok(topics)
    }

    /// A topic's name or id, as the version has it.
    fn topic(&mut self) -> Result<(StrBytes, TopicId), DecodeError> {
        if self.version >= 13 {
            Ok((StrBytes::new(), TopicId(Uuid(self.reader.uuid("topic_id")?))))
        } else {
            Ok((self.name("topic")?, TopicId::default()))
        }
    }

    fn name(&mut self, field: &'static str) -> Result<StrBytes, DecodeError> {
        let length = self.reader.text(field, self.compact)?.len();
        let end = self.reader.position();
        text(self.body.slice(end - length..end), field)
    }

    fn skip_tags(&mut self) -> Result<(), DecodeError> {
        if self.compact {
            self.reader.tagged(|_, _| Ok(false))
        } else {
            Ok(())
        }
    }
}
