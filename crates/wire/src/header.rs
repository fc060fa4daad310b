//! Request and response headers. Source: `RequestHeader.json`, `ResponseHeader.json`, KIP-482, KIP-511.

use crate::error::DecodeError;
use crate::reader::Reader;
use crate::versions::ApiKey;
use bytes::{BufMut, BytesMut};

/// The first eight bytes of a request: enough to name it, whatever its API and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderStart {
    /// As sent; perhaps no key that is served.
    pub api_key: i16,
    /// As sent; perhaps no version that is served.
    pub api_version: i16,
    /// Goes back with the response.
    pub correlation_id: i32,
}

impl HeaderStart {
    /// Reads it from a frame (without its length).
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] below eight bytes.
    pub fn parse(frame: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame);
        Ok(Self {
            api_key: reader.i16("request_api_key")?,
            api_version: reader.i16("request_api_version")?,
            correlation_id: reader.i32("correlation_id")?,
        })
    }
}

/// A whole request header of an API and version that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// Which API.
    pub api: ApiKey,
    /// Which of its versions.
    pub version: i16,
    /// Goes back with the response.
    pub correlation_id: i32,
    /// What the client calls itself; any text.
    pub client_id: Option<String>,
    /// Bytes of the frame that the header takes; the body follows.
    pub size_bytes: usize,
}

impl RequestHeader {
    /// Reads the header of `api`, whose [`HeaderStart`] has been read already, from the whole frame.
    ///
    /// # Errors
    /// [`DecodeError`] when the client id or the tagged fields are malformed.
    pub fn parse(api: ApiKey, frame: &[u8]) -> Result<Self, DecodeError> {
        let start = HeaderStart::parse(frame)?;
        let mut reader = Reader::new(frame);
        reader.take("request header", 8)?;
        // KIP-482 left the client id in its old form, so that a broker can read it whatever the version.
        let client_id = reader.nullable_text("client_id", false)?.map(str::to_owned);
        if api.is_flexible(start.api_version) {
            reader.tagged(|_, _| Ok(false))?;
        }
        Ok(Self {
            api,
            version: start.api_version,
            correlation_id: start.correlation_id,
            client_id,
            size_bytes: reader.position(),
        })
    }
}

/// Writes a response header: the correlation id and, from the first flexible version on, an empty tag section.
/// ApiVersions never has one, because its client cannot know yet what the broker speaks (KIP-511).
pub(crate) fn put_response_header(out: &mut BytesMut, api: ApiKey, version: i16, correlation_id: i32) {
    out.put_i32(correlation_id);
    if api != ApiKey::ApiVersions && api.is_flexible(version) {
        out.put_u8(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_both_kinds_are_read() {
        let old = [0, 3, 0, 8, 0, 0, 0, 7, 0, 2, b'm', b'e', 1, 2];
        let header = RequestHeader::parse(ApiKey::Metadata, &old).unwrap();
        assert_eq!(
            (header.version, header.correlation_id, header.size_bytes),
            (8, 7, 12)
        );
        assert_eq!(header.client_id.as_deref(), Some("me"));
        let flexible = [0, 3, 0, 9, 0, 0, 0, 7, 0xff, 0xff, 1, 5, 1, 0xaa, 9, 9];
        let header = RequestHeader::parse(ApiKey::Metadata, &flexible).unwrap();
        assert_eq!((header.client_id, header.size_bytes), (None, 14));
    }

    #[test]
    fn short_and_hostile_headers_are_errors() {
        for length in 0..8 {
            assert!(HeaderStart::parse(&[0; 7][..length.min(7)]).is_err());
        }
        let tags_everywhere = [0, 3, 0, 9, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(RequestHeader::parse(ApiKey::Metadata, &tags_everywhere).is_err());
        let not_text = [0, 3, 0, 8, 0, 0, 0, 7, 0, 1, 0xff];
        assert!(RequestHeader::parse(ApiKey::Metadata, &not_text).is_err());
    }
}
