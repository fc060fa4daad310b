//! Requests that may name thousands of things: their large array is decoded one element at a time, because the
//! library's structs are several times larger than what they are decoded from.

use crate::error::DecodeError;
use crate::messages;
use crate::schema::Schema;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::Decodable;
use std::marker::PhantomData;

/// Metadata (3), topic by topic.
pub type MetadataRequest = Split<messages::MetadataRequest, messages::metadata_request::MetadataRequestTopic>;
/// CreateTopics (19), topic by topic.
pub type CreateTopicsRequest =
    Split<messages::CreateTopicsRequest, messages::create_topics_request::CreatableTopic>;
/// DescribeConfigs (32), resource by resource.
pub type DescribeConfigsRequest =
    Split<messages::DescribeConfigsRequest, messages::describe_configs_request::DescribeConfigsResource>;
/// ListOffsets (2), topic by topic.
pub type ListOffsetsRequest =
    Split<messages::ListOffsetsRequest, messages::list_offsets_request::ListOffsetsTopic>;
/// OffsetCommit (8), topic by topic.
pub type OffsetCommitRequest =
    Split<messages::OffsetCommitRequest, messages::offset_commit_request::OffsetCommitRequestTopic>;

/// DescribeLogDirs (35), topic by topic.
pub type DescribeLogDirsRequest =
    Split<messages::DescribeLogDirsRequest, messages::describe_log_dirs_request::DescribableLogDirTopic>;

/// A request and the elements of its large array.
#[derive(Clone, Debug)]
pub struct Split<R, T> {
    /// Everything else; its own array is empty.
    pub head: R,
    /// The elements; `None` when the client sent null.
    pub elements: Option<Elements<T>>,
}

/// The elements of an array, still encoded. Invariant: every one of them decodes.
#[derive(Clone, Debug)]
pub struct Elements<T> {
    bytes: Bytes,
    count: usize,
    version: i16,
    element: PhantomData<fn() -> T>,
}

impl<T: Decodable> Elements<T> {
    fn new(bytes: Bytes, count: usize, version: i16) -> Result<Self, DecodeError> {
        let elements = Self {
            bytes,
            count,
            version,
            element: PhantomData,
        };
        let mut left = elements.bytes.clone();
        for _ in 0..count {
            T::decode(&mut left, version).map_err(|error| DecodeError::Malformed(error.to_string()))?;
        }
        match left.len() {
            0 => Ok(elements),
            left => Err(DecodeError::Trailing(left)),
        }
    }

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

    /// Decodes one after the other, in the client's order.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'_, T> {
        let mut left = self.bytes.clone();
        // All of them have been decoded once: none can fail now.
        (0..self.count).map_while(move |_| T::decode(&mut left, self.version).ok())
    }
}

impl<R, T: Decodable> Split<R, T> {
    /// The elements; null counts as none.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'_, R, T> {
        self.elements.iter().flat_map(Elements::iter)
    }

    /// How many elements there are; null counts as none.
    #[must_use]
    pub fn len(&self) -> usize {
        self.elements.as_ref().map_or(0, Elements::len)
    }

    /// True when there are no elements, or null.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<R: Decodable, T: Decodable> Split<R, T> {
    /// Decodes a body whose array `field` is the large one.
    pub(crate) fn decode(
        schema: &Schema,
        field: &str,
        version: i16,
        library_version: i16,
        body: &Bytes,
    ) -> Result<Self, DecodeError> {
        let extent = schema.check_split(version, body, field)?;
        let elements = match extent.count {
            Some(count) => Some(Elements::new(
                body.slice(extent.elements..extent.end),
                count,
                library_version,
            )?),
            None => None,
        };
        // The rest, with an empty array in the place of the large one.
        let (before, after) = (&body[..extent.start], &body[extent.end..]);
        let mut rest = BytesMut::with_capacity(before.len() + 4 + after.len());
        rest.put_slice(before);
        if schema.is_compact(version) {
            rest.put_u8(1)
        } else {
            rest.put_u32(0)
        }
        rest.put_slice(after);
        let mut rest = rest.freeze();
        let head = R::decode(&mut rest, library_version)
            .map_err(|error| DecodeError::Malformed(error.to_string()))?;
        match rest.len() {
            0 => Ok(Self { head, elements }),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Request;

    /// Short names in an old version: the library's structs would be nine times as large as the frame.
    #[test]
    fn a_request_for_a_hundred_thousand_topics_is_served() {
        let count = 100_000_u32;
        let mut body = BytesMut::new();
        body.put_u32(count);
        (0..count).for_each(|n| {
            let name = format!("t{n}");
            body.put_u16(name.len() as u16);
            body.put_slice(name.as_bytes());
        });
        let request = MetadataRequest::decode_body(1, body.freeze()).unwrap();
        assert_eq!(request.len(), 100_000);
        assert!(
            request
                .iter()
                .zip(0..)
                .all(|(topic, n)| topic.name.unwrap().as_str() == format!("t{n}"))
        );
    }

    #[test]
    fn null_empty_and_too_many_are_told_apart() {
        let decode =
            |count: i32| MetadataRequest::decode_body(1, Bytes::copy_from_slice(&count.to_be_bytes()));
        assert!(decode(-1).unwrap().elements.is_none());
        assert!(
            decode(0)
                .unwrap()
                .elements
                .is_some_and(|elements| elements.is_empty())
        );
        let mut many = BytesMut::new();
        many.put_u32(1_000_000);
        many.put_bytes(0, 2_000_000);
        assert!(matches!(
            MetadataRequest::decode_body(1, many.freeze()),
            Err(DecodeError::Elements { .. })
        ));
    }
}
