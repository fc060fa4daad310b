//! A broker's life in the cluster, as the broker itself sees it.
//!
//! ```text
//!   Unregistered ──registered──► Fenced ──caught up──► Active ──shutdown──► ShuttingDown ──leads nothing──► Stopped
//!        ▲                         ▲                      │
//!        └── stale broker epoch ───┴──── fenced by the controller
//! ```
//!
//! Source: `BrokerLifecycleManager`. What the controller makes of a heartbeat is [`plan::heartbeat`](crate::plan::heartbeat).

use crate::image::MetadataImage;
use crate::request::HeartbeatReply;
use milena_types::{BrokerEpoch, BrokerId, ErrorCode};

/// Where a broker stands in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BrokerState {
    /// Not registered yet, or no more.
    #[default]
    Unregistered,
    /// Registered, but not trusted: leads nothing, is in no ISR.
    Fenced,
    /// Serves.
    Active,
    /// Its leaders are being moved away.
    ShuttingDown,
    /// Leads nothing any more.
    Stopped,
}

impl BrokerState {
    /// What the answer to a heartbeat makes of a broker that wants to shut down, or does not. `None`: nothing, the heartbeat
    /// was refused for a reason that says nothing about the broker.
    #[must_use]
    pub fn after_heartbeat(reply: &HeartbeatReply, shutting_down: bool) -> Option<Self> {
        match reply.outcome.error {
            ErrorCode::None if reply.should_shutdown && shutting_down => Some(Self::Stopped),
            ErrorCode::None if shutting_down => Some(Self::ShuttingDown),
            ErrorCode::None if reply.is_fenced => Some(Self::Fenced),
            ErrorCode::None => Some(Self::Active),
            ErrorCode::StaleBrokerEpoch | ErrorCode::BrokerIdNotRegistered if shutting_down => {
                Some(Self::Stopped)
            }
            ErrorCode::StaleBrokerEpoch | ErrorCode::BrokerIdNotRegistered => Some(Self::Unregistered),
            _ => None,
        }
    }

    /// True while the controller's next answer is awaited (unfencing, shutdown): heartbeats go faster.
    #[must_use]
    pub fn awaits_controller(self) -> bool {
        matches!(self, Self::Fenced | Self::ShuttingDown)
    }

    /// True when a broker in this state, registered under `epoch`, does not wait for its heartbeat interval now that it has
    /// applied `image`: a fenced one may have caught up; an active one is doubted, and a false suspicion shall cost little.
    #[must_use]
    pub fn beats_at(self, image: &MetadataImage, broker: BrokerId, epoch: Option<BrokerEpoch>) -> bool {
        let is_trusted = || {
            image
                .registration(broker, epoch)
                .is_some_and(|known| !known.fenced)
        };
        match self {
            Self::Fenced => true,
            Self::Active => !is_trusted(),
            Self::Unregistered | Self::ShuttingDown | Self::Stopped => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BrokerRegistration;
    use crate::request::Outcome;
    use milena_types::{IncarnationId, MetadataVersion};
    use std::sync::Arc;

    const ME: BrokerId = BrokerId(1);
    const EPOCH: BrokerEpoch = BrokerEpoch(7);

    fn reply(error: ErrorCode, is_fenced: bool, should_shutdown: bool) -> HeartbeatReply {
        HeartbeatReply {
            outcome: Outcome { error, message: None },
            is_caught_up: true,
            is_fenced,
            should_shutdown,
            version: MetadataVersion(0),
            quorum_age_ms: 0,
        }
    }

    #[test]
    fn a_heartbeats_answer_moves_the_broker_through_its_life() {
        use BrokerState::{Active, Fenced, ShuttingDown, Stopped, Unregistered};
        let after = |error, is_fenced, should_shutdown, shutting_down| {
            BrokerState::after_heartbeat(&reply(error, is_fenced, should_shutdown), shutting_down)
        };
        assert_eq!(after(ErrorCode::None, true, false, false), Some(Fenced));
        assert_eq!(after(ErrorCode::None, false, false, false), Some(Active));
        assert_eq!(after(ErrorCode::None, false, false, true), Some(ShuttingDown));
        assert_eq!(after(ErrorCode::None, true, false, true), Some(ShuttingDown));
        assert_eq!(after(ErrorCode::None, true, true, true), Some(Stopped));
        // The wish has been withdrawn, or this is the answer to a former process.
        assert_eq!(after(ErrorCode::None, true, true, false), Some(Fenced));
        for gone in [ErrorCode::StaleBrokerEpoch, ErrorCode::BrokerIdNotRegistered] {
            assert_eq!(after(gone, false, false, false), Some(Unregistered));
            assert_eq!(after(gone, false, false, true), Some(Stopped));
        }
        assert_eq!(after(ErrorCode::NotController, false, false, true), None);
    }

    #[test]
    fn an_active_broker_beats_at_once_when_the_metadata_doubts_it() {
        let image = |epoch, fenced| {
            let mut image = MetadataImage::default();
            let registered = BrokerRegistration {
                id: ME,
                epoch,
                incarnation: IncarnationId::default(),
                endpoints: Vec::new(),
                rack: None,
                directories: Vec::new(),
                fenced,
                in_controlled_shutdown: false,
            };
            image.brokers.insert(ME, Arc::new(registered));
            image
        };
        let beats = |state: BrokerState, image: &MetadataImage| state.beats_at(image, ME, Some(EPOCH));
        let (well, fenced, other) = (
            image(EPOCH, false),
            image(EPOCH, true),
            image(BrokerEpoch(9), false),
        );
        assert!(!beats(BrokerState::Active, &well));
        for doubts in [&fenced, &other, &MetadataImage::default()] {
            assert!(beats(BrokerState::Active, doubts));
            for state in [
                BrokerState::Unregistered,
                BrokerState::ShuttingDown,
                BrokerState::Stopped,
            ] {
                assert!(!beats(state, doubts));
            }
        }
        assert!(beats(BrokerState::Fenced, &well) && beats(BrokerState::Fenced, &fenced));
    }

    #[test]
    fn what_is_awaited_from_the_controller_is_asked_for_faster() {
        assert!(BrokerState::Fenced.awaits_controller() && BrokerState::ShuttingDown.awaits_controller());
        assert!(!BrokerState::Active.awaits_controller() && !BrokerState::Stopped.awaits_controller());
    }
}
