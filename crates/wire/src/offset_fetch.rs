//! OffsetFetch (9), decoded by ourselves: one request may name thousands of groups, or of topics in a group, and the
//! library's structs are several times larger than what they are decoded from. Groups and topics are read one after the
//! other from the frame; what is held is the frame.

use crate::error::{DecodeError, EncodeError};
use crate::frame::ResponseFrame;
use crate::reader::Reader;
use crate::request::{Request, check_version, encode};
use crate::schema::{Budget, memory_budget};
use crate::versions::ApiKey;
use crate::{StrBytes, messages, text};
use bytes::Bytes;

/// The first version that names several groups.
const GROUPS_SINCE: i16 = 8;
/// The first version whose groups have members.
const MEMBERS_SINCE: i16 = 9;
/// The first version that may ask for stable offsets only.
const STABLE_SINCE: i16 = 7;

/// Whose offsets are wanted. Invariant: every group and topic decodes.
#[derive(Clone, Debug)]
pub struct OffsetFetchRequest {
    version: i16,
    /// From the first group on.
    groups: Bytes,
    count: usize,
    /// Offsets of transactions that are not decided are not wanted.
    pub require_stable: bool,
}

/// One group of a request.
#[derive(Clone, Debug)]
pub struct OffsetFetchGroup {
    /// Its id.
    pub group_id: StrBytes,
    /// Who asks, in the consumer protocol.
    pub member_id: Option<StrBytes>,
    /// The member's epoch; -1 without a member.
    pub member_epoch: i32,
    /// Null means all topics.
    pub topics: Option<OffsetFetchTopics>,
}

/// The topics of one group, still encoded.
#[derive(Clone, Debug)]
pub struct OffsetFetchTopics {
    version: i16,
    bytes: Bytes,
    count: usize,
}

impl OffsetFetchTopics {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Decodes one after the other, in the client's order: (name, partitions).
    pub fn iter(&self) -> impl Iterator<Item = (StrBytes, Vec<i32>)> + use<'_> {
        let mut reader = Reader::new(&self.bytes);
        // All of them have been read once: none can fail now.
        (0..self.count).map_while(move |_| {
            let (name, partitions) = topic(self.version, &mut reader).ok()?;
            let partitions = partitions.as_chunks::<4>().0.iter();
            let name = text(self.bytes.slice_ref(name.as_bytes()), "name").ok()?;
            Some((name, partitions.map(|index| i32::from_be_bytes(*index)).collect()))
        })
    }
}

impl OffsetFetchRequest {
    /// Decodes the groups one after the other, in the client's order; below version 8 it is one.
    pub fn groups(&self) -> impl Iterator<Item = OffsetFetchGroup> + use<'_> {
        let mut reader = Reader::new(&self.groups);
        // All of them have been read once: none can fail now.
        (0..self.count).map_while(move |_| group(self.version, &self.groups, &mut reader).ok())
    }

    fn decode(version: i16, body: Bytes) -> Result<Self, DecodeError> {
        let compact = is_compact(version);
        let mut reader = Reader::new(&body);
        // Only how many there are is limited: none of them is kept.
        let mut budget = Budget::new(memory_budget(body.len()));
        let count = match version {
            // An id, a null, and tags.
            GROUPS_SINCE.. => reader.count("groups", compact, 3)?,
            _ => 1,
        };
        budget.charge_structs("groups", count, 0)?;
        let start = reader.position();
        for _ in 0..count {
            let group = group(version, &body, &mut reader)?;
            budget.charge_structs("topics", group.topics.map_or(0, |topics| topics.count), 0)?;
        }
        let groups = body.slice(start..reader.position());
        let require_stable = version >= STABLE_SINCE && reader.i8("require_stable")? != 0;
        if compact {
            reader.tagged(|_, _| Ok(false))?;
        }
        reader.finish()?;
        Ok(Self {
            version,
            groups,
            count,
            require_stable,
        })
    }
}

fn is_compact(version: i16) -> bool {
    ApiKey::OffsetFetch.is_flexible(version)
}

/// One group. Below version 8 it has no tags of its own: the request's follow.
fn group(version: i16, body: &Bytes, reader: &mut Reader<'_>) -> Result<OffsetFetchGroup, DecodeError> {
    let compact = is_compact(version);
    let owned = |value: &str| text(body.slice_ref(value.as_bytes()), "group");
    let group_id = reader.text("group_id", compact)?;
    let (member_id, member_epoch) = match version {
        MEMBERS_SINCE.. => (
            reader.nullable_text("member_id", compact)?,
            reader.i32("member_epoch")?,
        ),
        _ => (None, -1),
    };
    // A name, a count, and tags.
    let count = reader.nullable_count("topics", compact, if compact { 3 } else { 6 })?;
    let start = reader.position();
    for _ in 0..count.unwrap_or(0) {
        topic(version, reader)?;
    }
    let bytes = start..reader.position();
    if version >= GROUPS_SINCE {
        reader.tagged(|_, _| Ok(false))?;
    }
    Ok(OffsetFetchGroup {
        group_id: owned(group_id)?,
        member_id: member_id.map(owned).transpose()?,
        member_epoch,
        topics: count.map(|count| OffsetFetchTopics {
            version,
            bytes: body.slice(bytes),
            count,
        }),
    })
}

