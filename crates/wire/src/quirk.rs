//! Requests of widespread clients that break the protocol, and that Kafka serves all the same.
//!
//! Kafka ignores whatever follows a request; this crate refuses it, because it is nearly always a sign of a body that was
//! misread. So each client that cannot do otherwise is named here, exactly.

use crate::versions::ApiKey;
use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of an array length before flexible versions.
const OLD_LENGTH_BYTES: usize = 4;

/// The body without what a known client sends too much of; every other body as it is.
///
/// librdkafka (2.12 at least) asks for all topics in Metadata 9 and above by leaving four zero bytes, the old form of the
/// length, where the one byte of a null array belongs: three bytes too many before the flags.
/// Source: `rd_kafka_MetadataRequest`, `rd_kafka_buf_write_arraycnt_pos`.
pub(crate) fn repaired(api: ApiKey, version: i16, body: Bytes) -> Bytes {
    let flags = match version {
        9 | 10 => 3, // auto creation, cluster operations, topic operations
        _ => 2,
    };
    let tags = 1;
    let is_all_topics = api == ApiKey::Metadata
        && version >= 9
        && body.len() == OLD_LENGTH_BYTES + flags + tags
        && body.starts_with(&[0; OLD_LENGTH_BYTES]);
    if !is_all_topics {
        return body;
    }
    let mut repaired = BytesMut::with_capacity(1 + flags + tags);
    repaired.put_u8(0);
    repaired.put_slice(&body[OLD_LENGTH_BYTES..]);
    repaired.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Request;
    use crate::split::MetadataRequest;

    #[test]
    fn librdkafka_may_ask_for_all_topics() {
        for (version, flags) in [
            (9, &[1, 0, 0][..]),
            (10, &[0, 0, 1]),
            (11, &[1, 0]),
            (13, &[0, 1]),
        ] {
            let body = [&[0, 0, 0, 0], flags, &[0]].concat();
            let request = MetadataRequest::decode_body(version, body.into()).unwrap();
            assert!(request.elements.is_none(), "all topics");
            assert_eq!(
                request.head.allow_auto_topic_creation,
                flags[0] == 1,
                "version {version}"
            );
        }
    }

    #[test]
    fn other_trailing_bytes_are_refused() {
        for body in [
            vec![0, 1, 0, 0, 9],
            vec![0, 0, 0, 0, 1, 0, 0, 0],
            vec![0, 0, 0, 1, 1, 0, 0],
        ] {
            assert!(
                MetadataRequest::decode_body(13, Bytes::from(body.clone())).is_err(),
                "{body:?}"
            );
        }
    }
}
