//! A batch as the model knows it: its bytes in the log, and what was put into it.

use super::random::Random;
use bytes::{Bytes, BytesMut};
use milena_record::control::ControlRecord;
use milena_record::{
    BatchBuilder, BatchHeader, Compression, Record, TimestampType, rebuild_batch, rebuild_empty_batch,
    records, stamp, unpack,
};
use milena_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

/// A record of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) offset: i64,
    pub(crate) time: i64,
    pub(crate) key: Option<Bytes>,
    /// `None` is a tombstone.
    pub(crate) value: Option<Bytes>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) base: i64,
    pub(crate) last: i64,
    pub(crate) epoch: i32,
    /// As they lie in the log; none when a compaction took the batch as a whole.
    pub(crate) bytes: Vec<u8>,
    /// Those of its records that are in the log.
    pub(crate) items: Vec<Item>,
    /// When its tombstones or its marker may go.
    pub(crate) horizon: Option<i64>,
    /// Id, epoch, first sequence.
    pub(crate) producer: Option<(i64, i16, i32)>,
    pub(crate) transactional: bool,
    /// Commit or abort, and the coordinator's epoch.
    pub(crate) marker: Option<(bool, i32)>,
}

/// What is to be in a batch.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) times: Vec<i64>,
    pub(crate) value_bytes: usize,
    pub(crate) producer: Option<(i64, i16, i32)>,
    pub(crate) transactional: bool,
    pub(crate) marker: Option<(bool, i32)>,
    pub(crate) serial: u64,
}

impl Content {
    /// Key of a record, one of few; and whether it deletes it.
    fn key(&self, record: u64) -> ([u8; 2], bool) {
        let chosen = Random(self.serial * 8 + record).next();
        ([b'k', b'0' + (chosen % 7) as u8], (chosen / 7).is_multiple_of(4))
    }

    /// The batch as a client or coordinator sends it.
    pub(crate) fn build(&self) -> BytesMut {
        let producer = self
            .producer
            .map(|(id, epoch, sequence)| (ProducerId(id), ProducerEpoch(epoch), sequence));
        if let (Some((commit, coordinator)), Some((id, epoch, _))) = (self.marker, producer) {
            let kind = if commit {
                ControlRecord::Commit
            } else {
                ControlRecord::Abort
            };
            return kind.batch(Offset(0), Timestamp(self.times[0]), (id, epoch), coordinator);
        }
        let (codec, kind) = (Compression::None, TimestampType::CreateTime);
        let mut builder = BatchBuilder::new(Offset(0), codec, kind, producer, self.transactional, false);
        for (i, time) in self.times.iter().enumerate() {
            let value = format!("{}.{i}{}", self.serial, "x".repeat(self.value_bytes));
            let (key, tombstone) = self.key(i as u64);
            let value = (!tombstone).then_some(value.as_bytes());
            builder.append(Timestamp(*time), Some(&key), value, &[]);
        }
        builder.build()
    }

    /// The batch as it lies in the log at this offset.
    pub(crate) fn at(&self, base: i64, epoch: i32) -> Entry {
        let mut bytes = self.build();
        stamp(&mut bytes, Offset(base), LeaderEpoch(epoch));
        let bytes = bytes.freeze();
        Entry {
            base,
            last: base + self.times.len() as i64 - 1,
            epoch,
            bytes: bytes.to_vec(),
            items: items(&bytes),
            horizon: None,
            producer: self.producer,
            transactional: self.transactional,
            marker: self.marker,
        }
    }
}

fn items(batch: &Bytes) -> Vec<Item> {
    let item = |record: Record| Item {
        offset: record.offset.0,
        time: record.timestamp.0,
        key: record.key,
        value: record.value,
    };
    let records = records(batch, 1 << 20).unwrap();
    records.into_iter().map(item).collect()
}

impl Entry {
    /// A compaction took all of it.
    pub(crate) fn is_gone(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn gone(&self) -> Self {
        Self {
            bytes: Vec::new(),
            items: Vec::new(),
            horizon: None,
            ..self.clone()
        }
    }

    /// What a compaction makes of it that leaves these of its records: all else is as it was.
    pub(crate) fn left(&self, kept: Vec<Item>, horizon: Option<i64>) -> Self {
        let before = Bytes::copy_from_slice(&self.bytes);
        let header = BatchHeader::parse(&before).unwrap();
        let unpacked = unpack(&before, 1 << 20).unwrap();
        let stays = |offset: Offset| kept.iter().any(|item| item.offset == offset.0);
        let views = unpacked.records().map(Result::unwrap);
        let left: Vec<_> = views
            .filter(|(offset, _)| stays(*offset))
            .map(|(_, record)| record)
            .collect();
        let bytes = if left.is_empty() {
            rebuild_empty_batch(&header).freeze()
        } else {
            rebuild_batch(&header, &left, horizon.map(Timestamp), None).freeze()
        };
        let after = BatchHeader::parse(&bytes).unwrap();
        assert_eq!(items(&bytes), kept, "records of a batch that was compacted");
        assert_eq!(
            (
                after.base_offset.0,
                after.last_offset().0,
                after.partition_leader_epoch.0
            ),
            (self.base, self.last, self.epoch)
        );
        assert_eq!(
            after
                .producer_id
                .map(|id| (id.0, after.producer_epoch.0, after.base_sequence)),
            self.producer
        );
        assert_eq!(
            (after.is_control(), after.is_transactional()),
            (self.marker.is_some(), self.transactional)
        );
        let horizon = horizon.filter(|_| !kept.is_empty());
        assert_eq!(after.delete_horizon(), horizon.map(Timestamp));
        Self {
            bytes: bytes.to_vec(),
            items: kept,
            horizon,
            ..self.clone()
        }
    }
}
