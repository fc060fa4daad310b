//! Rounds: plan what has queued up, commit it as one batch, answer, go on.
//!
//! At most one batch is in flight, and every batch is planned against the applied image: a batch whose version fits was
//! planned against exactly the history that it meets. (A chain of batches planned ahead of each other would not have
//! that property: were one of them replaced by a stranger, the version of the next would still fit.)

use super::availability::{Availability, Changes};
use super::bound::{Place, bytes_of};
use super::clock::{Clock, Seeds};
use super::job::{Job, View};
use super::leaderless::Leaderless;
use super::unclean::UncleanElections;
use super::waiting::{Room, Waiting};
use crate::publish::CommittedLog;
use crate::raft::types::{Applied, Proposal, Raft, TypeConfig};
use milena_metadata::config::BrokerDefaults;
use milena_metadata::image::MetadataImage;
use milena_metadata::liveness::Liveness;
use milena_metadata::plan::{Draft, PlanContext, RECORDS_MAX};
use milena_metadata::record::MetadataBatch;
use milena_types::Timestamp;
use openraft::alias::OneshotReceiverOf;
use openraft::errors::ClientWriteError;
use openraft::impls::ProgressResponder;
use openraft::raft::ClientWriteResult;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// So long jobs are planned before others have their turn.
const TURN: Duration = Duration::from_millis(20);

/// A batch in flight and the jobs that it decides.
struct Flight {
    jobs: Vec<Box<dyn Job>>,
    effects: Effects,
    result: OneshotReceiverOf<TypeConfig, ClientWriteResult<TypeConfig>>,
}

/// What there is to say and to count of a batch when it is committed.
struct Effects {
    leaderless: Leaderless,
    unclean: UncleanElections,
    changes: Changes,
    decided: Timestamp,
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Landing {
    /// Applied, its jobs are answered.
    Applied,
    /// It met another image: its jobs wait for the next round.
    Conflict,
    /// Raft did not take it: its jobs wait for a later round, if this node still leads.
    Rejected,
}

/// What rounds work with.
pub(super) struct Shared {
    pub(super) raft: Raft,
    pub(super) committed: Arc<CommittedLog>,
    pub(super) defaults: BrokerDefaults,
    pub(super) clock: Clock,
    pub(super) seeds: Seeds,
    pub(super) availability: Arc<Availability>,
}

/// The rounds of one term.
pub(super) struct Rounds<'a> {
    shared: &'a Shared,
    pub(super) liveness: Liveness,
    waiting: Waiting,
    flight: Option<Flight>,
}

impl<'a> Rounds<'a> {
    pub(super) fn new(shared: &'a Shared, liveness: Liveness) -> Self {
        Self {
            shared,
            liveness,
            waiting: Waiting::default(),
            flight: None,
        }
    }

    pub(super) fn is_flying(&self) -> bool {
        self.flight.is_some()
    }

    /// What else may wait for the next round.
    pub(super) fn room(&self) -> Room {
        self.waiting.room()
    }

    /// The last turn was over before all that waits was looked at.
    pub(super) fn is_due(&self) -> bool {
        self.flight.is_none() && self.waiting.front().is_some()
    }

    pub(super) fn push(&mut self, job: Box<dyn Job>) {
        self.waiting.push_back(job);
    }

