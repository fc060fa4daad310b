//! Bytes as real clients send them and expect them.

use crate::messages::{ApiVersionsRequest, ApiVersionsResponse, api_versions_response::ApiVersion};
use crate::split::MetadataRequest;
use crate::{ApiKey, HeaderStart, Request, RequestHeader, encode_unsupported_api_versions};
use bytes::Bytes;

/// The first frame of a Java 4 client: ApiVersions 4 from `producer-1`.
const JAVA_API_VERSIONS: &[u8] =
    b"\x00\x12\x00\x04\x00\x00\x00\x00\x00\x0aproducer-1\x00\x12apache-kafka-java\x064.1.0\x00";

/// Metadata 1 of kcat asking for every topic: a null array.
const KCAT_METADATA: &[u8] = b"\x00\x03\x00\x01\x00\x00\x00\x02\x00\x07rdkafka\xff\xff\xff\xff";

#[test]
fn the_first_frame_of_a_java_client_is_read() {
    let start = HeaderStart::parse(JAVA_API_VERSIONS).unwrap();
    assert_eq!(
        (start.api_key, start.api_version, start.correlation_id),
        (18, 4, 0)
    );
    let header = RequestHeader::parse(ApiKey::ApiVersions, JAVA_API_VERSIONS).unwrap();
    assert_eq!(header.client_id.as_deref(), Some("producer-1"));
    let body = Bytes::from_static(&JAVA_API_VERSIONS[header.size_bytes..]);
    let request = ApiVersionsRequest::decode_body(header.version, body).unwrap();
    assert_eq!(request.client_software_name.as_str(), "apache-kafka-java");
    assert_eq!(request.client_software_version.as_str(), "4.1.0");
}

#[test]
fn a_null_array_of_topics_means_all() {
    let header = RequestHeader::parse(ApiKey::Metadata, KCAT_METADATA).unwrap();
    let body = Bytes::from_static(&KCAT_METADATA[header.size_bytes..]);
    assert_eq!(
        MetadataRequest::decode_body(header.version, body)
            .unwrap()
            .elements
            .map(|elements| elements.len()),
        None
    );
}

#[test]
fn api_versions_answers_never_have_tags_in_their_header() {
    let response = ApiVersionsResponse::default()
        .with_error_code(35)
        .with_api_keys(vec![ApiVersion::default().with_api_key(18).with_max_version(4)]);
    let frame = encode_unsupported_api_versions(9, &response).unwrap();
    let expected = b"\0\0\0\x10\0\0\0\x09\0\x23\0\0\0\x01\0\x12\0\0\0\x04";
    assert_eq!(&frame.to_bytes()[..], expected);
    let frame = ApiVersionsRequest::encode_response(3, 9, &ApiVersionsResponse::default()).unwrap();
    assert_eq!(&frame.to_bytes()[..], b"\0\0\0\x0c\0\0\0\x09\0\0\x01\0\0\0\0\0");
}
