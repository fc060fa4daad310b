//! The other voters: one way to each, and who we say we are.

use super::wire::{Connect, Wire};
use crate::config::{ControllerError, Voter};
use crate::publish::CommittedLog;
use milena_rpc::channel::AddressError;
use milena_rpc::proto;
use milena_types::{BrokerId, ClusterId};
use std::collections::BTreeMap;
use std::sync::Arc;
use tonic::{Code, Status};

/// This node towards its peers.
#[derive(Debug)]
pub(crate) struct Identity {
    node: u64,
    configured: Option<ClusterId>,
    committed: Arc<CommittedLog>,
}

impl Identity {
    pub(crate) fn new(node: BrokerId, configured: Option<ClusterId>, committed: Arc<CommittedLog>) -> Self {
        Self {
            node: voter_key(node),
            configured,
            committed,
        }
    }

    /// This node's id as raft names it.
    pub(crate) fn node(&self) -> u64 {
        self.node
    }

    /// The cluster: as committed, else as configured; `None` while it is not known.
    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.committed
            .image()
            .cluster
            .clone()
            .or_else(|| self.configured.clone())
    }

    /// A message for the voter `to`.
    pub(crate) fn message(&self, to: u64, payload: Vec<u8>) -> proto::RaftMessage {
        proto::RaftMessage {
            format: u32::from(super::codec::FORMAT),
            to: i32::try_from(to).unwrap_or(-1),
            cluster: self.cluster().map(|id| id.0).unwrap_or_default(),
            payload: payload.into(),
        }
    }

    /// Refuses what was meant for another node or another cluster, or is of another format.
    pub(crate) fn check(&self, message: &proto::RaftMessage) -> Result<(), Status> {
        let refuse = |text: String| Err(Status::new(Code::InvalidArgument, text));
        if message.format != u32::from(super::codec::FORMAT) {
            return refuse(format!(
                "raft message has format {}, this node speaks {}",
                message.format,
                super::codec::FORMAT
            ));
        }
        if u64::try_from(message.to).ok() != Some(self.node) {
            return refuse(format!(
                "this is node {}, the message is for node {}",
                self.node, message.to
            ));
        }
        match self.cluster() {
            Some(own) if !message.cluster.is_empty() && message.cluster != own.0 => refuse(format!(
                "this node is of cluster {own}, the message of cluster {}",
                message.cluster
            )),
            _ => Ok(()),
        }
    }
}

/// A node id as raft names it. Ids are checked to be 0 or more when they are configured.
pub(crate) fn voter_key(id: BrokerId) -> u64 {
    u64::try_from(id.0).unwrap_or(u64::MAX)
}

/// A raft name as node id.
pub(crate) fn broker_id(key: u64) -> BrokerId {
    BrokerId(i32::try_from(key).unwrap_or(-1))
}

/// All voters of the configuration, this node included, by raft name.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    known: Arc<BTreeMap<u64, Arc<dyn Wire>>>,
    connect: Arc<dyn Connect>,
}

impl Peers {
    /// All of these voters, reached through `connect`.
    pub(crate) fn new(voters: &[Voter], connect: Arc<dyn Connect>) -> Result<Self, ControllerError> {
        let mut known = BTreeMap::new();
        for voter in voters {
            known.insert(voter_key(voter.id), connect.connect(&voter.address())?);
        }
        Ok(Self {
            known: Arc::new(known),
            connect,
        })
    }

    /// The way to a voter that the configuration does not name.
    pub(crate) fn connect(&self, address: &str) -> Result<Arc<dyn Wire>, AddressError> {
        self.connect.connect(address)
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Arc<dyn Wire>> {
        self.known.get(&id)
    }

    /// The voters in the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Arc<dyn Wire>)> {
        self.known.iter().map(|(id, peer)| (*id, peer))
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }
}
