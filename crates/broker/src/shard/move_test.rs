//! A log that is opened again in the middle of its move to another directory.

use super::api::{AlterLogDirItem, ProduceCall, ProducePartition};
use super::log_dirs::{Distrust, LogDirs};
use super::no_control::NoControl;
use super::router::Router;
use super::thread::{DataThreads, DataThreadsConfig};
use crate::config::BrokerConfig;
use milena_metadata::record::{
    BrokerRegistration, ConfigResource, MetadataBatch, MetadataRecord, PartitionRegistration,
};
use milena_metadata::{MetadataDelta, MetadataImage};
use milena_record::BatchBuilder;
use milena_types::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const NODE: BrokerId = BrokerId(1);
const PATIENCE: Duration = Duration::from_secs(20);

/// The broker, its only partition, and the metadata.
struct Drill {
    threads: DataThreads,
    router: Router,
    image: MetadataImage,
    id: TopicIdPartition,
    name: TopicPartition,
    paths: [PathBuf; 2],
    _root: tempfile::TempDir,
}

impl Drill {
    async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let paths = [root.path().join("a"), root.path().join("b")];
        let cluster = ClusterId("c".to_owned());
        let dirs = Arc::new(LogDirs::open(&paths, NODE, &cluster).unwrap());
        let config = BrokerConfig {
            node_id: NODE,
            data_threads: Some(1),
            ..BrokerConfig::default()
        };
        let threads = DataThreads::start(DataThreadsConfig {
            config: Arc::new(config),
            dirs,
            control: Arc::new(NoControl),
        })
        .unwrap();
        let (router, topic) = (threads.router(), TopicId::random());
        let (id, name) = (
            TopicIdPartition {
                topic,
                partition: PartitionIndex(0),
            },
            TopicPartition {
                topic: TopicName::new("t").unwrap(),
                partition: PartitionIndex(0),
            },
        );
        let mut drill = Self {
            threads,
            router,
            image: MetadataImage::default(),
            id,
            name,
            paths,
            _root: root,
        };
        drill.commit(drill.first_records()).await;
        drill
    }

    fn first_records(&self) -> Vec<MetadataRecord> {
        let broker = BrokerRegistration {
            id: NODE,
            epoch: BrokerEpoch(1),
            incarnation: IncarnationId::random(),
            endpoints: Vec::new(),
            rack: None,
            directories: Vec::new(),
            fenced: false,
            in_controlled_shutdown: false,
        };
        let state = PartitionRegistration::new(vec![NODE], vec![NODE]);
        vec![
            MetadataRecord::Broker(broker),
            MetadataRecord::Topic {
                id: self.id.topic,
                name: self.name.topic.clone(),
            },
            MetadataRecord::Partition { id: self.id, state },
            // The copy stands still after its first bytes.
            self.rate(Some("1")),
        ]
    }

    fn rate(&self, rate: Option<&str>) -> MetadataRecord {
        MetadataRecord::Config {
            resource: ConfigResource::Broker(Some(NODE)),
            key: "replica.alter.log.dirs.io.max.bytes.per.second".to_owned(),
            value: rate.map(str::to_owned),
        }
    }

    async fn commit(&mut self, records: Vec<MetadataRecord>) {
        let batch = MetadataBatch {
            expected_version: self.image.version,
            records,
        };
        let delta: MetadataDelta = self.image.apply(&batch).unwrap();
        let image = Arc::new(self.image.clone());
        self.router.apply_metadata(image, Arc::new(delta)).await;
    }

    async fn produce(&self, offset: i64) {
        let call = ProduceCall {
            acks: Acks::All,
            timeout: PATIENCE,
            zstd_allowed: true,
            partitions: vec![ProducePartition {
                id: self.id,
                batch: bytes::BytesMut::from(&BatchBuilder::single(Offset(0), b"value")[..]),
            }],
        };
        let result = self.router.produce(call).await.remove(0);
        let found = (result.error, result.base_offset);
        assert_eq!(found, (ErrorCode::None, Some(Offset(offset))));
    }

    /// The directory of the log, and of the copy.
    async fn places(&self) -> (Option<PathBuf>, Option<PathBuf>) {
        let (mut log, mut copy) = (None, None);
        for dir in self.router.describe_log_dirs().await {
            for replica in dir.replicas {
                let place = if replica.is_future { &mut copy } else { &mut log };
                *place = Some(PathBuf::from(&dir.path));
            }
        }
        (log, copy)
    }

    /// Waits until log and copy, if there is one, are there.
    async fn wait_places(&self, log: &Path, copy: Option<&Path>) {
        let until = Instant::now() + PATIENCE;
        loop {
            let found = self.places().await;
            if found == (Some(log.to_owned()), copy.map(Path::to_owned)) {
                return;
            }
            assert!(Instant::now() < until, "still {found:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_move_goes_on_once_its_log_is_open_again() {
    let mut drill = Drill::start().await;
    drill.produce(0).await;
    let (log, _) = drill.places().await;
    let log = log.unwrap();
    let to = drill.paths.iter().find(|path| **path != log).unwrap().clone();
    let item = AlterLogDirItem {
        id: Some(drill.id),
        name: drill.name.clone(),
        path: to.display().to_string().into(),
    };
    let begun = drill.router.alter_log_dirs(vec![item]).await;
    assert_eq!(begun, [ErrorCode::None]);
    drill.wait_places(&log, Some(&to)).await;
    let (id, owner) = (drill.id, drill.router.mailboxes.owner_of(drill.id));
    drill.router.mailboxes.run_control(owner, move |shard| {
        let moving = |shard: &super::state::Shard| shard.partitions[&id].moving.is_some();
        assert!(moving(shard));
        shard.reopen_partition(id, Distrust::ChangedHere);
    });
    drill.wait_places(&log, Some(&to)).await;
    drill.produce(1).await;
    drill.commit(vec![drill.rate(None)]).await;
    drill.wait_places(&to, None).await;
    drill.produce(2).await;
    assert!(drill.threads.shutdown().await);
}
