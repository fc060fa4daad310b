//! Changes and images that are large.

use super::cluster::{Cluster, eventually};
use super::subscribe::{follow, request};
use crate::planner::BATCH_BYTES_MAX;
use milena_metadata::image::MetadataImage;
use milena_metadata::record::ConfigResource;
use milena_metadata::request::{AdminReply, AdminRequest, AlterConfig, ConfigOp};
use milena_rpc::channel::MESSAGE_BYTES_MAX;
use milena_rpc::proto::{self, subscribe_event::Event};
use milena_rpc::{ImageAssembly, PIECE_BYTES, encode_image};
use milena_types::MetadataVersion;
use tonic::Code;

/// About as long as a name can be on the wire.
const NAME_BYTES: usize = 32_000;

/// Settings of so many subscriptions whose names begin with `prefix`: three times their names in records.
fn settings(prefix: &str, resources: usize) -> AdminRequest {
    let keys = [
        ("interval.ms", "100000"),
        ("metrics", "a"),
        ("match", "client_id=x"),
    ];
    let resource = |number: usize| AlterConfig {
        resource: ConfigResource::ClientMetrics(format!("{prefix}{number:07}{:n<NAME_BYTES$}", "")),
        changes: keys
            .iter()
            .map(|(key, value)| ((*key).to_owned(), ConfigOp::Set, Some((*value).to_owned())))
            .collect(),
        replace_all: false,
    };
    AdminRequest::AlterConfigs {
        resources: (0..resources).map(resource).collect(),
        validate_only: false,
    }
}

/// How many of them make so many bytes of records.
fn count_for(bytes: usize) -> usize {
    bytes / (3 * NAME_BYTES)
}

async fn alter(cluster: &Cluster, node: usize, request: &AdminRequest) -> MetadataVersion {
    let answer = cluster
        .client(node)
        .admin(proto::AdminRequest::from(request))
        .await;
    let answer = answer.unwrap().into_inner();
    let version = MetadataVersion(answer.version);
    let AdminReply::AlterConfigs(results) = answer.try_into().unwrap() else {
        panic!("another reply")
    };
    assert!(results.iter().all(|result| result.outcome.error.is_none()));
    version
}

#[tokio::test]
async fn a_change_that_no_batch_takes_is_refused_and_the_next_commits() {
    let cluster = Cluster::started(3).await;
    let active = cluster.wait_active().await;
    cluster.broker(1).await;
    let quorum = || cluster.nodes[active].as_ref().unwrap().quorum();
    let (version, end) = (cluster.image(active).version, quorum().high_watermark);
    let request = settings("large", count_for(BATCH_BYTES_MAX) + 1);
    let refused = cluster
        .client(active)
        .admin(proto::AdminRequest::from(&request))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(cluster.image(active).version, version);
    assert_eq!(quorum().high_watermark, end, "nothing was appended");

    // What fits alone but not together goes one after the other.
    let names = ["a", "b", "c"];
    let requests = names.map(|name| settings(name, count_for(BATCH_BYTES_MAX) * 2 / 3));
    let altered = requests.iter().map(|request| alter(&cluster, active, request));
    let mut versions = futures::future::join_all(altered).await;
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), names.len(), "each in a batch of its own");
    let version = cluster.create_topic("t", 1, 1).await;
    for node in 0..3 {
        eventually("everything on every node", || {
            (cluster.image(node).version >= version).then_some(())
        })
        .await;
    }
}

/// Pieces that have come of a stream's first image, after which it was given up.
async fn give_up_half_way(cluster: &Cluster, active: usize) {
    let mut assembly = ImageAssembly::default();
    let nothing = MetadataImage::default();
    let stream = cluster.client(active).subscribe(request(1, &nothing)).await;
    let event = stream
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap()
        .event;
    let Some(Event::Snapshot(piece)) = event else {
        panic!("not a piece: {event:?}")
    };
    assert_eq!((piece.data.len(), piece.last), (PIECE_BYTES, false));
    assert!(assembly.take(&piece).unwrap().is_none() && assembly.is_begun());
}

#[tokio::test]
async fn an_image_larger_than_any_message_comes_in_pieces() {
    let cluster = Cluster::started(1).await;
    let active = cluster.wait_active().await;
    let mut version = MetadataVersion(0);
    let batches = MESSAGE_BYTES_MAX / BATCH_BYTES_MAX + 1;
    for number in 0..batches {
        let request = settings(&format!("{number}-"), count_for(BATCH_BYTES_MAX));
        version = alter(&cluster, active, &request).await;
    }
    let image = cluster.image(active);
    assert!(encode_image(&image).len() > MESSAGE_BYTES_MAX);
    give_up_half_way(&cluster, active).await;
    let mut follower = MetadataImage::default();
    let mut stream = cluster
        .client(active)
        .subscribe(request(1, &follower))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(follow(&mut stream, &mut follower, version).await, 1);
    assert_eq!(follower, *image);
    // It goes on with batches from there.
    let version = alter(&cluster, active, &settings("after", 1)).await;
    assert_eq!(follow(&mut stream, &mut follower, version).await, 0);
    assert_eq!(follower, *cluster.image(active));
}
