//! AlterReplicaLogDirs (34): moves replicas of this broker to other log directories. Source:
//! `ReplicaManager.alterReplicaLogDirs`.

use crate::kafka::dispatch::Call;
use crate::kafka::error_map::topic_name_error;
use crate::shard::AlterLogDirItem;
use milena_metadata::MetadataImage;
use milena_types::{ErrorCode, PartitionIndex, TopicIdPartition, TopicName, TopicPartition};
use milena_wire::StrBytes;
use milena_wire::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use milena_wire::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: AlterReplicaLogDirsRequest,
) -> AlterReplicaLogDirsResponse {
    let ctx = &call.peer.ctx;
    let image = ctx.image();
    let (mut answers, mut items, mut keys) = (BTreeMap::new(), Vec::new(), Vec::new());
    for dir in request.dirs {
        let path: Arc<str> = dir.path.as_str().into();
        for topic in dir.topics {
            let name = TopicName::new(topic.name.as_str());
            for partition in topic.partitions {
                // A request names few topics and directories, and may name a million partitions.
                let key = (topic.name.0.clone(), partition);
                match &name {
                    Ok(name) => {
                        items.push(item(&image, name, partition, &path));
                        keys.push(key);
                    }
                    Err(error) => drop(answers.insert(key, topic_name_error(error))),
                }
            }
        }
    }
    let errors = ctx.router.alter_log_dirs(items).await;
    answers.extend(keys.into_iter().zip(errors));
    AlterReplicaLogDirsResponse::default().with_results(rows(answers))
}

fn item(image: &MetadataImage, topic: &TopicName, partition: i32, path: &Arc<str>) -> AlterLogDirItem {
    let partition = PartitionIndex(partition);
    let known = image.topic_by_name(topic.as_str());
    let known = known.filter(|known| known.partition(partition).is_some());
    AlterLogDirItem {
        id: known.map(|known| TopicIdPartition {
            topic: known.id,
            partition,
        }),
        name: TopicPartition {
            topic: topic.clone(),
            partition,
        },
        path: Arc::clone(path),
    }
}

/// One row a topic.
fn rows(answers: BTreeMap<(StrBytes, i32), ErrorCode>) -> Vec<AlterReplicaLogDirTopicResult> {
    let mut topics: BTreeMap<StrBytes, Vec<AlterReplicaLogDirPartitionResult>> = BTreeMap::new();
    for ((topic, partition), error) in answers {
        let row = AlterReplicaLogDirPartitionResult::default()
            .with_partition_index(partition)
            .with_error_code(error.code());
        topics.entry(topic).or_default().push(row);
    }
    let topic = |(name, partitions): (StrBytes, _)| {
        AlterReplicaLogDirTopicResult::default()
            .with_topic_name(name.into())
            .with_partitions(partitions)
    };
    topics.into_iter().map(topic).collect()
}
