//! Everything that runs on the control thread: raft, planner, gRPC front; started and stopped in order.

use crate::bootstrap::{JoinError, Joiner, VoteGate, wake};
use crate::config::{ControllerConfig, ControllerError, Voter};
use crate::handle::{Shared, Stop};
use crate::planner::{Planner, PlannerHandle, PlannerSettings, Prober, Seeds};
use crate::publish::CommittedLog;
use crate::raft::caught_up::CaughtUp;
use crate::raft::grpc::Grpc;
use crate::raft::network::Network;
use crate::raft::peers::{Identity, Peers, voter_key};
use crate::raft::pulse::LastHeard;
use crate::raft::service::RaftService;
use crate::raft::settings::raft_config;
use crate::raft::types::Raft;
use crate::raft::wire::Connect;
use crate::raft::{early_election, majority, pulse};
use crate::service::{ControllerService, Quorum};
use crate::store::{Store, StoreError};
use milena_rpc::channel::{self, MESSAGE_BYTES_MAX};
use milena_rpc::proto::controller_server::ControllerServer;
use milena_rpc::proto::raft_server::RaftServer;
use openraft::async_runtime::WatchReceiver;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;

/// How long an orderly exit waits for another leader.
const HAND_OVER: Duration = Duration::from_millis(500);

/// Everything that runs.
pub(crate) struct Running {
    pub(crate) shared: Arc<Shared>,
    raft: Raft,
    planner: JoinHandle<()>,
    joiner: JoinHandle<Result<(), JoinError>>,
    background: Vec<JoinHandle<()>>,
}

/// What others may call, once it is served.
pub(crate) struct Front {
    pub(crate) raft: Arc<RaftService>,
    pub(crate) controller: ControllerService,
}

/// What a controller is given from outside its process.
pub(crate) struct Outside<'a> {
    pub(crate) store: &'a Store,
    /// Where the store is.
    pub(crate) path: PathBuf,
    /// How other voters are reached.
    pub(crate) connect: Arc<dyn Connect>,
    pub(crate) seeds: Seeds,
}

/// Raft and what it stands on, built but not running.
struct Core {
    raft: Raft,
    committed: Arc<CommittedLog>,
    peers: Peers,
    identity: Arc<Identity>,
    gate: Arc<VoteGate>,
    voters: Arc<[Voter]>,
    /// Its log is empty or half restored.
    joining: Option<Joiner>,
}

impl Core {
    async fn build(config: &ControllerConfig, outside: &Outside<'_>) -> Result<Self, ControllerError> {
        let (store, path) = (outside.store, &outside.path);
        let damaged = |source| StoreError::Damaged {
            path: path.to_owned(),
            source,
        };
        let committed = Arc::new(CommittedLog::default());
        let state_machine = store.state_machine(Arc::clone(&committed)).map_err(damaged)?;
        let peers = Peers::new(&config.voters, Arc::clone(&outside.connect))?;
        let identity = Identity::new(config.node_id, config.cluster_id.clone(), Arc::clone(&committed));
        let identity = Arc::new(identity);
        let network = Network::new(Arc::clone(&identity), peers.clone());
        let settings = Arc::new(raft_config(config)?);
        let raft = Raft::build(identity.node(), settings, network, store.log(), state_machine).await;
        let raft = raft.map_err(|error| ControllerError::Raft(error.to_string()))?;
        check_cluster(config, &committed, path)?;
        check_voters(&raft, &config.voters);
        let gate = Arc::new(VoteGate::default());
        let voters: Arc<[Voter]> = config.voters.clone().into();
        let joiner = Joiner {
            raft: raft.clone(),
            peers: peers.clone(),
            voters: Arc::clone(&voters),
            gate: Arc::clone(&gate),
            marker: store.marker(),
        };
        let joining = joiner.prepare().await.map_err(damaged)?.then_some(joiner);
        Ok(Self {
            raft,
            committed,
            peers,
            identity,
            gate,
            voters,
            joining,
        })
    }
}

