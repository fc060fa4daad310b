//! What an idle log knows of itself, as a value and as bytes: enough to have the log back without touching its files.
//!
//! ```text
//! u32 length of the rest | u16 length, topic | i32 partition | 16 bytes topic id | u8 flags: 1 holes, 2 recovery floor, 4 parted segments
//!   | i64 log start | i64 log end | i64 modified
//!   | u32 count, segments: i64 base, u64 bytes, i64 largest timestamp (i64::MIN: not known), u32 aborted, u32 their sum
//!   | u32 count, epochs: i32 epoch, i64 start | u32 count, snapshots: i64 offset
//!   | u32 count, producers: i64 id, i32 epoch (-1: none), i32 coordinator epoch, i64 timestamp, i64 open transaction (-1: none),
//!       u8 count, batches: i32 last sequence, i64 last offset, i32 offset delta, i64 timestamp
//! ```
//! Big-endian. Milena's own: Kafka's files stay the truth.

use super::files::{SegmentMeta, SmallTimestamp};
use super::txn_index::TxnIndexSum;
use crate::epoch_cache::EpochCache;
use crate::few::Few;
use crate::format::be_bytes;
use crate::producer::{BatchMetadata, ProducerEntry, ProducerState};
use milena_types::{
    LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Timestamp, TopicId, TopicName,
    TopicPartition, Uuid,
};

const HAS_HOLES: u8 = 1;
const HAS_FLOOR: u8 = 2;
const IS_PARTED: u8 = 4;

/// All that an idle log keeps in memory; see the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdleLog {
    pub(super) partition: TopicPartition,
    pub(super) topic_id: TopicId,
    pub(super) log_start: Offset,
    pub(super) log_end: Offset,
    /// When the last segment's file was changed last.
    pub(super) modified: Timestamp,
    pub(super) has_holes: bool,
    pub(super) has_floor: bool,
    pub(super) parted: bool,
    pub(super) segments: Vec<SegmentMeta>,
    pub(super) epochs: EpochCache,
    pub(super) snapshots: Few<Offset>,
    pub(super) producers: ProducerState,
}

