//! The harness: nodes that can be killed and started again, and a client that finds the active controller.

use crate::{Controller, ControllerConfig, ControllerHandle, Listen, Voter};
use milena_metadata::config::BrokerDefaults;
use milena_metadata::image::MetadataImage;
use milena_metadata::record::Endpoint;
use milena_metadata::request::{
    AdminReply, AdminRequest, CreateTopic, CreateTopics, Heartbeat, RegisterBroker, RegisterBrokerReply,
};
use milena_rpc::proto::{self, controller_client::ControllerClient};
use milena_rpc::{NotLeader, channel};
use milena_types::{BrokerEpoch, BrokerId, DirectoryId, ErrorCode, IncarnationId, MetadataVersion, Uuid};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::Channel;

/// How long anything may take before a test fails.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// A loopback listener below the ephemeral range, so that no outgoing connection takes its port.
pub(crate) fn listener() -> TcpListener {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 21_000 + u16::try_from(std::process::id() % 100).unwrap() * 80;
    for _ in 0..2_000 {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener;
        }
    }
    panic!("no free port");
}

pub(super) struct Cluster {
    pub(super) directory: TempDir,
    pub(super) voters: Vec<Voter>,
    pub(super) nodes: Vec<Option<ControllerHandle>>,
    pub(super) configure: fn(&mut ControllerConfig),
    channels: Vec<Channel>,
    /// Where the brokers of this test listen: they are alive.
    sockets: Mutex<Vec<TcpListener>>,
}

impl Cluster {
    /// Voters that are not started yet.
    pub(super) fn new(count: usize, configure: fn(&mut ControllerConfig)) -> Self {
        let listeners: Vec<_> = (0..count).map(|_| listener()).collect();
        let voter = |(id, listener): (usize, &TcpListener)| Voter {
            id: BrokerId(i32::try_from(id).unwrap()),
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
        };
        let voters: Vec<_> = listeners.iter().enumerate().map(voter).collect();
        let channels = voters
            .iter()
            .map(|voter| channel::connect_lazy(&voter.address()).unwrap())
            .collect();
        let nodes = voters.iter().map(|_| None).collect();
        Self {
            directory: tempfile::tempdir().unwrap(),
            voters,
            nodes,
            configure,
            channels,
            sockets: Mutex::default(),
        }
    }

    pub(super) async fn started(count: usize) -> Self {
        let mut cluster = Self::new(count, |_| {});
        for node in 0..count {
            cluster.start(node).await;
        }
        cluster
    }

    pub(super) fn config(&self, node: usize) -> ControllerConfig {
        let voter = &self.voters[node];
        let folder = self.directory.path().join(node.to_string());
        let defaults = BrokerDefaults::new(None, []);
        let mut config = ControllerConfig::new(voter.id, self.voters.clone(), folder, defaults);
        config.listen = vec![Listen::Address(([127, 0, 0, 1], voter.port).into())];
        // Brokers heartbeat when a test says so: on a busy machine it may not come to that in time.
        config.session_timeout = Duration::from_secs(600);
        (self.configure)(&mut config);
        config
    }

