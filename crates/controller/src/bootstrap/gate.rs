//! The gate in front of this voter's votes, and of its word on what a leader sends.

use std::sync::atomic::{AtomicBool, Ordering};
use tonic::Status;

/// What this node says to others.
#[derive(Debug, Default)]
pub(crate) struct VoteGate {
    open: AtomicBool,
    follows: AtomicBool,
}

impl VoteGate {
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Whether it takes what a leader sends.
    pub(super) fn follows(&self) -> bool {
        self.is_open() || self.follows.load(Ordering::Acquire)
    }

    /// Lets votes through, or not.
    pub(super) fn set(&self, open: bool) {
        self.open.store(open, Ordering::Release);
    }

    /// Lets leaders through: those of the past are known by now.
    pub(super) fn follow(&self) {
        self.follows.store(true, Ordering::Release);
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

    /// # Errors
    /// FAILED_PRECONDITION while nothing is taken from a leader.
    pub(crate) fn check_follows(&self) -> Result<(), Status> {
        match self.follows() {
            true => Ok(()),
            false => Err(Status::failed_precondition(
                "this voter's disk is new: it follows nobody before it has heard of all leaders that it may have helped",
            )),
        }
    }
}
