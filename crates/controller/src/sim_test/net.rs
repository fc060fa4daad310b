//! The network: messages are late, lost, doubled and cut off in one direction; streams break and stall.

use super::world::World;
use crate::raft::codec;
use crate::raft::types::TypeConfig;
use crate::raft::wire::{Answers, Connect, Method, Wire};
use crate::running::Front;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use milena_rpc::channel::AddressError;
use milena_rpc::dial::Dialled;
use milena_rpc::proto::controller_server::Controller;
use milena_rpc::proto::raft_server::Raft;
use milena_rpc::proto::{FindClusterRequest, FindClusterResponse, RaftMessage};
use openraft::raft::{AppendEntriesRequest, VoteResponse};
use rand::Rng;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};

/// What the network does at the moment.
#[derive(Debug, Default)]
pub(super) struct Weather {
    /// Nothing goes from the first to the second.
    pub(super) cuts: BTreeSet<(u64, u64)>,
    /// So many of a thousand messages are lost.
    pub(super) lost: u64,
    /// So many of a thousand messages come a second time, later.
    pub(super) doubled: u64,
    /// So many of a thousand messages are late by up to 400 ms.
    pub(super) slow: u64,
    /// So many of a thousand answers to clients are lost.
    pub(super) unheard: u64,
}

/// A message did not arrive.
#[derive(Debug)]
pub(super) struct Lost;

/// Where voter `id` listens.
pub(super) fn host(id: u64) -> String {
    format!("v{id}")
}

impl World {
    /// One message on its way; returns when it arrives.
    pub(super) async fn pass(&self, what: &str, from: u64, to: u64, payload: &[u8]) -> Result<(), Lost> {
        let (lost, delay) = {
            let mut inner = self.lock();
            let lots = inner.rng.random_range(0..1_000);
            let lost = lots < inner.weather.lost || inner.weather.cuts.contains(&(from, to));
            let is_slow = inner.rng.random_range(0..1_000) < inner.weather.slow;
            let most = if is_slow { 400_000 } else { 3_000 };
            (lost, Duration::from_micros(inner.rng.random_range(200..most)))
        };
        tokio::time::sleep(delay).await;
        {
            let mut inner = self.lock();
            // A cut takes what is on its way, too.
            let lost = lost || inner.weather.cuts.contains(&(from, to));
            inner.trace.note(what, from, to, payload);
            if lost {
                inner.trace.count("lost messages");
                return Err(Lost);
            }
        }
        self.judge();
        Ok(())
    }

    fn is_doubled(&self) -> bool {
        let mut inner = self.lock();
        inner.rng.random_range(0..1_000) < inner.weather.doubled
    }

    fn has_vanished(&self, id: u64) -> bool {
        self.lock().nodes.get(&id).is_some_and(|node| node.vanished)
    }
}

/// Connects to simulated voters.
#[derive(Debug)]
pub(super) struct SimConnect {
    pub(super) world: World,
    pub(super) from: u64,
}

impl Connect for SimConnect {
    fn connect(&self, address: &str) -> Result<Arc<dyn Wire>, AddressError> {
        let host = address.split(':').next().unwrap();
        Ok(Arc::new(SimWire {
            world: self.world.clone(),
            from: self.from,
            to: host[1..].parse().unwrap(),
        }))
    }
}

/// The way from one voter to another.
#[derive(Clone, Debug)]
struct SimWire {
    world: World,
    from: u64,
    to: u64,
}

fn refused() -> Status {
    Status::unavailable("nobody listens")
}

impl SimWire {
    /// There, the work, and back; a lost message is an answer that never comes.
    async fn round<T: Send + 'static>(
        self,
        what: &'static str,
        payload: Vec<u8>,
        work: impl FnOnce(Arc<Front>) -> BoxFuture<'static, Result<T, Status>> + Send,
    ) -> Result<T, Status> {
        let Self { world, from, to } = self;
        if world.pass(what, from, to, &payload).await.is_err() || world.has_vanished(to) {
            return std::future::pending().await;
        }
        let (front, life) = world.front(to).ok_or_else(refused)?;
        // On a task of its own: who asks may give up, the work is done all the same.
        let answer = tokio::spawn(work(front)).await.map_err(|_| refused())?;
        if world.life(to) != life {
            return Err(refused());
        }
        if world.pass("answer", to, from, what.as_bytes()).await.is_err() {
            world.count("lost answers between voters");
            return std::future::pending().await;
        }
        answer
    }

    /// The requests of one stream on their way to the follower.
    async fn carry(
        self,
        mut requests: mpsc::Receiver<RaftMessage>,
        arrived: mpsc::Sender<Result<RaftMessage, Status>>,
    ) {
        let Self { world, from, to } = self;
        let lives = (world.life(from), world.life(to));
        while let Some(message) = requests.recv().await {
            if world.pass("append", from, to, &message.payload).await.is_err()
                || (world.life(from), world.life(to)) != lives
            {
                break;
            }
            if let Ok(append) = codec::decode::<AppendEntriesRequest<TypeConfig>>(&message.payload) {
                world
                    .lock()
                    .oracle
                    .leads(append.vote.leader_id.term, append.vote.leader_id.node_id);
            }
            if world.is_doubled() {
                tokio::spawn(again(world.clone(), (from, to), message.clone()));
            }
            if arrived.send(Ok(message)).await.is_err() {
                break;
            }
        }
        if world.has_vanished(from) || world.lock().weather.cuts.contains(&(from, to)) {
            // No word of the end comes through.
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
    }
}

