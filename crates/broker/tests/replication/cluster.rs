//! Brokers of a test: data threads, log directories and a listener for replication streams.

use crate::controller::{CLUSTER, Control, Controller};
use bytes::{Bytes, BytesMut};
use milena_broker::BrokerConfig;
use milena_broker::config::{CleanerConfig, LogWorkConfig, ReplicaConfig};
use milena_broker::shard::{
    DataThreads, DataThreadsConfig, FetchCall, FetchPartition, FetchPartitionResult, LogDirs, ProduceCall,
    ProducePartition, ProduceResult, Router, ShardId, link,
};
use milena_log::Env;
use milena_record::BatchBuilder;
use milena_types::{
    Acks, BrokerEpoch, BrokerId, ClusterId, ErrorCode, Offset, PartitionIndex, Timestamp, TopicId,
    TopicIdPartition,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// No condition of a healthy cluster takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// One running broker.
pub(crate) struct Node {
    pub(crate) router: Router,
    threads: DataThreads,
    dirs: Arc<LogDirs>,
}

/// Brokers by id, their controller and their disks.
pub(crate) struct Cluster {
    pub(crate) controller: Arc<Controller>,
    pub(crate) nodes: BTreeMap<i32, Node>,
    disks: tempfile::TempDir,
    threads: usize,
    pub(crate) replica: ReplicaConfig,
    pub(crate) log_work: LogWorkConfig,
    two_disks: bool,
    /// What nodes that start find their disks on.
    env: Option<Arc<Env>>,
}

impl Cluster {
    /// So many brokers, each with so many data threads.
    pub(crate) async fn start(brokers: i32, threads: usize) -> Self {
        Self::start_with(brokers, threads, ReplicaConfig::default()).await
    }

    /// Each with two log directories.
    pub(crate) async fn start_with_two_disks(brokers: i32, threads: usize) -> Self {
        Self::start_with_two_disks_on(brokers, threads, None).await
    }

    /// Likewise, on another file system.
    pub(crate) async fn start_with_two_disks_on(brokers: i32, threads: usize, env: Option<Arc<Env>>) -> Self {
        let mut cluster = Self::start_with(0, threads, ReplicaConfig::default()).await;
        cluster.two_disks = true;
        cluster.env = env;
        for id in 1..=brokers {
            cluster.start_node(id).await;
        }
        cluster
    }

    /// On another file system.
    pub(crate) async fn start_on(
        brokers: i32,
        threads: usize,
        replica: ReplicaConfig,
        env: Arc<Env>,
    ) -> Self {
        let mut cluster = Self::start_with(0, threads, replica).await;
        cluster.env = Some(env);
        for id in 1..=brokers {
            cluster.start_node(id).await;
        }
        cluster
    }

    pub(crate) async fn start_with(brokers: i32, threads: usize, replica: ReplicaConfig) -> Self {
        let disks = tempfile::tempdir().unwrap();
        let (controller, nodes) = (Controller::new(), BTreeMap::new());
        let mut cluster = Self {
            controller,
            nodes,
            disks,
            threads,
            replica,
            log_work: LogWorkConfig::default(),
            two_disks: false,
            env: None,
        };
        for id in 1..=brokers {
            cluster.start_node(id).await;
        }
        cluster
    }

    pub(crate) fn disk(&self, id: i32) -> PathBuf {
        self.disks.path().join(id.to_string())
    }

    pub(crate) fn second_disk(&self, id: i32) -> PathBuf {
        self.disks.path().join(format!("{id}-second"))
    }

    pub(crate) fn router(&self, id: i32) -> &Router {
        &self.nodes[&id].router
    }

    /// Starts a broker on its disk, as it was left.
    pub(crate) async fn start_node(&mut self, id: i32) {
        let config = Arc::new(BrokerConfig {
            node_id: BrokerId(id),
            rack: Some(format!("r{id}")),
            data_threads: Some(self.threads),
            replica: self.replica.clone(),
            log_work: LogWorkConfig {
                cleaner: CleanerConfig {
                    backoff: Duration::from_millis(20),
                    ..CleanerConfig::default()
                },
                ..self.log_work.clone()
            },
            ..BrokerConfig::default()
        });
        let cluster = ClusterId(CLUSTER.to_owned());
        let paths = [self.disk(id), self.second_disk(id)];
        let paths = &paths[..1 + usize::from(self.two_disks)];
        let opened = match &self.env {
            Some(env) => LogDirs::open_in(env, paths, BrokerId(id), &cluster),
            None => LogDirs::open(paths, BrokerId(id), &cluster),
        };
        let dirs = Arc::new(opened.unwrap());
        let epoch = Arc::new(Mutex::new(None));
        let controller = Arc::clone(&self.controller);
        let control = Control {
            broker: BrokerId(id),
            epoch: Arc::clone(&epoch),
            controller,
        };
        let threads = DataThreads::start(DataThreadsConfig {
            config,
            dirs: Arc::clone(&dirs),
            control: Arc::new(control),
        })
        .unwrap();
        let router = threads.router();
        let port = listen(&threads).await;
        // The broker learns its epoch with the registration, before anybody can act on that.
        *epoch.lock().unwrap() = Some(self.controller.register(BrokerId(id), port, router.clone()));
        let node = Node {
            router,
            threads,
            dirs,
        };
        self.nodes.insert(id, node);
    }

    /// Stops a broker without telling the controller.
    pub(crate) async fn stop_node(&mut self, id: i32) {
        let _ = self.stops_in_order(id).await;
    }

    /// Stops a broker likewise; true when all its logs were left in order.
    pub(crate) async fn stops_in_order(&mut self, id: i32) -> bool {
        let node = self.nodes.remove(&id).unwrap();
        node.threads.shutdown().await
    }

    /// Stops a broker in order, and marks its directory as left so.
    pub(crate) async fn stop_clean(&mut self, id: i32) {
        let node = self.nodes.remove(&id).unwrap();
        assert!(node.threads.shutdown().await);
        node.dirs.write_clean_shutdown(BrokerEpoch(1)).unwrap();
    }

    pub(crate) async fn stop(mut self) {
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.stop_node(id).await;
        }
    }

    /// Waits until the partition's ISR is this, in any order.
    pub(crate) async fn wait_isr(&self, id: TopicIdPartition, isr: &[i32]) {
        let mut wanted: Vec<BrokerId> = isr.iter().map(|id| BrokerId(*id)).collect();
        wanted.sort();
        until("the ISR", || async {
            let mut isr = self.controller.partition(id).isr;
            isr.sort();
            isr == wanted
        })
        .await;
    }

    /// Produces with acks=all until it works: leaders may just be changing.
    pub(crate) async fn produce_until_ok(&self, leader: i32, id: TopicIdPartition, value: &str) -> Offset {
        let until_ok = Instant::now() + PATIENCE;
        loop {
            let result = produce(self.router(leader), id, Acks::All, value).await;
            match result.error {
                ErrorCode::None => return result.base_offset.unwrap(),
                error => assert!(Instant::now() < until_ok, "still {error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The bytes of all segments of the partition on a broker's disk, one after the other.
    pub(crate) fn segments(&self, broker: i32, topic: &str, partition: i32) -> Vec<u8> {
        let dir = self.disk(broker).join(format!("{topic}-{partition}"));
        let mut names: Vec<PathBuf> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.retain(|name| name.extension().is_some_and(|extension| extension == "log"));
        names.sort();
        names
            .into_iter()
            .flat_map(|name| std::fs::read(name).unwrap())
            .collect()
    }

    /// The bytes of the partition's first segment on a broker's disk.
    pub(crate) fn segment(&self, broker: i32, topic: &str, partition: i32) -> Vec<u8> {
        let path = self
            .disk(broker)
            .join(format!("{topic}-{partition}/00000000000000000000.log"));
        std::fs::read(path).unwrap()
    }
}

async fn listen(threads: &DataThreads) -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let port = socket.local_addr().unwrap().port();
    let router = threads.router();
    threads.on(ShardId(0), move || {
        tokio::task::spawn_local(async move {
            let socket = tokio::net::TcpListener::from_std(socket).unwrap();
            while let Ok((stream, _)) = socket.accept().await {
                stream.set_nodelay(true).unwrap();
                let router = router.clone();
                tokio::task::spawn_local(async move { drop(link::serve_http2(stream, router).await) });
            }
        });
    });
    port
}

/// Waits for a condition.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "gave up waiting for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn partition(topic: TopicId, partition: i32) -> TopicIdPartition {
    TopicIdPartition {
        topic,
        partition: PartitionIndex(partition),
    }
}

/// One record with a key; a value of `None` is a tombstone.
pub(crate) fn keyed(key: &str, value: Option<&str>) -> BytesMut {
    let mut builder = BatchBuilder::plain(Offset(0));
    builder.append(now(), Some(key.as_bytes()), value.map(str::as_bytes), &[]);
    builder.build()
}

pub(crate) fn batch(value: &str) -> BytesMut {
    batch_of(&[value])
}

pub(crate) fn batch_of(values: &[&str]) -> BytesMut {
    let mut builder = BatchBuilder::plain(Offset(0));
    for value in values {
        builder.append(now(), None, Some(value.as_bytes()), &[]);
    }
    builder.build()
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    Timestamp(i64::try_from(since.as_millis()).unwrap())
}

pub(crate) async fn produce(router: &Router, id: TopicIdPartition, acks: Acks, value: &str) -> ProduceResult {
    produce_within(router, id, acks, value, Duration::from_secs(20)).await
}

pub(crate) async fn produce_within(
    router: &Router,
    id: TopicIdPartition,
    acks: Acks,
    value: &str,
    timeout: Duration,
) -> ProduceResult {
    produce_batch(router, id, acks, batch(value), timeout).await
}

pub(crate) async fn produce_batch(
    router: &Router,
    id: TopicIdPartition,
    acks: Acks,
    batch: BytesMut,
    timeout: Duration,
) -> ProduceResult {
    let partitions = vec![ProducePartition { id, batch }];
    let call = ProduceCall {
        acks,
        timeout,
        zstd_allowed: true,
        partitions,
    };
    router.produce(call).await.remove(0)
}

pub(crate) fn fetch_call(id: TopicIdPartition, offset: i64, max_wait: Duration) -> FetchCall {
    FetchCall {
        partitions: vec![FetchPartition {
            id,
            current_leader_epoch: None,
            offset: Offset(offset),
            last_fetched_epoch: None,
            max_bytes: 1 << 20,
        }],
        max_wait,
        min_bytes: 1,
        max_bytes: 1 << 20,
        read_committed: false,
        reader: None,
    }
}

pub(crate) async fn fetch(router: &Router, id: TopicIdPartition, offset: i64) -> FetchPartitionResult {
    router
        .fetch(fetch_call(id, offset, Duration::ZERO))
        .await
        .remove(0)
}

/// The values in a fetched run of batches, with their offsets.
pub(crate) fn values(records: &Bytes) -> Vec<(i64, String)> {
    let mut values = Vec::new();
    for batch in milena_record::batches(records) {
        let (_, batch) = batch.unwrap();
        for record in milena_record::records(&records.slice_ref(batch), 1 << 20).unwrap() {
            values.push((
                record.offset.0,
                String::from_utf8(record.value.unwrap().to_vec()).unwrap(),
            ));
        }
    }
    values
}

/// Waits until the broker serves that many records of the partition as its leader.
pub(crate) async fn wait_served(router: &Router, id: TopicIdPartition, records: i64) {
    until("the leader to serve them", || async {
        let result = fetch(router, id, 0).await;
        result.error == ErrorCode::None && result.high_watermark >= Offset(records)
    })
    .await;
}

/// Every record that a leader shows, in order, from offset 0 to its high watermark. None may be missing and none may come
/// twice: for logs that nothing was taken out of, with nobody writing.
///
/// A leader that has just begun may know less to be committed than is: see [`wait_served`].
pub(crate) async fn read_all(router: &Router, id: TopicIdPartition) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let at = i64::try_from(all.len()).unwrap();
        let result = fetch(router, id, at).await;
        assert_eq!(result.error, ErrorCode::None, "at {at}");
        if at == result.high_watermark.0 {
            return all;
        }
        let found = values(&result.records);
        assert!(
            !found.is_empty(),
            "nothing at {at}, and the high watermark is {}",
            result.high_watermark
        );
        for (expected, (offset, value)) in (at..).zip(found) {
            assert_eq!(offset, expected, "in what was read at {at}");
            all.push(value);
        }
    }
}

/// How many entries a directory has, besides the broker's own files.
pub(crate) fn partition_dirs(disk: &Path) -> usize {
    std::fs::read_dir(disk)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().is_dir())
        .count()
}
