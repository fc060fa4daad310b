//! What a leader and a follower take, and what they refuse.

use crate::support::*;
use bytes::{Bytes, BytesMut};
use milena_log::env::{Fault, FileSystem};
use milena_log::{AppendError, FollowerAppendError, LogConfig};
use milena_record::{BatchBuilder, BatchHeader, Compression, TimestampType, crc_is_valid};
use milena_types::{ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use std::path::Path;

#[test]
fn appends_get_consecutive_offsets_and_read_back() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    for i in 0..100 {
        let appended = append(&mut log, &[&format!("a{i}"), &format!("b{i}")]);
        assert_eq!(appended.range.from, Offset(2 * i));
        assert_eq!(appended.range.to, Offset(2 * i + 2));
        let header = BatchHeader::parse(&appended.bytes).unwrap();
        assert_eq!(
            (header.base_offset, header.partition_leader_epoch),
            (Offset(2 * i), LeaderEpoch(0))
        );
        assert!(crc_is_valid(&appended.bytes));
    }
    assert!(log.segments() > 5, "small segments roll");
    let all = dump(&log, 1);
    assert_eq!(all.len(), 200);
    assert_eq!(all[101], (101, "b50".to_owned()));
    assert_eq!(dump(&log, 100_000), all);
}

#[test]
fn an_idle_log_has_no_file_and_little_memory() {
    let fs = disk();
    let (log, _) = open(&fs, &LogConfig::default());
    assert!(fs.read_dir(Path::new(DIR)).is_err());
    assert!(size_of_val(&log) < 640, "{}", size_of_val(&log));
    let (mut log, _) = open(&fs, &LogConfig::default());
    append(&mut log, &["x"]);
    assert!(
        log.is_open() && !log.release_idle().unwrap(),
        "a dirty log stays open"
    );
    flush(&mut log);
    assert!(log.release_idle().unwrap() && !log.is_open());
    append(&mut log, &["y"]);
    assert_eq!(dump(&log, 1), [(0, "x".to_owned()), (1, "y".to_owned())]);
}

