//! Life without faults: founding, topics, group commit, refusals.

use super::cluster::{Cluster, eventually};
use crate::{Controller, ControllerError, METADATA_FOLDER};
use milena_metadata::record::{MetadataBatch, MetadataRecord};
use milena_metadata::request::{AdminReply, AdminRequest};
use milena_rpc::{NotLeader, proto};
use milena_types::{BrokerId, ClusterId};
use std::time::{Duration, Instant};

#[tokio::test]
async fn three_controllers_found_a_cluster_and_create_topics() {
    let begun = Instant::now();
    let cluster = Cluster::started(3).await;
    let active = cluster.wait_active().await;
    println!("active after {:?}", begun.elapsed());
    let id = cluster.image(active).cluster.clone().unwrap();
    assert_eq!(id.0.len(), 22, "a random id");
    let epoch = cluster.broker(1).await;
    let begun = Instant::now();
    let mut version = cluster.create_topic("first", 12, 1).await;
    for number in 0..50 {
        version = cluster.create_topic(&format!("topic-{number}"), 3, 1).await;
    }
    println!("51 topics in {:?}", begun.elapsed());
    let mut times = Vec::new();
    for _ in 0..50 {
        let begun = Instant::now();
        let request = proto::AdminRequest::from(&AdminRequest::AllocateProducerIds {
            broker: BrokerId(1),
            epoch,
        });
        cluster.client(active).admin(request).await.unwrap();
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    println!("one decision: p50 {:?}, max {:?}", times[25], times[49]);
    for node in 0..3 {
        eventually("the same image everywhere", || {
            (cluster.image(node).version >= version).then_some(())
        })
        .await;
        let image = cluster.image(node);
        assert_eq!(image.topics.len(), 51);
        assert_eq!(image.topic_by_name("first").unwrap().partitions.len(), 12);
        assert_eq!(
            cluster.nodes[node].as_ref().unwrap().cluster_id(),
            Some(id.clone())
        );
    }
    let status = cluster.nodes[active].as_ref().unwrap().quorum();
    assert_eq!(status.leader, Some(cluster.voters[active].id));
    assert!(
        status.voters.iter().all(|voter| voter.log_end_offset.is_some()),
        "{status:?}"
    );
}

#[tokio::test]
async fn a_single_voter_works_too_and_keeps_its_cluster() {
    let mut cluster = Cluster::new(1, |config| {
        config.cluster_id = Some(ClusterId("given".to_owned()))
    });
    let begun = Instant::now();
    cluster.start(0).await;
    cluster.wait_active().await;
    println!("active after {:?}", begun.elapsed());
    cluster.broker(0).await;
    cluster.create_topic("t", 1, 1).await;
    cluster.stop(0).await;

    cluster.configure = |config| config.cluster_id = Some(ClusterId("other".to_owned()));
    let refused = Controller::start(cluster.config(0)).unwrap_err();
    assert!(
        matches!(refused, ControllerError::WrongCluster { .. }),
        "{refused}"
    );

    cluster.configure = |_| {};
    let begun = Instant::now();
    cluster.start(0).await;
    cluster.wait_active().await;
    println!("active again after {:?}", begun.elapsed());
    let image = cluster.image(0);
    assert_eq!(image.cluster, Some(ClusterId("given".to_owned())));
    assert!(image.topic_by_name("t").is_some());
}

#[tokio::test]
async fn a_burst_shares_syncs_and_keeps_its_order() {
    let cluster = Cluster::started(3).await;
    let active = cluster.wait_active().await;
    cluster.broker(1).await;
    let node = cluster.nodes[active].as_ref().unwrap();
    let syncs = node.log_syncs();
    let begun = Instant::now();
    let names: Vec<_> = (0..300).map(|number| format!("burst-{number}")).collect();
    let versions = futures::future::join_all(names.iter().map(|name| cluster.create_topic(name, 4, 1))).await;
    let syncs = node.log_syncs() - syncs;
    println!("300 topics at once in {:?} with {syncs} syncs", begun.elapsed());
    assert!(syncs < 300, "{syncs} syncs for 300 batches");
    let mut distinct = versions.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let image = cluster.image(cluster.wait_active().await);
    assert_eq!(image.topics.len(), 300);
    assert!(distinct.iter().all(|version| *version <= image.version));
}

#[tokio::test]
async fn the_active_controller_describes_its_quorum() {
    let cluster = Cluster::started(3).await;
    let active = cluster.wait_active().await;
    // Node ids of the voters begin below; a broker that is none of them only observes.
    let epoch = cluster.broker(77).await;
    cluster.heartbeat(77, epoch).await;
    let request = proto::DescribeQuorumRequest { of_leader: true };
    let deadline = Instant::now() + Duration::from_secs(10);
    let quorum = loop {
        let answer = cluster.call(|mut client| async move { client.describe_quorum(request).await });
        let quorum = answer.await;
        let all = |voter: &proto::QuorumVoter| voter.last_caught_up_ms.is_some();
        if quorum.voters.iter().all(all) {
            break quorum;
        }
        assert!(Instant::now() < deadline, "a voter never catches up: {quorum:?}");
    };
    assert_eq!(quorum.leader_id, Some(cluster.voters[active].id.0));
    assert!(quorum.leader_epoch >= 1 && quorum.high_watermark > 0);
    assert_eq!(quorum.voters.len(), 3);
    assert!(
        quorum
            .voters
            .iter()
            .all(|voter| voter.log_end_offset.is_some_and(|end| end > 0))
    );
    let [observer] = quorum.observers.as_slice() else {
        panic!("one observer, not {:?}", quorum.observers);
    };
    assert_eq!(observer.id, 77);
    assert!(observer.log_end_offset.is_some() && observer.last_contact_ms.is_some());
    let other = (active + 1) % 3;
    let refused = cluster.client(other).describe_quorum(request).await.unwrap_err();
    assert!(
        NotLeader::from_status(&refused).is_some(),
        "only the leader knows"
    );
}

#[tokio::test]
async fn others_point_to_the_active_controller() {
    let cluster = Cluster::started(3).await;
    let active = cluster.wait_active().await;
    let other = (active + 1) % 3;
    let leader = cluster.voters[active].clone();
    let ask = || async {
        let request = AdminRequest::UnregisterBroker(BrokerId(9));
        let mut client = cluster.client(other);
        let refused = client.admin(proto::AdminRequest::from(&request));
        NotLeader::from_status(&refused.await.unwrap_err())
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    let hint = loop {
        match ask().await {
            Some(hint) if hint.leader.is_some() => break hint,
            _ => assert!(Instant::now() < deadline, "no hint"),
        }
    };
    assert_eq!(hint.leader, Some(leader.id));
    assert_eq!(hint.address, Some(leader.address()));
    let found = cluster
        .client(other)
        .find_cluster(proto::FindClusterRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(found.leader_address, leader.address());
    // Empty requests are refused, not taken for something.
    let bad = cluster
        .client(active)
        .admin(proto::AdminRequest::default())
        .await
        .unwrap_err();
    assert_eq!(bad.code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn a_database_has_one_owner() {
    let mut cluster = Cluster::new(1, |_| {});
    cluster.start(0).await;
    let mut config = cluster.config(0);
    config.listen.clear();
    let refused = tokio::task::spawn_blocking(move || Controller::start(config))
        .await
        .unwrap()
        .unwrap_err();
    assert!(refused.to_string().contains(METADATA_FOLDER), "{refused}");
    let mut stranger = cluster.config(0);
    stranger.node_id = BrokerId(8);
    assert!(matches!(
        Controller::start(stranger),
        Err(ControllerError::NotAVoter(BrokerId(8)))
    ));
}

#[tokio::test]
async fn many_partitions_are_one_batch() {
    let cluster = Cluster::started(3).await;
    let active = cluster.wait_active().await;
    for broker in 1..=3 {
        cluster.broker(broker).await;
    }
    let before = cluster.image(active).version;
    let begun = Instant::now();
    let version = cluster.create_topic("wide", 1_000, 3).await;
    println!("1000 partitions in {:?}", begun.elapsed());
    assert_eq!(version, before.next());
    assert_eq!(
        cluster
            .image(active)
            .topic_by_name("wide")
            .unwrap()
            .partitions
            .len(),
        1_000
    );
}

#[tokio::test]
async fn what_met_another_image_is_planned_again() {
    let cluster = Cluster::started(1).await;
    cluster.wait_active().await;
    let epoch = cluster.broker(1).await;
    let node = cluster.nodes[0].as_ref().unwrap();
    for round in 0..5 {
        // A batch past the planner: what it holds in its hands is stale now.
        let records = vec![MetadataRecord::ProducerIds {
            next: (round + 1) * 1_000_000,
        }];
        let batch = MetadataBatch {
            expected_version: node.image().version,
            records,
        };
        node.propose(&batch).await;
        let block = AdminRequest::AllocateProducerIds {
            broker: BrokerId(1),
            epoch,
        };
        let burst = (0..20).map(|_| cluster.admin(&block));
        let mut firsts: Vec<i64> = futures::future::join_all(burst)
            .await
            .into_iter()
            .map(|(reply, _)| match reply {
                AdminReply::AllocateProducerIds { first, .. } => first,
                other => panic!("{other:?}"),
            })
            .collect();
        firsts.sort_unstable();
        let expected: Vec<i64> = (0..20)
            .map(|block| (round + 1) * 1_000_000 + block * 1_000)
            .collect();
        assert_eq!(firsts, expected, "each block once, above the foreign batch");
    }
}
