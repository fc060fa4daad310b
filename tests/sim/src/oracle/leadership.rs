//! I12 a leader that was elected cleanly has everything; I24, I25 one leader for an epoch, and one process.

use super::truth::{has, placed, read};
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
    let known = partition.high_watermark();
    let unclean = truth.unclean.range(..=epoch).next_back().map(|(epoch, _)| *epoch);
    // Whoever was elected uncleanly may never have led: what that has cost shows with the first leader since.
    if unclean.is_some() && truth.life < unclean {
        truth.begin_life(unclean, &batches, start, known);
        return;
    }
    if truth.life.is_some() {
        // It may know more to be committed, from before an unclean election, than whoever that election made the leader.
        truth.learn(&batches, known);
    } else if known > truth.committed_end {
        let committed = truth.committed_end;
        return cx.oracle.fail(
            "I8",
            format!("{host:?} takes {id} for committed up to {known}, which was {committed}"),
        );
    }
    let newest = truth.owners.last_key_value().map(|(newest, _)| *newest);
    if newest > Some(epoch) {
        // It has not heard of its successor, which may have committed more since.
        return;
    }
    let mut committed = truth.committed.range(start..);
    let lacks = committed.find(|(base, known)| !has(&batches, **base, known.identity));
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
