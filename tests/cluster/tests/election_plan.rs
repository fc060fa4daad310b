//! `milena leader-election --plan` says what an unclean election would lose, and the election then loses that.

use milena_cluster_tests::{Cluster, Settings, admin, check, is_acknowledged, until};
use std::time::Duration;

const TOPIC: &str = "orders";
const WAIT: Duration = Duration::from_secs(60);

fn produce(cluster: &Cluster, records: usize) {
    for _ in 0..records {
        until("an acknowledgement", WAIT, || {
            is_acknowledged(&cluster.bootstrap(), TOPIC, "all").then_some(())
        });
    }
}

fn wait_isr(cluster: &Cluster, expected: &[i32]) {
    until("the ISR to shrink", WAIT, || {
        let views = admin::partitions(&cluster.bootstrap(), TOPIC);
        let view = views.first()?;
        (view.isr == expected).then_some(())
    });
}

#[test]
fn a_plan_says_what_each_replica_would_lose() {
    let mut cluster = Cluster::start_separate(3, 1, Settings::default());
    admin::create_topic(&cluster.bootstrap(), TOPIC, 1, 3, &[("min.insync.replicas", "1")]);
    let view = admin::partitions(&cluster.bootstrap(), TOPIC).remove(0);
    let leader = view.leader;
    let others: Vec<i32> = view.replicas.iter().copied().filter(|id| *id != leader).collect();
    let (longer, shorter) = (others[1], others[0]);

    produce(&cluster, 4);
    cluster.kill(shorter);
    produce(&cluster, 3);
    cluster.kill(longer);
    wait_isr(&cluster, &[leader]);
    produce(&cluster, 2);
    cluster.kill(leader);
    cluster.start_ready(longer);
    cluster.start_ready(shorter);
    until("no leader to be left", WAIT, || {
        let views = admin::partitions(&cluster.bootstrap(), TOPIC);
        views.first().filter(|view| view.leader < 0).map(|_| ())
    });

    let bootstrap = cluster.bootstrap();
    let election = [
        "leader-election",
        "--bootstrap-server",
        &bootstrap,
        "--election-type",
        "unclean",
    ];
    let one = ["--topic", TOPIC, "--partition", "0"];
    let plan = cluster.tool(&[&election[..], &one, &["--plan"]].concat());
    let expected = [
        format!("ISR none, ELR {leader}, last known leader {leader}"),
        format!("broker {leader}: cannot be asked"),
        format!(
            "broker {shorter} (an unclean election takes it): log start 0, log end 4, last leader epoch 0: would lose 3 offsets of broker {longer}: from 4 to 6"
        ),
        format!(
            "broker {longer}: log start 0, log end 7, last leader epoch 0: would lose nothing that another replica here has"
        ),
    ];
    for line in expected {
        assert!(plan.contains(&line), "no \"{line}\" in\n{plan}");
    }

    let done = cluster.tool(&[&election[..], &one].concat());
    assert_eq!(
        done,
        format!("Successfully completed leader election (UNCLEAN) for partitions {TOPIC}-0\n")
    );
    // What only the former leader had goes as well.
    cluster.start_ready(leader);
    admin::wait_full_isr(&cluster.bootstrap(), TOPIC, 1, WAIT);
    let left = until("the records that are left", WAIT, || {
        let views = admin::partitions(&cluster.bootstrap(), TOPIC);
        views.first().filter(|view| view.leader == shorter)?;
        Some(check::read_all(&cluster.bootstrap(), TOPIC, 1, WAIT)[&0].len())
    });
    assert_eq!(left, 4);
    let again = cluster.tool(&[&election[..], &["--all-topic-partitions", "--plan"]].concat());
    assert!(again.starts_with("Valid replica already elected for"), "{again}");
}
