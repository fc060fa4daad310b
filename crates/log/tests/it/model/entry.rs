//! A batch as the model knows it: its bytes in the log, and what was put into it.

use bytes::BytesMut;
use milena_record::control::ControlRecord;
use milena_record::{BatchBuilder, Compression, TimestampType, stamp};
use milena_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) base: i64,
    pub(crate) last: i64,
    pub(crate) epoch: i32,
    /// As they lie in the log.
    pub(crate) bytes: Vec<u8>,
    /// Timestamp of each record.
    pub(crate) times: Vec<i64>,
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
            builder.append(Timestamp(*time), Some(b"k"), Some(value.as_bytes()), &[]);
        }
        builder.build()
    }

    /// The batch as it lies in the log at this offset.
    pub(crate) fn at(&self, base: i64, epoch: i32) -> Entry {
        let mut bytes = self.build();
        stamp(&mut bytes, Offset(base), LeaderEpoch(epoch));
        Entry {
            base,
            last: base + self.times.len() as i64 - 1,
            epoch,
            bytes: bytes.to_vec(),
            times: self.times.clone(),
            producer: self.producer,
            transactional: self.transactional,
            marker: self.marker,
        }
    }
}
