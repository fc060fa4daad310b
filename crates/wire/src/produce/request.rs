//! The Produce request. Invariant: `records` of different partitions are disjoint pieces of one frame, each owned
//! alone, so that the log can stamp offsets in place.

use crate::error::DecodeError;
use crate::reader::Reader;
use crate::schema::{Budget, memory_budget};
use crate::text;
use bytes::BytesMut;
use kafka_protocol::protocol::StrBytes;
use milena_types::TopicId;

/// Batches to append.
#[derive(Debug)]
pub struct ProduceRequest {
    /// Set by transactional producers.
    pub transactional_id: Option<StrBytes>,
    /// As sent; see `milena_types::Acks::from_wire`.
    pub acks: i16,
    /// How long to wait for the acknowledgement, in milliseconds.
    pub timeout_ms: i32,
    /// In the client's order.
    pub topics: Vec<ProduceTopic>,
}

/// The batches of one topic.
#[derive(Debug)]
pub struct ProduceTopic {
    /// The name, up to version 12; empty afterwards.
    pub name: StrBytes,
    /// The id, from version 13 on; zero before.
    pub id: TopicId,
    /// In the client's order.
    pub partitions: Vec<ProducePartition>,
}

/// The batch of one partition.
#[derive(Debug)]
pub struct ProducePartition {
    /// The partition's number, as sent.
    pub index: i32,
    /// One record batch, unchecked; `None` when the client sent null.
    pub records: Option<BytesMut>,
}

/// Where a piece lies in the body.
type Piece = Option<(usize, usize)>;

struct TopicPieces {
    name: (usize, usize),
    id: TopicId,
    partitions: usize,
}

impl ProduceRequest {
    /// Decodes a body (the frame after its header) in a version of 3 to 13.
    ///
    /// # Errors
    /// [`DecodeError`]; nothing of the body is kept then.
    pub fn decode(version: i16, mut body: BytesMut) -> Result<Self, DecodeError> {
        let (pieces, partitions, mut request) = Self::outline(version, &body)?;
        // Second pass: cut the pieces off the front of the body in the order in which they lie in it.
        let mut cut_to = 0;
        let mut cut = |(start, end): (usize, usize)| {
            drop(body.split_to(start - cut_to));
            cut_to = end;
            body.split_to(end - start)
        };
        let mut partitions = partitions.into_iter();
        for topic in pieces {
            let name = text(cut(topic.name).freeze(), "name")?;
            let mut list = Vec::with_capacity(topic.partitions);
            for (index, records) in partitions.by_ref().take(topic.partitions) {
                list.push(ProducePartition {
                    index,
                    records: records.map(&mut cut),
                });
            }
            request.topics.push(ProduceTopic {
                name,
                id: topic.id,
                partitions: list,
            });
        }
        Ok(request)
    }

    /// First pass: checks everything and notes where the pieces are.
    #[allow(clippy::type_complexity)]
    fn outline(
        version: i16,
        body: &[u8],
    ) -> Result<(Vec<TopicPieces>, Vec<(i32, Piece)>, Self), DecodeError> {
        if !(3..=13).contains(&version) {
            return Err(DecodeError::Version {
                api: "Produce",
                version,
            });
        }
        let compact = version >= 9;
        let mut reader = Reader::new(body);
        let mut budget = Budget::new(memory_budget(body.len()).saturating_sub(256));
        let transactional_id = reader.nullable_text("transactional_id", compact)?;
        let transactional_id = transactional_id.map(|id| StrBytes::from_string(id.to_owned()));
        let acks = reader.i16("acks")?;
        let timeout_ms = reader.i32("timeout_ms")?;
        let topics = reader.count("topic_data", compact, if version >= 13 { 18 } else { 2 })?;
        let each = size_of::<TopicPieces>() + size_of::<ProduceTopic>();
        budget.charge_structs("topic_data", topics, each)?;
        let mut pieces = Vec::with_capacity(topics);
        let mut partitions = Vec::new();
        for _ in 0..topics {
            let start = reader.position();
            let mut topic = TopicPieces {
                name: (start, start),
                id: TopicId::default(),
                partitions: 0,
            };
            if version >= 13 {
                topic.id = TopicId(milena_types::Uuid(reader.uuid("topic_id")?));
            } else {
                let name = reader.text("name", compact)?;
                topic.name = (reader.position() - name.len(), reader.position());
            }
            topic.partitions = reader.count("partition_data", compact, if compact { 6 } else { 8 })?;
            // Doubled: the list of pieces grows by doubling.
            let each = size_of::<ProducePartition>() + 2 * size_of::<(i32, Piece)>();
            budget.charge_structs("partition_data", topic.partitions, each)?;
            partitions.reserve(topic.partitions);
            for _ in 0..topic.partitions {
                let index = reader.i32("index")?;
                let records = reader.nullable_blob("records", compact)?;
                let end = reader.position();
                partitions.push((index, records.map(|records| (end - records.len(), end))));
                skip_tags(&mut reader, compact)?;
            }
            skip_tags(&mut reader, compact)?;
            pieces.push(topic);
        }
        skip_tags(&mut reader, compact)?;
        reader.finish()?;
        let request = Self {
            transactional_id,
            acks,
            timeout_ms,
            topics: Vec::with_capacity(topics),
        };
        Ok((pieces, partitions, request))
    }
}

fn skip_tags(reader: &mut Reader<'_>, compact: bool) -> Result<(), DecodeError> {
    if compact {
        reader.tagged(|_, _| Ok(false))
    } else {
        Ok(())
    }
}
