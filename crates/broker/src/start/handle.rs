//! A running broker, as its process sees it.

use super::control::{self, Ready};
use super::error::StartError;
use crate::config::BrokerConfig;
use crate::controller::BrokerState;
use crate::metadata::{MetadataCache, replica_metrics};
use crate::shard::Router;
use milena_metrics::Metric;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// A broker that can be started.
#[derive(Debug)]
pub struct Broker;

/// A started broker. Dropping it does not stop the broker: see [`BrokerHandle::shutdown`].
pub struct BrokerHandle {
    ready: Ready,
    shutdown: CancellationToken,
    hurry: CancellationToken,
    /// True when the broker stopped cleanly.
    ended: watch::Receiver<Option<bool>>,
}

impl Broker {
    /// Starts a broker: it has registered and serves its listeners when this returns. It leads and follows partitions as
    /// soon as the controller has unfenced it: see [`BrokerHandle::wait_active`].
    ///
    /// # Errors
    /// [`StartError`]: nothing is left running.
    ///
    /// # Cancel safety
    /// Dropping the future stops what has been started.
    pub async fn start(config: BrokerConfig) -> Result<BrokerHandle, StartError> {
        let (shutdown, hurry) = (CancellationToken::new(), CancellationToken::new());
        let (ready_sender, ready) = oneshot::channel();
        let (ended_sender, ended) = watch::channel(None);
        let config = Arc::new(config);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Threads)?;
        let (stop, skip) = (shutdown.clone(), hurry.clone());
        std::thread::Builder::new()
            .name("broker-control".to_owned())
            .spawn(move || {
                let tasks = tokio::task::LocalSet::new();
                let clean = tasks.block_on(&runtime, control::run(config, ready_sender, stop, skip));
                // Nobody may listen.
                let _ = ended_sender.send(Some(clean));
            })
            .map_err(StartError::Threads)?;
        let stop_if_abandoned = shutdown.clone().drop_guard();
        match ready.await {
            Ok(Ok(ready)) => Ok(BrokerHandle {
                ready,
                shutdown: stop_if_abandoned.disarm(),
                hurry,
                ended,
            }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::Gone),
        }
    }
}

impl BrokerHandle {
    /// Where each listener is bound.
    #[must_use]
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.ready.addresses
    }

    /// The broker's partitions.
    #[must_use]
    pub fn router(&self) -> Router {
        self.ready.router.clone()
    }

    /// The broker's metadata.
    #[must_use]
    pub fn metadata(&self) -> Arc<MetadataCache> {
        Arc::clone(&self.ready.metadata)
    }

    /// Figures of the broker, under Kafka's names.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        let config = &self.ready.config;
        let image = self.ready.metadata.image();
        let mut metrics = self.ready.router.metrics();
        metrics.extend(replica_metrics(&image, config.node_id, &config.topic_defaults));
        metrics
    }

    /// Follows the broker's state in the cluster.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<BrokerState> {
        self.ready.state.clone()
    }

    /// Resolves when the controller has unfenced the broker. False: it ended before.
    pub async fn wait_active(&self) -> bool {
        let mut state = self.state();
        let mut ended = self.ended.clone();
        tokio::select! {
            active = state.wait_for(|state| *state == BrokerState::Active) => active.is_ok(),
            _ = ended.wait_for(Option::is_some) => false,
        }
    }

    /// Resolves when the broker has ended, whoever ended it. True: cleanly.
    pub async fn wait(&self) -> bool {
        let mut ended = self.ended.clone();
        ended
            .wait_for(Option::is_some)
            .await
            .is_ok_and(|clean| *clean == Some(true))
    }

    /// Makes a [`BrokerHandle::shutdown`] that is under way stop waiting for its leaders to be moved.
    pub fn hurry(&self) {
        self.hurry.cancel();
    }

    /// Stops: moves the leaders away, closes all logs. True: cleanly.
    pub async fn shutdown(&self) -> bool {
        self.shutdown.cancel();
        self.wait().await
    }
}
