//! The formats against bytes worked out from Kafka's message schemas, and against themselves.

use super::*;
use milena_types::{LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId, Uuid};
use proptest::prelude::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Bytes {
    let text: String = text.split_whitespace().collect();
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect::<Vec<_>>()
        .into()
}

fn clean(text: &str) -> String {
    text.split_whitespace().collect()
}

fn offset_key() -> OffsetKey {
    OffsetKey {
        group: "g1".to_owned(),
        topic: "top".to_owned(),
        partition: PartitionIndex(7),
    }
}

fn offset_value() -> OffsetCommitValue {
    OffsetCommitValue {
        offset: Offset(258),
        leader_epoch: Some(LeaderEpoch(5)),
        metadata: "m".to_owned(),
        commit_timestamp: Timestamp(0x0102_0304),
        expire_timestamp: None,
        topic_id: None,
    }
}

fn group_value() -> GroupMetadataValue {
    GroupMetadataValue {
        protocol_type: "consumer".to_owned(),
        generation: 3,
        protocol: Some("range".to_owned()),
        leader: Some("m1".to_owned()),
        current_state_timestamp: Some(Timestamp(1)),
        members: vec![MemberMetadata {
            member_id: "m1".to_owned(),
            group_instance_id: None,
            client_id: "c".to_owned(),
            client_host: "/h".to_owned(),
            rebalance_timeout_ms: 60_000,
            session_timeout_ms: 10_000,
            subscription: Bytes::from_static(&[1, 2]),
            assignment: Bytes::from_static(&[3]),
        }],
    }
}

#[test]
fn an_offset_commit_is_written_as_kafka_writes_version_3() {
    let record = CoordinatorRecord::Offset(offset_key(), Some(offset_value()))
        .encode()
        .unwrap();
    assert_eq!(hex(&record.key), clean("0001 0002 6731 0003 746f70 00000007"));
    assert_eq!(
        hex(&record.value.unwrap()),
        clean("0003 0000000000000102 00000005 0001 6d 0000000001020304")
    );
}

#[test]
fn an_offset_commit_with_an_expiry_is_version_1() {
    let value = OffsetCommitValue {
        expire_timestamp: Some(Timestamp(9)),
        leader_epoch: None,
        ..offset_value()
    };
    let record = CoordinatorRecord::Offset(offset_key(), Some(value.clone()))
        .encode()
        .unwrap();
    assert_eq!(
        hex(record.value.as_ref().unwrap()),
        clean("0001 0000000000000102 0001 6d 0000000001020304 0000000000000009")
    );
    assert_eq!(
        CoordinatorRecord::decode(&record.key, record.value.as_ref()),
        Ok(CoordinatorRecord::Offset(offset_key(), Some(value)))
    );
}

#[test]
fn a_group_is_written_as_kafka_writes_version_3() {
    let record = CoordinatorRecord::Group("g1".to_owned(), Some(group_value()))
        .encode()
        .unwrap();
    assert_eq!(hex(&record.key), clean("0002 0002 6731"));
    assert_eq!(
        hex(&record.value.unwrap()),
        clean(
            "0003 0008 636f6e73756d6572 00000003 0005 72616e6765 0002 6d31 0000000000000001 00000001
             0002 6d31 ffff 0001 63 0002 2f68 0000ea60 00002710 00000002 0102 00000001 03"
        )
    );
}

#[test]
fn an_empty_group_has_null_protocol_and_leader() {
    let value = GroupMetadataValue {
        protocol_type: String::new(),
        generation: 0,
        protocol: None,
        leader: None,
        current_state_timestamp: None,
        members: Vec::new(),
    };
    let record = CoordinatorRecord::Group("g".to_owned(), Some(value))
        .encode()
        .unwrap();
    assert_eq!(
        hex(&record.value.unwrap()),
        clean("0003 0000 00000000 ffff ffff ffffffffffffffff 00000000")
    );
}

#[test]
fn tombstones_have_no_value() {
    let offset = CoordinatorRecord::Offset(offset_key(), None);
    let group = CoordinatorRecord::Group("g".to_owned(), None);
    for record in [offset, group] {
        let bytes = record.encode().unwrap();
        assert_eq!(bytes.value, None);
        assert_eq!(CoordinatorRecord::decode(&bytes.key, None), Ok(record));
    }
}

