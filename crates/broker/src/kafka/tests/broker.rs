//! A broker of one node: real data threads, real coordinator, real plans and applied batches, no network towards a
//! controller.

use crate::config::{BrokerConfig, NetworkConfig};
use crate::coordinator::{ClusterView, Groups};
use crate::kafka::{ConnectionSpread, Http2Handoff, KafkaContext, KafkaParts, serve};
use crate::loggers::{LogLevel, LoggerControl, LoggerError, Loggers, ROOT_LOGGER};
use crate::metadata::MetadataCache;
use crate::shard::{DataThreads, DataThreadsConfig, LogDirs, NoControl, Router, ShardId};
use futures_util::future::BoxFuture;
use milena_metadata::MetadataImage;
use milena_metadata::config::BrokerDefaults;
use milena_metadata::plan::{PlanContext, Planned, admin, bootstrap};
use milena_metadata::quorum::{QuorumDescription, QuorumReplica};
use milena_metadata::record::{BrokerRegistration, Endpoint, MetadataBatch, MetadataRecord};
use milena_metadata::request::{AdminReply, AdminRequest};
use milena_types::{BrokerEpoch, BrokerId, ClusterId, ErrorCode, IncarnationId, Offset, Timestamp, Uuid};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

const NODE: BrokerId = BrokerId(1);

/// The controller, played.
pub(super) struct Controller {
    image: Mutex<Arc<MetadataImage>>,
    pub(super) cache: Arc<MetadataCache>,
    router: Router,
}

impl Controller {
    /// Applies records and waits until the partitions follow.
    pub(super) async fn commit(&self, records: Vec<MetadataRecord>) {
        let (image, delta) = {
            let mut current = self.image.lock().unwrap();
            let mut image = current.as_ref().clone();
            let batch = MetadataBatch {
                expected_version: image.version,
                records,
            };
            let delta = image.apply(&batch).unwrap();
            *current = Arc::new(image);
            self.cache.publish(Arc::clone(&current), delta.clone());
            (Arc::clone(&current), delta)
        };
        self.router.apply_metadata(image, Arc::new(delta)).await;
    }

    fn plan<R>(&self, plan: impl FnOnce(&MetadataImage, &PlanContext<'_>) -> Planned<R>) -> Planned<R> {
        let defaults = BrokerDefaults::default();
        let seed = u64::from_be_bytes(Uuid::random().0[..8].try_into().unwrap());
        let image = Arc::clone(&self.image.lock().unwrap());
        plan(
            &image,
            &PlanContext {
                now: Timestamp(1),
                seed,
                defaults: &defaults,
            },
        )
    }
}

struct View(Arc<Controller>);

impl ClusterView for View {
    fn image(&self) -> Arc<MetadataImage> {
        self.0.cache.image()
    }

    fn active_controller(&self) -> Option<BrokerId> {
        Some(NODE)
    }

    fn admin(&self, request: AdminRequest) -> BoxFuture<'static, Result<AdminReply, ErrorCode>> {
        let controller = Arc::clone(&self.0);
        Box::pin(async move {
            let planned = controller.plan(|image, ctx| admin(image, &request, ctx));
            if !planned.records.is_empty() {
                controller.commit(planned.records).await;
            }
            Ok(planned.reply)
        })
    }

    fn describe_quorum(&self) -> BoxFuture<'static, Result<QuorumDescription, ErrorCode>> {
        let ago = |millis| Some(Duration::from_millis(millis));
        let replica = |id, address, end, contact| QuorumReplica {
            id: BrokerId(id),
            address,
            log_end_offset: Some(Offset(end)),
            last_contact: ago(contact),
            last_caught_up: ago(contact).filter(|_| end == 9),
        };
        let voter = |id, end, contact| replica(id, Some(("127.0.0.1".to_owned(), 9093)), end, contact);
        Box::pin(std::future::ready(Ok(QuorumDescription {
            leader: NODE,
            leader_epoch: 5,
            high_watermark: Offset(9),
            voters: vec![voter(1, 9, 0), voter(2, 7, 50)],
            observers: vec![replica(3, None, 9, 1000)],
        })))
    }
}

/// Two loggers that only remember.
#[derive(Default)]
struct TestLoggers(Mutex<Option<LogLevel>>);

impl LoggerControl for TestLoggers {
    fn levels(&self) -> Vec<(String, LogLevel)> {
        let own = self.0.lock().unwrap().unwrap_or(LogLevel::Info);
        vec![
            ("milena_broker".to_owned(), own),
            (ROOT_LOGGER.to_owned(), LogLevel::Info),
        ]
    }

    fn set(&self, changes: &[(String, Option<LogLevel>)]) -> Result<(), LoggerError> {
        let mut own = self.0.lock().unwrap();
        let of_broker = changes.iter().filter(|(name, _)| name == "milena_broker");
        of_broker.for_each(|(_, level)| *own = *level);
        Ok(())
    }
}

