//! I5 replicas agree below their common high watermark; I25 epochs never fall along a log; I30 whoever may be elected has
//! everything.

use super::truth::read;
use crate::broker::{Broker, Partition};
use crate::cx::Cx;
use crate::event::Host;
use milena_log::producer::{ProducerEntry, ProducerState};
use milena_metadata::MetadataImage;
use milena_metadata::record::PartitionRegistration;
use milena_record::batches;
use milena_types::{BrokerId, Offset, TopicIdPartition};
use std::collections::BTreeMap;

/// A log was opened: all of it can be read, was sent by somebody, and its epochs do not fall.
pub fn on_opened(cx: &mut Cx, host: Host, partition: &Partition) {
    let (id, end) = (partition.id, partition.log.log_end_offset());
    let batches = match read(&partition.log, partition.log.log_start_offset(), end) {
        Ok(batches) => batches,
        Err(error) => return cx.oracle.fail("LOG", format!("{host:?} {id}: {error}")),
    };
    cx.trace
        .note(&[0x0b, end.0.cast_unsigned(), batches.len() as u64]);
    check_start(cx, host.broker, partition);
    check_producers(cx, host, partition);
    let mut epoch = None;
    for batch in batches {
        if !cx.oracle.sent.contains_key(&batch.identity) {
            return cx.oracle.fail(
                "I2",
                format!("{host:?} {id}: nobody sent what lies at {}", batch.base),
            );
        }
        if epoch > Some(batch.epoch) {
            return cx
                .oracle
                .fail("I25", format!("{host:?} {id}: epochs fall at {}", batch.base));
        }
        epoch = Some(batch.epoch);
    }
}

/// Looks at every replica that may be elected, or is in sync: it has what was committed, and below the high watermark that it
/// knows nothing else.
pub fn check(cx: &mut Cx, image: &MetadataImage, brokers: &[Broker]) {
    for (_, id, state) in image.partitions() {
        for (member, partition) in eligible(cx, id, state, brokers) {
            check_member(cx, member, partition);
        }
    }
}

/// After each step: where more was committed, or others may be elected since, whoever may be elected reaches as far. That is
/// seen at once; what lies there is looked at now and then.
pub fn check_stirred(cx: &mut Cx, image: &MetadataImage, brokers: &[Broker]) {
    while let Some(id) = cx.oracle.stirred.pop_first() {
        let Some(state) = image.partition(id) else {
            continue;
        };
        let committed = cx.oracle.truth(id).committed_end;
        for (member, partition) in eligible(cx, id, state, brokers) {
            if partition.log.log_end_offset() < committed {
                check_member(cx, member, partition);
            }
        }
    }
}

/// The living replicas that may be elected, or are in sync.
fn eligible<'a>(
    cx: &mut Cx,
    id: TopicIdPartition,
    state: &'a PartitionRegistration,
    brokers: &'a [Broker],
) -> impl Iterator<Item = (BrokerId, &'a Partition)> + use<'a> {
    let truth = cx.oracle.truth(id);
    let last_unclean = truth.unclean.last_key_value().map(|(epoch, _)| *epoch);
    // Else what it has cost is not known yet.
    let is_known = last_unclean.is_none() || truth.life >= last_unclean;
    brokers
        .iter()
        .filter(move |_| is_known)
        .filter_map(move |broker| {
            let in_sync = state.isr.contains(&broker.id);
            if !in_sync && !state.elr.contains(&broker.id) {
                return None;
            }
            let partition = broker.replica(id)?;
            // Else it has not heard of what it was elected into.
            let has_heard = partition.leader_epoch == state.leader_epoch || !in_sync;
            has_heard.then_some((broker.id, partition))
        })
}

/// I14: a log begins where somebody wanted it to begin, at most.
fn check_start(cx: &mut Cx, broker: BrokerId, partition: &Partition) {
    let (id, start) = (partition.id, partition.log.log_start_offset());
    let deleted = cx.oracle.truth(id).deleted;
    if start > deleted {
        cx.oracle.fail(
            "I14",
            format!("{broker}: {id} begins at {start}; records were deleted up to {deleted} only"),
        );
    }
}

/// I4: what the log knows of producers is what its records say.
pub fn check_producers(cx: &mut Cx, host: Host, partition: &Partition) {
    let (id, log) = (partition.id, &partition.log);
    let mut at = log.log_start_offset();
    if at > Offset::ZERO {
        // Producers outlive their records.
        return;
    }
    let mut replayed = ProducerState::default();
    while at < log.log_end_offset() {
        let Ok(read) = log.read(at, 1 << 20, log.log_end_offset(), true) else {
            return;
        };
        for (header, _) in batches(&read.records).flatten() {
            if header.producer_id.is_some() {
                replayed.apply_data(&header);
            }
        }
        at = read.next_offset;
    }
    let (known, expected) = (summary(log.active_producers()), summary(&replayed));
    // Of each producer the last batch, and older ones as far back as a start looks (INV-L-3), which is not far in segments
    // as small as here.
    let same = known.len() == expected.len()
        && known.iter().all(|(id, batches)| {
            let all = expected.get(id).map_or(&[][..], Vec::as_slice);
            !batches.is_empty() && all.ends_with(batches)
        });
    if !same {
        cx.oracle.fail(
            "I4",
            format!("{host:?} {id}: producers are {known:?}, the records say {expected:?}"),
        );
    }
}

fn summary(state: &ProducerState) -> BTreeMap<i64, Vec<(i32, Offset)>> {
    let batches = |entry: &ProducerEntry| {
        entry
            .batches()
            .iter()
            .map(|b| (b.last_sequence, b.last_offset))
            .collect()
    };
    state
        .entries()
        .map(|(id, entry)| (id.0, batches(entry)))
        .collect()
}

fn check_member(cx: &mut Cx, member: BrokerId, partition: &Partition) {
    let (id, start, end) = (
        partition.id,
        partition.log.log_start_offset(),
        partition.log.log_end_offset(),
    );
    let batches = match read(&partition.log, start, end) {
        Ok(batches) => batches,
        Err(error) => return cx.oracle.fail("LOG", format!("{member} {id}: {error}")),
    };
    check_start(cx, member, partition);
    let truth = cx.oracle.truth(id);
    let mut own = batches.iter().peekable();
    let mut wrong = None;
    for (base, known) in truth.committed.range(start..) {
        while own.next_if(|batch| batch.base < *base).is_some() {}
        match own.peek() {
            Some(batch) if batch.base == *base && batch.identity == known.identity => {}
            _ => {
                wrong = Some(*base);
                break;
            }
        }
    }
    if let Some(base) = wrong {
        let acked = truth.acked.contains_key(&base);
        let invariant = if base < partition.high_watermark() {
            "I5"
        } else {
            "I30"
        };
        cx.oracle.fail(
            invariant,
            format!("{member} may be elected for {id} and lacks what was committed at {base} of its {start}..{end} (acknowledged: {acked})"),
        );
    }
}