    /// Plans waiting jobs until there is something to commit and nothing more fits, and proposes it. Jobs that need no
    /// records are answered at once when no job before them in this round does. A turn is over after [`TURN`]: raft works on this
    /// thread, too, and the life of a broker may have come meanwhile.
    pub(super) async fn begin(&mut self) {
        if self.flight.is_some() {
            return;
        }
        let base = self.shared.committed.image();
        let now = self.shared.clock.now();
        let mut working = (*base).clone();
        let mut jobs: Vec<Box<dyn Job>> = Vec::new();
        let (mut records, mut bytes) = (Vec::new(), 0);
        let (begun, mut is_over) = (Instant::now(), false);
        while !is_over && let Some(job) = self.waiting.front() {
            let terms = job.terms();
            if !records.is_empty() && (terms.alone || records.len() >= RECORDS_MAX) {
                break;
            }
            let Some(mut job) = self.waiting.pop_front().filter(|job| !job.is_abandoned()) else {
                continue;
            };
            let context = PlanContext {
                now,
                seed: self.shared.seeds.next(),
                defaults: &self.shared.defaults,
            };
            let decided = job.plan(&View {
                image: &working,
                liveness: &self.liveness,
                context,
            });
            is_over = begun.elapsed() >= TURN;
            if records.is_empty() && decided.is_empty() {
                job.applied(&base, &mut self.liveness, now);
                continue;
            }
            let more = bytes_of(&decided);
            match terms.place(more, bytes) {
                Place::ThisBatch => bytes += more,
                Place::NextBatch => {
                    self.waiting.push_front(job);
                    break;
                }
                Place::Nowhere => {
                    refuse_too_large(job, more);
                    continue;
                }
            }
            let mut draft = Draft::new(&working, &context);
            draft.extend(decided.iter().cloned());
            working = draft.image;
            records.extend(decided);
            jobs.push(job);
            if terms.alone {
                break;
            }
        }
        if !records.is_empty() {
            let batch = MetadataBatch {
                expected_version: base.version,
                records,
            };
            let (states, defaults) = (batch.last_states(), &self.shared.defaults);
            let effects = Effects {
                leaderless: Leaderless::of(&base, &states),
                unclean: UncleanElections::of(&base, &batch, &working, defaults),
                changes: Changes::of(&base, &batch, &states, &working, defaults),
                decided: now,
            };
            self.propose(&batch, jobs, effects).await;
        }
    }

    async fn propose(&mut self, batch: &MetadataBatch, jobs: Vec<Box<dyn Job>>, effects: Effects) {
        let (responder, result) = ProgressResponder::complete_only();
        let proposal = Proposal(milena_rpc::encode_batch(batch));
        // The responder is gone with it, which the flight's landing shows.
        if let Err(error) = self.shared.raft.client_write_ff(proposal, Some(responder)).await {
            tracing::warn!(%error, "raft has stopped");
        }
        self.flight = Some(Flight {
            jobs,
            effects,
            result,
        });
    }

    /// Waits for the batch in flight; for ever when there is none. Cancelling it loses nothing.
    pub(super) async fn landing(&mut self) -> Landing {
        let Some(flight) = &mut self.flight else {
            return std::future::pending().await;
        };
        let result = (&mut flight.result).await;
        let Some(flight) = self.flight.take() else {
            return Landing::Applied;
        };
        let landing = match result {
            Ok(Ok(response)) => match response.data {
                Applied::Version(_) => Landing::Applied,
                Applied::Conflict(_) | Applied::Nothing => Landing::Conflict,
            },
            Ok(Err(error)) => {
                log_rejection(&error);
                Landing::Rejected
            }
            Err(_closed) => Landing::Rejected,
        };
        if landing == Landing::Applied {
            let image = self.shared.committed.image();
            let now = self.shared.clock.now();
            self.tell(&flight.effects, &image);
            for job in flight.jobs {
                job.applied(&image, &mut self.liveness, now);
            }
        } else {
            for job in flight.jobs.into_iter().rev() {
                self.waiting.push_front(job);
            }
        }
        landing
    }

    fn tell(&self, effects: &Effects, image: &MetadataImage) {
        effects.leaderless.log();
        effects.unclean.log();
        let Shared {
            availability,
            defaults,
            clock,
            ..
        } = self.shared;
        let (unclean, times) = (effects.unclean.count(), (effects.decided, clock.now()));
        availability.on_committed(&effects.changes, image, defaults, unclean, times);
    }

    /// Gives up everything that is not answered.
    pub(super) fn finish(self) {
        let flying = self.flight.into_iter().flat_map(|flight| flight.jobs);
        for job in flying.chain(self.waiting.all()) {
            job.refuse(super::Refusal::NotActive);
        }
    }
}

/// Nothing of it is appended: it could never be committed.
fn refuse_too_large(job: Box<dyn Job>, bytes: usize) {
    let terms = job.terms();
    let (request, bytes_max) = (terms.what, terms.bytes_max());
    tracing::warn!(
        request,
        bytes,
        bytes_max,
        "refused: its records are larger than one batch may be"
    );
    job.refuse(super::Refusal::TooLarge);
}

fn log_rejection(error: &ClientWriteError<TypeConfig>) {
    match error {
        ClientWriteError::ForwardToLeader(forward) => {
            tracing::debug!(leader = ?forward.leader_id, reason = ?forward.reason, "a batch was rejected");
        }
        other => tracing::info!(error = %other, "a batch was not committed here"),
    }
}
