//! Creation of topics that a client named and that do not exist: started in the background, at most once at a time
//! for each name. Source: `DefaultAutoTopicCreationManager`.

use super::context::KafkaContext;
use crate::coordinator::ClusterView;
use milena_metadata::request::{AdminReply, AdminRequest, CreateTopic, CreateTopics};
use milena_types::ErrorCode;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Names whose creation is under way.
#[derive(Clone, Default)]
pub(super) struct AutoCreation {
    under_way: Arc<Mutex<HashSet<String>>>,
}

impl AutoCreation {
    /// Asks the controller for the topics that nobody has asked for yet; returns at once.
    pub(super) fn start(&self, ctx: &KafkaContext, mut names: Vec<String>) {
        {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            names.retain(|name| under_way.insert(name.clone()));
        }
        if names.is_empty() {
            return;
        }
        let cluster = Arc::clone(&ctx.cluster);
        let (partitions, replication_factor) =
            (ctx.config.num_partitions, ctx.config.default_replication_factor);
        let this = self.clone();
        tokio::task::spawn_local(async move {
            create(cluster.as_ref(), &names, partitions, replication_factor).await;
            let mut under_way = this.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            for name in &names {
                under_way.remove(name);
            }
        });
    }
}

async fn create(cluster: &dyn ClusterView, names: &[String], partitions: i32, replication_factor: i16) {
    let topic = |name: &String| CreateTopic {
        name: name.clone(),
        partitions: None,
        replication_factor: None,
        assignments: Vec::new(),
        configs: Vec::new(),
    };
    let request = AdminRequest::CreateTopics(CreateTopics {
        topics: names.iter().map(topic).collect(),
        validate_only: false,
        default_partitions: partitions,
        default_replication_factor: replication_factor,
    });
    match cluster.admin(request).await {
        Ok(AdminReply::CreateTopics(results)) => {
            for result in results {
                match result.outcome.error {
                    ErrorCode::None => {
                        tracing::info!(topic = %result.name, "topic created because a client named it")
                    }
                    ErrorCode::TopicAlreadyExists => {}
                    error => {
                        let message = result.outcome.message;
                        tracing::warn!(topic = %result.name, %error, message, "topic was not created automatically");
                    }
                }
            }
        }
        Ok(_) => tracing::warn!("the controller answered something else than creations"),
        Err(error) => tracing::warn!(%error, "the controller did not create topics"),
    }
}
