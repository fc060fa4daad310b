//! The client's side, for tools and tests: requests to bytes, responses from bytes, by way of the message library.
//!
//! Not for strangers' bytes: a response is decoded as the library does it, trusting its counts.

use crate::error::{DecodeError, EncodeError};
use crate::frame::LENGTH_BYTES;
use crate::versions::ApiKey;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

/// A request of the message library with its response.
pub trait ClientRequest: Request {}

impl<R: Request> ClientRequest for R {}

/// Writes a whole request frame.
///
/// # Errors
/// [`EncodeError`] when the API is not in our table, or a field is set that the version does not have.
pub fn encode_request<R: ClientRequest>(
    version: i16,
    correlation_id: i32,
    client_id: &str,
    request: &R,
) -> Result<Bytes, EncodeError> {
    let api = ApiKey::from_code(R::KEY).map_or("unknown api", ApiKey::name);
    let failed = |reason: String| EncodeError { api, version, reason };
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_string(client_id.to_owned())));
    let mut out = BytesMut::new();
    out.put_bytes(0, LENGTH_BYTES);
    header
        .encode(&mut out, R::header_version(version))
        .map_err(|error| failed(error.to_string()))?;
    request
        .encode(&mut out, version)
        .map_err(|error| failed(error.to_string()))?;
    let length = u32::try_from(out.len() - LENGTH_BYTES).map_err(|error| failed(error.to_string()))?;
    out[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(out.freeze())
}

/// Reads a whole response frame, without its length; gives the correlation id and the response.
///
/// # Errors
/// [`DecodeError`] when it is not the response of this version.
pub fn decode_response<R: ClientRequest>(
    version: i16,
    mut frame: Bytes,
) -> Result<(i32, R::Response), DecodeError> {
    let malformed = |reason: String| DecodeError::Malformed(reason);
    let header = ResponseHeader::decode(&mut frame, R::Response::header_version(version))
        .map_err(|error| malformed(error.to_string()))?;
    let response = R::Response::decode(&mut frame, version).map_err(|error| malformed(error.to_string()))?;
    match frame.remaining() {
        0 => Ok((header.correlation_id, response)),
        left => Err(DecodeError::Trailing(left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{MetadataRequest, MetadataResponse};
    use crate::request::Request as _;
    use crate::split;

    #[test]
    fn what_one_side_writes_the_other_reads() {
        let frame = encode_request(9, 5, "me", &MetadataRequest::default()).unwrap();
        let header = crate::RequestHeader::parse(ApiKey::Metadata, &frame[LENGTH_BYTES..]).unwrap();
        assert_eq!(
            (header.correlation_id, header.client_id.as_deref()),
            (5, Some("me"))
        );
        let response = MetadataResponse::default().with_controller_id(3.into());
        let frame = split::MetadataRequest::encode_response(9, 5, &response)
            .unwrap()
            .to_bytes();
        let read = decode_response::<MetadataRequest>(9, frame.slice(LENGTH_BYTES..)).unwrap();
        assert_eq!(read, (5, response));
    }
}
