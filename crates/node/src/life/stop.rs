//! The end of a node: the broker first, while its controller can still move its leaders; then the controller.

use super::readiness::Roles;
use super::signals::Signals;
use crate::quorum::leaderless_for;
use std::time::{Duration, Instant};

/// How long there may be no active controller before nobody is expected to move the leaders any more. The controllers
/// themselves name a leader for a lease or an election timeout after they last heard of it.
const LEADERLESS_PATIENCE: Duration = Duration::from_millis(800);

/// Stops both roles in order; a second signal skips what is waited for. `controllers`: the addresses of all voters.
pub(super) async fn stop_roles(roles: &Roles, controllers: &[String], signals: &mut Signals) {
    if let Some(broker) = roles.take_broker() {
        let began = Instant::now();
        let stopping = broker.shutdown();
        tokio::pin!(stopping);
        let clean = tokio::select! {
            clean = &mut stopping => clean,
            signal = signals.next() => {
                tracing::warn!(signal, "second signal: leaving without moving leaders");
                broker.hurry();
                stopping.await
            }
            () = leaderless_for(LEADERLESS_PATIENCE, controllers) => {
                tracing::warn!("no controller leads: nobody can move the leaders away");
                broker.hurry();
                stopping.await
            }
        };
        tracing::info!(clean, took = ?began.elapsed(), "broker stopped");
    }
    if let Some(controller) = roles.take_controller() {
        let began = Instant::now();
        tokio::select! {
            ended = controller.shutdown() => match ended {
                Ok(()) => tracing::info!(took = ?began.elapsed(), "controller stopped"),
                Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "controller stopped"),
            },
            signal = signals.next() => tracing::warn!(signal, "another signal: not waiting for the controller"),
        }
    }
}
