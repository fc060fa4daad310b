//! The control thread of a broker: makes everything, keeps the control tasks running, and takes everything down again.

use super::doors::open_when_unfenced;
use super::error::StartError;
use super::first_image;
use super::listeners::{Bound, bind, endpoints, serve_all};
use crate::config::BrokerConfig;
use crate::controller::{
    BrokerControl, BrokerSelf, BrokerState, ClusterHandle, ControllerClient, Registration, Subscription,
};
use crate::coordinator::{ClusterView, Groups};
use crate::kafka::{KafkaContext, KafkaParts};
use crate::metadata::{MetadataCache, MetadataUpdate, SavedImage};
use crate::shard::{ControlPlane, DataThreads, DataThreadsConfig, LogDirs, Router};
use milena_rpc::proto::FindClusterRequest;
use milena_types::{BrokerId, ClusterId};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// One attempt to learn the cluster's id.
const ATTEMPT: Duration = Duration::from_secs(1);
/// Longest wait for the controller's answers on what the start has found out about replicas.
const REPORTS: Duration = Duration::from_secs(30);
/// The pause while the quorum has not agreed on an id.
const PAUSE: Duration = Duration::from_millis(50);

/// What the process learns of a broker that is ready.
pub(super) struct Ready {
    pub(super) config: Arc<BrokerConfig>,
    pub(super) addresses: Vec<(String, SocketAddr)>,
    pub(super) router: Router,
    pub(super) metadata: Arc<MetadataCache>,
    pub(super) state: watch::Receiver<BrokerState>,
}

/// A broker that runs.
struct Running {
    config: Arc<BrokerConfig>,
    registration: Arc<Registration>,
    threads: DataThreads,
    dirs: Arc<LogDirs>,
    /// Ends the listeners and the coordinator.
    serving: CancellationToken,
    /// Ends with the registration, if that is refused.
    lifecycle: tokio::task::JoinHandle<()>,
}