/// A broker that serves; stops when it is dropped, its data is deleted then.
pub(super) struct TestBroker {
    pub(super) address: SocketAddr,
    /// Connections that opened with the HTTP/2 preface.
    pub(super) http2: Arc<AtomicUsize>,
    /// Whether clients may speak.
    pub(super) doors: watch::Sender<bool>,
    pub(super) controller: Arc<Controller>,
    shutdown: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl TestBroker {
    pub(super) async fn start() -> Self {
        Self::start_with(NetworkConfig::default(), true).await
    }

    /// `open`: clients may speak from the start; else from the moment when `doors` says so.
    pub(super) async fn start_with(network: NetworkConfig, open: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let mut config = BrokerConfig {
            node_id: NODE,
            log_dirs: vec![dir.path().join("logs")],
            data_threads: Some(2),
            network,
            ..BrokerConfig::default()
        };
        config.properties = [("num.partitions", "7"), ("ssl.keystore.password", "")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        config.loggers = Loggers::new(Arc::new(TestLoggers::default()));
        config.group.offsets_topic_partitions = 4;
        config.group.offsets_topic_replication_factor = 1;
        config.group.initial_rebalance_delay = std::time::Duration::from_millis(50);
        let cluster = ClusterId("test-cluster".to_owned());
        std::fs::create_dir_all(&config.log_dirs[0]).unwrap();
        let dirs = Arc::new(LogDirs::open(&config.log_dirs, NODE, &cluster).unwrap());
        let registration = BrokerRegistration {
            id: NODE,
            epoch: BrokerEpoch(1),
            incarnation: IncarnationId(Uuid([1; 16])),
            endpoints: vec![Endpoint {
                listener: "PLAINTEXT".to_owned(),
                host: "127.0.0.1".to_owned(),
                port: address.port(),
                security_protocol: "PLAINTEXT".to_owned(),
            }],
            rack: None,
            directories: dirs.directories(),
            fenced: false,
            in_controlled_shutdown: false,
        };
        let (http2, shutdown) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let (doors, opened) = watch::channel(open);
        let parts = Parts {
            open: opened,
            config: Arc::new(config),
            dirs,
            registration,
            cluster,
            socket,
            http2: Arc::clone(&http2),
        };
        let (ready, mut started) = mpsc::unbounded_channel();
        let stop = shutdown.clone();
        // The control thread: plans, the coordinator, the end of the data threads.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, control(parts, ready, stop));
        });
        let controller = started.recv().await.expect("the broker starts");
        Self {
            controller,
            address,
            http2,
            doors,
            shutdown,
            _dir: dir,
        }
    }
}

struct Parts {
    open: watch::Receiver<bool>,
    config: Arc<BrokerConfig>,
    dirs: Arc<LogDirs>,
    registration: BrokerRegistration,
    cluster: ClusterId,
    socket: TcpListener,
    http2: Arc<AtomicUsize>,
}

async fn control(parts: Parts, ready: mpsc::UnboundedSender<Arc<Controller>>, shutdown: CancellationToken) {
    let Parts {
        open,
        config,
        dirs,
        registration,
        cluster,
        socket,
        http2,
    } = parts;
    let threads = DataThreads::start(DataThreadsConfig {
        config: Arc::clone(&config),
        dirs,
        control: Arc::new(NoControl),
    })
    .unwrap();
    let router = threads.router();
    let controller = Arc::new(Controller {
        image: Mutex::default(),
        cache: Arc::new(MetadataCache::new()),
        router: router.clone(),
    });
    let genesis = controller.plan(|image, ctx| bootstrap(image, &cluster, ctx));
    controller.commit(genesis.records).await;
    controller
        .commit(vec![MetadataRecord::Broker(registration)])
        .await;
    let view: Arc<dyn ClusterView> = Arc::new(View(Arc::clone(&controller)));
    let (groups, host) = Groups::create(
        &config.group,
        router.clone(),
        router.leadership_events(),
        Arc::clone(&view),
    );
    tokio::task::spawn_local(host.run(shutdown.child_token()));
    let ctx = KafkaContext::new(KafkaParts {
        config,
        metadata: Arc::clone(&controller.cache),
        cluster: view,
        router: router.clone(),
        groups,
        open,
    });
    let spread = ConnectionSpread::new(router.shards());
    for shard in (0..router.shards()).map(ShardId) {
        let (socket, ctx, spread) = (socket.try_clone().unwrap(), Arc::clone(&ctx), spread.clone());
        let (http2, shutdown) = (Arc::clone(&http2), shutdown.clone());
        threads.on(shard, move || {
            tokio::task::spawn_local(async move {
                let handoff: Http2Handoff = Arc::new(move |_, _| {
                    http2.fetch_add(1, Ordering::SeqCst);
                });
                serve(socket, "PLAINTEXT", ctx, spread, shard.0, handoff, shutdown)
                    .await
                    .unwrap();
            });
        });
    }
    ready.send(controller).ok().unwrap();
    shutdown.cancelled().await;
    threads.shutdown().await;
}
