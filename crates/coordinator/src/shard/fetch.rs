//! OffsetFetch. Source: `OffsetMetadataManager.fetchOffsets`, `fetchAllOffsets`.

use super::GroupShard;
use crate::api::{FetchPartitionResult, FetchRequest, FetchResponse, FetchTopicResult};
use crate::offsets::CommittedOffset;
use crate::request::{Reply, Request, Ticket};
use milena_types::{ErrorCode, PartitionIndex, TopicId};

impl GroupShard {
    /// A read that requires stable offsets also waits for the group's commits that are on their way, so that the next
    /// owner of a partition continues where the last one stopped.
    pub(super) fn fetch(&mut self, ticket: Ticket, request: FetchRequest) {
        if !request.require_stable {
            return self.fetch_committed(ticket, request);
        }
        let group_id = request.group_id.clone();
        let ready = self
            .outbox
            .wait_behind_writes(&group_id, ticket, Request::Fetch(request));
        if let Some(Request::Fetch(request)) = ready {
            self.fetch_committed(ticket, request);
        }
    }

    pub(super) fn fetch_committed(&mut self, ticket: Ticket, request: FetchRequest) {
        let topics = match &request.topics {
            Some(topics) => topics
                .iter()
                .map(|topic| FetchTopicResult {
                    topic_id: topic.topic_id,
                    name: topic.name.clone(),
                    partitions: topic
                        .partitions
                        .iter()
                        .map(|partition| self.committed(&request, topic.topic_id, &topic.name, *partition))
                        .collect(),
                })
                .collect(),
            None => self.all_committed(&request),
        };
        let response = FetchResponse {
            group_id: request.group_id,
            error: ErrorCode::None,
            topics,
        };
        self.outbox.reply(ticket, Reply::Fetch(response));
    }

    fn committed(
        &self,
        request: &FetchRequest,
        topic_id: TopicId,
        topic: &str,
        partition: PartitionIndex,
    ) -> FetchPartitionResult {
        let group = request.group_id.as_str();
        if request.require_stable && self.offsets.is_pending(group, topic, partition) {
            return absent(partition, ErrorCode::UnstableOffsetCommit);
        }
        let is_same_topic = |offset: &&CommittedOffset| {
            topic_id.0.is_zero() || offset.value.topic_id.is_none_or(|stored| stored == topic_id)
        };
        match self.offsets.get(group, topic, partition).filter(is_same_topic) {
            Some(offset) => FetchPartitionResult {
                partition,
                error: ErrorCode::None,
                offset: Some(offset.value.offset),
                leader_epoch: offset.value.leader_epoch,
                metadata: offset.value.metadata.clone(),
            },
            None => absent(partition, ErrorCode::None),
        }
    }

    fn all_committed(&self, request: &FetchRequest) -> Vec<FetchTopicResult> {
        let topic_id = TopicId::default();
        self.offsets
            .of_group(&request.group_id)
            .map(|(name, partitions)| FetchTopicResult {
                topic_id,
                name: name.to_owned(),
                partitions: partitions
                    .keys()
                    .map(|p| self.committed(request, topic_id, name, *p))
                    .collect(),
            })
            .collect()
    }
}

fn absent(partition: PartitionIndex, error: ErrorCode) -> FetchPartitionResult {
    FetchPartitionResult {
        partition,
        error,
        offset: None,
        leader_epoch: None,
        metadata: String::new(),
    }
}