impl IdleLog {
    /// The partition.
    #[must_use]
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// Appends the bytes of this log to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&[0; 4]);
        let topic = self.partition.topic.as_str().as_bytes();
        put(out, u16::try_from(topic.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(topic);
        put(out, self.partition.partition.0.to_be_bytes());
        put(out, self.topic_id.0.0);
        let flags = [
            (self.has_holes, HAS_HOLES),
            (self.has_floor, HAS_FLOOR),
            (self.parted, IS_PARTED),
        ];
        out.push(flags.iter().map(|(is_set, flag)| u8::from(*is_set) * flag).sum());
        for number in [self.log_start.0, self.log_end.0, self.modified.0] {
            put(out, number.to_be_bytes());
        }
        put_count(out, self.segments.len());
        for segment in &self.segments {
            put(out, segment.base.0.to_be_bytes());
            put(out, segment.size.to_be_bytes());
            let largest = segment
                .max_timestamp
                .map_or(i64::MIN, |timestamp| timestamp.get().0);
            put(out, largest.to_be_bytes());
            put(out, segment.aborted.entries.to_be_bytes());
            put(out, segment.aborted.crc.to_be_bytes());
        }
        put_count(out, self.epochs.entries().len());
        for (epoch, start) in self.epochs.entries() {
            put(out, epoch.0.to_be_bytes());
            put(out, start.0.to_be_bytes());
        }
        put_count(out, self.snapshots.len());
        for snapshot in self.snapshots.iter() {
            put(out, snapshot.0.to_be_bytes());
        }
        put_count(out, self.producers.len());
        for (id, entry) in self.producers.entries() {
            put_producer(out, id, entry);
        }
        let length = u32::try_from(out.len() - begin - 4).unwrap_or(u32::MAX);
        out[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// Takes one log off the front of `bytes`; `None` for bytes that [`IdleLog::encode_into`] did not write.
    #[must_use]
    pub fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let length = usize::try_from(u32::from_be_bytes(take(bytes)?)).ok()?;
        let (mut entry, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        let from = &mut entry;
        let topic_bytes = usize::from(u16::from_be_bytes(take(from)?));
        let (topic, after) = from.split_at_checked(topic_bytes)?;
        *from = after;
        let topic = TopicName::new(std::str::from_utf8(topic).ok()?).ok()?;
        let partition = PartitionIndex(i32::from_be_bytes(take(from)?));
        let topic_id = TopicId(Uuid(take(from)?));
        let [flags] = take(from)?;
        let log = Self {
            partition: TopicPartition { topic, partition },
            topic_id,
            has_holes: flags & HAS_HOLES != 0,
            has_floor: flags & HAS_FLOOR != 0,
            parted: flags & IS_PARTED != 0,
            log_start: Offset(take_i64(from)?),
            log_end: Offset(take_i64(from)?),
            modified: Timestamp(take_i64(from)?),
            segments: take_all(from, 32, take_segment)?,
            epochs: EpochCache::from_entries(take_all(from, 12, |from| {
                let epoch = LeaderEpoch(i32::from_be_bytes(take(from)?));
                Some((epoch, Offset(take_i64(from)?)))
            })?),
            snapshots: take_all(from, 8, |from| Some(Offset(take_i64(from)?)))?.into(),
            producers: ProducerState::from_entries(take_all(from, 33, take_producer)?),
        };
        (from.is_empty() && log.is_sane()).then_some(log)
    }

    fn is_sane(&self) -> bool {
        let ordered = self.segments.is_sorted_by(|a, b| a.base < b.base);
        let first = self.segments.first().map(|segment| segment.base);
        let last = self.segments.last().map(|segment| segment.base);
        ordered
            && first.is_some_and(|first| first <= self.log_start)
            && self.log_start <= self.log_end
            && last.is_some_and(|last| last <= self.log_end)
    }
}

fn put<const N: usize>(out: &mut Vec<u8>, bytes: [u8; N]) {
    out.extend_from_slice(&bytes);
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    put(out, u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

fn put_producer(out: &mut Vec<u8>, id: ProducerId, entry: &ProducerEntry) {
    put(out, id.0.to_be_bytes());
    put(
        out,
        entry.epoch.map_or(-1, |epoch| i32::from(epoch.0)).to_be_bytes(),
    );
    put(out, entry.coordinator_epoch.to_be_bytes());
    put(out, entry.last_timestamp.0.to_be_bytes());
    put(
        out,
        entry
            .txn_first_offset()
            .map_or(-1, |offset| offset.0)
            .to_be_bytes(),
    );
    out.push(u8::try_from(entry.batches().len()).unwrap_or(u8::MAX));
    for batch in entry.batches() {
        put(out, batch.last_sequence.to_be_bytes());
        put(out, batch.last_offset.0.to_be_bytes());
        put(out, batch.offset_delta.to_be_bytes());
        put(out, batch.timestamp.0.to_be_bytes());
    }
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let taken = be_bytes(from, 0)?;
    *from = &from[N..];
    Some(taken)
}

fn take_i64(from: &mut &[u8]) -> Option<i64> {
    take(from).map(i64::from_be_bytes)
}

/// A counted list, of which every element takes at least `bytes_min`: a count that cannot be true allocates nothing.
fn take_all<T>(from: &mut &[u8], bytes_min: usize, one: impl Fn(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let count = usize::try_from(u32::from_be_bytes(take(from)?)).ok()?;
    if count.checked_mul(bytes_min)? > from.len() {
        return None;
    }
    (0..count).map(|_| one(from)).collect()
}

fn take_segment(from: &mut &[u8]) -> Option<SegmentMeta> {
    let (base, size) = (Offset(take_i64(from)?), u64::from_be_bytes(take(from)?));
    let mut segment = SegmentMeta::new(base, size);
    segment.max_timestamp = SmallTimestamp::new(Timestamp(take_i64(from)?));
    segment.aborted = TxnIndexSum {
        entries: u32::from_be_bytes(take(from)?),
        crc: u32::from_be_bytes(take(from)?),
    };
    Some(segment)
}

fn take_producer(from: &mut &[u8]) -> Option<(ProducerId, ProducerEntry)> {
    let id = ProducerId(take_i64(from)?);
    let epoch = i16::try_from(i32::from_be_bytes(take(from)?)).ok()?;
    let mut entry = ProducerEntry::unknown();
    let coordinator_epoch = i32::from_be_bytes(take(from)?);
    let last_timestamp = Timestamp(take_i64(from)?);
    let txn_first_offset = Some(take_i64(from)?).filter(|offset| *offset >= 0);
    let [batches] = take(from)?;
    let epoch = (epoch >= 0).then_some(ProducerEpoch(epoch));
    if let Some(epoch) = epoch {
        entry.move_to_epoch(epoch);
    }
    for _ in 0..batches {
        let batch = BatchMetadata {
            last_sequence: i32::from_be_bytes(take(from)?),
            last_offset: Offset(take_i64(from)?),
            offset_delta: i32::from_be_bytes(take(from)?),
            timestamp: Timestamp(take_i64(from)?),
        };
        entry.add(epoch?, batch);
    }
    entry.coordinator_epoch = coordinator_epoch;
    entry.last_timestamp = last_timestamp;
    entry.set_txn_first_offset(txn_first_offset.map(Offset));
    Some((id, entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> IdleLog {
        let mut segment = SegmentMeta::new(Offset(5), 700);
        segment.max_timestamp = SmallTimestamp::new(Timestamp(1234));
        segment.aborted = TxnIndexSum {
            entries: 2,
            crc: 0xdead_beef,
        };
        let mut producer = ProducerEntry::unknown();
        for offset in [6, 9] {
            let batch = BatchMetadata {
                last_sequence: i32::try_from(offset).unwrap(),
                last_offset: Offset(offset),
                offset_delta: 1,
                timestamp: Timestamp(77),
            };
            producer.add(ProducerEpoch(3), batch);
        }
        producer.set_txn_first_offset(Some(Offset(8)));
        IdleLog {
            partition: TopicPartition {
                topic: TopicName::new("orders").unwrap(),
                partition: PartitionIndex(7),
            },
            topic_id: TopicId(Uuid([9; 16])),
            log_start: Offset(5),
            log_end: Offset(10),
            modified: Timestamp(99),
            has_holes: true,
            parted: true,
            has_floor: false,
            segments: vec![segment, SegmentMeta::new(Offset(9), 0)],
            epochs: EpochCache::from_entries(vec![(LeaderEpoch(0), Offset(5)), (LeaderEpoch(4), Offset(10))]),
            snapshots: Few::from(vec![Offset(9), Offset(10)]),
            producers: ProducerState::from_entries([
                (ProducerId(1), producer),
                (ProducerId(2), ProducerEntry::unknown()),
            ]),
        }
    }

    #[test]
    fn it_reads_back_and_no_prefix_of_it_does() {
        let log = sample();
        let mut bytes = Vec::new();
        log.encode_into(&mut bytes);
        log.encode_into(&mut bytes);
        let mut from = &bytes[..];
        assert_eq!(IdleLog::decode(&mut from), Some(log.clone()));
        assert_eq!(IdleLog::decode(&mut from), Some(log));
        assert!(from.is_empty());
        for end in 0..bytes.len() / 2 {
            assert_eq!(IdleLog::decode(&mut &bytes[..end]), None, "{end}");
        }
    }

    #[test]
    fn no_flipped_byte_makes_it_panic() {
        let mut bytes = Vec::new();
        sample().encode_into(&mut bytes);
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bad = bytes.clone();
                bad[at] ^= flip;
                // Whether it reads or not: the file's checksum decides, this must only end.
                let _ = IdleLog::decode(&mut &bad[..]);
            }
        }
    }
}
