//! Writes of a shard as one record batch.

use bytes::BytesMut;
use milena_coordinator::record::{EncodeError, EncodedRecord};
use milena_coordinator::{Write, WriteId};
use milena_record::{BatchBuilder, Compression, TimestampType};
use milena_types::{Offset, Timestamp};
use std::collections::VecDeque;

/// Bytes of records after which a batch takes no further write; under the default `max.message.bytes`.
const BATCH_BYTES_MAX: usize = 768 * 1024;

/// More than a record adds to its key and value: length, attributes, deltas and counts as varints.
const RECORD_OVERHEAD_BYTES_MAX: usize = 32;

/// A batch to append, and which of its records belong to which write.
#[derive(Debug)]
pub(super) struct WriteBatch {
    pub(super) bytes: BytesMut,
    /// The writes inside, in order: (write, index of its first record).
    pub(super) writes: Vec<(WriteId, i64)>,
}

/// What the front of a queue gave.
#[derive(Debug)]
pub(super) enum Next {
    /// Nothing is queued.
    Idle,
    /// Append this.
    Batch(WriteBatch),
    /// The first write cannot be encoded: it must be reported back as failed.
    Refused(WriteId, EncodeError),
}

/// Takes as many writes from the front of the queue as go into one batch. A write is never split, and a transactional
/// one has its batch to itself.
pub(super) fn next_batch(queue: &mut VecDeque<Write>, wall: Timestamp) -> Next {
    let Some(first) = queue.front() else {
        return Next::Idle;
    };
    let transaction = first.transaction;
    let producer = transaction.map(|(id, epoch)| (id, epoch, -1));
    let mut builder = BatchBuilder::new(
        Offset::ZERO,
        Compression::None,
        TimestampType::CreateTime,
        producer,
        transaction.is_some(),
        false,
    );
    let mut writes = Vec::new();
    let (mut bytes, mut records) = (0usize, 0i64);
    while let Some(write) = queue.front() {
        let is_alone = transaction.is_some() || write.transaction.is_some();
        if !writes.is_empty() && is_alone {
            break;
        }
        let encoded: Result<Vec<EncodedRecord>, EncodeError> =
            write.records.iter().map(|r| r.encode()).collect();
        let encoded = match encoded {
            Ok(encoded) => encoded,
            Err(error) if writes.is_empty() => {
                let id = write.id;
                queue.pop_front();
                return Next::Refused(id, error);
            }
            // It comes up again at the front, once what is before it has been appended.
            Err(_) => break,
        };
        let size: usize = encoded.iter().map(size_of_record).sum();
        if !writes.is_empty() && bytes + size > BATCH_BYTES_MAX {
            break;
        }
        writes.push((write.id, records));
        for record in &encoded {
            builder.append(wall, Some(&record.key), record.value.as_deref(), &[]);
            records += 1;
        }
        bytes += size;
        queue.pop_front();
    }
    Next::Batch(WriteBatch {
        bytes: builder.build(),
        writes,
    })
}

fn size_of_record(record: &EncodedRecord) -> usize {
    record.key.len() + record.value.as_ref().map_or(0, bytes::Bytes::len) + RECORD_OVERHEAD_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_coordinator::record::{CoordinatorRecord, OffsetKey};
    use milena_types::{PartitionIndex, ProducerEpoch, ProducerId};

    fn write(id: u64, groups: &[String], is_transactional: bool) -> Write {
        let tombstone = |group: &String| {
            let key = OffsetKey {
                group: group.clone(),
                topic: "t".to_owned(),
                partition: PartitionIndex(0),
            };
            CoordinatorRecord::Offset(key, None)
        };
        Write {
            id: WriteId(id),
            records: groups.iter().map(tombstone).collect(),
            transaction: is_transactional.then_some((ProducerId(1), ProducerEpoch(2))),
        }
    }

    fn take(queue: &mut VecDeque<Write>) -> Option<(Vec<(u64, i64)>, bytes::Bytes)> {
        match next_batch(queue, Timestamp(5)) {
            Next::Batch(batch) => Some((
                batch.writes.into_iter().map(|(id, at)| (id.0, at)).collect(),
                batch.bytes.freeze(),
            )),
            Next::Idle => None,
            Next::Refused(..) => panic!("refused"),
        }
    }

    #[test]
    fn writes_share_a_batch_and_know_their_records() {
        let group = |text: &str| text.to_owned();
        let mut queue = VecDeque::from([
            write(0, &[group("a")], false),
            write(1, &[group("b"), group("c")], false),
            write(2, &[group("d")], false),
        ]);
        let (writes, bytes) = take(&mut queue).unwrap();
        assert_eq!(writes, [(0, 0), (1, 1), (2, 3)]);
        let records = milena_record::records(&bytes, 1 << 20).unwrap();
        assert_eq!(records.len(), 4);
        assert!(
            records
                .iter()
                .all(|r| r.timestamp == Timestamp(5) && r.value.is_none())
        );
        assert!(take(&mut queue).is_none());
    }

    #[test]
    fn transactions_are_alone() {
        let group = vec!["a".to_owned()];
        let mut queue = VecDeque::from([
            write(0, &group, false),
            write(1, &group, true),
            write(2, &group, false),
        ]);
        for expected in 0..3 {
            let (writes, bytes) = take(&mut queue).unwrap();
            assert_eq!(writes, [(expected, 0)]);
            let header = milena_record::BatchHeader::parse(&bytes).unwrap();
            assert_eq!(header.is_transactional(), expected == 1);
        }
    }

    #[test]
    fn a_batch_ends_before_it_grows_too_large() {
        let group = vec!["g".repeat(30_000); 10];
        let mut queue: VecDeque<Write> = (0..4).map(|id| write(id, &group, false)).collect();
        let (writes, bytes) = take(&mut queue).unwrap();
        assert_eq!(writes.len(), 2);
        assert!(bytes.len() < BATCH_BYTES_MAX);
        // One that is too large by itself goes alone: the log refuses it.
        let mut queue = VecDeque::from([
            write(0, &vec!["g".repeat(30_000); 40], false),
            write(1, &group, false),
        ]);
        assert_eq!(take(&mut queue).unwrap().0, [(0, 0)]);
    }

    #[test]
    fn what_cannot_be_encoded_is_refused_in_its_turn() {
        let mut queue = VecDeque::from([
            write(0, &["a".to_owned()], false),
            write(1, &["g".repeat(40_000)], false),
        ]);
        assert_eq!(take(&mut queue).unwrap().0, [(0, 0)]);
        assert!(matches!(
            next_batch(&mut queue, Timestamp(0)),
            Next::Refused(WriteId(1), _)
        ));
        assert!(matches!(next_batch(&mut queue, Timestamp(0)), Next::Idle));
    }
}
