//! Partitions move to other brokers under load, and nothing acknowledged is lost, also when a broker dies on the way.

use milena_cluster_tests::{Cluster, Load, Settings, admin, check, reassign, until};
use std::time::Duration;

const TOPIC: &str = "moving";
const WAIT: Duration = Duration::from_secs(60);
const NO_REASSIGNMENT_IN_PROGRESS: i16 = 85;

struct Drill {
    cluster: Cluster,
    load: Load,
}

impl Drill {
    fn new() -> Self {
        let cluster = Cluster::start(4, Settings::default().with("replica.lag.time.max.ms", "3000"));
        let bootstrap = cluster.bootstrap();
        admin::create_topic(&bootstrap, TOPIC, 2, 3, &[("min.insync.replicas", "2")]);
        let load = Load::start(&bootstrap, TOPIC, 2, 2000);
        Self { cluster, load }
    }

    fn wait_progress(&self, count: usize) {
        let before = self.load.acked();
        until("acknowledgements", WAIT, || {
            (self.load.acked() >= before + count).then_some(())
        });
    }

    fn replicas(&self, partition: usize) -> Vec<i32> {
        let views = until("the topic", WAIT, || {
            let views = admin::partitions(&self.cluster.bootstrap(), TOPIC);
            (views.len() == 2).then_some(views)
        });
        views[partition].replicas.clone()
    }

    /// The broker that has no replica of the partition.
    fn absent(&self, partition: usize) -> i32 {
        let replicas = self.replicas(partition);
        let mut all = self.cluster.ids().into_iter();
        all.find(|id| !replicas.contains(id)).expect("a fourth broker")
    }

    fn ask(&self, partition: i32, replicas: Option<&[i32]>) -> i16 {
        reassign::reassign(&self.cluster.address(self.alive()), TOPIC, partition, replicas)
    }

    fn alive(&self) -> i32 {
        let mut all = self.cluster.ids().into_iter();
        all.find(|id| self.cluster.pid(*id).is_some())
            .expect("a live broker")
    }

    fn wait_replicas(&self, partition: usize, expected: &[i32]) {
        until(&format!("{expected:?} alone, in sync"), WAIT, || {
            let views = admin::partitions(&self.cluster.bootstrap(), TOPIC);
            let view = views.get(partition)?;
            (view.replicas == expected && view.isr.len() == expected.len()).then_some(())
        });
    }
}

#[test]
fn partitions_move_under_load_and_brokers_die_on_the_way() {
    let mut drill = Drill::new();
    drill.wait_progress(2000);
    assert_eq!(drill.ask(0, None), NO_REASSIGNMENT_IN_PROGRESS);

    // Another broker takes the leader's place.
    let (old, new) = (drill.replicas(0), drill.absent(0));
    let target = [new, old[2], old[1]];
    assert_eq!(drill.ask(0, Some(&target)), 0);
    drill.wait_replicas(0, &target);
    until("the former replica's directory to go", WAIT, || {
        drill
            .cluster
            .partition_dir(old[0], TOPIC, 0)
            .is_none()
            .then_some(())
    });
    drill.wait_progress(2000);

    // A move to a broker that is dead waits, can be seen, and is taken back.
    let (old, new) = (drill.replicas(1), drill.absent(1));
    drill.cluster.kill(new);
    assert_eq!(drill.ask(1, Some(&[new, old[1], old[2]])), 0);
    let seen = reassign::ongoing(&drill.cluster.address(drill.alive()), TOPIC);
    assert_eq!(seen, [(1, vec![new], vec![old[0]])]);
    drill.wait_progress(2000);
    assert_eq!(drill.ask(1, None), 0);
    // As in Kafka the order is that of the move, without what it would have added.
    drill.wait_replicas(1, &[old[1], old[2], old[0]]);
    assert!(reassign::ongoing(&drill.cluster.address(drill.alive()), TOPIC).is_empty());

    // The source of a move dies while it is under way.
    // A killed broker is listed for a session still: not the list says that it is back, it says so itself.
    drill.cluster.start_ready(new);
    let target = [new, old[1], old[2]];
    assert_eq!(drill.ask(1, Some(&target)), 0);
    drill.cluster.kill(old[0]);
    drill.wait_replicas(1, &target);
    drill.cluster.start_node(old[0]);
    drill.wait_progress(2000);
    until("what the dead broker had of it to be set aside", WAIT, || {
        let left = drill.cluster.partition_dir(old[0], TOPIC, 1);
        left.is_none().then_some(())
    });

    let report = drill.load.finish();
    admin::wait_full_isr(&drill.cluster.bootstrap(), TOPIC, 2, WAIT);
    check::assert_nothing_lost(&drill.cluster.bootstrap(), TOPIC, 2, &report);
}