/// What a voter does first: it enters the quorum, or helps it to a leader.
async fn join(joining: Option<Joiner>, quorum: Quorum, peers: Peers) -> Result<(), JoinError> {
    match joining {
        Some(joiner) => joiner.join().await?,
        None => wake::run(quorum, peers).await,
    }
    Ok(())
}

impl Running {
    /// Starts everything and serves it over gRPC.
    pub(crate) async fn start(
        config: ControllerConfig,
        listeners: Vec<TcpListener>,
        store: &Store,
        path: PathBuf,
    ) -> Result<Self, ControllerError> {
        let outside = Outside {
            store,
            path,
            connect: Arc::new(Grpc),
            seeds: Seeds::Random,
        };
        let (mut running, front) = Self::assemble(config, outside).await?;
        for listener in listeners {
            running
                .background
                .push(serve(listener, &front.raft, front.controller.clone())?);
        }
        Ok(running)
    }

    /// Builds everything, then lets raft run. The front must be served only after this.
    pub(crate) async fn assemble(
        config: ControllerConfig,
        outside: Outside<'_>,
    ) -> Result<(Self, Front), ControllerError> {
        let Core {
            raft,
            committed,
            peers,
            identity,
            gate,
            voters,
            joining,
        } = Core::build(&config, &outside).await?;
        let (planner, input) = PlannerHandle::channel();
        let prober = Prober::new(
            planner.clone(),
            Arc::clone(&committed),
            &config.inter_broker_listener,
        );
        let heard = LastHeard::default();
        let caught_up = CaughtUp::default();
        let quorum = Quorum {
            raft: raft.clone(),
            committed: Arc::clone(&committed),
            gate: Arc::clone(&gate),
            voters,
            node: config.node_id,
            heard: heard.clone(),
            patience: config.election_max,
            caught_up: caught_up.clone(),
        };
        let shared = Shared {
            quorum: quorum.clone(),
            planner: planner.observed(),
            syncs: outside.store.syncs(),
        };
        let (evidence, received) = mpsc::channel(16);
        let raft_service = RaftService::new(raft.clone(), identity, gate, evidence, heard.clone());
        let awake = quorum.clone();
        let early = early_election::run(raft.clone(), peers.clone(), received, planner.observed());
        let front = Front {
            raft: raft_service,
            controller: ControllerService::new(planner, quorum, prober.clone()),
        };
        raft.run();
        if joining.is_none() {
            // Refused: raft has stopped, which the planner reports.
            let _ = wake::forget_lease(&raft, &peers).await;
        }
        let background = vec![
            tokio::spawn(early),
            tokio::spawn(pulse::run(
                raft.clone(),
                heard.clone(),
                caught_up,
                config.heartbeat,
                config.election_max,
            )),
        ];
        let settings = planner_settings(config, outside.seeds, heard);
        let planner = Planner::new(raft.clone(), committed, settings, input, prober);
        let running = Self {
            shared: Arc::new(shared),
            raft,
            planner: tokio::spawn(planner.run()),
            joiner: tokio::spawn(join(joining, awake, peers)),
            background,
        };
        Ok((running, front))
    }

    /// Runs until it is told to stop, or cannot go on.
    pub(crate) async fn until(mut self, stop: oneshot::Receiver<Stop>) -> Result<(), String> {
        let mut joined = false;
        tokio::pin!(stop);
        let stop = loop {
            tokio::select! {
                // A dropped handle is an orderly stop.
                stop = &mut stop => break stop.unwrap_or(Stop::Orderly),
                _ = &mut self.planner => {
                    let state = self.raft.metrics().borrow_watched().running_state.clone();
                    let reason = state.err().map_or_else(|| "raft has stopped".to_owned(), |fatal| fatal.to_string());
                    tracing::error!(reason, "the controller cannot go on");
                    return Err(reason);
                }
                end = &mut self.joiner, if !joined => {
                    joined = true;
                    if let Ok(Err(error)) = end {
                        tracing::error!(%error, "the controller cannot join its quorum");
                        return Err(error.to_string());
                    }
                }
            }
        };
        if stop == Stop::Orderly {
            self.hand_over().await;
            for task in &self.background {
                task.abort();
            }
            if let Err(error) = self.raft.shutdown().await {
                tracing::warn!(%error, "raft did not stop cleanly");
            }
        }
        Ok(())
    }

