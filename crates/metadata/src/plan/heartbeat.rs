//! Heartbeats: the life of a registered broker.
//!
//! ```text
//!              caught up, wants no fence                 wants shutdown, leads something
//!   FENCED ───────────────────────────────► UNFENCED ───────────────────────────────────► IN CONTROLLED SHUTDOWN
//!     ▲  wants fence, or its session ends      │ wants shutdown, leads nothing                    │ leads nothing, and all
//!     ├────────────────────────────────────────┤                                                  │ active brokers know it
//!     └────────────────────────────────────────▼──────────────────────────────────────────────────┘
//!                                        may exit (fenced)
//! ```
//!
//! Most heartbeats change nothing and have no records. Source: `BrokerHeartbeatManager.calculateNextBrokerState`.

use super::broker_gone;
use super::context::{PlanContext, Planned};
use super::draft::Draft;
use super::fence_broker::fence;
use crate::image::MetadataImage;
use crate::liveness::Liveness;
use crate::record::{BrokerRegistration, MetadataRecord};
use crate::request::{Heartbeat, HeartbeatReply, Outcome};
use milena_types::{BrokerEpoch, BrokerId, ErrorCode, MetadataVersion};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fenced,
    Unfenced,
    ControlledShutdown,
    ShutdownNow,
}

/// Plans the answer to a heartbeat. Afterwards (records applied, or none) the controller notes the contact with
/// [`Liveness::on_heartbeat`].
///
/// Error in the reply: STALE_BROKER_EPOCH.
#[must_use]
pub fn heartbeat(
    image: &MetadataImage,
    request: &Heartbeat,
    liveness: &Liveness,
    ctx: &PlanContext<'_>,
) -> Planned<HeartbeatReply> {
    let registration = match check_epoch(image, request.broker, request.epoch) {
        Ok(registration) => registration,
        Err(outcome) => {
            return Planned::reply(HeartbeatReply {
                outcome,
                ..HeartbeatReply::default()
            });
        }
    };
    let is_caught_up = is_caught_up(registration, request.applied);
    let current = current(registration);
    let next = next(image, request, liveness, current, is_caught_up);
    let mut draft = Draft::new(image, ctx);
    if next != current {
        enter(&mut draft, registration, next);
    }
    draft.reply(HeartbeatReply {
        outcome: Outcome::OK,
        is_caught_up,
        is_fenced: matches!(next, State::Fenced | State::ShutdownNow),
        should_shutdown: next == State::ShutdownNow,
        version: image.version,
        // A plan does not know.
        quorum_age_ms: u64::MAX,
    })
}

/// Finds the registration that a broker acts under.
///
/// # Errors
/// STALE_BROKER_EPOCH, as Kafka answers for a missing registration too.
pub(super) fn check_epoch(
    image: &MetadataImage,
    broker: BrokerId,
    epoch: BrokerEpoch,
) -> Result<&BrokerRegistration, Outcome> {
    let stale = |message| Outcome::failed(ErrorCode::StaleBrokerEpoch, message);
    let registration = image.broker(broker);
    let registration =
        registration.ok_or_else(|| stale(format!("No broker registration found for broker id {broker}")))?;
    if registration.epoch != epoch {
        return Err(stale(format!(
            "Expected broker epoch {}, but got broker epoch {epoch}",
            registration.epoch
        )));
    }
    Ok(registration)
}

/// The broker epoch is the metadata version of its registration.
fn is_caught_up(registration: &BrokerRegistration, applied: MetadataVersion) -> bool {
    u64::try_from(registration.epoch.0).is_ok_and(|epoch| applied.0 >= epoch)
}

fn current(registration: &BrokerRegistration) -> State {
    match registration {
        BrokerRegistration { fenced: true, .. } => State::Fenced,
        BrokerRegistration {
            in_controlled_shutdown: true,
            ..
        } => State::ControlledShutdown,
        _ => State::Unfenced,
    }
}

fn next(
    image: &MetadataImage,
    request: &Heartbeat,
    liveness: &Liveness,
    current: State,
    is_caught_up: bool,
) -> State {
    let leads_any = || broker_gone::leads_any(image, request.broker);
    match current {
        State::Fenced if request.want_shutdown => State::ShutdownNow,
        State::Fenced if !request.want_fence && is_caught_up => State::Unfenced,
        State::Unfenced if request.want_fence && request.want_shutdown => State::ShutdownNow,
        State::Unfenced if request.want_fence => State::Fenced,
        State::Unfenced if request.want_shutdown && leads_any() => State::ControlledShutdown,
        State::Unfenced if request.want_shutdown => State::ShutdownNow,
        State::ControlledShutdown if !leads_any() && liveness.shutdown_is_seen(image, request.broker) => {
            State::ShutdownNow
        }
        unchanged => unchanged,
    }
}

fn enter(draft: &mut Draft<'_>, registration: &BrokerRegistration, next: State) {
    match next {
        // A fenced broker that may exit is fenced already.
        State::Fenced | State::ShutdownNow if registration.fenced => {}
        State::Fenced | State::ShutdownNow => fence(draft, registration),
        State::Unfenced => {
            // A broker that was fenced amid its shutdown and wants to serve has changed its mind.
            let state = BrokerRegistration {
                fenced: false,
                in_controlled_shutdown: false,
                ..registration.clone()
            };
            draft.push(MetadataRecord::Broker(state));
            broker_gone::elect_for_returned(draft, registration.id);
        }
        State::ControlledShutdown => {
            let state = BrokerRegistration {
                in_controlled_shutdown: true,
                ..registration.clone()
            };
            draft.push(MetadataRecord::Broker(state));
            broker_gone::leave_isrs(draft, registration.id);
        }
    }
}

#[cfg(test)]
#[path = "heartbeat_test.rs"]
mod tests;
