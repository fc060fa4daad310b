//! The gate in front of this voter's votes.

use std::sync::atomic::{AtomicBool, Ordering};
use tonic::Status;

/// Whether this node grants votes.
#[derive(Debug, Default)]
pub(crate) struct VoteGate {
    open: AtomicBool,
}

impl VoteGate {
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Lets votes through, or not.
    pub(super) fn set(&self, open: bool) {
        self.open.store(open, Ordering::Release);
    }

    /// # Errors
    /// FAILED_PRECONDITION while no vote is granted.
    pub(crate) fn check(&self) -> Result<(), Status> {
        match self.is_open() {
            true => Ok(()),
            false => Err(Status::failed_precondition(
                "this voter's log is not restored yet: it grants no votes",
            )),
        }
    }
}
