//! Batches whose bytes were made by an independent encoder (bit-wise CRC, the codecs' stored forms), read back here.
//!
//! The three records: (k, first, headers h=1 and h=null, time +0), (null, empty, +250), (k, tombstone, -3).

use bytes::Bytes;
use milena_record::{BatchBuilder, BatchHeader, Compression, Record, TimestampType, crc_is_valid, records};
use milena_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

const TIME: i64 = 1_700_000_000_000;
const UNCOMPRESSED: &str = "0000000000000064000000550000000502cbd02b240000000000020000018bcfe568000000018bcfe568fa00000000\
    0000004d00030000000a0000000326000000026b0a666972737404026802310268010e00f403020100000e000504026b0100";
const CASES: &[(Compression, &str)] = &[
    (Compression::None, UNCOMPRESSED),
    (
        Compression::Gzip,
        "0000000000000064000000690000000502 5e812bcc0001000000020000018bcfe568000000018bcfe568fa000000000000004d00030000\
         000a000000031f8b08000000000002035363606060cae64acb2c2a2e6161ca603264ca60e463f8c2ccc4c8c0c0c7c0cac294cdc80000d3f3\
         126e24000000",
    ),
    // One raw block, as librdkafka writes it.
    (
        Compression::Snappy,
        "0000000000000064000000570000000502abc7772b0002000000020000018bcfe568000000018bcfe568fa000000000000004d00030000\
         000a00000003248c26000000026b0a666972737404026802310268010e00f403020100000e000504026b0100",
    ),
    // Xerial framing, as Java writes it.
    (
        Compression::Snappy,
        "00000000000000640000006b00000005028c95943d0002000000020000018bcfe568000000018bcfe568fa000000000000004d00030000\
         000a0000000382534e4150505900000000010000000100000026248c26000000026b0a666972737404026802310268010e00f403020100\
         000e000504026b0100",
    ),
    (
        Compression::Lz4,
        "0000000000000064000000640000000502 5bdc44d30003000000020000018bcfe568000000018bcfe568fa000000000000004d00030000\
         000a0000000304224d186040822400008026000000026b0a666972737404026802310268010e00f403020100000e000504026b0100\
         00000000",
    ),
    (
        Compression::Zstd,
        "00000000000000640000005e0000000502f51150810004000000020000018bcfe568000000018bcfe568fa000000000000004d00030000\
         000a0000000328b52ffd202421010026000000026b0a666972737404026802310268010e00f403020100000e000504026b0100",
    ),
];

fn bytes_of(hex: &str) -> Bytes {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect()
}

fn expected() -> Vec<Record> {
    let (k, h) = (Bytes::from_static(b"k"), Bytes::from_static(b"h"));
    let record = |delta: i64, time: i64, key: Option<&Bytes>, value: Option<&'static [u8]>, headers| Record {
        offset: Offset(100 + delta),
        timestamp: Timestamp(TIME + time),
        key: key.cloned(),
        value: value.map(Bytes::from_static),
        headers,
    };
    vec![
        record(
            0,
            0,
            Some(&k),
            Some(b"first"),
            vec![(h.clone(), Some(Bytes::from_static(b"1"))), (h, None)],
        ),
        record(1, 250, None, Some(b""), vec![]),
        record(2, -3, Some(&k), None, vec![]),
    ]
}

#[test]
fn foreign_batches_of_every_codec_are_read() {
    for (codec, hex) in CASES {
        let batch = bytes_of(hex);
        assert!(crc_is_valid(&batch), "{codec:?}");
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!(header.compression(), Ok(*codec));
        assert_eq!(header.size_bytes(), batch.len());
        assert_eq!(
            (header.base_offset, header.last_offset()),
            (Offset(100), Offset(102))
        );
        assert_eq!(header.partition_leader_epoch, LeaderEpoch(5));
        assert_eq!(
            (header.producer_id, header.producer_epoch),
            (Some(ProducerId(77)), ProducerEpoch(3))
        );
        assert_eq!((header.base_sequence, header.last_sequence()), (10, 12));
        assert_eq!(header.max_timestamp, Timestamp(TIME + 250));
        assert_eq!(records(&batch, 1_000).unwrap(), expected(), "{codec:?}");
    }
}

#[test]
fn the_builder_writes_the_same_bytes() {
    let producer = Some((ProducerId(77), ProducerEpoch(3), 10));
    let mut builder = BatchBuilder::new(
        Offset(100),
        Compression::None,
        TimestampType::CreateTime,
        producer,
        false,
        false,
    );
    for record in expected() {
        builder.append(
            record.timestamp,
            record.key.as_deref(),
            record.value.as_deref(),
            &record.headers,
        );
    }
    let mut batch = builder.build();
    milena_record::stamp(&mut batch, Offset(100), LeaderEpoch(5));
    assert_eq!(batch.freeze(), bytes_of(UNCOMPRESSED));
}
