//! I1 acknowledged and never lost; I2 nothing that was not sent.

use super::identity;
use crate::broker::{Death, Partition};
use crate::client::message::{Ask, ToLeader};
use crate::cx::Cx;
use crate::event::Host;
use milena_types::{AckDurability, Offset};

/// A leader says to a producer that all have its batch, at that offset.
pub fn on_acked(cx: &mut Cx, host: Host, partition: &Partition, asked: &ToLeader, base: Offset) {
    let Ask::Produce(bytes, _) = &asked.ask else {
        return;
    };
    let (id, epoch) = (partition.id, partition.leader_epoch);
    let identity = identity(bytes);
    let truth = cx.oracle.truth(id);
    if truth.is_past(epoch) {
        truth.lost += 1;
        return;
    }
    // The high watermark has passed it, so that it is known by then.
    match truth.committed.get(&base).map(|batch| batch.identity) {
        Some(known) if known == identity => {
            truth.acked.insert(base, identity);
        }
        known => cx.oracle.fail(
            "I6",
            format!("{host:?} acknowledges {identity:x} at {base} of {id}, where {known:x?} was committed"),
        ),
    }
}

/// A follower has cut off what it knew to be committed: only after an unclean election.
pub fn on_committed_truncated(cx: &mut Cx, host: Host, partition: &Partition, known: Offset, end: Offset) {
    let (id, epoch) = (partition.id, partition.leader_epoch);
    let truth = cx.oracle.truth(id);
    if truth.unclean.range(..=epoch).next().is_none() {
        cx.oracle.fail(
            "I1",
            format!("{host:?} cuts {id} to {end}, below its high watermark {known}, in {epoch}"),
        );
    }
}

/// A process has ended.
pub fn on_death(cx: &mut Cx, host: Host, death: Death) {
    if death == Death::PowerLost && cx.oracle.contract.durability() == AckDurability::Replicated {
        cx.oracle.contract.lost(host.broker);
    }
    cx.oracle.set_listening(host.broker, None);
}
