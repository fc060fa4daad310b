//! Faults: the leader killed, all killed, brokers that die.

use super::cluster::{Cluster, eventually, heartbeat, listener};
use milena_rpc::proto::RaftMessage;
use milena_rpc::proto::raft_client::RaftClient;
use milena_types::{BrokerId, ClusterId};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_killed_leader_is_replaced_and_loses_nothing() {
    let mut cluster = Cluster::started(3).await;
    cluster.wait_active().await;
    cluster.broker(1).await;
    let mut longest = Duration::ZERO;
    for round in 0..4 {
        let name = format!("before-{round}");
        cluster.create_topic(&name, 2, 1).await;
        let leader = cluster.wait_active().await;
        let begun = Instant::now();
        cluster.kill(leader).await;
        let killed = begun.elapsed();
        cluster.create_topic(&format!("after-{round}"), 2, 1).await;
        longest = longest.max(begun.elapsed());
        println!("killed in {killed:?}, next topic after {:?}", begun.elapsed());
        let next = cluster.wait_active().await;
        assert_ne!(next, leader);
        assert!(
            cluster.image(next).topic_by_name(&name).is_some(),
            "what was answered is there"
        );
        cluster.start(leader).await;
        let version = cluster.image(next).version;
        eventually("a restarted node that catches up", || {
            (cluster.image(leader).version >= version).then_some(())
        })
        .await;
    }
    println!("longest gap {longest:?}");
}

#[tokio::test]
async fn an_orderly_exit_hands_over() {
    let mut cluster = Cluster::started(3).await;
    cluster.wait_active().await;
    cluster.broker(1).await;
    cluster.create_topic("before", 1, 1).await;
    let leader = cluster.wait_active().await;
    let begun = Instant::now();
    cluster.stop(leader).await;
    println!("stopped in {:?}", begun.elapsed());
    cluster.create_topic("after", 1, 1).await;
    println!("next topic after {:?}", begun.elapsed());
    assert!(
        cluster
            .image(cluster.wait_active().await)
            .topic_by_name("before")
            .is_some()
    );
}

#[tokio::test]
async fn metadata_survives_the_death_of_all() {
    let mut cluster = Cluster::started(3).await;
    cluster.wait_active().await;
    cluster.broker(1).await;
    for number in 0..20 {
        cluster.create_topic(&format!("t-{number}"), 3, 1).await;
    }
    let before = cluster.image(cluster.wait_active().await);
    for node in 0..3 {
        cluster.kill(node).await;
    }
    for node in 0..3 {
        cluster.start(node).await;
    }
    let begun = Instant::now();
    let active = cluster.wait_active().await;
    println!("active again after {:?}", begun.elapsed());
    let after = cluster.image(active);
    assert!(after.topics == before.topics);
    assert_eq!(after.cluster, before.cluster);
    cluster.create_topic("after", 1, 1).await;
}

#[tokio::test]
async fn a_minority_commits_nothing() {
    let mut cluster = Cluster::started(3).await;
    let leader = cluster.wait_active().await;
    cluster.broker(1).await;
    for node in (0..3).filter(|node| *node != leader) {
        cluster.kill(node).await;
    }
    eventually("a leader that gives up", || {
        cluster.active().is_none().then_some(())
    })
    .await;
    let message = milena_rpc::proto::AdminRequest::from(
        &milena_metadata::request::AdminRequest::UnregisterBroker(BrokerId(1)),
    );
    assert!(cluster.client(leader).admin(message).await.is_err());
    assert!(cluster.image(leader).broker(BrokerId(1)).is_some());
}

