//! How the gRPC front gives jobs to the planner.

use super::availability::Availability;
use super::bound::Terms;
use super::clock::Clock;
use super::job::{Answer, TypedJob, View};
use super::queue::{self, JobQueue, JobSender};
use milena_metadata::image::MetadataImage;
use milena_metadata::liveness::Liveness;
use milena_metadata::plan::Planned;
use milena_types::{MetadataVersion, Timestamp};
use std::sync::Arc;
use tokio::sync::{oneshot, watch};

/// Why a job was not decided. It may be asked again; what was proposed may still be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// This is not the active controller (any more).
    NotActive,
    /// The controller is stopping.
    Stopped,
    /// Its records are more than one batch takes: nothing was proposed, and nobody would decide otherwise.
    TooLarge,
}

/// What a planner shows of itself.
#[derive(Clone)]
pub(crate) struct Observed {
    /// The raft term in which this node is the active controller; `None` while it is not.
    pub(crate) active: watch::Receiver<Option<u64>>,
    /// What failures cost, by the times of this clock.
    pub(crate) availability: Arc<Availability>,
    pub(crate) clock: Clock,
}

/// The planner's front; cheap to clone.
#[derive(Clone)]
pub(crate) struct PlannerHandle {
    queue: JobSender,
    observed: Observed,
}

/// The planner's end of the channels.
pub(crate) struct PlannerInput {
    pub(super) queue: JobQueue,
    pub(super) active: watch::Sender<Option<u64>>,
    pub(super) availability: Arc<Availability>,
    pub(super) clock: Clock,
}

impl PlannerHandle {
    pub(crate) fn channel() -> (Self, PlannerInput) {
        let (queue, jobs) = queue::channel();
        let (sender, active) = watch::channel(None);
        let clock = Clock::start();
        let availability: Arc<Availability> = Arc::default();
        let input = PlannerInput {
            queue: jobs,
            active: sender,
            availability: Arc::clone(&availability),
            clock,
        };
        let observed = Observed {
            active,
            availability,
            clock,
        };
        (Self { queue, observed }, input)
    }

    /// What the planner shows of itself.
    pub(crate) fn observed(&self) -> Observed {
        self.observed.clone()
    }

    /// Plans, commits, applies, and returns the reply with the version in which its effects are visible.
    ///
    /// `plan` is called again after a conflict; `note` once, after the records are applied.
    ///
    /// # Errors
    /// [`Refusal`]; after a `NotActive` the records may or may not be committed.
    pub(crate) async fn submit<R: Send + 'static>(
        &self,
        terms: Terms,
        plan: impl FnMut(&View<'_>) -> Planned<R> + Send + 'static,
        note: impl FnOnce(&R, &MetadataImage, &mut Liveness, Timestamp) + Send + 'static,
    ) -> Result<(R, MetadataVersion), Refusal> {
        if self.observed.active.borrow().is_none() {
            return Err(Refusal::NotActive);
        }
        let (answer, receiver) = oneshot::channel::<Answer<R>>();
        let job = TypedJob {
            plan: Box::new(plan),
            terms,
            note: Box::new(note),
            reply: None,
            answer,
        };
        if !self.queue.send(Box::new(job)).await {
            return Err(Refusal::Stopped);
        }
        receiver.await.map_err(|_| Refusal::Stopped)?
    }
}