    pub(super) async fn start(&mut self, node: usize) {
        let begun = Instant::now();
        loop {
            // A killed node's sockets may need a moment.
            let config = self.config(node);
            let started = tokio::task::spawn_blocking(move || Controller::start(config))
                .await
                .unwrap();
            match started {
                Ok(handle) => return self.nodes[node] = Some(handle),
                Err(error) if begun.elapsed() > DEADLINE => panic!("node {node}: {error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Starts a node on a socket that outlives it: after its death its port still takes connections.
    pub(super) async fn start_on(&mut self, node: usize, socket: &TcpListener) {
        let mut config = self.config(node);
        config.listen = vec![Listen::Bound(socket.try_clone().unwrap())];
        let started = tokio::task::spawn_blocking(move || Controller::start(config))
            .await
            .unwrap();
        self.nodes[node] = Some(started.unwrap());
    }

    /// As kill -9, but that the WAL's unsynced end survives.
    pub(super) async fn kill(&mut self, node: usize) {
        let handle = self.nodes[node].take().unwrap();
        tokio::task::spawn_blocking(move || handle.kill()).await.unwrap();
    }

    pub(super) async fn stop(&mut self, node: usize) {
        self.nodes[node].take().unwrap().shutdown().await.unwrap();
    }

    /// The node that is the active controller now.
    pub(super) fn active(&self) -> Option<usize> {
        self.nodes
            .iter()
            .position(|node| node.as_ref().is_some_and(ControllerHandle::is_active))
    }

    pub(super) async fn wait_active(&self) -> usize {
        eventually("an active controller", || self.active()).await
    }

    pub(super) fn may_vote(&self, node: usize) -> bool {
        self.nodes[node].as_ref().unwrap().may_vote()
    }

    pub(super) fn image(&self, node: usize) -> Arc<MetadataImage> {
        self.nodes[node].as_ref().unwrap().image()
    }

    pub(super) fn client(&self, node: usize) -> ControllerClient<Channel> {
        ControllerClient::new(self.channels[node].clone())
            .max_decoding_message_size(channel::MESSAGE_BYTES_MAX)
    }

    /// Asks one node after another until the active controller answers. A node that stops while it is
    /// asked cancels the question, as one that has stopped is unavailable.
    pub(super) async fn call<T, F>(&self, mut ask: impl FnMut(ControllerClient<Channel>) -> F) -> T
    where
        F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        let begun = Instant::now();
        for node in (0..self.voters.len()).cycle() {
            assert!(begun.elapsed() < DEADLINE, "no active controller answers");
            match tokio::time::timeout(Duration::from_millis(500), ask(self.client(node))).await {
                Ok(Ok(answer)) => return answer.into_inner(),
                Ok(Err(status))
                    if NotLeader::from_status(&status).is_none()
                        && !matches!(status.code(), Code::Unavailable | Code::Cancelled) =>
                {
                    panic!("{status}");
                }
                Ok(Err(_)) | Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
        unreachable!("the loop returns or panics")
    }

    pub(super) async fn admin(&self, request: &AdminRequest) -> (AdminReply, MetadataVersion) {
        let message = proto::AdminRequest::from(request);
        let answer = self.call(|mut client| {
            let message = message.clone();
            async move { client.admin(message).await }
        });
        let answer = answer.await;
        let version = MetadataVersion(answer.version);
        (answer.try_into().unwrap(), version)
    }

    /// Creates a topic; existing is fine, because an earlier attempt may have made it.
    pub(super) async fn create_topic(&self, name: &str, partitions: i32, replicas: i16) -> MetadataVersion {
        let (reply, version) = self.admin(&new_topic(name, partitions, replicas)).await;
        let AdminReply::CreateTopics(results) = reply else {
            panic!("{reply:?}")
        };
        let error = results[0].outcome.error;
        assert!(
            matches!(error, ErrorCode::None | ErrorCode::TopicAlreadyExists),
            "{results:?}"
        );
        version
    }

    pub(super) async fn register(&self, request: &RegisterBroker) -> RegisterBrokerReply {
        let message = proto::RegisterBrokerRequest::from(request);
        let answer = self.call(|mut client| {
            let message = message.clone();
            async move { client.register(message).await }
        });
        answer.await.try_into().unwrap()
    }

    /// A broker that stays alive.
    pub(super) async fn broker(&self, id: i32) -> BrokerEpoch {
        let socket = listener();
        let port = socket.local_addr().unwrap().port();
        self.sockets.lock().unwrap().push(socket);
        self.broker_at(id, port).await
    }

    /// Registers a broker and heartbeats until it is unfenced.
    pub(super) async fn broker_at(&self, id: i32, port: u16) -> BrokerEpoch {
        let reply = self.register(&registration(id, port)).await;
        assert_eq!(reply.outcome.error, ErrorCode::None);
        self.heartbeat(id, reply.epoch).await;
        eventually("an unfenced broker", || {
            let active = self.active()?;
            self.image(active)
                .broker(BrokerId(id))
                .filter(|broker| !broker.fenced)
                .map(|_| ())
        })
        .await;
        reply.epoch
    }

    pub(super) async fn heartbeat(&self, id: i32, epoch: BrokerEpoch) {
        let message = heartbeat(id, epoch);
        let answer = self.call(|mut client| async move { client.heartbeat(message).await });
        assert_eq!(answer.await.outcome.unwrap().error, 0);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Killed side by side: one by one, the last would wait for votes of the dead.
        let handles = self.nodes.drain(..).flatten();
        let threads: Vec<_> = handles
            .map(|handle| std::thread::spawn(move || handle.kill()))
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }
}

pub(crate) fn new_topic(name: &str, partitions: i32, replicas: i16) -> AdminRequest {
    let topic = CreateTopic {
        name: name.to_owned(),
        partitions: Some(partitions),
        replication_factor: Some(replicas),
        assignments: vec![],
        configs: vec![],
    };
    AdminRequest::CreateTopics(CreateTopics {
        topics: vec![topic],
        validate_only: false,
        default_partitions: 1,
        default_replication_factor: 1,
    })
}

/// Of a broker that has applied everything.
pub(crate) fn heartbeat(id: i32, epoch: BrokerEpoch) -> proto::HeartbeatRequest {
    proto::HeartbeatRequest::from(&Heartbeat {
        broker: BrokerId(id),
        epoch,
        applied: MetadataVersion(u64::MAX),
        want_fence: false,
        want_shutdown: false,
    })
}

pub(crate) fn registration(id: i32, port: u16) -> RegisterBroker {
    let mark = u8::try_from(id).unwrap() + 200;
    RegisterBroker {
        broker: BrokerId(id),
        cluster: None,
        incarnation: IncarnationId(Uuid([mark; 16])),
        endpoints: vec![Endpoint {
            listener: "PLAINTEXT".to_owned(),
            host: "127.0.0.1".to_owned(),
            port,
            security_protocol: "PLAINTEXT".to_owned(),
        }],
        rack: None,
        directories: vec![DirectoryId(Uuid([mark; 16]))],
        unreadable_directories: 0,
        previous_epoch: None,
    }
}

/// Waits for a condition.
pub(super) async fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(begun.elapsed() < DEADLINE, "there never was {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
