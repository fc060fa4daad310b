//! Voters that lose sight of a leader who leads on.

use super::cluster::{Cluster, eventually, listener};
use crate::Controller;
use milena_rpc::proto;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on, until they are cut.
struct Proxy {
    port: u16,
    cuts: watch::Sender<u32>,
}

impl Proxy {
    fn to(target: u16) -> Self {
        let listener = listener();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cuts, seen) = watch::channel(0);
        tokio::spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((mut client, _)) = listener.accept().await {
                let mut seen = seen.clone();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(("127.0.0.1", target)).await?;
                    seen.mark_unchanged();
                    tokio::select! {
                        copied = copy_bidirectional(&mut client, &mut server) => copied.map(|_| ()),
                        _ = seen.changed() => Ok(()),
                    }
                });
            }
        });
        Self { port, cuts }
    }

    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn leader_epoch(cluster: &Cluster, node: usize) -> u64 {
    let request = proto::DescribeQuorumRequest { of_leader: true };
    let described = cluster.client(node).describe_quorum(request).await.unwrap();
    described.into_inner().leader_epoch
}

/// The third voter is reached through a proxy, and looks for the leader where nobody is: with its streams cut, all evidence
/// that it can have says that the leader is dead.
#[tokio::test]
async fn a_living_leader_is_not_deposed_by_a_voter_that_cannot_see_it() {
    let mut cluster = Cluster::new(3, |_| {});
    let proxy = Proxy::to(cluster.voters[2].port);
    for node in [0, 1] {
        let mut config = cluster.config(node);
        config.voters[2].port = proxy.port;
        let started = tokio::task::spawn_blocking(move || Controller::start(config)).await;
        cluster.nodes[node] = Some(started.unwrap().unwrap());
    }
    let leader = cluster.wait_active().await;
    cluster.broker(1).await;
    // It comes in where it sees everybody: with an empty log it has to.
    cluster.start(2).await;
    let found = proto::FindClusterRequest {};
    while !cluster
        .client(2)
        .find_cluster(found)
        .await
        .is_ok_and(|answer| answer.into_inner().may_vote)
    {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    cluster.stop(2).await;
    let mut config = cluster.config(2);
    config.voters[leader].port = listener().local_addr().unwrap().port();
    let started = tokio::task::spawn_blocking(move || Controller::start(config)).await;
    cluster.nodes[2] = Some(started.unwrap().unwrap());
    let epoch = leader_epoch(&cluster, leader).await;
    for round in 0..5 {
        let version = cluster.create_topic(&format!("round-{round}"), 1, 1).await;
        eventually("the third voter follows", || {
            (cluster.image(2).version >= version).then_some(())
        })
        .await;
        proxy.cut();
    }
    let version = cluster.create_topic("after", 1, 1).await;
    eventually("the third voter follows again", || {
        (cluster.image(2).version >= version).then_some(())
    })
    .await;
    assert_eq!(cluster.active(), Some(leader));
    assert_eq!(leader_epoch(&cluster, leader).await, epoch);
}
