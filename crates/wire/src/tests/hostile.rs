//! Hostile bytes: whatever arrives, decoding neither panics nor allocates above four times its frame plus 64 KiB.

use super::sample::{Numbers, body};
use crate::fetch::FetchRequest;
use crate::produce::ProduceRequest;
use crate::request::{decode_only, schema_of};
use crate::versions::ApiKey;
use crate::{DecodeError, HeaderStart, RequestHeader};
use bytes::{BufMut, Bytes, BytesMut};
use milena_counting::peak_bytes;
use proptest::prelude::*;

fn limit(body: usize) -> usize {
    4 * body + 64 * 1024
}

/// Decodes with any API's decoder; true when it was accepted.
fn decode(api: ApiKey, version: i16, body: &[u8]) -> bool {
    // The frame is there before decoding begins; what decoding adds is measured.
    let (shared, owned) = (Bytes::copy_from_slice(body), BytesMut::from(body));
    let (accepted, bytes) = peak_bytes(|| match api {
        ApiKey::Produce => ProduceRequest::decode(version, owned).is_ok(),
        ApiKey::Fetch => FetchRequest::decode(version, shared).is_ok(),
        _ => decode_only(api, version, shared),
    });
    assert!(
        bytes <= limit(body.len()),
        "{api} {version}: {bytes} bytes for a body of {}",
        body.len()
    );
    accepted
}

fn any_api() -> impl Strategy<Value = (ApiKey, i16)> {
    (0..ApiKey::ALL.len(), any::<u16>()).prop_map(|(at, version)| {
        let api = ApiKey::ALL[at];
        let span = (api.version_max() - api.version_min() + 1) as u16;
        (api, api.version_min() + (version % span) as i16)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes((api, version) in any_api(), bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        decode(api, version, &bytes);
    }

    #[test]
    fn damaged_requests((api, version) in any_api(), seed in 1..u64::MAX, damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..4)) {
        let mut bytes = body(api, version, &mut Numbers(seed)).to_vec();
        for (at, value) in damage {
            let length = bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(usize::from(at) % length) {
                *byte = value;
            }
        }
        decode(api, version, &bytes);
    }

    #[test]
    fn counts_replaced((api, version) in any_api(), seed in 1..u64::MAX, at in any::<u16>(), count in prop_oneof![Just(0x0040_0000_u32), Just(u32::MAX), Just(0x7fff_ffff), Just(0xffff_ff0f), 0..5000_u32], filler in 0..3000_usize) {
        let mut bytes = body(api, version, &mut Numbers(seed)).to_vec();
        let at = usize::from(at) % (bytes.len() + 1);
        bytes.splice(at..(at + 4).min(bytes.len()), count.to_be_bytes());
        bytes.extend(std::iter::repeat_n(1, filler));
        decode(api, version, &bytes);
    }

    #[test]
    fn headers(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let (_, allocated) = peak_bytes(|| {
            if let Ok(start) = HeaderStart::parse(&bytes)
                && let Some(api) = ApiKey::from_code(start.api_key & 0x3f)
            {
                let _ = RequestHeader::parse(api, &bytes);
            }
        });
        prop_assert!(allocated <= limit(bytes.len()));
    }
}

#[test]
fn valid_bodies_are_accepted_within_the_limit() {
    for api in ApiKey::ALL.iter().copied() {
        for version in api.version_min()..=api.version_max() {
            for seed in 1..20 {
                assert!(
                    decode(api, version, &body(api, version, &mut Numbers(seed))),
                    "{api} {version} {seed}"
                );
            }
        }
    }
    assert!(schema_of(ApiKey::Produce).is_none());
}

/// The 34 bytes that made the message library ask for 384 MiB: Fetch 4 with 0x00400000 topics.
#[test]
fn the_measured_crasher_is_refused_without_allocating() {
    let mut crasher = vec![
        0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0xf4, 0, 0, 0, 1, 0, 0x10, 0, 0, 0,
    ];
    crasher.extend([0x00, 0x40, 0x00, 0x00]);
    crasher.extend([0; 13]);
    assert_eq!(crasher.len(), 34);
    let (shared, _) = (Bytes::from(crasher), ());
    let (result, bytes) = peak_bytes(|| FetchRequest::decode(4, shared));
    assert!(result.is_err() && bytes < 4096, "{bytes}");
}

/// Many smallest elements: the case in which decoded structs outweigh the frame the most.
#[test]
fn many_small_elements_stay_within_the_limit() {
    for api in ApiKey::ALL.iter().copied() {
        for version in api.version_min()..=api.version_max() {
            for filler in [0_u8, 1] {
                let mut bytes = body(api, version, &mut Numbers(3)).to_vec();
                bytes.extend(vec![filler; 60_000]);
                for at in 0..bytes.len().min(64) {
                    let mut bytes = bytes.clone();
                    bytes[at..at + 4].copy_from_slice(&10_000_u32.to_be_bytes());
                    decode(api, version, &bytes);
                    bytes[at..at + 3].copy_from_slice(&[0x90, 0xce, 0x00]);
                    decode(api, version, &bytes);
                }
            }
        }
    }
}

/// A handler may need some hundred bytes for each of an array's numbers, though decoding them takes only four.
#[test]
fn an_array_of_numbers_counts_against_the_elements() {
    let describe = schema_of(ApiKey::DescribeLogDirs).unwrap();
    let body = |partitions: u32| {
        let mut body = BytesMut::from(&b"\0\0\0\x01\0\x01t"[..]);
        body.put_u32(partitions);
        body.put_bytes(0, partitions as usize * 4);
        describe.check(1, &body)
    };
    assert!(body(200_000).is_ok());
    assert!(matches!(
        body(300_000),
        Err(DecodeError::Elements {
            field: "partitions",
            ..
        })
    ));
}
