//! A controller quorum for tests: real gRPC servers on loopback, one state behind them, faults on demand.
//!
//! Each node runs on a runtime of its own, so that killing it closes its sockets as a killed process does.

use crate::config::ControllerVoter;
use milena_metadata::MetadataImage;
use milena_metadata::record::{BrokerRegistration, MetadataBatch, MetadataRecord};
use milena_metadata::request::{Outcome, RegisterBroker};
use milena_rpc::proto::controller_server::{Controller, ControllerServer};
use milena_rpc::proto::subscribe_event::Event;
use milena_rpc::{NotLeader, encode_batch, encode_image, proto};
use milena_types::{BrokerEpoch, BrokerId, ErrorCode};
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

/// Waits until `condition` holds.
pub(super) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A loopback listener on a port below the range from which the kernel takes outgoing ports.
pub(super) fn listen() -> std::net::TcpListener {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 18_000 + (std::process::id() % 10_000) as u16;
    for _ in 0..4_000 {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 4_000;
        if let Ok(socket) = std::net::TcpListener::bind(("127.0.0.1", port)) {
            return socket;
        }
    }
    panic!("no free port");
}

/// What the quorum has agreed on, what it was asked, and how it shall misbehave.
#[derive(Default)]
pub(super) struct State {
    pub(super) leader: Option<usize>,
    pub(super) image: MetadataImage,
    /// `batches[n]` leads from version n to n + 1.
    pub(super) batches: Vec<bytes::Bytes>,
    /// Followers that ask from a version below this one get an image.
    pub(super) trimmed: u64,
    pub(super) registrations: Vec<proto::RegisterBrokerRequest>,
    pub(super) heartbeats: Vec<proto::HeartbeatRequest>,
    pub(super) alters: Vec<proto::AlterPartitionRequest>,
    pub(super) reports: Vec<proto::ReportReplicasRequest>,
    pub(super) admins: Vec<proto::AdminRequest>,
    pub(super) suspects: Vec<proto::SuspectBrokerRequest>,
    pub(super) subscriptions: Vec<proto::SubscribeRequest>,
    /// Registrations are answered with these codes before one succeeds.
    pub(super) refuse_registrations: Vec<ErrorCode>,
    /// Reports on replicas are answered with these codes before they are taken.
    pub(super) refuse_reports: Vec<ErrorCode>,
    /// The next subscriptions get these events first.
    pub(super) nonsense: Vec<Event>,
    /// Administrative requests are refused as malformed.
    pub(super) refuse_admin: bool,
    /// The streams of this node say nothing more, and do not end.
    pub(super) silent: Option<usize>,
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    voters: Vec<ControllerVoter>,
    /// AlterPartition answers one request a permit.
    alter_permits: Semaphore,
}

#[derive(Clone)]
struct Service {
    node: usize,
    shared: Arc<Shared>,
}

/// The quorum; drop it to end it.
pub(super) struct FakeQuorum {
    shared: Arc<Shared>,
    nodes: Vec<Option<Runtime>>,
}