fn with_header(change: impl Fn(&mut [u8])) -> BytesMut {
    let mut batch = batch(&["v"]);
    change(&mut batch);
    let crc = milena_record::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// Batches that break one rule each, and the code that a client gets.
fn broken() -> Vec<(&'static str, BytesMut, ErrorCode)> {
    let two: BytesMut = [batch(&["a"]), batch(&["b"])].concat().as_slice().into();
    vec![
        ("empty", BytesMut::new(), ErrorCode::CorruptMessage),
        (
            "garbage",
            BytesMut::from(&[0xff; 80][..]),
            ErrorCode::InvalidRecord,
        ),
        (
            "cut short",
            BytesMut::from(&batch(&["v"])[..60]),
            ErrorCode::CorruptMessage,
        ),
        ("two batches", two, ErrorCode::InvalidRecord),
        ("base offset", with_header(|b| b[7] = 1), ErrorCode::InvalidRecord),
        (
            "bad crc",
            {
                let mut b = batch(&["v"]);
                b[65] ^= 1;
                b
            },
            ErrorCode::CorruptMessage,
        ),
        (
            "control",
            with_header(|b| b[22] |= 0x20),
            ErrorCode::InvalidRecord,
        ),
        (
            "transactional without producer",
            with_header(|b| b[22] |= 0x10),
            ErrorCode::InvalidRecord,
        ),
        (
            "codec 7",
            with_header(|b| b[22] |= 7),
            ErrorCode::UnsupportedCompressionType,
        ),
        (
            "count and delta disagree",
            with_header(|b| b[26] = 3),
            ErrorCode::InvalidRecord,
        ),
        ("no record", with_header(|b| b[60] = 0), ErrorCode::InvalidRecord),
        (
            "producer without sequence",
            with_header(|b| b[43..51].fill(0)),
            ErrorCode::InvalidRecord,
        ),
        (
            "records that are not",
            with_header(|b| b[61] = 0x7f),
            ErrorCode::InvalidRecord,
        ),
        (
            "too late",
            batch_at(1_000_000 + 3_600_001, &["v"]),
            ErrorCode::InvalidTimestamp,
        ),
        (
            "too large",
            batch(&["x".repeat(5000).as_str()]),
            ErrorCode::MessageTooLarge,
        ),
        (
            "larger than a segment",
            batch(&["x".repeat(1500).as_str()]),
            ErrorCode::RecordListTooLarge,
        ),
    ]
}

#[test]
fn broken_batches_are_refused_with_kafkas_codes() {
    let fs = disk();
    let config = LogConfig {
        max_message_bytes: 2000,
        ..small()
    };
    let (mut log, _) = open(&fs, &config);
    for (name, batch, code) in broken() {
        let error = try_append(&mut log, batch).unwrap_err();
        assert_eq!(error.code(), code, "{name}: {error}");
    }
    assert_eq!(
        (log.log_end_offset(), log.segments()),
        (Offset(0), 0),
        "nothing was written"
    );
    assert!(try_append(&mut log, batch_at(1_000_000 + 3_600_000, &["v"])).is_ok());
}

#[test]
fn record_errors_name_each_record() {
    let fs = disk();
    let (mut log, _) = open(
        &fs,
        &LogConfig {
            compact: true,
            ..LogConfig::default()
        },
    );
    let mut builder = BatchBuilder::plain(Offset(0));
    for key in [Some(&b"k"[..]), None, Some(b"k"), None] {
        builder.append(Timestamp(5), key, Some(b"v"), &[]);
    }
    let error = try_append(&mut log, builder.build()).unwrap_err();
    let at: Vec<i32> = error.record_errors().iter().map(|(at, _)| *at).collect();
    assert_eq!((error.code(), at), (ErrorCode::InvalidRecord, vec![1, 3]));

    log.set_config(std::sync::Arc::new(LogConfig {
        timestamp_before_max_ms: 500_000,
        ..LogConfig::default()
    }));
    let mut builder = BatchBuilder::plain(Offset(0));
    for timestamp in [900_000, 499_999, -1, 500_000] {
        builder.append(Timestamp(timestamp), None, Some(b"v"), &[]);
    }
    let error = try_append(&mut log, builder.build()).unwrap_err();
    assert!(
        matches!(&error, AppendError::InvalidTimestamps(errors) if errors.listed.len() == 1 && errors.listed[0].0 == 1),
        "{error:?}"
    );

    // Both rules: every record that breaks one is listed once, and the timestamps give the code.
    log.set_config(std::sync::Arc::new(LogConfig {
        compact: true,
        ..(**log.config()).clone()
    }));
    let mut builder = BatchBuilder::plain(Offset(0));
    for (timestamp, key) in [
        (900_000, None),
        (1, None),
        (1, Some(&b"k"[..])),
        (900_000, Some(b"k")),
    ] {
        builder.append(Timestamp(timestamp), key, Some(b"v"), &[]);
    }
    let error = try_append(&mut log, builder.build()).unwrap_err();
    let at: Vec<i32> = error.record_errors().iter().map(|(at, _)| *at).collect();
    assert_eq!((error.code(), at), (ErrorCode::InvalidTimestamp, vec![0, 1, 2]));
    assert!(
        error.record_errors()[1]
            .1
            .starts_with("Compacted topic cannot accept")
    );
}

#[test]
fn a_refusal_lists_a_bounded_number_of_records_in_kafkas_words() {
    let config = LogConfig {
        compact: true,
        ..LogConfig::default()
    };
    let (mut log, _) = open(&disk(), &config);
    let mut builder = BatchBuilder::plain(Offset(0));
    for _ in 0..5000 {
        builder.append(Timestamp(5), None, Some(b"v"), &[]);
    }
    let error = try_append(&mut log, builder.build()).unwrap_err();
    assert_eq!(error.record_errors().len(), 100);
    let each = "Compacted topic cannot accept message without key in topic partition topic-0";
    let expected = format!(
        "One or more records have been rejected due to 5000 record errors in total, and only showing the first three errors at most: \
         [RecordError(batchIndex=0, message='{each}'), RecordError(batchIndex=1, message='{each}'), RecordError(batchIndex=2, message='{each}')]"
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_claim_of_append_time_is_refused_or_taken_back() {
    let claiming = |timestamp| {
        let kind = TimestampType::LogAppendTime;
        let mut builder = BatchBuilder::new(Offset(0), Compression::None, kind, None, false, false);
        builder.append(Timestamp(timestamp), Some(b"key"), Some(b"v"), &[]);
        builder.build()
    };
    let (mut log, _) = open(&disk(), &LogConfig::default());
    let stored = try_append(&mut log, claiming(1000)).unwrap();
    let header = BatchHeader::parse(&stored.bytes).unwrap();
    assert_eq!(
        (header.timestamp_type(), header.max_timestamp),
        (TimestampType::CreateTime, Timestamp(1000))
    );
    let error = try_append(&mut log, claiming(-1)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidTimestamp);
    log.set_config(std::sync::Arc::new(LogConfig {
        message_timestamp_type: TimestampType::LogAppendTime,
        ..LogConfig::default()
    }));
    let error = try_append(&mut log, claiming(1000)).unwrap_err();
    let text = "Invalid timestamp type in message DefaultRecord(offset=0, timestamp=1000, key=3 bytes, value=1 bytes). \
                Producer should not set timestamp type to LogAppendTime.";
    assert_eq!(error.record_errors(), [(0, text.to_owned())]);
}

#[test]
fn compressed_batches_are_stored_as_they_came() {
    let fs = disk();
    let (mut log, _) = open(
        &fs,
        &LogConfig {
            compact: true,
            ..LogConfig::default()
        },
    );
    let compressed = |key: Option<&[u8]>| {
        let mut builder = BatchBuilder::new(
            Offset(0),
            Compression::Lz4,
            TimestampType::CreateTime,
            None,
            false,
            false,
        );
        builder.append(Timestamp(5), key, Some(&[b'x'; 500]), &[]);
        builder.build()
    };
    assert_eq!(
        try_append(&mut log, compressed(None)).unwrap_err().code(),
        ErrorCode::InvalidRecord
    );
    let sent = compressed(Some(b"k"));
    let stored = try_append(&mut log, sent.clone()).unwrap();
    assert_eq!(stored.bytes[21..], sent[21..], "stored as it came");
}

/// A batch of two records whose bytes were changed, with a checksum that fits.
fn tampered(codec: Compression, change: impl Fn(&mut [u8])) -> BytesMut {
    let mut builder = BatchBuilder::new(Offset(0), codec, TimestampType::CreateTime, None, false, false);
    for value in [[b'x'; 100], [b'y'; 100]] {
        builder.append(Timestamp(5), Some(b"k"), Some(&value), &[]);
    }
    let mut batch = builder.build();
    change(&mut batch);
    let crc = milena_record::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

#[test]
fn a_body_that_no_consumer_could_read_is_refused() {
    let codecs = Compression::ALL;
    let claim = |count: i32| {
        move |batch: &mut [u8]| {
            batch[23..27].copy_from_slice(&(count - 1).to_be_bytes());
            batch[57..61].copy_from_slice(&count.to_be_bytes());
        }
    };
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    for codec in codecs {
        assert!(
            try_append(&mut log, tampered(codec, |_| {})).is_ok(),
            "{codec:?}: as it was built"
        );
        let end = log.log_end_offset();
        let bad = [
            ("2^31-1 records", tampered(codec, claim(i32::MAX))),
            ("three records", tampered(codec, claim(3))),
            ("one record", tampered(codec, claim(1))),
            ("garbage", tampered(codec, |batch| batch[61..].fill(0xaa))),
        ];
        for (what, batch) in bad {
            let code = try_append(&mut log, batch).unwrap_err().code();
            let refused = matches!(code, ErrorCode::InvalidRecord | ErrorCode::CorruptMessage);
            assert!(refused, "{codec:?}, {what}: {code:?}");
            assert_eq!(log.log_end_offset(), end, "{codec:?}, {what}");
        }
    }
}

#[test]
fn gaps_between_uncompressed_records_are_refused() {
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    // Length (two bytes), attributes, timestamp delta, then the offset delta of the first record.
    let gap = tampered(Compression::None, |batch| {
        assert_eq!(batch[65], 0, "the offset delta");
        batch[65] = 2 * 7;
    });
    assert_eq!(
        try_append(&mut log, gap).unwrap_err().code(),
        ErrorCode::InvalidRecord
    );
    assert_eq!(log.log_end_offset(), Offset(0));
}

#[test]
fn gaps_between_compressed_records_are_closed() {
    let first = BatchHeader::parse(&tampered(Compression::None, |_| ())).unwrap();
    for codec in Compression::ALL
        .into_iter()
        .filter(|codec| *codec != Compression::None)
    {
        // Its records say 5 and 9.
        let mut body = tampered(Compression::None, |_| ())[61..].to_vec();
        let second = body.len() / 2;
        (body[4], body[second + 4]) = (2 * 5, 2 * 9);
        let packed = milena_record::compress(codec, None, &body).unwrap();
        let mut sent = BytesMut::from(&tampered(codec, |_| ())[..61]);
        sent.extend_from_slice(&packed);
        let length = i32::try_from(sent.len() - 12).unwrap();
        sent[8..12].copy_from_slice(&length.to_be_bytes());
        let crc = milena_record::crc32c(&sent[21..]);
        sent[17..21].copy_from_slice(&crc.to_be_bytes());

        let fs = disk();
        let (mut log, _) = open(&fs, &LogConfig::default());
        let appended = try_append(&mut log, sent).unwrap();
        let header = BatchHeader::parse(&appended.bytes).unwrap();
        assert_eq!(header.compression(), Ok(codec));
        assert_eq!(header.last_offset_delta, first.last_offset_delta, "{codec:?}");
        let stored = milena_record::records(&appended.bytes, 1 << 20).unwrap();
        let offsets: Vec<i64> = stored.iter().map(|record| record.offset.0).collect();
        assert_eq!(offsets, [0, 1], "{codec:?}");
        assert_eq!(log.log_end_offset(), Offset(2), "{codec:?}");
    }
}

#[test]
fn a_topics_codec_is_the_one_that_is_stored() {
    let fs = disk();
    let config = LogConfig {
        compression: Some(Compression::Zstd),
        ..LogConfig::default()
    };
    let (mut log, _) = open(&fs, &config);
    let appended = append(&mut log, &["x".repeat(200).as_str(), "b"]);
    let header = BatchHeader::parse(&appended.bytes).unwrap();
    assert_eq!(header.compression(), Ok(Compression::Zstd));
    assert_eq!(dump(&log, 1)[1], (1, "b".to_owned()));
    let with_producer = try_append(&mut log, produced(9, 0, 0, 2, false)).unwrap();
    let header = BatchHeader::parse(&with_producer.bytes).unwrap();
    assert_eq!(
        (header.producer_id, header.producer_epoch, header.base_sequence),
        (Some(ProducerId(9)), ProducerEpoch(0), 0)
    );
}

#[test]
fn log_append_time_is_stamped_with_a_valid_checksum() {
    let fs = disk();
    let config = LogConfig {
        message_timestamp_type: TimestampType::LogAppendTime,
        ..LogConfig::default()
    };
    let (mut log, _) = open(&fs, &config);
    let appended = append(&mut log, &["a", "b"]);
    assert_eq!(appended.log_append_time, Some(Timestamp(1_000_000)));
    let header = BatchHeader::parse(&appended.bytes).unwrap();
    assert_eq!(
        (header.max_timestamp, header.timestamp_type()),
        (Timestamp(1_000_000), TimestampType::LogAppendTime)
    );
    assert!(crc_is_valid(&appended.bytes));
    let again = try_append(
        &mut log,
        BytesMut::from(
            {
                let mut b = appended.bytes.to_vec();
                b[..8].fill(0);
                b
            }
            .as_slice(),
        ),
    );
    assert_eq!(
        again.unwrap_err().code(),
        ErrorCode::InvalidTimestamp,
        "clients must not set that type"
    );
}

#[test]
fn a_wrong_maximum_timestamp_is_corrected() {
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    let lying = with_header(|b| b[35..43].copy_from_slice(&5i64.to_be_bytes()));
    let appended = try_append(&mut log, lying).unwrap();
    assert_eq!(
        BatchHeader::parse(&appended.bytes).unwrap().max_timestamp,
        Timestamp(1000)
    );
    assert!(crc_is_valid(&appended.bytes));
}

#[test]
fn a_failed_write_leaves_the_log_as_it_was() {
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    append(&mut log, &["first"]);
    let size = log.size_bytes();
    fs.inject(Fault::NoSpaceAtWrite(1));
    let error = try_append(&mut log, batch(&["lost"])).unwrap_err();
    assert_eq!(error.code(), ErrorCode::KafkaStorageError);
    assert_eq!(
        fs.content(&file("00000000000000000000.log")).unwrap().len() as u64,
        size,
        "no torn batch stays"
    );
    append(&mut log, &["second"]);
    assert_eq!(dump(&log, 1), [(0, "first".to_owned()), (1, "second".to_owned())]);
}

fn from_leader(batches: &[(i64, i32, &str)]) -> Bytes {
    let mut bytes = Vec::new();
    for (offset, epoch, value) in batches {
        let mut one = batch(&[value]);
        milena_record::stamp(&mut one, Offset(*offset), LeaderEpoch(*epoch));
        bytes.extend_from_slice(&one);
    }
    bytes.into()
}

#[test]
fn a_follower_takes_offsets_and_epochs_as_given() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    let now = Timestamp(0);
    let taken = log
        .append_as_follower(
            from_leader(&[(0, 1, "a"), (1, 1, "b"), (2, 3, "c")]),
            LeaderEpoch(3),
            now,
        )
        .unwrap();
    assert_eq!((taken.from, taken.to), (Offset(0), Offset(3)));
    assert_eq!(
        log.epoch_entries(),
        [(LeaderEpoch(1), Offset(0)), (LeaderEpoch(3), Offset(2))]
    );
    assert_eq!(
        log.end_offset_for_epoch(LeaderEpoch(2)),
        Some((LeaderEpoch(1), Offset(2)))
    );
    // KAFKA-18723: batches of a newer epoch are left for its leader.
    let taken = log
        .append_as_follower(from_leader(&[(3, 3, "d"), (4, 5, "e")]), LeaderEpoch(4), now)
        .unwrap();
    assert_eq!(taken.to, Offset(4));
}

#[test]
fn a_follower_refuses_what_does_not_fit() {
    let fs = disk();
    let (mut log, _) = open(&fs, &LogConfig::default());
    let now = Timestamp(0);
    let mut append = |bytes| log.append_as_follower(bytes, LeaderEpoch(9), now);
    append(from_leader(&[(0, 2, "a")])).unwrap();
    assert!(matches!(
        append(from_leader(&[(2, 2, "x")])),
        Err(FollowerAppendError::Position {
            found: Offset(2),
            log_end: Offset(1)
        })
    ));
    assert!(matches!(
        append(from_leader(&[(0, 2, "x")])),
        Err(FollowerAppendError::Position { .. })
    ));
    assert!(matches!(
        append(from_leader(&[(1, 2, "x"), (3, 2, "y")])),
        Err(FollowerAppendError::NotContiguous { .. })
    ));
    assert!(matches!(
        append(from_leader(&[(1, 1, "x")])),
        Err(FollowerAppendError::EpochWentBack { .. })
    ));
    let mut flipped = from_leader(&[(1, 2, "x")]).to_vec();
    flipped[65] ^= 4;
    assert!(matches!(
        append(flipped.into()),
        Err(FollowerAppendError::Batch(_))
    ));
    let cut = from_leader(&[(1, 2, "x"), (2, 2, "y")]);
    assert!(matches!(
        append(cut.slice(..cut.len() - 1)),
        Err(FollowerAppendError::Batch(_))
    ));
    assert_eq!(
        log.log_end_offset(),
        Offset(1),
        "nothing of a bad frame was taken"
    );
}

#[test]
fn holes_that_the_leader_vouches_for_survive_recovery() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    log.append_as_follower_from(
        Offset(0),
        from_leader(&[(5, 0, "a"), (9, 0, "b")]),
        LeaderEpoch(0),
        Timestamp(0),
    )
    .unwrap();
    assert_eq!(log.log_end_offset(), Offset(10));
    drop(log);
    let (log, report) = open(&fs, &small());
    assert_eq!((log.log_end_offset(), report.cut), (Offset(10), None));
    assert_eq!(dump(&log, 1), [(5, "a".to_owned()), (9, "b".to_owned())]);
}

/// `compression.gzip.level` and its siblings, from their fastest to their best.
#[test]
fn compression_levels_have_an_effect() {
    let words: Vec<String> = (0..4000_u64)
        .map(|i| format!("word {} {}", i.wrapping_mul(2_654_435_761) % 977, i * i % 1013))
        .collect();
    let values: Vec<&str> = words.iter().map(String::as_str).collect();
    for (codec, levels) in [
        (Compression::Gzip, [1, 9]),
        (Compression::Lz4, [1, 17]),
        (Compression::Zstd, [-131_072, 22]),
    ] {
        let stored = levels.map(|level| {
            let config = LogConfig {
                compression: Some(codec),
                compression_level: Some(level),
                ..LogConfig::default()
            };
            let (mut log, _) = open(&disk(), &config);
            let bytes = try_append(&mut log, batch(&values)).unwrap().bytes;
            assert_eq!(BatchHeader::parse(&bytes).unwrap().compression(), Ok(codec));
            assert_eq!(dump(&log, 1).len(), values.len(), "{codec:?} {level}");
            bytes.len()
        });
        assert!(stored[1] < stored[0], "{codec:?}: {stored:?}");
    }
}

/// Where no batch ends, no file says so: the log ends with the last batch that is left, before and after a restart.
#[test]
fn a_log_that_was_cut_inside_a_hole_opens_again() {
    for (to, end) in [(12, 6), (19, 6), (6, 6), (5, 0)] {
        let fs = disk();
        let (mut log, _) = open(&fs, &small());
        let batches = from_leader(&[(5, 0, "a"), (19, 0, "b")]);
        log.append_as_follower_from(Offset(0), batches, LeaderEpoch(0), Timestamp(0))
            .unwrap();
        log.truncate_to(Offset(to)).unwrap();
        assert_eq!(log.log_end_offset(), Offset(end), "cut at {to}");
        let recovery_point = log.recovery_point();
        log.on_recovery_point_saved(recovery_point);
        log.close().unwrap();
        for clean in [true, false] {
            let options = milena_log::OpenOptions {
                clean,
                recovery_point,
                ..options(&fs, &small())
            };
            let (log, report) = milena_log::PartitionLog::open(options).unwrap();
            assert_eq!(
                (log.log_end_offset(), report.cut),
                (Offset(end), None),
                "cut at {to}"
            );
        }
    }
}
