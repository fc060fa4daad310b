//! A controller that its clients keep busy.

use super::cluster::{Cluster, heartbeat, new_topic};
use milena_metadata::request::AdminRequest;
use milena_rpc::proto;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinSet;

const REQUESTS: usize = 300;

/// Some milliseconds of work that changes nothing.
fn much_to_check() -> proto::AdminRequest {
    let AdminRequest::CreateTopics(mut topics) = new_topic("large", 9_000, 1) else {
        panic!("another request")
    };
    topics.validate_only = true;
    proto::AdminRequest::from(&AdminRequest::CreateTopics(topics))
}

#[tokio::test]
async fn a_heartbeat_does_not_wait_for_what_clients_asked_before() {
    let cluster = Cluster::started(1).await;
    cluster.wait_active().await;
    let epoch = cluster.broker(1).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..REQUESTS {
        let (mut client, answered) = (cluster.client(0), Arc::clone(&answered));
        clients.spawn(async move {
            client.admin(much_to_check()).await.unwrap();
            answered.fetch_add(1, Ordering::Relaxed);
        });
    }
    clients.join_next().await;
    cluster.client(0).heartbeat(heartbeat(1, epoch)).await.unwrap();
    let before = answered.load(Ordering::Relaxed);
    assert!(before < REQUESTS / 2, "{before} were answered before it");
    clients.join_all().await;
}
