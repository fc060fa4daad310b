//! What a controller is told at its start, and why it may refuse.

use crate::store::StoreError;
use milena_metadata::config::BrokerDefaults;
use milena_types::{BrokerId, ClusterId};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

pub use crate::store::StoreOptions;

/// One voter of the quorum (`controller.quorum.voters`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Its `node.id`.
    pub id: BrokerId,
    /// The host of its controller listener.
    pub host: String,
    /// The port of its controller listener.
    pub port: u16,
}

impl Voter {
    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        milena_rpc::channel::authority(&self.host, self.port)
    }
}

/// Where the controller serves.
#[derive(Debug)]
pub enum Listen {
    /// Bind this address.
    Address(SocketAddr),
    /// A listener that is bound already.
    Bound(TcpListener),
}

/// The configuration of a controller.
#[derive(Debug)]
pub struct ControllerConfig {
    /// `node.id`; must be one of the voters.
    pub node_id: BrokerId,
    /// The static quorum, the same on every voter.
    pub voters: Vec<Voter>,
    /// The controller listeners; all serve the same.
    pub listen: Vec<Listen>,
    /// `metadata.log.dir`; the database is the folder `__cluster_metadata-0` in it.
    pub metadata_dir: PathBuf,
    /// The cluster's id. Without one the first leader of a new cluster makes one up.
    pub cluster_id: Option<ClusterId>,
    /// How often a leader shows that it is alive.
    pub heartbeat: Duration,
    /// The shortest election timeout.
    pub election_min: Duration,
    /// The longest election timeout, and the leader's lease.
    pub election_max: Duration,
    /// `broker.session.timeout.ms`.
    pub session_timeout: Duration,
    /// `leader.imbalance.check.interval.seconds`; `None` when `auto.leader.rebalance.enable` is false.
    pub rebalance_interval: Option<Duration>,
    /// `unclean.leader.election.interval.ms`: how often leaderless partitions of topics that allow it are looked at.
    pub unclean_interval: Duration,
    /// `inter.broker.listener.name`: where the brokers reach each other, and where a suspect is dialled.
    pub inter_broker_listener: String,
    /// Defaults for topics.
    pub defaults: BrokerDefaults,
    /// A snapshot is written after so many entries; `None` for 5,000.
    pub snapshot_entries: Option<u64>,
    /// So many entries are kept behind a snapshot; `None` for 2,000.
    pub log_entries_kept: Option<u64>,
    /// Bounds on what the database takes.
    pub store: StoreOptions,
}

impl ControllerConfig {
    /// A configuration with default timing: heartbeat 200 ms, election 600 to 1,200 ms, session 9 s.
    #[must_use]
    pub fn new(
        node_id: BrokerId,
        voters: Vec<Voter>,
        metadata_dir: PathBuf,
        defaults: BrokerDefaults,
    ) -> Self {
        Self {
            node_id,
            voters,
            listen: Vec::new(),
            metadata_dir,
            cluster_id: None,
            heartbeat: Duration::from_millis(200),
            election_min: Duration::from_millis(600),
            election_max: Duration::from_millis(1_200),
            session_timeout: Duration::from_secs(9),
            rebalance_interval: Some(Duration::from_secs(300)),
            unclean_interval: Duration::from_secs(300),
            inter_broker_listener: "PLAINTEXT".to_owned(),
            defaults,
            snapshot_entries: None,
            log_entries_kept: None,
            store: StoreOptions::default(),
        }
    }

    /// This node is among the voters, and no two are the same.
    pub(crate) fn check_voters(&self) -> Result<(), ControllerError> {
        for (position, voter) in self.voters.iter().enumerate() {
            let before = &self.voters[..position];
            if voter.id.0 < 0
                || before
                    .iter()
                    .any(|other| other.id == voter.id || other.address() == voter.address())
            {
                return Err(ControllerError::BadVoter(voter.id));
            }
        }
        match self.voters.iter().any(|voter| voter.id == self.node_id) {
            true => Ok(()),
            false => Err(ControllerError::NotAVoter(self.node_id)),
        }
    }
}

/// Why a controller did not start.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// `node.id` is not among the voters.
    #[error("node {0} is not in controller.quorum.voters")]
    NotAVoter(BrokerId),
    /// A negative id, or an id or address that another voter has.
    #[error("controller.quorum.voters: voter {0} is negative or there twice")]
    BadVoter(BrokerId),
    /// Timing that contradicts itself.
    #[error("raft settings are invalid: {0}")]
    Settings(String),
    /// A voter's address does not parse.
    #[error("controller.quorum.voters: {0}")]
    Address(#[from] milena_rpc::channel::AddressError),
    /// A listener cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The metadata on disk belongs to another cluster.
    #[error("the metadata in {} belongs to cluster {found}, this node is configured for cluster {configured}", path.display())]
    WrongCluster {
        /// The database.
        path: PathBuf,
        /// The cluster of the metadata.
        found: ClusterId,
        /// The cluster of the configuration.
        configured: ClusterId,
    },
    /// The control thread or its runtime cannot be made.
    #[error("cannot start the control thread: {0}")]
    Thread(io::Error),
    /// Raft refuses to start: damaged storage, mostly.
    #[error("raft cannot start: {0}")]
    Raft(String),
}
