//! I8 bounds that never go back; I9 nothing is read past them; I10 enough are in sync; I6 one value for an offset.

use super::truth::{placed, read};
use crate::broker::Partition;
use crate::cx::Cx;
use crate::event::Host;
use milena_types::Offset;

/// A leader's high watermark has moved from `before`.
pub fn on_moved(cx: &mut Cx, host: Host, partition: &Partition, before: Offset) {
    let (id, now) = (partition.id, partition.high_watermark());
    let (start, end) = (partition.log.log_start_offset(), partition.log.log_end_offset());
    cx.trace.note(&[0x11, now.0.cast_unsigned(), u64::from(host.run)]);
    if now <= before || now > end || start > now {
        cx.oracle.fail(
            "I8",
            format!("{host:?} {id}: high watermark {before} -> {now} in {start}..{end}"),
        );
    }
    check_min_isr(cx, host, partition, now);
    cx.oracle.stirred.insert(id);
    let (epoch, found) = (partition.leader_epoch, read(&partition.log, before, now));
    let batches = match found {
        Ok(batches) => batches,
        Err(error) => return cx.oracle.fail("LOG", format!("{host:?} {id}: {error}")),
    };
    let truth = cx.oracle.truth(id);
    if truth.is_past(epoch) {
        return;
    }
    let mut differs = None;
    for batch in batches {
        match truth.committed.get(&batch.base) {
            Some(known) if known.identity != batch.identity => differs = Some(batch.base),
            Some(_) => {}
            None if batch.base < truth.committed_end => differs = Some(batch.base),
            None => {
                truth.committed.insert(batch.base, batch);
                truth.committed_end = batch.end;
            }
        }
    }
    if let Some(at) = differs {
        cx.oracle.fail(
            "I6",
            format!("{host:?} commits another batch at {at} of {id} in {epoch} than was committed before"),
        );
    }
}

fn check_min_isr(cx: &mut Cx, host: Host, partition: &Partition, now: Offset) {
    let (id, epoch) = (partition.id, partition.partition_epoch);
    let wanted = partition.settings.rules.min_insync_replicas;
    let Some(registered) = cx.oracle.registrations.get(&(id, epoch)) else {
        return cx.oracle.fail(
            "I32",
            format!("{host:?} acts on {epoch} of {id}, which nobody committed"),
        );
    };
    let (isr, replicas) = (registered.isr.len(), registered.replicas.len());
    if isr < wanted.min(replicas) {
        cx.oracle.fail(
            "I10",
            format!("{host:?} commits {id} up to {now} with {isr} in sync of the {wanted} wanted"),
        );
    }
}

/// A consumer is given records from `from` up to `next`.
pub fn on_read(cx: &mut Cx, host: Host, partition: &Partition, from: Offset, next: Offset, records: &[u8]) {
    let (id, epoch, upper) = (partition.id, partition.leader_epoch, partition.high_watermark());
    if next > from && next > upper {
        cx.oracle.fail(
            "I9",
            format!("{host:?} lets {id} be read from {from} to {next}, past {upper}"),
        );
    }
    let oracle = &mut cx.oracle;
    let past = oracle.truth(id).is_past(epoch);
    for batch in placed(records) {
        if !oracle.sent.contains_key(&batch.identity) {
            return oracle.fail(
                "I2",
                format!("{host:?} {id}: nobody sent what is read at {}", batch.base),
            );
        }
        // A new leader may know less than its predecessor, but never something else.
        let known = oracle.truth(id).committed.get(&batch.base);
        if !past && known.is_some_and(|known| known.identity != batch.identity) {
            return oracle.fail(
                "I6",
                format!("{host:?} {id}: another batch is read at {}", batch.base),
            );
        }
    }
}

/// A leader is asked to delete records.
pub fn on_delete(cx: &mut Cx, host: Host, partition: &Partition, target: Offset) {
    let (id, end) = (partition.id, partition.high_watermark());
    if target > end {
        cx.oracle
            .fail("I14", format!("{host:?} deletes {id} up to {target}, past {end}"));
    }
    let truth = cx.oracle.truth(id);
    truth.deleted = truth.deleted.max(target);
}

/// A consumer is told where the end is.
pub fn on_latest(cx: &mut Cx, host: Host, partition: &Partition) {
    let (id, epoch, end) = (partition.id, partition.leader_epoch, partition.high_watermark());
    let truth = cx.oracle.truth(id);
    let newest = truth.owners.last_key_value().map(|(epoch, _)| *epoch);
    // One that does not know of its successor yet cannot know what that has committed.
    if newest == Some(epoch) && !truth.is_past(epoch) && end < truth.committed_end {
        let committed = truth.committed_end;
        cx.oracle.fail(
            "I8",
            format!("{host:?} says that {id} ends at {end}, where {committed} was committed"),
        );
    }
}
