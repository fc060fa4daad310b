//! I13 what an unclean election costs is told exactly by the replica that comes back with it.

use super::truth::Placed;
use crate::cx::Cx;
use crate::event::Host;
use milena_replication::Loss;
use milena_types::TopicIdPartition;

/// A follower has cut these batches off, and tells this loss.
pub fn on_truncated(cx: &mut Cx, host: Host, id: TopicIdPartition, removed: &[Placed], loss: Option<&Loss>) {
    let truth = cx.oracle.truth(id);
    // A cut inside of a batch takes all of it, and what is told begins where the logs part; records may have been deleted up to
    // inside of a batch, too.
    let covers =
        |batch: &Placed| loss.is_some_and(|loss| loss.lost_from < batch.end && batch.end <= loss.lost_to);
    let mut lost = removed.iter().filter(|batch| {
        truth
            .lost_acked
            .contains(&(batch.base, batch.epoch, batch.identity))
    });
    if let Some(batch) = lost.find(|batch| !covers(batch)) {
        let batch = *batch;
        return cx.oracle.fail(
            "I13",
            format!("{host:?} cuts {batch:?} of {id}, acknowledged and lost in an unclean election, and tells {loss:?}"),
        );
    }
    let Some(loss) = loss else { return };
    cx.coverage.loss_told += u64::from(loss.unclean_epoch.is_some());
    if loss.committed_to < loss.lost_from || loss.lost_to < loss.committed_to {
        cx.oracle.fail("I13", format!("{host:?} tells {loss:?} of {id}"));
    }
}
