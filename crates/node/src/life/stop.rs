//! The end of a node: the broker first, while its controller can still move its leaders; then the controller.

use super::readiness::Roles;
use super::signals::Signals;
use std::time::Instant;

/// Stops both roles in order; a second signal skips what is waited for.
pub(super) async fn stop_roles(roles: &Roles, signals: &mut Signals) {
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
