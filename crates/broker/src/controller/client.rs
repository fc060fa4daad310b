//! Calls to the active controller: whichever voter that is at the moment.
//!
//! One channel a voter, made on the control thread's runtime and used from any thread. A call goes to the voter that
//! answered last; "not the leader" and broken connections move it on, until the caller's deadline.
//!
//! A request whose connection broke is sent again although the first one may have been carried out: the same at-least-once
//! as Kafka's forwarding (`NodeToControllerRequestThread`).

use crate::config::ControllerVoter;
use milena_rpc::channel::{AddressError, MESSAGE_BYTES_MAX, connect_lazy};
use milena_rpc::proto::controller_client::ControllerClient as Stub;
use milena_rpc::{ConvertError, NotLeader};
use milena_types::BrokerId;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// No voter has this index.
const NOBODY: usize = usize::MAX;
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
}

/// Reaches the active controller. Cheap to clone.
#[derive(Clone)]
pub struct ControllerClient {
    voters: Arc<[Voter]>,
    /// Index of the voter that is asked next: who answered last, or who may be active instead.
    next: Arc<AtomicUsize>,
    /// Index of the voter that answered last; [`NOBODY`] at first.
    answered: Arc<AtomicUsize>,
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
                })
            })
            .collect::<Result<Vec<_>, AddressError>>()?;
        Ok(Self {
            voters: voters.into(),
            next: Arc::new(AtomicUsize::new(0)),
            answered: Arc::new(AtomicUsize::new(NOBODY)),
        })
    }

    /// The node that answered last: the active controller, as far as is known here.
    #[must_use]
    pub fn active(&self) -> Option<BrokerId> {
        let at = self.answered.load(Ordering::Relaxed);
        self.voters.get(at).map(|voter| voter.config.id)
    }

    /// Calls the active controller until it answers or `deadline` has passed; one attempt takes at most `attempt`.
    ///
    /// # Errors
    /// [`ControllerError`].
    pub async fn call<T, F>(
        &self,
        deadline: Duration,
        attempt: Duration,
        mut request: impl FnMut(Stub<Channel>) -> F,
    ) -> Result<T, ControllerError>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let start = Instant::now();
        let mut last = "no voter is configured".to_owned();
        let mut tried = 0;
        while start.elapsed() < deadline {
            let at = self.next.load(Ordering::Relaxed) % self.voters.len().max(1);
            let Some(voter) = self.voters.get(at) else { break };
            let until = (Instant::now() + attempt).min(start + deadline);
            let status = match timeout_at(until, request(voter.stub.clone())).await {
                Ok(Ok(response)) => {
                    self.answered.store(at, Ordering::Relaxed);
                    return Ok(response.into_inner());
                }
                Ok(Err(status)) => status,
                Err(_elapsed) => Status::deadline_exceeded("no answer"),
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

    /// Chooses the next voter after `status`. False: the status is an answer, another voter would say the same.
    fn move_on(&self, from: usize, status: &Status) -> bool {
        let next = (from + 1) % self.voters.len().max(1);
        if let Some(hint) = NotLeader::from_status(status) {
            let hinted = self.voters.iter().position(|v| Some(v.config.id) == hint.leader);
            self.next
                .store(hinted.filter(|at| *at != from).unwrap_or(next), Ordering::Relaxed);
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
            self.next.store(next, Ordering::Relaxed);
        }
        elsewhere
    }
}
