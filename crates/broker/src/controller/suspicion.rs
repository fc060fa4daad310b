//! A peer's streams broke: is its process gone?
//!
//! The peer is dialled at its inter-broker listener. Evidence is a refused connection, or a host that has vanished with its
//! name, as a container's does; a timeout can be a slow peer or a cut link, which the session timeout judges. A dying process
//! may close its streams before its listener, so that one accepted connection does not end the suspicion: the peer is dialled
//! again for a moment. With evidence the active controller is told, which dials for itself before it fences; the report is
//! repeated while the quorum elects a new active controller, and dropped as soon as the peer is fenced, has registered anew,
//! or listens again. A false suspicion is harmless: epochs fence, not reports.

use super::client::ControllerClient;
use crate::metadata::MetadataCache;
use milena_metadata::MetadataImage;
use milena_rpc::channel::authority;
use milena_rpc::dial::{Dialled, dial};
use milena_rpc::proto;
use milena_types::{BrokerEpoch, BrokerId};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

const DIAL_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a suspicion is followed up.
const FOLLOW_UP: Duration = Duration::from_secs(15);
const REPORT_DEADLINE: Duration = Duration::from_secs(2);
const REPORT_ATTEMPT: Duration = Duration::from_secs(1);
/// The pause between two reports.
const PAUSE: Duration = Duration::from_millis(50);
/// The first pause before a peer that is not known to be gone is dialled again; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// A peer that still answers after this long lives.
const BENEFIT_OF_DOUBT: Duration = Duration::from_millis(700);

/// Whom to watch for, and how to tell.
pub(super) struct Suspicion {
    pub(super) broker: BrokerId,
    pub(super) listener: String,
    pub(super) cache: Arc<MetadataCache>,
    pub(super) client: ControllerClient,
}

/// Follows up lost peers until all senders are gone. To be run inside a `LocalSet`.
pub(super) async fn run(suspicion: Suspicion, mut lost: mpsc::UnboundedReceiver<BrokerId>) {
    let suspicion = Rc::new(suspicion);
    let followed = Rc::new(std::cell::RefCell::new(HashSet::new()));
    while let Some(peer) = lost.recv().await {
        if peer == suspicion.broker || !followed.borrow_mut().insert(peer) {
            continue;
        }
        let (suspicion, followed) = (Rc::clone(&suspicion), Rc::clone(&followed));
        tokio::task::spawn_local(async move {
            suspicion.follow_up(peer).await;
            followed.borrow_mut().remove(&peer);
        });
    }
}

impl Suspicion {
    async fn follow_up(&self, peer: BrokerId) {
        let Some((epoch, address)) = self.suspect(&self.cache.image(), peer) else {
            return;
        };
        let start = Instant::now();
        let mut pause = PAUSE_MIN;
        while start.elapsed() < FOLLOW_UP {
            if self
                .suspect(&self.cache.image(), peer)
                .is_none_or(|(now, _)| now != epoch)
            {
                return;
            }
            match dial(&address, DIAL_TIMEOUT).await {
                Dialled::Refused | Dialled::Vanished => {}
                Dialled::Answered if start.elapsed() >= BENEFIT_OF_DOUBT => {
                    self.cache.dispel(peer);
                    return;
                }
                Dialled::Answered | Dialled::Unclear => {
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                    continue;
                }
            }
            match self.report(peer, epoch).await {
                Ok(true) => {
                    tracing::info!(%peer, %epoch, "controller fenced a peer that this broker saw die");
                    return;
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "suspicion not delivered"
                    );
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// The peer's registration and address, while it is registered and not fenced.
    fn suspect(&self, image: &MetadataImage, peer: BrokerId) -> Option<(BrokerEpoch, String)> {
        let broker = image.brokers.get(&peer).filter(|broker| !broker.fenced)?;
        let endpoint = broker.endpoints.iter().find(|e| e.listener == self.listener)?;
        Some((broker.epoch, authority(&endpoint.host, endpoint.port)))
    }

    async fn report(
        &self,
        peer: BrokerId,
        epoch: BrokerEpoch,
    ) -> Result<bool, super::client::ControllerError> {
        let request = proto::SuspectBrokerRequest {
            reporter: self.broker.0,
            broker: peer.0,
            epoch: epoch.0,
        };
        let response = self
            .client
            .call(REPORT_DEADLINE, REPORT_ATTEMPT, |mut stub| async move {
                stub.suspect_broker(request).await
            })
            .await?;
        Ok(response.fenced)
    }
}
