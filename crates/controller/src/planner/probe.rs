//! Looking for dead brokers: whoever's process is gone is fenced at once, without waiting for its session to end.
//!
//! Proof is a connection to the broker's inter-broker listener that its host refuses. When connections to the broker have
//! broken, a host that has vanished (its name unknown, no way to it) is proof too. Anything else proves nothing and is left
//! to the session timeout. Epochs make a wrong proof harmless.

use super::bound::Terms;
use super::handle::{Observed, PlannerHandle, Refusal};
use crate::publish::CommittedLog;
use milena_metadata::plan;
use milena_metadata::record::{BrokerRegistration, Endpoint};
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
    /// `inter.broker.listener.name`; empty on a controller that does not know it.
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
        let addresses = addresses(registration, &self.listener);
        if addresses.is_empty() {
            return Ok(false);
        }
        let Observed {
            availability, clock, ..
        } = self.planner.observed();
        availability.suspect(broker, clock.now());
        for address in &addresses {
            if !proof(dial(address, DIAL_TIMEOUT).await) {
                availability.clear(broker);
                return Ok(false);
            }
        }
        let decide =
            move |view: &super::View<'_>| plan::fence_broker(view.image, broker, Some(epoch), &view.context);
        let (fenced, _) = self
            .planner
            .submit(Terms::life("fence"), decide, |_, _, _, _| {})
            .await?;
        if fenced {
            tracing::warn!(%broker, %epoch, address = addresses.join(","), "broker fenced: its process is gone");
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

/// Where the broker's process listens: for its peers, or, on a controller that has no broker role and does not know that
/// listener, everywhere. A process is gone when nobody is there at any of them.
fn addresses(registration: &BrokerRegistration, listener: &str) -> Vec<String> {
    let endpoints = registration.endpoints.iter();
    let named = endpoints.clone().find(|endpoint| endpoint.listener == listener);
    let looked_at: Vec<_> = named.map_or_else(|| endpoints.collect(), |endpoint| vec![endpoint]);
    let address = |endpoint: &&Endpoint| authority(&endpoint.host, endpoint.port);
    looked_at.iter().map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_types::{DirectoryId, IncarnationId};

    #[test]
    fn a_controller_that_does_not_know_the_listener_looks_at_all() {
        let endpoint = |listener: &str, port| Endpoint {
            listener: listener.to_owned(),
            host: "h".to_owned(),
            port,
            security_protocol: "PLAINTEXT".to_owned(),
        };
        let registration = BrokerRegistration {
            id: BrokerId(1),
            epoch: BrokerEpoch(1),
            incarnation: IncarnationId::default(),
            endpoints: vec![endpoint("INTERNAL", 1), endpoint("EXTERNAL", 2)],
            rack: None,
            directories: vec![DirectoryId::default()],
            fenced: false,
            in_controlled_shutdown: false,
        };
        assert_eq!(addresses(&registration, "EXTERNAL"), ["h:2"]);
        assert_eq!(addresses(&registration, ""), ["h:1", "h:2"]);
        assert_eq!(addresses(&registration, "OTHER"), ["h:1", "h:2"]);
    }
}
