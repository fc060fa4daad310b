//! Calls to the active controller: whichever voter that is at the moment.
//!
//! One channel a voter, made on the control thread's runtime and used from any thread. A call goes to the voter that
//! answered last; "not the leader" and broken connections move it on, until the caller's deadline. A voter that let a call
//! wait in vain is not asked for a moment, although others go on naming it until they have elected another one: a hung
//! controller looks to them like one that is alive.
//!
//! A request whose connection broke is sent again although the first one may have been carried out: the same at-least-once
//! as Kafka's forwarding (`NodeToControllerRequestThread`).

use crate::config::ControllerVoter;
use milena_rpc::channel::{AddressError, MESSAGE_BYTES_MAX, connect_lazy};
use milena_rpc::proto::controller_client::ControllerClient as Stub;
use milena_rpc::{ConvertError, NotLeader};
use milena_types::BrokerId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// No voter has this index.
const NOBODY: usize = usize::MAX;
/// So long a voter that has not answered is passed over.
const SILENCE: Duration = Duration::from_secs(2);
/// The pause after every voter has been asked in vain.
const ROUND_PAUSE: Duration = Duration::from_millis(20);

/// Why a call to the controller has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// No voter led, or none could be reached, until the deadline. The request may have been carried out.
    #[error("no active controller answered within {waited:?}; last: {last}")]
    Unavailable {
        /// How long it was tried.
        waited: Duration,
        /// What the last voter said.
        last: String,
    },
    /// The active controller refused the call itself.
    #[error("the controller refused the call: {0}")]
    Refused(Status),
    /// An answer that makes no sense.
    #[error("the controller's answer is malformed: {0}")]
    Malformed(#[from] ConvertError),
}

struct Voter {
    config: ControllerVoter,
    stub: Stub<Channel>,
    /// Until when it is passed over, in milliseconds since [`ControllerClient::begin`].
    silent_until: AtomicU64,
}

/// Reaches the active controller. Cheap to clone.
#[derive(Clone)]
pub struct ControllerClient {
    voters: Arc<[Voter]>,
    begin: Instant,
    /// Index of the voter that is asked next: who answered last, or who may be active instead.
    next: Arc<AtomicUsize>,
    /// Index of the voter that answered last; [`NOBODY`] at first.
    answered: Arc<watch::Sender<usize>>,
}

impl std::fmt::Debug for ControllerClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControllerClient")
            .field("voters", &self.voters.len())
            .finish_non_exhaustive()
    }
}

impl ControllerClient {
    /// Prepares one channel a voter; connects at the first call. To be called inside the control thread's runtime.
    ///
    /// # Errors
    /// A voter's address does not parse.
    pub fn new(voters: &[ControllerVoter]) -> Result<Self, AddressError> {
        let voters = voters
            .iter()
            .map(|config| {
                let stub = Stub::new(connect_lazy(&config.address())?)
                    .max_decoding_message_size(MESSAGE_BYTES_MAX)
                    .max_encoding_message_size(MESSAGE_BYTES_MAX);
                Ok(Voter {
                    config: config.clone(),
                    stub,
                    silent_until: AtomicU64::new(0),
                })
            })
            .collect::<Result<Vec<_>, AddressError>>()?;
        Ok(Self {
            voters: voters.into(),
            begin: Instant::now(),
            next: Arc::new(AtomicUsize::new(0)),
            answered: Arc::new(watch::Sender::new(NOBODY)),
        })
    }

    /// The node that answered last: the active controller, as far as is known here.
    #[must_use]
    pub fn active(&self) -> Option<BrokerId> {
        let at = *self.answered.borrow();
        self.voters.get(at).map(|voter| voter.config.id)
    }

    /// Resolves when a call is answered by another voter than that one: it does not lead any more, or it hangs.
    pub(super) async fn another_answers(&self, than: BrokerId) {
        let is_another = |at: &usize| self.voters.get(*at).is_some_and(|voter| voter.config.id != than);
        // The sender lives as long as `self`: waiting cannot fail.
        let _ = self.answered.subscribe().wait_for(is_another).await;
    }

