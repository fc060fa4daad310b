//! I13 what an unclean election costs is told exactly by the replica that comes back with it.

use super::truth::Placed;
use crate::cx::Cx;
use crate::event::Host;
use milena_replication::{Loss, Truncation};
use milena_types::TopicIdPartition;

/// A follower has cut these batches off, and tells this loss.
pub fn on_truncated(
    cx: &mut Cx,
    host: Host,
    id: TopicIdPartition,
    (truncation, removed): (Truncation, &[Placed]),
    loss: Option<&Loss>,
) {
    let truth = cx.oracle.truth(id);
    let told = loss.filter(|loss| loss.unclean_epoch.is_some());
    let covers =
        |batch: &Placed| told.is_some_and(|loss| loss.lost_from <= batch.base && batch.end <= loss.lost_to);
    let mut lost = removed
        .iter()
        .filter(|batch| truth.lost_acked.contains(&(batch.base, batch.identity)));
    if let Some(batch) = lost.find(|batch| !covers(batch)) {
        let batch = *batch;
        return cx.oracle.fail(
            "I13",
            format!("{host:?} cuts {batch:?} of {id}, acknowledged and lost in an unclean election, and tells {loss:?}"),
        );
    }
    cx.coverage.loss_told += u64::from(told.is_some());
    let Some(loss) = loss else { return };
    if loss.committed_to < loss.lost_from || loss.lost_to < loss.committed_to {
        return cx.oracle.fail("I13", format!("{host:?} tells {loss:?} of {id}"));
    }
    // The leader may have deleted what it had: only a cut end says that it lacks what is cut.
    if matches!(truncation, Truncation::To(_)) {
        let truth = cx.oracle.truth(id);
        let mut is_there = removed
            .iter()
            .filter(|batch| truth.committed.get(&batch.base) == Some(&batch.identity));
        if let Some(batch) = is_there.find(|batch| covers_loss(loss, batch)).copied() {
            cx.oracle.fail(
                "I13",
                format!("{host:?} tells that {batch:?} of {id} is lost, which is committed: {loss:?}"),
            );
        }
    }
}

fn covers_loss(loss: &Loss, batch: &Placed) -> bool {
    loss.lost_from <= batch.base && batch.base < loss.lost_to
}