impl FakeQuorum {
    /// That many nodes with the ids 100, 101 …; the first leads.
    pub(super) fn start(nodes: usize) -> Self {
        let sockets: Vec<_> = (0..nodes).map(|_| listen()).collect();
        let voter = |(at, socket): (usize, &std::net::TcpListener)| ControllerVoter {
            id: BrokerId(100 + i32::try_from(at).unwrap()),
            host: "127.0.0.1".to_owned(),
            port: socket.local_addr().unwrap().port(),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                leader: Some(0),
                ..State::default()
            }),
            changed: watch::channel(0).0,
            voters: sockets.iter().enumerate().map(voter).collect(),
            alter_permits: Semaphore::new(Semaphore::MAX_PERMITS),
        });
        let nodes = sockets
            .into_iter()
            .enumerate()
            .map(|(node, socket)| {
                Some(serve(
                    Service {
                        node,
                        shared: Arc::clone(&shared),
                    },
                    socket,
                ))
            })
            .collect();
        Self { shared, nodes }
    }

    pub(super) fn voters(&self) -> &[ControllerVoter] {
        &self.shared.voters
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    /// Makes another node the leader, or none; the streams of the former one end.
    pub(super) fn elect(&self, leader: Option<usize>) {
        self.state().leader = leader;
        self.shared.changed.send_modify(|n| *n += 1);
    }

    /// Closes every socket of the node at once.
    pub(super) fn kill(&mut self, node: usize) {
        if let Some(runtime) = self.nodes[node].take() {
            runtime.shutdown_background();
        }
    }

    /// Starts a killed node again.
    pub(super) fn revive(&mut self, node: usize) {
        let port = self.shared.voters[node].port;
        let deadline = Instant::now() + Duration::from_secs(10);
        let socket = loop {
            match std::net::TcpListener::bind(("127.0.0.1", port)) {
                Ok(socket) => break socket,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        self.nodes[node] = Some(serve(
            Service {
                node,
                shared: Arc::clone(&self.shared),
            },
            socket,
        ));
    }

    /// Commits one batch.
    pub(super) fn commit(&self, records: Vec<MetadataRecord>) {
        self.shared.commit(&mut self.state(), records);
    }

    /// From now on AlterPartition is answered only by [`FakeQuorum::answer_alter`].
    pub(super) fn hold_alter(&self) {
        self.shared.alter_permits.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(super) fn answer_alter(&self) {
        self.shared.alter_permits.add_permits(1);
    }
}

impl Drop for FakeQuorum {
    fn drop(&mut self) {
        for node in 0..self.nodes.len() {
            self.kill(node);
        }
    }
}

fn serve(service: Service, socket: std::net::TcpListener) -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    socket.set_nonblocking(true).unwrap();
    let guard = runtime.enter();
    let incoming =
        tokio_stream::wrappers::TcpListenerStream::new(tokio::net::TcpListener::from_std(socket).unwrap());
    drop(guard);
    let server = milena_rpc::channel::server().add_service(ControllerServer::new(service));
    runtime.spawn(server.serve_with_incoming(incoming));
    runtime
}

impl Shared {
    fn commit(&self, state: &mut State, records: Vec<MetadataRecord>) {
        let batch = MetadataBatch {
            expected_version: state.image.version,
            records,
        };
        state.image.apply(&batch).unwrap();
        state.batches.push(encode_batch(&batch));
        self.changed.send_modify(|n| *n += 1);
    }
}

impl Service {
    fn is_silent(&self) -> bool {
        self.shared.state.lock().unwrap().silent == Some(self.node)
    }

    /// The state, if this node leads.
    fn leading(&self) -> Result<MutexGuard<'_, State>, Status> {
        let state = self.shared.state.lock().unwrap();
        if state.leader == Some(self.node) {
            return Ok(state);
        }
        let leader = state.leader.map(|at| &self.shared.voters[at]);
        Err(NotLeader {
            leader: leader.map(|v| v.id),
            address: leader.map(ControllerVoter::address),
        }
        .to_status())
    }
}

type EventStream = Pin<Box<dyn Stream<Item = Result<proto::SubscribeEvent, Status>> + Send>>;

#[tonic::async_trait]
impl Controller for Service {
    type SubscribeStream = EventStream;

    async fn register(
        &self,
        request: Request<proto::RegisterBrokerRequest>,
    ) -> Result<Response<proto::RegisterBrokerResponse>, Status> {
        let mut state = self.leading()?;
        let message = request.into_inner();
        state.registrations.push(message.clone());
        let refused = state.refuse_registrations.pop();
        if let Some(error) = refused {
            let outcome = Some((&Outcome::failed(error, "by order of the test")).into());
            return Ok(Response::new(proto::RegisterBrokerResponse {
                outcome,
                epoch: -1,
                cluster: None,
            }));
        }
        let request = RegisterBroker::try_from(message).unwrap();
        let epoch = BrokerEpoch(i64::try_from(state.image.version.next().0).unwrap());
        let registration = BrokerRegistration {
            id: request.broker,
            epoch,
            incarnation: request.incarnation,
            endpoints: request.endpoints,
            rack: request.rack,
            directories: request.directories,
            fenced: true,
            in_controlled_shutdown: false,
        };
        self.shared
            .commit(&mut state, vec![MetadataRecord::Broker(registration)]);
        let outcome = Some((&Outcome::OK).into());
        Ok(Response::new(proto::RegisterBrokerResponse {
            outcome,
            epoch: epoch.0,
            cluster: Some("test".to_owned()),
        }))
    }

    async fn heartbeat(
        &self,
        request: Request<proto::HeartbeatRequest>,
    ) -> Result<Response<proto::HeartbeatResponse>, Status> {
        let mut state = self.leading()?;
        let request = request.into_inner();
        state.heartbeats.push(request);
        let known = state.image.broker(BrokerId(request.broker)).cloned();
        let Some(mut known) = known.filter(|known| known.epoch.0 == request.epoch) else {
            let outcome = Some((&Outcome::failed(ErrorCode::StaleBrokerEpoch, "stale")).into());
            return Ok(Response::new(proto::HeartbeatResponse {
                outcome,
                ..Default::default()
            }));
        };
        let is_caught_up = request.applied >= u64::try_from(request.epoch).unwrap();
        let fenced = request.want_fence || known.fenced && (!is_caught_up || request.want_shutdown);
        if known.fenced != fenced {
            known.fenced = fenced;
            self.shared
                .commit(&mut state, vec![MetadataRecord::Broker(known.clone())]);
        }
        let outcome = Some((&Outcome::OK).into());
        let should_shutdown = request.want_shutdown;
        let reply = proto::HeartbeatResponse {
            outcome,
            is_caught_up,
            is_fenced: known.fenced,
            should_shutdown,
            version: state.image.version.0,
            quorum_age_ms: 0,
        };
        Ok(Response::new(reply))
    }

    async fn alter_partition(
        &self,
        request: Request<proto::AlterPartitionRequest>,
    ) -> Result<Response<proto::AlterPartitionResponse>, Status> {
        let request = request.into_inner();
        self.leading()?.alters.push(request.clone());
        self.shared.alter_permits.acquire().await.unwrap().forget();
        let result = |item: proto::AlterPartitionItem| proto::AlterPartitionResult {
            id: item.id,
            error: 0,
        };
        let partitions = request.partitions.into_iter().map(result).collect();
        Ok(Response::new(proto::AlterPartitionResponse { partitions }))
    }

    async fn report_replicas(
        &self,
        request: Request<proto::ReportReplicasRequest>,
    ) -> Result<Response<proto::AlterPartitionResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.leading()?;
        state.reports.push(request.clone());
        let error = state.refuse_reports.pop().unwrap_or(ErrorCode::None);
        drop(state);
        let result = |item: proto::ReplicaStateItem| proto::AlterPartitionResult {
            id: item.id,
            error: i32::from(error.code()),
        };
        let partitions = request.replicas.into_iter().map(result).collect();
        Ok(Response::new(proto::AlterPartitionResponse { partitions }))
    }

    async fn admin(
        &self,
        request: Request<proto::AdminRequest>,
    ) -> Result<Response<proto::AdminResponse>, Status> {
        let mut state = self.leading()?;
        if state.refuse_admin {
            return Err(Status::invalid_argument("by order of the test"));
        }
        state.admins.push(request.into_inner());
        self.shared
            .commit(&mut state, vec![MetadataRecord::ProducerIds { next: 1_000 }]);
        let reply = proto::admin_response::Reply::UnregisterBroker((&Outcome::OK).into());
        Ok(Response::new(proto::AdminResponse {
            reply: Some(reply),
            version: state.image.version.0,
        }))
    }

    async fn subscribe(
        &self,
        request: Request<proto::SubscribeRequest>,
    ) -> Result<Response<EventStream>, Status> {
        let request = request.into_inner();
        let first = {
            let mut state = self.leading()?;
            state.subscriptions.push(request.clone());
            state.nonsense.pop()
        };
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        tokio::spawn(feed(self.clone(), request.from_version, first, sender));
        Ok(Response::new(Box::pin(
            tokio_stream::wrappers::ReceiverStream::new(receiver),
        )))
    }

    async fn suspect_broker(
        &self,
        request: Request<proto::SuspectBrokerRequest>,
    ) -> Result<Response<proto::SuspectBrokerResponse>, Status> {
        let mut state = self.leading()?;
        let request = request.into_inner();
        state.suspects.push(request);
        let mut known = state.image.broker(BrokerId(request.broker)).cloned().unwrap();
        known.fenced = true;
        self.shared
            .commit(&mut state, vec![MetadataRecord::Broker(known)]);
        Ok(Response::new(proto::SuspectBrokerResponse {
            outcome: Some((&Outcome::OK).into()),
            fenced: true,
        }))
    }

    async fn describe_quorum(
        &self,
        _request: Request<proto::DescribeQuorumRequest>,
    ) -> Result<Response<proto::DescribeQuorumResponse>, Status> {
        Ok(Response::new(proto::DescribeQuorumResponse::default()))
    }

    async fn find_cluster(
        &self,
        _request: Request<proto::FindClusterRequest>,
    ) -> Result<Response<proto::FindClusterResponse>, Status> {
        Ok(Response::new(proto::FindClusterResponse::default()))
    }
}

