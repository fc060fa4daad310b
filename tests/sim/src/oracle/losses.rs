//! I13 what an unclean election costs is told exactly by the replica that comes back with it.

use super::truth::Placed;
use crate::cx::Cx;
use crate::event::Host;
use milena_replication::Loss;
use milena_types::{Offset, TopicIdPartition};

/// A follower has cut these batches off a log that began there, and tells this loss.
pub fn on_truncated(
    cx: &mut Cx,
    (host, id): (Host, TopicIdPartition),
    log_start: Offset,
    removed: &[Placed],
    loss: Option<&Loss>,
) {
    let truth = cx.oracle.truth(id);
    // Records may have been deleted up to inside of a batch.
    let begin = |batch: &Placed| batch.base.max(log_start);
    let covers =
        |batch: &Placed| loss.is_some_and(|loss| loss.lost_from <= begin(batch) && batch.end <= loss.lost_to);
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
    let is_exact = removed.first().is_none_or(|first| loss.lost_from == begin(first));
    if !is_exact || loss.committed_to < loss.lost_from || loss.lost_to < loss.committed_to {
        cx.oracle.fail("I13", format!("{host:?} tells {loss:?} of {id}"));
    }
}
