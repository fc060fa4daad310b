//! Our table and schemas against the message library.

use super::sample::{Numbers, body};
use crate::messages;
use crate::request::{recode, schema_of};
use crate::versions::ApiKey;
use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};

#[test]
fn every_version_of_every_api_is_read_as_the_library_writes_it() {
    for api in ApiKey::ALL
        .iter()
        .copied()
        .filter(|api| schema_of(*api).is_some())
    {
        for version in api.version_min()..=api.version_max() {
            for seed in 1..60_u64 {
                let sent = body(api, version, &mut Numbers(seed));
                let expected = match api {
                    ApiKey::OffsetFetch => untagged(version, sent.clone()),
                    _ => sent.clone(),
                };
                match recode(api, version, sent) {
                    Ok(again) => assert_eq!(again, expected, "{api} version {version} seed {seed}"),
                    Err(error) => panic!("{api} version {version} seed {seed}: {error}"),
                }
            }
        }
    }
}

/// An OffsetFetch body without the tags that our own decoder passes over.
fn untagged(version: i16, mut body: Bytes) -> Bytes {
    let mut request = messages::OffsetFetchRequest::decode(&mut body, version).unwrap();
    request.unknown_tagged_fields.clear();
    for topic in request.topics.iter_mut().flatten() {
        topic.unknown_tagged_fields.clear();
    }
    for group in &mut request.groups {
        group.unknown_tagged_fields.clear();
        for topic in group.topics.iter_mut().flatten() {
            topic.unknown_tagged_fields.clear();
        }
    }
    let mut out = BytesMut::new();
    request.encode(&mut out, version).unwrap();
    out.freeze()
}

#[test]
fn every_prefix_of_a_body_is_refused() {
    for api in ApiKey::ALL
        .iter()
        .copied()
        .filter(|api| schema_of(*api).is_some())
    {
        for version in api.version_min()..=api.version_max() {
            let sent = body(api, version, &mut Numbers(12));
            for length in 0..sent.len() {
                assert!(
                    recode(api, version, sent.slice(..length)).is_err(),
                    "{api} {version} cut at {length}"
                );
            }
        }
    }
}

/// The library's (request, response) header version.
fn library_headers(api: ApiKey, version: i16) -> (i16, i16) {
    let api = messages::ApiKey::try_from(api.code()).unwrap();
    (
        api.request_header_version(version),
        api.response_header_version(version),
    )
}

#[test]
fn header_versions_are_the_librarys() {
    for api in ApiKey::ALL.iter().copied() {
        for version in api.version_min()..=api.version_max() {
            let flexible = api.is_flexible(version);
            let response = i16::from(flexible && api != ApiKey::ApiVersions);
            assert_eq!(
                library_headers(api, version),
                (1 + i16::from(flexible), response),
                "{api} version {version}"
            );
        }
    }
    assert_eq!(messages::FetchRequest::header_version(12), 2);
}