/// The events of one subscription, until this node leads no more or the follower is gone.
async fn feed(
    service: Service,
    from: u64,
    first: Option<Event>,
    sender: tokio::sync::mpsc::Sender<Result<proto::SubscribeEvent, Status>>,
) {
    let mut changed = service.shared.changed.subscribe();
    let mut position = (from > 0).then_some(from);
    let mut greeted = false;
    let mut pending = first;
    loop {
        changed.borrow_and_update();
        let event = match pending.take() {
            Some(event) => Some(event),
            None => match service.leading() {
                Ok(state) => next_event(&state, &mut position, &mut greeted),
                Err(_) if service.is_silent() => None,
                Err(_) => return,
            },
        };
        let sent = match event {
            Some(event) => sender
                .send(Ok(proto::SubscribeEvent { event: Some(event) }))
                .await
                .is_ok(),
            None => changed.changed().await.is_ok(),
        };
        if !sent {
            return;
        }
    }
}

fn next_event(state: &State, position: &mut Option<u64>, greeted: &mut bool) -> Option<Event> {
    let current = state.image.version.0;
    match *position {
        Some(at) if at == current && *greeted => None,
        Some(at) if at == current => {
            *greeted = true;
            Some(Event::Keepalive(at))
        }
        Some(at) if at < current && at >= state.trimmed => {
            *position = Some(at + 1);
            Some(Event::Batch(state.batches[usize::try_from(at).unwrap()].clone()))
        }
        _ => {
            *position = Some(current);
            Some(Event::Snapshot(whole(&state.image)))
        }
    }
}

/// An image in one piece.
fn whole(image: &MetadataImage) -> proto::SnapshotPiece {
    proto::SnapshotPiece {
        data: encode_image(image),
        last: true,
    }
}