/// The life of the control thread. True when the broker stopped cleanly.
pub(super) async fn run(
    config: Arc<BrokerConfig>,
    ready: oneshot::Sender<Result<Ready, StartError>>,
    shutdown: CancellationToken,
    hurry: CancellationToken,
) -> bool {
    let started = tokio::select! {
        started = start(&config) => started,
        () = shutdown.cancelled() => Err(StartError::Stopped),
    };
    let mut running = match started {
        Ok((told, running)) => {
            // Nobody may wait for it.
            let _ = ready.send(Ok(told));
            running
        }
        Err(error) => {
            let _ = ready.send(Err(error));
            return false;
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => running.stop(Some(hurry)).await,
        () = running.dirs.exhausted() => {
            tracing::error!("no log directory is left: the broker stops");
            running.stop(None).await
        }
        _ = &mut running.lifecycle => {
            tracing::error!("the controller does not take this broker any more; it stops");
            running.stop(None).await
        }
    }
}

/// What the controller is told of this broker.
fn introduce(config: &BrokerConfig, cluster: ClusterId, bound: &[Bound], dirs: &LogDirs) -> BrokerSelf {
    BrokerSelf {
        broker: config.node_id,
        cluster: Some(cluster),
        endpoints: endpoints(bound),
        rack: config.rack.clone(),
        directories: dirs.directories(),
        unreadable_directories: u32::try_from(dirs.unreadable()).unwrap_or(u32::MAX),
        previous_epoch: dirs.previous_epoch(),
    }
}

async fn start(config: &Arc<BrokerConfig>) -> Result<(Ready, Running), StartError> {
    let bound = bind(config)?;
    let addresses = bound
        .iter()
        .map(|bound| (bound.listener.name.clone(), bound.address))
        .collect();
    let client = ControllerClient::new(&config.controller_voters)?;
    let cluster = cluster_id(config, &client).await?;
    let dirs = Arc::new(LogDirs::open(&config.log_dirs, config.node_id, &cluster)?);
    // A saved image that cannot be read is the subscription's to tell of.
    if let Ok(Some(image)) = SavedImage::in_dir(&config.metadata_dir()).load() {
        dirs.remember_topics(&image);
    }
    let me = introduce(config, cluster, &bound, &dirs);
    let metadata = Arc::new(MetadataCache::new());
    let registration = Arc::new(Registration::new(config.session_timeout));
    let control = Arc::new(BrokerControl::start(
        config.node_id,
        &config.inter_broker_listener,
        Arc::clone(&registration),
        &client,
        &metadata,
    ));
    let threads = DataThreads::start(DataThreadsConfig {
        config: Arc::clone(config),
        dirs: Arc::clone(&dirs),
        control: Arc::clone(&control) as Arc<dyn ControlPlane>,
    })
    .map_err(StartError::Threads)?;
    let router = threads.router();
    let applied = follow_metadata(config, &client, &registration, &metadata, threads.router());
    registration
        .register(&me, &client, config.initial_registration_timeout)
        .await?;
    applied.await.map_err(|_| StartError::Gone)?;
    wait_reported(&control).await;
    let serving = CancellationToken::new();
    let cluster = ClusterHandle::new(Arc::clone(&metadata), client.clone(), config.request_timeout);
    let open = doors(config.node_id, &registration, &metadata);
    let updates = metadata.updates();
    serve(config, bound, &threads, cluster, updates, open, &serving).map_err(StartError::Threads)?;
    // Only a broker that serves asks to be unfenced.
    let lifecycle = tokio::task::spawn_local(live(
        Arc::clone(config),
        me,
        client,
        Arc::clone(&registration),
        Arc::clone(&metadata),
        router.clone(),
    ));
    let ready = Ready {
        config: Arc::clone(config),
        addresses,
        router,
        metadata,
        state: registration.state(),
    };
    Ok((
        ready,
        Running {
            config: Arc::clone(config),
            registration,
            threads,
            dirs,
            serving,
            lifecycle,
        },
    ))
}

/// Before the broker may be elected, the controller knows which of its replicas are no good.
async fn wait_reported(control: &BrokerControl) {
    let answered = tokio::time::timeout(REPORTS, control.reports_answered());
    if answered.await.is_err() {
        tracing::warn!("the controller has not answered what was reported about replicas");
    }
}

/// Turns true when clients may speak.
fn doors(
    broker: BrokerId,
    registration: &Arc<Registration>,
    metadata: &Arc<MetadataCache>,
) -> watch::Receiver<bool> {
    let (open, opened) = watch::channel(false);
    let (registration, metadata) = (Arc::clone(registration), Arc::clone(metadata));
    tokio::task::spawn_local(open_when_unfenced(broker, registration, metadata, open));
    opened
}

/// The cluster's id: configured, or asked from the controllers until one answers.
async fn cluster_id(config: &BrokerConfig, client: &ControllerClient) -> Result<ClusterId, StartError> {
    if let Some(cluster) = &config.cluster_id {
        return Ok(cluster.clone());
    }
    let deadline = tokio::time::Instant::now() + config.initial_registration_timeout;
    loop {
        let answer = client
            .call(
                config.initial_registration_timeout,
                ATTEMPT,
                |mut stub| async move { stub.find_cluster(FindClusterRequest {}).await },
            )
            .await
            .map_err(StartError::ClusterId)?;
        if let Some(cluster) = answer.cluster {
            return Ok(ClusterId(cluster));
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(StartError::NoCluster);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// From the controller's log to the cache, and from the cache to the partitions. Resolves when these have followed the first
/// image that counts: logs may have to be recovered, and that takes as long as it takes.
fn follow_metadata(
    config: &BrokerConfig,
    client: &ControllerClient,
    registration: &Arc<Registration>,
    cache: &Arc<MetadataCache>,
    router: Router,
) -> oneshot::Receiver<()> {
    let (applied, wait_applied) = oneshot::channel();
    let (registration, followed) = (Arc::clone(registration), Arc::clone(cache));
    tokio::task::spawn_local(first_image::follow(
        config.node_id,
        registration,
        followed,
        router,
        applied,
    ));
    let saved = SavedImage::in_dir(&config.metadata_dir());
    let subscription = Subscription::new(config.node_id, client.clone(), Arc::clone(cache), saved);
    tokio::task::spawn_local(subscription.run());
    wait_applied
}

/// Heartbeats until the controller lets the broker go, or refuses it; others lead while a data thread does not come back from a disk.
async fn live(
    config: Arc<BrokerConfig>,
    me: BrokerSelf,
    client: ControllerClient,
    registration: Arc<Registration>,
    cache: Arc<MetadataCache>,
    router: Router,
) {
    let beats = registration.run(&me, &client, &cache, config.heartbeat_interval);
    let turns = router.watch_turns(config.replica.flush_stall, |stuck| registration.set_stuck(stuck));
    let ended = tokio::select! {
        ended = beats => ended,
        () = turns => Ok(()),
    };
    if let Err(error) = ended {
        let error: &dyn std::error::Error = &error;
        tracing::error!(error, "registration ended");
    }
}

/// Starts the coordinator and the listeners.
fn serve(
    config: &Arc<BrokerConfig>,
    bound: Vec<Bound>,
    threads: &DataThreads,
    cluster: ClusterHandle,
    updates: mpsc::UnboundedReceiver<MetadataUpdate>,
    open: watch::Receiver<bool>,
    serving: &CancellationToken,
) -> std::io::Result<()> {
    let router = threads.router();
    let metadata = Arc::clone(cluster.cache());
    let cluster: Arc<dyn ClusterView> = Arc::new(cluster);
    let (groups, host) = Groups::create(
        &config.group,
        router.clone(),
        router.leadership_events(),
        Arc::clone(&cluster),
    );
    tokio::task::spawn_local(host.run(serving.child_token()));
    tokio::task::spawn_local(groups.clone().follow_deletions(updates));
    let kafka = KafkaContext::new(KafkaParts {
        config: Arc::clone(config),
        metadata,
        cluster,
        router,
        groups,
        open,
    });
    serve_all(bound, &config.inter_broker_listener, threads, &kafka, serving)
}

impl Running {
    /// Takes the broker down. `Some`: the controller moves the leaders away first, until that token hurries.
    async fn stop(self, hand_over: Option<CancellationToken>) -> bool {
        let epoch = self.registration.epoch();
        if let Some(hurry) = hand_over.filter(|_| self.config.controlled_shutdown) {
            let deadline = self.config.controlled_shutdown_timeout;
            let moved = tokio::select! {
                moved = self.registration.controlled_shutdown(deadline) => moved,
                () = hurry.cancelled() => false,
            };
            if !moved {
                tracing::warn!("the controller has not moved all leaders away");
            }
        }
        self.serving.cancel();
        self.lifecycle.abort();
        let clean = self.threads.shutdown().await;
        if !clean {
            return false;
        }
        match epoch.map(|epoch| self.dirs.write_clean_shutdown(epoch)) {
            Some(Ok(())) | None => true,
            Some(Err(error)) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "the next start will recover the logs");
                false
            }
        }
    }
}
