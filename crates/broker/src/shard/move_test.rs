//! A log that is opened again in the middle of its move to another directory.

use super::api::{AlterLogDirItem, ProduceCall, ProducePartition};
use super::log_dirs::Distrust;
use super::lone_broker::{LoneBroker, NODE, registered};
use milena_metadata::record::{ConfigResource, MetadataRecord, PartitionRegistration};
use milena_record::BatchBuilder;
use milena_types::*;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// The broker and its only partition.
struct Drill {
    broker: LoneBroker,
    id: TopicIdPartition,
    name: TopicPartition,
}

impl Drill {
    async fn start() -> Self {
        let id = TopicIdPartition {
            topic: TopicId::random(),
            partition: PartitionIndex(0),
        };
        let name = TopicPartition {
            topic: TopicName::new("t").unwrap(),
            partition: PartitionIndex(0),
        };
        let mut drill = Self {
            broker: LoneBroker::start(2),
            id,
            name,
        };
        let records = drill.first_records();
        drill.broker.commit(records).await;
        drill
    }

    fn first_records(&self) -> Vec<MetadataRecord> {
        let state = PartitionRegistration::new(vec![NODE], vec![NODE]);
        vec![
            registered(NODE),
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
        let result = self.broker.router.produce(call).await.remove(0);
        let found = (result.error, result.base_offset);
        assert_eq!(found, (ErrorCode::None, Some(Offset(offset))));
    }

    /// The directory of the log, and of the copy.
    async fn places(&self) -> (Option<PathBuf>, Option<PathBuf>) {
        let (mut log, mut copy) = (None, None);
        for dir in self.broker.router.describe_log_dirs().await {
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
    let to = drill
        .broker
        .paths
        .iter()
        .find(|path| **path != log)
        .unwrap()
        .clone();
    let item = AlterLogDirItem {
        id: Some(drill.id),
        name: drill.name.clone(),
        path: to.display().to_string().into(),
    };
    let begun = drill.broker.router.alter_log_dirs(vec![item]).await;
    assert_eq!(begun, [ErrorCode::None]);
    drill.wait_places(&log, Some(&to)).await;
    let (id, owner) = (drill.id, drill.broker.router.mailboxes.owner_of(drill.id));
    drill.broker.router.mailboxes.run_control(owner, move |shard| {
        let moving = |shard: &super::state::Shard| shard.partitions[&id].moving.is_some();
        assert!(moving(shard));
        shard.reopen_partition(id, Distrust::ChangedHere);
    });
    drill.wait_places(&log, Some(&to)).await;
    drill.produce(1).await;
    let unlimited = drill.rate(None);
    drill.broker.commit(vec![unlimited]).await;
    drill.wait_places(&to, None).await;
    drill.produce(2).await;
    drill.broker.stop().await;
}