/// One topic: its name, and its partitions as they are in the frame.
fn topic<'a>(version: i16, reader: &mut Reader<'a>) -> Result<(&'a str, &'a [u8]), DecodeError> {
    let compact = is_compact(version);
    let name = reader.text("name", compact)?;
    let partitions = reader.count("partition_indexes", compact, 4)?;
    let partitions = reader.take("partition_indexes", 4 * partitions)?;
    if compact {
        reader.tagged(|_, _| Ok(false))?;
    }
    Ok((name, partitions))
}

impl Request for OffsetFetchRequest {
    const API: ApiKey = ApiKey::OffsetFetch;
    type Response = messages::OffsetFetchResponse;

    fn decode_body(version: i16, body: Bytes) -> Result<Self, DecodeError> {
        check_version(Self::API, version)?;
        Self::decode(version, body)
    }

    fn encode_response(
        version: i16,
        correlation_id: i32,
        response: &Self::Response,
    ) -> Result<ResponseFrame, EncodeError> {
        encode(Self::API, version, version, correlation_id, response)
    }
}

#[cfg(test)]
impl OffsetFetchRequest {
    /// As the library has it, to compare.
    pub(crate) fn to_library(&self) -> messages::OffsetFetchRequest {
        use messages::offset_fetch_request::{
            OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
        };
        let request = messages::OffsetFetchRequest::default().with_require_stable(self.require_stable);
        if self.version < GROUPS_SINCE {
            let group = self.groups().next().expect("there is one");
            let topic = |(name, partitions): (StrBytes, Vec<i32>)| {
                OffsetFetchRequestTopic::default()
                    .with_name(name.into())
                    .with_partition_indexes(partitions)
            };
            let topics = group.topics.map(|topics| topics.iter().map(topic).collect());
            return request.with_group_id(group.group_id.into()).with_topics(topics);
        }
        let topic = |(name, partitions): (StrBytes, Vec<i32>)| {
            OffsetFetchRequestTopics::default()
                .with_name(name.into())
                .with_partition_indexes(partitions)
        };
        let group = |group: OffsetFetchGroup| {
            OffsetFetchRequestGroup::default()
                .with_group_id(group.group_id.into())
                .with_member_id(group.member_id)
                .with_member_epoch(group.member_epoch)
                .with_topics(group.topics.map(|topics| topics.iter().map(topic).collect()))
        };
        request.with_groups(self.groups().map(group).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{BufMut, BytesMut};
    use milena_counting::peak_bytes;

    /// Version 8 with one group and so many topics of one partition; short names.
    fn body(topics: usize) -> Bytes {
        let mut body = BytesMut::new();
        body.put_slice(&[2, 2, b'g']);
        crate::writer::put_varint(&mut body, topics as u32 + 1);
        for n in 0..topics {
            let name = format!("t{n}");
            body.put_u8(name.len() as u8 + 1);
            body.put_slice(name.as_bytes());
            body.put_slice(&[2, 0, 0, 0, 7, 0]);
        }
        body.put_slice(&[0, 1, 0]);
        body.freeze()
    }

    #[test]
    fn a_group_with_a_hundred_thousand_topics_is_served_in_the_memory_of_its_frame() {
        let body = body(100_000);
        let (request, bytes) = peak_bytes(|| OffsetFetchRequest::decode_body(8, body).unwrap());
        assert!(bytes < 4096, "{bytes}");
        assert!(request.require_stable);
        let groups: Vec<_> = request.groups().collect();
        assert_eq!((groups.len(), groups[0].group_id.as_str()), (1, "g"));
        let topics = groups[0].topics.as_ref().unwrap();
        assert_eq!(topics.len(), 100_000);
        assert!(
            topics
                .iter()
                .zip(0..)
                .all(|((name, partitions), n)| name.as_str() == format!("t{n}") && partitions == [7])
        );
    }

    #[test]
    fn ten_thousand_groups_are_served() {
        let mut body = BytesMut::new();
        crate::writer::put_varint(&mut body, 10_001);
        (0..10_000).for_each(|_| body.put_slice(&[2, b'g', 0, 0]));
        body.put_slice(&[0, 0]);
        let request = OffsetFetchRequest::decode_body(8, body.freeze()).unwrap();
        assert_eq!(
            request.groups().filter(|group| group.topics.is_none()).count(),
            10_000
        );
    }

    #[test]
    fn counts_beyond_the_frame_and_too_many_elements_are_refused() {
        let huge = Bytes::from_static(&[0xff, 0xff, 0xff, 0x7f, 2, b'g']);
        assert!(matches!(
            OffsetFetchRequest::decode_body(8, huge),
            Err(DecodeError::Count { .. })
        ));
        assert!(matches!(
            OffsetFetchRequest::decode_body(8, body(300_000)),
            Err(DecodeError::Elements { .. })
        ));
    }
}
