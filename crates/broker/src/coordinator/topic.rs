//! `__consumer_offsets`: where it is, who leads its partitions, and its creation on first need.
//!
//! Source: `KafkaApis.getCoordinator`, `DefaultAutoTopicCreationManager`, `GroupCoordinatorService.groupMetadataTopicConfigs`.

use super::seam::ClusterView;
use crate::config::GroupConfig;
use milena_metadata::image::TopicImage;
use milena_metadata::request::{AdminReply, AdminRequest, CreateTopic, CreateTopics, Outcome};
use milena_types::{BrokerId, ErrorCode, PartitionIndex};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The name of the offsets topic.
pub(super) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// How long one client is kept waiting for the creation: it asks again anyway.
const CREATION_PATIENCE: Duration = Duration::from_secs(5);
/// How long nobody asks the controller again after it has refused.
const REFUSAL_PAUSE: Duration = Duration::from_millis(100);
/// How often a refusal that stays is repeated in the log.
const REMINDER: Duration = Duration::from_secs(60);

/// The offsets topic as this broker sees it.
pub(super) struct OffsetsTopic {
    cluster: Arc<dyn ClusterView>,
    partitions: i32,
    replication_factor: i16,
    segment_bytes: u64,
    /// Held while a creation is under way, so that a burst of clients makes one request to the controller.
    creating: tokio::sync::Mutex<Refusals>,
}

/// What the controller last said to a creation.
#[derive(Default)]
struct Refusals {
    /// When it refused.
    last: Option<Instant>,
    /// What was logged of it, and when.
    logged: Option<(String, Instant)>,
}

impl Refusals {
    /// True while it makes no sense to ask again: clients may ask thousands of times a second.
    fn is_fresh(&self) -> bool {
        self.last.is_some_and(|at| at.elapsed() < REFUSAL_PAUSE)
    }

    /// Notes a refusal, and says it in the log when it is news.
    fn note(&mut self, outcome: Outcome) {
        self.last = Some(Instant::now());
        let message = outcome.message.unwrap_or_default();
        let is_news = |(logged, at): &(String, Instant)| *logged != message || at.elapsed() >= REMINDER;
        if self.logged.as_ref().is_none_or(is_news) {
            tracing::warn!(
                error = %outcome.error,
                message,
                "groups cannot be served: the offsets topic cannot be created with offsets.topic.replication.factor copies"
            );
            self.logged = Some((message, Instant::now()));
        }
    }
}

impl OffsetsTopic {
    pub(super) fn new(cluster: Arc<dyn ClusterView>, config: &GroupConfig) -> Self {
        Self {
            cluster,
            partitions: config.offsets_topic_partitions,
            replication_factor: config.offsets_topic_replication_factor,
            segment_bytes: config.offsets_topic_segment_bytes,
            creating: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn cluster(&self) -> &dyn ClusterView {
        self.cluster.as_ref()
    }

    fn image(&self) -> Option<Arc<TopicImage>> {
        self.cluster.image().topic_by_name(OFFSETS_TOPIC).cloned()
    }

    /// How many partitions it has, or will have.
    pub(super) fn partitions(&self) -> i32 {
        self.image()
            .and_then(|t| i32::try_from(t.partitions.len()).ok())
            .filter(|n| *n > 0)
            .unwrap_or(self.partitions)
    }

    /// The live leader of one partition; asks for the topic's creation when it is missing.
    pub(super) async fn leader_of(&self, partition: PartitionIndex) -> Result<BrokerId, ErrorCode> {
        self.ensure().await?;
        let image = self.cluster.image();
        let topic = image
            .topic_by_name(OFFSETS_TOPIC)
            .ok_or(ErrorCode::CoordinatorNotAvailable)?;
        topic
            .partitions
            .get(&partition)
            .and_then(|registration| registration.leader)
            .filter(|leader| image.brokers.get(leader).is_some_and(|broker| !broker.fenced))
            .ok_or(ErrorCode::CoordinatorNotAvailable)
    }

    /// Creates the topic unless it exists. The controller refuses while too few brokers are alive for the replication
    /// factor, and clients keep trying: Kafka's behaviour, which keeps offsets from being stored with fewer copies.
    pub(super) async fn ensure(&self) -> Result<(), ErrorCode> {
        if self.image().is_some() {
            return Ok(());
        }
        let mut refusals = match self.creating.try_lock() {
            Ok(refusals) if !refusals.is_fresh() => refusals,
            _ => return Err(ErrorCode::CoordinatorNotAvailable),
        };
        let request = AdminRequest::CreateTopics(CreateTopics {
            topics: vec![self.description()],
            validate_only: false,
            default_partitions: self.partitions,
            default_replication_factor: self.replication_factor,
        });
        let outcome = match tokio::time::timeout(CREATION_PATIENCE, self.cluster.admin(request)).await {
            Ok(Ok(AdminReply::CreateTopics(results))) => {
                results.into_iter().next().map(|result| result.outcome)
            }
            Ok(Ok(_)) | Err(_) => None,
            Ok(Err(error)) => {
                tracing::debug!(%error, "creation of the offsets topic was not answered");
                None
            }
        };
        match outcome {
            Some(outcome) if matches!(outcome.error, ErrorCode::None | ErrorCode::TopicAlreadyExists) => {
                // The image may be behind the controller: the topic can be used once it shows it.
                if self.image().is_some() {
                    Ok(())
                } else {
                    Err(ErrorCode::CoordinatorNotAvailable)
                }
            }
            Some(outcome) => {
                refusals.note(outcome);
                Err(ErrorCode::CoordinatorNotAvailable)
            }
            None => Err(ErrorCode::CoordinatorNotAvailable),
        }
    }

    fn description(&self) -> CreateTopic {
        let config = |key: &str, value: String| (key.to_owned(), Some(value));
        CreateTopic {
            name: OFFSETS_TOPIC.to_owned(),
            partitions: Some(self.partitions),
            replication_factor: Some(self.replication_factor),
            assignments: Vec::new(),
            configs: vec![
                config("cleanup.policy", "compact".to_owned()),
                config("segment.bytes", self.segment_bytes.to_string()),
                config("compression.type", "producer".to_owned()),
            ],
        }
    }
}
