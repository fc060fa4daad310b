//! Followers: snapshot, then deltas; the end of the stream with the end of the leadership.

use super::cluster::{Cluster, eventually, listener};
use milena_metadata::image::MetadataImage;
use milena_rpc::proto::{SubscribeEvent, SubscribeRequest, subscribe_event::Event};
use milena_rpc::{ImageAssembly, NotLeader, decode_batch};
use milena_types::{BrokerId, MetadataVersion};
use tonic::Streaming;

pub(super) fn request(subscriber: i32, image: &MetadataImage) -> SubscribeRequest {
    SubscribeRequest {
        subscriber,
        from_version: image.version.0,
        cluster: image.cluster.as_ref().map(|id| id.0.clone()),
    }
}

/// Applies events until the image is at `version`; counts snapshots.
pub(super) async fn follow(
    stream: &mut Streaming<SubscribeEvent>,
    image: &mut MetadataImage,
    version: MetadataVersion,
) -> usize {
    let (mut snapshots, mut assembly) = (0, ImageAssembly::default());
    while image.version < version {
        match stream.message().await.unwrap().unwrap().event.unwrap() {
            Event::Snapshot(piece) => {
                if let Some(whole) = assembly.take(&piece).unwrap() {
                    *image = whole;
                    snapshots += 1;
                }
            }
            Event::Batch(bytes) => {
                image.apply(&decode_batch(&bytes).unwrap()).unwrap();
            }
            Event::Keepalive(at) => assert_eq!(at, image.version.0),
        }
    }
    snapshots
}

#[tokio::test]
async fn a_follower_gets_the_image_then_every_batch() {
    let mut cluster = Cluster::started(3).await;
    let leader = cluster.wait_active().await;
    cluster.broker(1).await;
    let version = cluster.create_topic("first", 1, 1).await;

    let mut image = MetadataImage::default();
    let mut stream = cluster
        .client(leader)
        .subscribe(request(1, &image))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(follow(&mut stream, &mut image, version).await, 1);
    let mut version = version;
    for number in 0..20 {
        version = cluster.create_topic(&format!("t-{number}"), 1, 1).await;
    }
    assert_eq!(
        follow(&mut stream, &mut image, version).await,
        0,
        "deltas suffice"
    );
    assert_eq!(image, *cluster.image(leader));

    // It comes back with what it had: no image again. With another cluster's image: the image.
    drop(stream);
    let version = cluster.create_topic("while-away", 1, 1).await;
    let mut stream = cluster
        .client(leader)
        .subscribe(request(1, &image))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(follow(&mut stream, &mut image, version).await, 0);
    let mut foreign = MetadataImage {
        cluster: None,
        ..image.clone()
    };
    foreign.version = MetadataVersion(1);
    let mut other = cluster
        .client(leader)
        .subscribe(request(1, &foreign))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(follow(&mut other, &mut foreign, version).await, 1);

    // The stream ends with the leadership, and others do not serve.
    cluster.kill(leader).await;
    while let Ok(Some(_)) = stream.message().await {}
    let next = cluster.wait_active().await;
    let idle = (0..3).find(|node| ![leader, next].contains(node)).unwrap();
    let refused = cluster
        .client(idle)
        .subscribe(request(1, &image))
        .await
        .unwrap_err();
    assert!(NotLeader::from_status(&refused).is_some(), "{refused}");
    let mut stream = cluster
        .client(next)
        .subscribe(request(1, &image))
        .await
        .unwrap()
        .into_inner();
    let version = cluster.create_topic("after", 1, 1).await;
    follow(&mut stream, &mut image, version).await;
    assert!(image.topic_by_name("while-away").is_some() && image.topic_by_name("after").is_some());
}

#[tokio::test]
async fn a_broken_stream_of_a_dead_broker_fences_it() {
    let cluster = Cluster::started(3).await;
    let leader = cluster.wait_active().await;
    let socket = listener();
    cluster.broker_at(1, socket.local_addr().unwrap().port()).await;
    let image = MetadataImage::default();
    let mut stream = cluster
        .client(leader)
        .subscribe(request(1, &image))
        .await
        .unwrap()
        .into_inner();
    stream.message().await.unwrap();
    drop(socket);
    drop(stream);
    eventually("a fenced broker", || {
        cluster
            .image(leader)
            .broker(BrokerId(1))
            .unwrap()
            .fenced
            .then_some(())
    })
    .await;
}
