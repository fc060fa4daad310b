//! AlterReplicaLogDirs (34): moves replicas of this broker to other log directories. Source:
//! `ReplicaManager.alterReplicaLogDirs`.

use super::text::{owned, topic_name};
use crate::kafka::dispatch::Call;
use crate::kafka::error_map::topic_name_error;
use crate::shard::AlterLogDirItem;
use milena_metadata::MetadataImage;
use milena_types::{ErrorCode, PartitionIndex, TopicIdPartition, TopicName, TopicPartition};
use milena_wire::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use milena_wire::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};
use std::collections::BTreeMap;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: AlterReplicaLogDirsRequest,
) -> AlterReplicaLogDirsResponse {
    let ctx = &call.peer.ctx;
    let image = ctx.image();
    let (mut answers, mut items) = (BTreeMap::new(), Vec::new());
    for dir in request.dirs {
        for topic in dir.topics {
            let name = TopicName::new(topic.name.as_str());
            for partition in topic.partitions {
                match &name {
                    Ok(name) => items.push(item(&image, name, partition, &dir.path)),
                    Err(error) => {
                        answers.insert((owned(&topic.name.0), partition), topic_name_error(error));
                    }
                }
            }
        }
    }
    let errors = ctx.router.alter_log_dirs(items.clone()).await;
    answers.extend(items.into_iter().zip(errors).map(|(item, error)| {
        let key = (item.name.topic.as_str().to_owned(), item.name.partition.0);
        (key, error)
    }));
    AlterReplicaLogDirsResponse::default().with_results(rows(answers))
}

fn item(image: &MetadataImage, topic: &TopicName, partition: i32, path: &str) -> AlterLogDirItem {
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
        path: path.to_owned(),
    }
}

/// One row a topic.
fn rows(answers: BTreeMap<(String, i32), ErrorCode>) -> Vec<AlterReplicaLogDirTopicResult> {
    let mut topics: BTreeMap<String, Vec<AlterReplicaLogDirPartitionResult>> = BTreeMap::new();
    for ((topic, partition), error) in answers {
        let row = AlterReplicaLogDirPartitionResult::default()
            .with_partition_index(partition)
            .with_error_code(error.code());
        topics.entry(topic).or_default().push(row);
    }
    let topic = |(name, partitions)| {
        AlterReplicaLogDirTopicResult::default()
            .with_topic_name(topic_name(name))
            .with_partitions(partitions)
    };
    topics.into_iter().map(topic).collect()
}