#[tokio::test]
async fn nobody_names_a_leader_without_a_majority() {
    let mut cluster = Cluster::started(3).await;
    let leader = cluster.wait_active().await;
    let named = |cluster: &Cluster, node: usize| {
        let node = cluster.nodes[node].as_ref().unwrap();
        assert_eq!(node.quorum().leader, node.active());
        node.active()
    };
    let all_name = |cluster: &Cluster, nodes: &[usize], id| {
        let agree = nodes.iter().all(|node| named(cluster, *node) == Some(id));
        agree.then_some(())
    };
    let id = cluster.voters[leader].id;
    eventually("a leader that everybody names", || {
        all_name(&cluster, &[0, 1, 2], id)
    })
    .await;

    // The leader, left alone, is none any more; it says so to everybody who asks.
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.kill(one).await;
    cluster.kill(other).await;
    eventually("a leader that names itself no more", || {
        named(&cluster, leader).is_none().then_some(())
    })
    .await;
    let request = milena_rpc::proto::DescribeQuorumRequest { of_leader: false };
    let mut client = cluster.client(leader);
    let described = client.describe_quorum(request).await.unwrap().into_inner();
    assert_eq!(described.leader_id, None);
    assert_eq!(described.voters.len(), 3);
    let found = client.find_cluster(milena_rpc::proto::FindClusterRequest {});
    assert_eq!(found.await.unwrap().into_inner().leader_id, None);

    // With a majority there is a leader again.
    cluster.start(one).await;
    let active = cluster.wait_active().await;
    let id = cluster.voters[active].id;
    eventually("a leader that both name", || {
        all_name(&cluster, &[leader, one], id)
    })
    .await;

    // A follower, left alone, forgets the one it followed.
    let follower = if active == leader { one } else { leader };
    cluster.kill(active).await;
    eventually("a follower that names nobody", || {
        named(&cluster, follower).is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_suspect_is_dialled_and_fenced_only_when_its_process_is_gone() {
    let cluster = Cluster::started(3).await;
    cluster.wait_active().await;
    let socket = listener();
    let port = socket.local_addr().unwrap().port();
    let epoch = cluster.broker_at(1, port).await;
    let suspect = |epoch: i64| {
        let message = milena_rpc::proto::SuspectBrokerRequest {
            reporter: 2,
            broker: 1,
            epoch,
        };
        cluster.call(move |mut client| async move { client.suspect_broker(message).await })
    };
    assert!(!suspect(epoch.0).await.fenced, "it listens");
    drop(socket);
    let stale = suspect(epoch.0 + 1).await;
    assert_eq!(
        (stale.fenced, stale.outcome.unwrap().error),
        (false, 77),
        "another registration"
    );
    let begun = Instant::now();
    assert!(suspect(epoch.0).await.fenced);
    println!("fenced in {:?}", begun.elapsed());
    let active = cluster.wait_active().await;
    assert!(cluster.image(active).broker(BrokerId(1)).unwrap().fenced);
    // It was alive after all: its heartbeat brings it back.
    cluster.heartbeat(1, epoch).await;
    assert!(!cluster.image(active).broker(BrokerId(1)).unwrap().fenced);
}

/// Others may have elected another one by then: a broker must not take such an answer for more than it is.
#[tokio::test]
async fn a_controller_without_its_voters_says_for_how_long_it_had_none() {
    let mut cluster = Cluster::started(3).await;
    let epoch = cluster.broker(1).await;
    let leader = cluster.wait_active().await;
    let others: Vec<usize> = (0..3).filter(|node| *node != leader).collect();
    for node in others {
        cluster.kill(node).await;
    }
    let (alone_since, mut answered) = (Instant::now(), 0);
    loop {
        let sent = Instant::now();
        let Ok(reply) = cluster.client(leader).heartbeat(heartbeat(1, epoch)).await else {
            break;
        };
        let (reply, alone) = (reply.into_inner(), sent.duration_since(alone_since));
        assert!(
            u128::from(reply.quorum_age_ms) >= alone.as_millis(),
            "{reply:?} after {alone:?}"
        );
        answered += 1;
    }
    assert!(answered > 0, "it goes on for a while");
}

#[tokio::test]
async fn a_silent_broker_is_fenced_when_its_session_ends() {
    let mut cluster = Cluster::new(1, |config| config.session_timeout = Duration::from_millis(300));
    cluster.start(0).await;
    cluster.wait_active().await;
    let socket = listener();
    cluster.broker_at(1, socket.local_addr().unwrap().port()).await;
    eventually("a fenced broker", || {
        cluster.image(0).broker(BrokerId(1)).unwrap().fenced.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_new_active_controller_looks_for_the_dead() {
    let mut cluster = Cluster::started(3).await;
    cluster.wait_active().await;
    let socket = listener();
    cluster.broker_at(1, socket.local_addr().unwrap().port()).await;
    // The broker dies together with the only one who could notice.
    drop(socket);
    let leader = cluster.wait_active().await;
    cluster.kill(leader).await;
    let begun = Instant::now();
    eventually("a fenced broker", || {
        let active = cluster.active()?;
        cluster
            .image(active)
            .broker(BrokerId(1))
            .unwrap()
            .fenced
            .then_some(())
    })
    .await;
    println!("fenced {:?} after the controller's death", begun.elapsed());
}

#[tokio::test]
async fn voters_of_another_cluster_are_refused() {
    let mut ours = Cluster::new(1, |config| config.cluster_id = Some(ClusterId("ours".to_owned())));
    ours.start(0).await;
    ours.wait_active().await;
    let mut message = RaftMessage {
        format: 1,
        to: 0,
        cluster: "theirs".to_owned(),
        payload: vec![1].into(),
    };
    let mut client = RaftClient::connect(format!("http://{}", ours.voters[0].address()))
        .await
        .unwrap();
    let refused = client.vote(message.clone()).await.unwrap_err();
    assert!(refused.message().contains("cluster theirs"), "{refused}");
    message.cluster = "ours".to_owned();
    let refused = client.vote(message.clone()).await.unwrap_err();
    assert!(refused.message().contains("malformed"), "{refused}");
    message.to = 3;
    let refused = client.vote(message.clone()).await.unwrap_err();
    assert!(refused.message().contains("for node 3"), "{refused}");
    message = RaftMessage {
        to: 0,
        format: 2,
        ..message
    };
    let refused = client.vote(message).await.unwrap_err();
    assert!(refused.message().contains("format 2"), "{refused}");
    assert!(ours.active().is_some());
}

#[tokio::test]
async fn a_silent_leader_is_replaced_after_its_lease() {
    let mut cluster = Cluster::new(3, |_| {});
    let address = |voter: &crate::Voter| std::net::TcpListener::bind(voter.address()).unwrap();
    let sockets: Vec<_> = cluster.voters.iter().map(address).collect();
    for (node, socket) in sockets.iter().enumerate() {
        cluster.start_on(node, socket).await;
    }
    let leader = cluster.wait_active().await;
    cluster.broker(1).await;
    cluster.kill(leader).await;
    let begun = Instant::now();
    // Its port still takes connections: nothing proves its death but its silence.
    let next = eventually("another active controller", || cluster.active()).await;
    println!("silent leader replaced after {:?}", begun.elapsed());
    assert_ne!(next, leader);
    assert!(
        begun.elapsed() > Duration::from_millis(100),
        "a lease was respected"
    );
}