#[test]
fn older_and_newer_versions_are_read() {
    let key = unhex("0000 0002 6731 0003 746f70 00000007");
    let topic_id = TopicId(Uuid([7; 16]));
    let cases = [
        (
            "0000 0000000000000102 0001 6d 0000000001020304",
            OffsetCommitValue {
                leader_epoch: None,
                ..offset_value()
            },
        ),
        (
            "0002 0000000000000102 0001 6d 0000000001020304",
            OffsetCommitValue {
                leader_epoch: None,
                ..offset_value()
            },
        ),
        (
            "0003 0000000000000102 00000005 0001 6d 0000000001020304",
            offset_value(),
        ),
        (
            "0004 0000000000000102 00000005 02 6d 0000000001020304 00",
            offset_value(),
        ),
        (
            "0004 0000000000000102 00000005 02 6d 0000000001020304 01 00 10 07070707070707070707070707070707",
            OffsetCommitValue {
                topic_id: Some(topic_id),
                ..offset_value()
            },
        ),
    ];
    for (bytes, value) in cases {
        let decoded = CoordinatorRecord::decode(&key, Some(&unhex(bytes)));
        assert_eq!(
            decoded,
            Ok(CoordinatorRecord::Offset(offset_key(), Some(value))),
            "{bytes}"
        );
    }
}

#[test]
fn older_and_newer_groups_are_read() {
    let key = unhex("0002 0002 6731");
    let cases = [
        // v0: no state timestamp, one timeout.
        (
            "0000 0008 636f6e73756d6572 00000003 0005 72616e6765 0002 6d31 00000001
             0002 6d31 0001 63 0002 2f68 00002710 00000002 0102 00000001 03",
            None,
            10_000,
        ),
        (
            "0002 0008 636f6e73756d6572 00000003 0005 72616e6765 0002 6d31 0000000000000001 00000001
             0002 6d31 0001 63 0002 2f68 0000ea60 00002710 00000002 0102 00000001 03",
            Some(Timestamp(1)),
            60_000,
        ),
        (
            "0004 09 636f6e73756d6572 00000003 06 72616e6765 03 6d31 0000000000000001 02
             03 6d31 00 02 63 03 2f68 0000ea60 00002710 03 0102 02 03 00 00",
            Some(Timestamp(1)),
            60_000,
        ),
    ];
    for (bytes, timestamp, rebalance_timeout_ms) in cases {
        let mut expected = group_value();
        expected.current_state_timestamp = timestamp;
        expected.members[0].rebalance_timeout_ms = rebalance_timeout_ms;
        let decoded = CoordinatorRecord::decode(&key, Some(&unhex(bytes)));
        assert_eq!(
            decoded,
            Ok(CoordinatorRecord::Group("g1".to_owned(), Some(expected))),
            "{bytes}"
        );
    }
}

#[test]
fn what_is_not_understood_is_named() {
    let none = Bytes::new();
    assert_eq!(
        CoordinatorRecord::decode(&unhex("0003 0002 6731"), None),
        Err(DecodeError::UnknownType(3))
    );
    assert_eq!(
        CoordinatorRecord::decode(&none, None),
        Err(DecodeError::Malformed(0))
    );
    let key = unhex("0002 0002 6731");
    assert_eq!(
        CoordinatorRecord::decode(&key, Some(&unhex("0005"))),
        Err(DecodeError::UnknownVersion(5))
    );
    // A member count of 2^31-1 in a short value must not allocate.
    let bomb = unhex("0003 0000 00000000 ffff ffff ffffffffffffffff 7fffffff");
    assert!(matches!(
        CoordinatorRecord::decode(&key, Some(&bomb)),
        Err(DecodeError::Malformed(_))
    ));
}

#[test]
fn a_text_over_the_limit_is_refused() {
    let key = OffsetKey {
        group: "g".repeat(32_768),
        ..offset_key()
    };
    assert_eq!(
        CoordinatorRecord::Offset(key, None).encode(),
        Err(EncodeError::TooLong("group id"))
    );
}

proptest! {
    #[test]
    fn decoding_arbitrary_bytes_never_panics(key in proptest::collection::vec(any::<u8>(), 0..40),
                                             value in proptest::collection::vec(any::<u8>(), 0..200),
                                             kind in 0u8..4, version in 0u8..6) {
        let key = Bytes::from([vec![0, kind], key].concat());
        let value = Bytes::from([vec![0, version], value].concat());
        let _ = CoordinatorRecord::decode(&key, Some(&value));
    }

    #[test]
    fn what_is_written_is_read_back(group in ".{0,20}", topic in "[a-z.]{1,20}", partition in 0i32..100, offset: i64,
                                    epoch in proptest::option::of(0i32..9), metadata in ".{0,20}", at: i64) {
        let key = OffsetKey { group, topic, partition: PartitionIndex(partition) };
        let value = OffsetCommitValue {
            offset: Offset(offset), leader_epoch: epoch.map(LeaderEpoch), metadata,
            commit_timestamp: Timestamp(at), expire_timestamp: None, topic_id: None,
        };
        let record = CoordinatorRecord::Offset(key, Some(value));
        let bytes = record.encode().unwrap();
        prop_assert_eq!(CoordinatorRecord::decode(&bytes.key, bytes.value.as_ref()), Ok(record));
    }
}
