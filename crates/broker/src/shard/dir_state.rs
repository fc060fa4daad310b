//! Whether a log directory is in use.
//!
//! ```text
//!            no space at a write                       a flush or another operation failed
//!   ONLINE ─────────────────────► FULL ──────────────────────────────────────────────────► OFFLINE
//!     │  ◄──────────────────────── │ there is space again                                    ▲
//!     └────────────────────────────┴─────────────────────────────────────────────────────────┘
//! ```
//!
//! Full: what is there can be read, nothing is appended; partitions move to brokers that can go on. Offline: for this
//! process for good, since nobody knows what the disk holds after a failed flush.

use std::sync::atomic::{AtomicU8, Ordering};

/// The states of a log directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DirState {
    /// Read and written.
    Online,
    /// Only read.
    Full,
    /// Not touched any more.
    Offline,
}

const ONLINE: u8 = 0;
const FULL: u8 = 1;
const OFFLINE: u8 = 2;

/// One directory's state, shared by all data threads.
#[derive(Debug)]
pub(super) struct DirStatus(AtomicU8);

impl DirStatus {
    pub(super) fn new(state: DirState) -> Self {
        Self(AtomicU8::new(match state {
            DirState::Online => ONLINE,
            DirState::Full => FULL,
            DirState::Offline => OFFLINE,
        }))
    }

    pub(super) fn get(&self) -> DirState {
        match self.0.load(Ordering::Acquire) {
            ONLINE => DirState::Online,
            FULL => DirState::Full,
            _ => DirState::Offline,
        }
    }

    /// True for the one caller that took it out of use.
    pub(super) fn fail(&self) -> bool {
        self.0.swap(OFFLINE, Ordering::AcqRel) != OFFLINE
    }

    /// True for the one caller that found it full.
    pub(super) fn fill(&self) -> bool {
        self.change(ONLINE, FULL)
    }

    /// True for the one caller that found space in it.
    pub(super) fn drain(&self) -> bool {
        self.change(FULL, ONLINE)
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_directory_never_comes_back_and_each_change_has_one_author() {
        let status = DirStatus::new(DirState::Online);
        assert!(!status.drain());
        assert!(status.fill() && !status.fill());
        assert_eq!(status.get(), DirState::Full);
        assert!(status.drain() && !status.drain());
        assert!(status.fail() && !status.fail());
        assert!(!status.fill() && !status.drain());
        assert_eq!(status.get(), DirState::Offline);
    }
}