/// A request that comes a second time, when its time may be over.
async fn again(world: World, (from, to): (u64, u64), message: RaftMessage) {
    tokio::time::sleep(world.millis(1..800)).await;
    if world
        .pass("append again", from, to, &message.payload)
        .await
        .is_ok()
        && let Some((front, _)) = world.front(to)
    {
        world.count("doubled appends");
        // Its answer goes nowhere.
        let _ = front.raft.append(Request::new(message)).await;
    }
}

impl Wire for SimWire {
    fn call(&self, method: Method, message: RaftMessage) -> BoxFuture<'static, Result<RaftMessage, Status>> {
        if method != Method::TransferLeader && self.world.is_doubled() {
            self.world.count("doubled votes");
            tokio::spawn(call_again(self.clone(), method, message.clone()));
        }
        let (world, to, payload) = (self.world.clone(), self.to, message.payload.to_vec());
        let work = move |front| called(world, front, method, to, message).boxed();
        self.clone().round("call", payload, work).boxed()
    }

    fn append_stream(
        &self,
        requests: mpsc::Receiver<RaftMessage>,
    ) -> BoxFuture<'static, Result<Answers, Status>> {
        let wire = self.clone();
        async move {
            let Self { world, from, to } = wire.clone();
            if world.pass("open", from, to, &[]).await.is_err() || world.has_vanished(to) {
                return std::future::pending().await;
            }
            let (front, life) = world.front(to).ok_or_else(refused)?;
            let (arrived, input) = mpsc::channel(16);
            let (back, output) = mpsc::channel(16);
            tokio::spawn(wire.carry(requests, arrived));
            let mut answers = front.raft.appends(ReceiverStream::new(input))?;
            drop(front);
            tokio::spawn(async move {
                while let Some(answer) = answers.next().await {
                    let payload = answer
                        .as_ref()
                        .map_or_else(|_| Bytes::new(), |message| message.payload.clone());
                    if world.life(to) != life {
                        break;
                    }
                    if world.pass("appended", to, from, &payload).await.is_err() {
                        world.count("lost answers between voters");
                        // The stream stalls, and then it is given up.
                        tokio::time::sleep(Duration::from_secs(2)).await;
                        break;
                    }
                    if back.send(answer).await.is_err() {
                        break;
                    }
                }
                if world.has_vanished(to) {
                    tokio::time::sleep(Duration::from_secs(4)).await;
                }
            });
            Ok(Box::pin(ReceiverStream::new(output)) as Answers)
        }
        .boxed()
    }

    fn snapshot(
        &self,
        begin: RaftMessage,
        content: Bytes,
    ) -> BoxFuture<'static, Result<RaftMessage, Status>> {
        let world = self.world.clone();
        let payload = begin.payload.to_vec();
        let round = self.clone().round("snapshot", payload, move |front| {
            async move {
                let answer = front.raft.whole_snapshot(&begin, content).await?.into_inner();
                world.count("snapshots installed");
                Ok(answer)
            }
            .boxed()
        });
        round.boxed()
    }

    fn find_cluster(&self) -> BoxFuture<'static, Result<FindClusterResponse, Status>> {
        let round = self.clone().round("find", Vec::new(), |front| {
            async move {
                let answer = front
                    .controller
                    .find_cluster(Request::new(FindClusterRequest {}))
                    .await?;
                Ok(answer.into_inner())
            }
            .boxed()
        });
        round.boxed()
    }

    fn dial(&self, patience: Duration) -> BoxFuture<'static, Dialled> {
        let Self { world, from, to } = self.clone();
        async move {
            let there = world.pass("dial", from, to, &[]).await.is_ok() && !world.has_vanished(to);
            if there && world.front(to).is_none() && world.pass("refused", to, from, &[]).await.is_ok() {
                return Dialled::Refused;
            }
            if there && world.front(to).is_some() && world.pass("accepted", to, from, &[]).await.is_ok() {
                return Dialled::Answered;
            }
            tokio::time::sleep(patience).await;
            Dialled::Unclear
        }
        .boxed()
    }
}

/// The same call a second time; nobody hears its answer.
async fn call_again(wire: SimWire, method: Method, message: RaftMessage) {
    let SimWire { world, from, to } = wire;
    tokio::time::sleep(world.millis(1..800)).await;
    if let Some((front, _)) = world.front(to)
        && world.pass("call again", from, to, &message.payload).await.is_ok()
    {
        let _ = called(world, front, method, to, message).await;
    }
}

/// A call at the node that it is for; a vote that it gives is judged.
async fn called(
    world: World,
    front: Arc<Front>,
    method: Method,
    voter: u64,
    message: RaftMessage,
) -> Result<RaftMessage, Status> {
    let request = Request::new(message);
    let answer = match method {
        Method::Vote => front.raft.vote(request).await,
        Method::PreVote => front.raft.pre_vote(request).await,
        Method::TransferLeader => front.raft.transfer_leader(request).await,
    };
    match &answer {
        Ok(vote) if method == Method::Vote => {
            let vote: VoteResponse<TypeConfig> = codec::decode(&vote.get_ref().payload).unwrap();
            if vote.vote_granted {
                let candidate = vote.vote.leader_id;
                let mut inner = world.lock();
                inner.oracle.votes(voter, candidate.term, candidate.node_id);
            }
        }
        Err(status) if status.code() == tonic::Code::FailedPrecondition => {
            world.count("votes refused by the gate");
        }
        Ok(_) | Err(_) => {}
    }
    Ok(answer?.into_inner())
}
