//! I12 a leader that was elected cleanly has everything; I24, I25 one leader for an epoch, and one process.

use super::truth::{placed, read};
use crate::broker::Partition;
use crate::cx::Cx;
use crate::event::Host;
use milena_metadata::record::PartitionRegistration;

/// A process begins to lead.
pub fn on_leads(cx: &mut Cx, host: Host, partition: &Partition, state: &PartitionRegistration) {
    let (id, epoch) = (partition.id, state.leader_epoch);
    cx.trace.note(&[
        0x1e,
        u64::from(epoch.0.unsigned_abs()),
        partition.log.log_end_offset().0.cast_unsigned(),
    ]);
    let (start, end) = (partition.log.log_start_offset(), partition.log.log_end_offset());
    let batches = match read(&partition.log, start, end) {
        Ok(batches) => batches,
        Err(error) => return cx.oracle.fail("LOG", format!("{host:?} {id}: {error}")),
    };
    let truth = cx.oracle.truth(id);
    if truth.is_past(epoch) {
        return;
    }
    let has = |base: &milena_types::Offset, identity: u64| {
        let at = batches.partition_point(|batch| batch.base < *base);
        batches
            .get(at)
            .is_some_and(|batch| batch.base == *base && batch.identity == identity)
    };
    let unclean = truth.unclean.range(..=epoch).next_back().map(|(epoch, _)| *epoch);
    // Whoever was elected uncleanly may never have led: what that has cost shows with the first leader since.
    if unclean.is_some() && truth.life < unclean {
        truth.life = unclean;
        let before = truth.acked.len();
        // What the new leader knows to be committed counts from here on, be it from before an earlier unclean election.
        let known = partition.high_watermark();
        let below = batches.iter().filter(|batch| batch.end <= known);
        let below: Vec<_> = below.map(|batch| (batch.base, batch.identity)).collect();
        truth.committed.retain(|base, _| *base < start);
        truth.committed.extend(below);
        truth
            .acked
            .retain(|base, identity| *base < start || has(base, *identity));
        truth.lost += (before - truth.acked.len()) as u64;
        truth.committed_end = known;
        return;
    }
    let known = partition.high_watermark();
    if truth.life.is_some() {
        // It may know more to be committed, from before an unclean election, than whoever that election made the leader.
        let more = batches
            .iter()
            .filter(|batch| batch.base >= truth.committed_end && batch.end <= known);
        let more: Vec<_> = more.map(|batch| (batch.base, batch.identity)).collect();
        truth.committed.extend(more);
        truth.committed_end = truth.committed_end.max(known);
    } else if known > truth.committed_end {
        let committed = truth.committed_end;
        return cx.oracle.fail(
            "I8",
            format!("{host:?} takes {id} for committed up to {known}, which was {committed}"),
        );
    }
    if truth
        .owners
        .last_key_value()
        .is_some_and(|(newest, _)| *newest > epoch)
    {
        // It has not heard of its successor, which may have committed more since.
        return;
    }
    let lacks = truth
        .committed
        .range(start..)
        .find(|(base, identity)| !has(base, **identity));
    if let Some((base, _)) = lacks {
        let (base, acked) = (*base, truth.acked.contains_key(base));
        cx.oracle.fail(
            "I12",
            format!(
                "{host:?} leads {id} in {epoch} with {end} offsets and lacks what was committed at {base} (acknowledged: {acked})"
            ),
        );
    }
}

/// A leader has appended.
pub fn on_appended(cx: &mut Cx, host: Host, partition: &Partition, bytes: &[u8]) {
    let (id, epoch) = (partition.id, partition.leader_epoch);
    let truth = cx.oracle.truth(id);
    let owner = truth.owners.get(&epoch).copied().flatten();
    let process = *truth.led_by.entry(epoch).or_insert(host);
    if owner != Some(host.broker) || process != host {
        cx.oracle.fail(
            "I25",
            format!("{host:?} appends to {id} in {epoch}, which is {owner:?}'s, by {process:?}"),
        );
    }
    for batch in placed(bytes) {
        cx.trace
            .note(&[0xa9, batch.base.0.cast_unsigned(), batch.identity]);
        if batch.epoch != epoch {
            cx.oracle.fail(
                "I25",
                format!("{host:?} stamps {} in {epoch} of {id}", batch.epoch),
            );
        }
    }
}
