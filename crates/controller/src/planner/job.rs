//! One thing to decide, from the question to the answer.

use super::bound::Terms;
use super::handle::Refusal;
use milena_metadata::image::MetadataImage;
use milena_metadata::liveness::Liveness;
use milena_metadata::plan::{PlanContext, Planned};
use milena_metadata::record::MetadataRecord;
use milena_types::{MetadataVersion, Timestamp};
use tokio::sync::oneshot;

/// What a plan may look at.
pub(crate) struct View<'a> {
    /// The applied image plus what this round has decided already.
    pub(crate) image: &'a MetadataImage,
    /// Who is alive.
    pub(crate) liveness: &'a Liveness,
    /// Time, randomness, settings.
    pub(crate) context: PlanContext<'a>,
}

pub(super) type Answer<R> = Result<(R, MetadataVersion), Refusal>;
type Plan<R> = dyn FnMut(&View<'_>) -> Planned<R> + Send;
type Note<R> = dyn FnOnce(&R, &MetadataImage, &mut Liveness, Timestamp) + Send;

/// A job whose reply type the planner need not know.
pub(super) trait Job: Send {
    /// Decides (again, after a conflict); the records are what must be committed before the answer.
    fn plan(&mut self, view: &View<'_>) -> Vec<MetadataRecord>;
    /// The records of the last plan are applied: notes it and answers.
    fn applied(self: Box<Self>, image: &MetadataImage, liveness: &mut Liveness, now: Timestamp);
    /// It will not be decided here.
    fn refuse(self: Box<Self>, refusal: Refusal);
    /// Its name, and how its records go together with those of others.
    fn terms(&self) -> Terms;
    /// Nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool;
}

/// A job with its reply type.
pub(super) struct TypedJob<R> {
    pub(super) plan: Box<Plan<R>>,
    pub(super) terms: Terms,
    /// What to note in the soft state once it is applied.
    pub(super) note: Box<Note<R>>,
    pub(super) reply: Option<R>,
    pub(super) answer: oneshot::Sender<Answer<R>>,
}

impl<R: Send + 'static> TypedJob<R> {
    /// A job of the controller itself. It counts as abandoned when the receiver of its answer is dropped.
    pub(super) fn own(
        what: &'static str,
        plan: impl FnMut(&View<'_>) -> Planned<R> + Send + 'static,
    ) -> (Box<dyn Job>, oneshot::Receiver<Answer<R>>) {
        let (answer, receiver) = oneshot::channel();
        let job = Self {
            plan: Box::new(plan),
            terms: Terms::life(what),
            note: Box::new(|_, _, _, _| {}),
            reply: None,
            answer,
        };
        (Box::new(job), receiver)
    }
}

impl<R: Send> Job for TypedJob<R> {
    fn plan(&mut self, view: &View<'_>) -> Vec<MetadataRecord> {
        let planned = (self.plan)(view);
        self.reply = Some(planned.reply);
        planned.records
    }

    fn applied(self: Box<Self>, image: &MetadataImage, liveness: &mut Liveness, now: Timestamp) {
        let Some(reply) = self.reply else { return };
        (self.note)(&reply, image, liveness, now);
        // Whoever asked may have gone; what was decided stands.
        let _ = self.answer.send(Ok((reply, image.version)));
    }

    fn refuse(self: Box<Self>, refusal: Refusal) {
        let _ = self.answer.send(Err(refusal));
    }

    fn terms(&self) -> Terms {
        self.terms
    }

    fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }
}
