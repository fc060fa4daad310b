//! I5 replicas agree below their common high watermark; I25 epochs never fall along a log; I30 whoever may be elected has
//! everything.

use super::truth::read;
use crate::broker::{Broker, Partition};
use crate::cx::Cx;
use crate::event::Host;
use milena_metadata::MetadataImage;
use milena_types::BrokerId;

/// A log was opened: all of it can be read, was sent by somebody, and its epochs do not fall.
pub fn on_opened(cx: &mut Cx, host: Host, partition: &Partition) {
    let (id, end) = (partition.id, partition.log.log_end_offset());
    let batches = match read(&partition.log, partition.log.log_start_offset(), end) {
        Ok(batches) => batches,
        Err(error) => return cx.oracle.fail("LOG", format!("{host:?} {id}: {error}")),
    };
    cx.trace.note(&[0x0b, end.0.cast_unsigned(), batches.len() as u64]);
    let mut epoch = None;
    for batch in batches {
        if !cx.oracle.sent.contains_key(&batch.identity) {
            return cx
                .oracle
                .fail("I2", format!("{host:?} {id}: nobody sent what lies at {}", batch.base));
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
        let truth = cx.oracle.truth(id);
        if truth.unclean.last_key_value().is_some_and(|(epoch, _)| truth.life < Some(*epoch)) {
            // What it has cost is not known yet.
            continue;
        }
        let members = state.isr.iter().chain(&state.elr);
        for member in members {
            let Some(partition) = replica(brokers, *member, id) else {
                continue;
            };
            if partition.leader_epoch != state.leader_epoch && state.isr.contains(member) {
                // It has not heard of what it was elected into.
                continue;
            }
            check_member(cx, *member, partition);
        }
    }
}

fn replica(brokers: &[Broker], broker: BrokerId, id: milena_types::TopicIdPartition) -> Option<&Partition> {
    brokers.iter().find(|known| known.id == broker)?.replica(id)
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
    let truth = cx.oracle.truth(id);
    let mut own = batches.iter().peekable();
    let mut wrong = None;
    for (base, identity) in truth.committed.range(start..) {
        while own.next_if(|batch| batch.base < *base).is_some() {}
        match own.peek() {
            Some(batch) if batch.base == *base && batch.identity == *identity => {}
            _ => {
                wrong = Some(*base);
                break;
            }
        }
    }
    if let Some(base) = wrong {
        let acked = truth.acked.contains_key(&base);
        let invariant = if base < partition.high_watermark() { "I5" } else { "I30" };
        cx.oracle.fail(
            invariant,
            format!("{member} may be elected for {id} and lacks what was committed at {base} of its {start}..{end} (acknowledged: {acked})"),
        );
    }
}