    /// Lets the follower that is furthest ahead take over, so that nobody waits for an election.
    async fn hand_over(&self) {
        let mut metrics = self.raft.metrics();
        let heir = {
            let now = metrics.borrow_watched();
            let own = now.id;
            let followers = now.replication.iter().flatten().filter(|(id, _)| **id != own);
            followers.max_by_key(|(_, matched)| **matched).map(|(id, _)| *id)
        };
        let Some(heir) = heir else { return };
        if self.raft.trigger().transfer_leader(heir).await.is_err() {
            return;
        }
        let handed = async {
            while metrics.borrow_watched().state.is_leader() {
                if metrics.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(HAND_OVER, handed).await;
    }
}

#[cfg(test)]
impl Running {
    /// It stopped by itself.
    pub(crate) fn has_ended(&self) -> bool {
        self.planner.is_finished()
    }

    /// Ends everything at once, without a goodbye.
    pub(crate) async fn halt(self) {
        self.planner.abort();
        self.joiner.abort();
        for task in &self.background {
            task.abort();
        }
        // An error is the end that is wanted.
        let _ = self.raft.shutdown().await;
    }

    /// Hands leadership over and ends, as `until` does.
    pub(crate) async fn leave(self) {
        self.hand_over().await;
        self.halt().await;
    }
}

fn planner_settings(config: ControllerConfig, seeds: Seeds, heard: LastHeard) -> PlannerSettings {
    PlannerSettings {
        defaults: config.defaults,
        cluster: config.cluster_id,
        session_timeout: config.session_timeout,
        lease: majority::lease(config.election_max),
        rebalance_interval: config.rebalance_interval,
        unclean_interval: config.unclean_interval,
        seeds,
        heard,
    }
}

/// The configuration must not contradict what is on disk.
fn check_cluster(
    config: &ControllerConfig,
    committed: &CommittedLog,
    path: &Path,
) -> Result<(), ControllerError> {
    match (&config.cluster_id, &committed.image().cluster) {
        (Some(configured), Some(found)) if configured != found => Err(ControllerError::WrongCluster {
            path: path.to_owned(),
            found: found.clone(),
            configured: configured.clone(),
        }),
        _ => Ok(()),
    }
}

/// The configuration should name the voters that the quorum has.
fn check_voters(raft: &Raft, voters: &[Voter]) {
    let actual: BTreeSet<u64> = raft.voter_ids().collect();
    let configured: BTreeSet<u64> = voters.iter().map(|voter| voter_key(voter.id)).collect();
    if !actual.is_empty() && actual != configured {
        tracing::error!(
            ?actual,
            ?configured,
            "controller.quorum.voters names other voters than the quorum has: the quorum's count"
        );
    }
}

fn serve(
    listener: TcpListener,
    raft: &Arc<RaftService>,
    controller: ControllerService,
) -> Result<JoinHandle<()>, ControllerError> {
    let address = listener
        .local_addr()
        .map_or_else(|_| "listener".to_owned(), |address| address.to_string());
    let listener = tokio::net::TcpListener::from_std(listener).map_err(|source| ControllerError::Listen {
        address: address.clone(),
        source,
    })?;
    let raft = RaftServer::from_arc(Arc::clone(raft))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let controller = ControllerServer::new(controller)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let server = channel::server().add_service(raft).add_service(controller);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Ok(tokio::spawn(async move {
        if let Err(error) = server.serve_with_incoming(incoming).await {
            tracing::error!(%error, address, "the controller listener failed");
        }
    }))
}