    /// Calls the active controller until it answers or `deadline` has passed; one attempt takes at most `attempt`.
    ///
    /// # Errors
    /// [`ControllerError`].
    pub async fn call<T, F>(
        &self,
        deadline: Duration,
        attempt: Duration,
        request: impl FnMut(Stub<Channel>) -> F,
    ) -> Result<T, ControllerError>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let (answer, _) = self.call_and_tell(deadline, attempt, request).await?;
        Ok(answer)
    }

    /// Likewise; also who answered.
    pub(super) async fn call_and_tell<T, F>(
        &self,
        deadline: Duration,
        attempt: Duration,
        mut request: impl FnMut(Stub<Channel>) -> F,
    ) -> Result<(T, BrokerId), ControllerError>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let start = Instant::now();
        let mut last = "no voter is configured".to_owned();
        let mut tried = 0;
        while start.elapsed() < deadline {
            let at = self.next.load(Ordering::Relaxed) % self.voters.len().max(1);
            let Some(voter) = self.voters.get(at) else { break };
            let (until, end) = (Instant::now() + attempt, start + deadline);
            let status = match timeout_at(until.min(end), request(voter.stub.clone())).await {
                Ok(Ok(response)) => {
                    self.answered
                        .send_if_modified(|last| std::mem::replace(last, at) != at);
                    return Ok((response.into_inner(), voter.config.id));
                }
                Ok(Err(status)) => status,
                Err(_elapsed) => {
                    // It says nothing of a voter that the caller's time was over before its own.
                    if until <= end {
                        let until = self.moment().saturating_add(millis(SILENCE));
                        voter.silent_until.store(until, Ordering::Relaxed);
                    }
                    Status::deadline_exceeded("no answer")
                }
            };
            last = format!("node {}: {}", voter.config.id, status.message());
            if !self.move_on(at, &status) {
                return Err(ControllerError::Refused(status));
            }
            tried += 1;
            if tried % self.voters.len().max(1) == 0 {
                sleep(ROUND_PAUSE).await;
            }
        }
        Err(ControllerError::Unavailable {
            waited: start.elapsed(),
            last,
        })
    }

    /// Now, as voters count it.
    fn moment(&self) -> u64 {
        millis(self.begin.elapsed())
    }

    /// The voter after that one, which has not just let somebody wait; the next one when all have.
    fn after(&self, from: usize) -> usize {
        let (count, now) = (self.voters.len().max(1), self.moment());
        let mut others = (1..=count).map(|step| (from + step) % count);
        let first = others.clone().next().unwrap_or(from);
        others.find(|at| !self.is_silent(*at, now)).unwrap_or(first)
    }

    fn is_silent(&self, at: usize, now: u64) -> bool {
        let voter = self.voters.get(at);
        voter.is_some_and(|voter| now < voter.silent_until.load(Ordering::Relaxed))
    }

    /// Chooses the next voter after `status`. False: the status is an answer, another voter would say the same.
    fn move_on(&self, from: usize, status: &Status) -> bool {
        if let Some(hint) = NotLeader::from_status(status) {
            let hinted = self.voters.iter().position(|v| Some(v.config.id) == hint.leader);
            let now = self.moment();
            let hinted = hinted.filter(|at| *at != from && !self.is_silent(*at, now));
            self.next
                .store(hinted.unwrap_or_else(|| self.after(from)), Ordering::Relaxed);
            return true;
        }
        let elsewhere = matches!(
            status.code(),
            Code::Unavailable
                | Code::Cancelled
                | Code::DeadlineExceeded
                | Code::Aborted
                | Code::Unknown
                | Code::Internal
        );
        if elsewhere {
            self.next.store(self.after(from), Ordering::Relaxed);
        }
        elsewhere
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(leader: i32) -> Status {
        NotLeader {
            leader: Some(BrokerId(leader)),
            address: None,
        }
        .to_status()
    }

    #[tokio::test(start_paused = true)]
    async fn a_voter_that_lets_one_wait_is_passed_over_whoever_names_it() {
        let voters = [100, 101, 102].map(|id| ControllerVoter {
            id: BrokerId(id),
            host: "127.0.0.1".to_owned(),
            port: 1,
        });
        let client = ControllerClient::new(&voters).unwrap();
        let next = || client.next.load(Ordering::Relaxed);
        let attempt = Duration::from_millis(500);
        let never = |_stub| std::future::pending::<Result<tonic::Response<()>, Status>>();
        assert!(client.call(attempt, attempt, never).await.is_err());
        assert_eq!(next(), 1, "the first one was silent");
        assert!(client.move_on(1, &named(100)));
        assert_eq!(next(), 2);
        assert!(client.move_on(2, &named(100)));
        assert_eq!(next(), 1);
        assert!(client.move_on(1, &named(102)));
        assert_eq!(next(), 2, "the others are asked as before");
        // Not for good.
        sleep(SILENCE).await;
        assert!(client.move_on(2, &named(100)));
        assert_eq!(next(), 0);
        // Nor when it had less than its time.
        client.next.store(0, Ordering::Relaxed);
        assert!(client.call(attempt / 2, attempt, never).await.is_err());
        assert!(client.move_on(1, &named(100)));
        assert_eq!(next(), 0);
        // Where all are silent each has its turn.
        client.next.store(0, Ordering::Relaxed);
        for expected in [1, 2, 0] {
            assert!(client.call(attempt, attempt, never).await.is_err());
            assert_eq!(next(), expected);
        }
    }
}
