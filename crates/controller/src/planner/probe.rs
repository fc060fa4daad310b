//! Looking for dead brokers: whoever's process is gone is fenced at once, without waiting for its session to end.
//!
//! Proof is a connection to the broker's inter-broker listener that its host refuses. When connections to the broker have
//! broken, a host that has vanished (its name unknown, no way to it) is proof too. Anything else proves nothing and is left
//! to the session timeout. Epochs make a wrong proof harmless.

use super::handle::{PlannerHandle, Refusal};
use crate::publish::CommittedLog;
use milena_metadata::plan;
use milena_rpc::channel::authority;
use milena_rpc::dial::{Dialled, dial};
use milena_types::{BrokerEpoch, BrokerId};
use std::sync::Arc;
use std::time::Duration;

/// How long one dial may take.
const DIAL_TIMEOUT: Duration = Duration::from_millis(500);

/// Dials brokers and fences the dead.
#[derive(Clone)]
pub(crate) struct Prober {
    planner: PlannerHandle,
    committed: Arc<CommittedLog>,
    /// `inter.broker.listener.name`.
    listener: Arc<str>,
}

impl Prober {
    pub(crate) fn new(planner: PlannerHandle, committed: Arc<CommittedLog>, listener: &str) -> Self {
        Self {
            planner,
            committed,
            listener: Arc::from(listener),
        }
    }

    /// Fences the broker if it is registered under this epoch and its process is gone, as `proof` sees it. True when it is
    /// fenced now.
    ///
    /// # Errors
    /// [`Refusal`] when this node is not the active controller.
    pub(crate) async fn probe(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        proof: fn(Dialled) -> bool,
    ) -> Result<bool, Refusal> {
        let image = self.committed.image();
        let Some(registration) = image.broker(broker).filter(|found| found.epoch == epoch) else {
            return Ok(false);
        };
        if registration.fenced {
            return Ok(true);
        }
        let listener = registration
            .endpoints
            .iter()
            .find(|endpoint| endpoint.listener == *self.listener);
        let Some(listener) = listener else {
            return Ok(false);
        };
        let address = authority(&listener.host, listener.port);
        if !proof(dial(&address, DIAL_TIMEOUT).await) {
            return Ok(false);
        }
        let decide =
            move |view: &super::View<'_>| plan::fence_broker(view.image, broker, Some(epoch), &view.context);
        let (fenced, _) = self.planner.submit(decide, |_, _, _, _| {}).await?;
        if fenced {
            tracing::warn!(%broker, %epoch, address, "broker fenced: its process is gone");
        }
        Ok(fenced)
    }

    /// Looks at every unfenced broker: what the former active controller saw died with it.
    pub(crate) fn probe_all(&self) {
        let image = self.committed.image();
        for registration in image.brokers.values().filter(|registration| !registration.fenced) {
            self.spawn(registration.id, registration.epoch, |found| {
                found == Dialled::Refused
            });
        }
    }

    /// Looks in the background at one broker whose connection has broken.
    pub(crate) fn probe_soon(&self, broker: BrokerId, epoch: BrokerEpoch) {
        self.spawn(broker, epoch, Dialled::is_gone);
    }

    fn spawn(&self, broker: BrokerId, epoch: BrokerEpoch, proof: fn(Dialled) -> bool) {
        let prober = self.clone();
        tokio::spawn(async move {
            // Refused: another node is the active controller and looks itself.
            let _ = prober.probe(broker, epoch, proof).await;
        });
    }
}
