//! What seeds found, played on purpose: a leader of the past and a voter that has forgotten who came after; a founding
//! that is interrupted.

use super::script::Script;
use super::world::World;
use crate::raft::test_runtime::seed_thread;
use crate::raft::types::Proposal;
use crate::store::memory::Flaw;
use milena_metadata::record::{MetadataBatch, MetadataRecord};
use std::time::Duration;
use tokio::time::sleep;

/// A batch on top of what a node has; false when it is not committed in time.
async fn propose(script: &Script, node: u64, next: i64) -> bool {
    let raft = script.raft(node).unwrap();
    let version = script.image(node).version;
    let batch = MetadataBatch {
        expected_version: version,
        records: vec![MetadataRecord::ProducerIds { next }],
    };
    let write = raft.client_write(Proposal(milena_rpc::encode_batch(&batch)));
    let written = tokio::time::timeout(Duration::from_secs(2), write).await;
    script.world.judge();
    matches!(written, Ok(Ok(_)))
}

async fn wait(script: &Script, what: &str, condition: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
        script.world.judge();
    }
    script.world.describe();
    let lines = script.world.lock().trace.lines().join("\n");
    panic!("{lines}\nthere never was {what}");
}

fn play(seed: u64, life: impl Future<Output = ()>) {
    seed_thread(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(life);
}

/// All of them lose their power at each moment of the founding.
#[test]
fn a_founding_that_is_interrupted_goes_on() {
    for moment in (0..300).step_by(3) {
        play(moment, async {
            let world = World::new(moment, false);
            let mut script = Script::with(moment, 3, Flaw::None, &world);
            for id in 1..=3 {
                script.start(id).await;
            }
            sleep(Duration::from_millis(moment)).await;
            for id in 1..=3 {
                script.kill(id, false).await;
            }
            for id in 1..=3 {
                script.start(id).await;
            }
            let what = format!("a leader, interrupted after {moment} ms");
            wait(&script, &what, || world.active().is_some()).await;
            assert_eq!(world.failure(), None);
        });
    }
}

#[test]
fn a_voter_with_a_new_disk_helps_no_leader_of_the_past() {
    play(1, async {
        let world = World::new(1, false);
        let mut script = Script::with(1, 3, Flaw::None, &world);
        for id in 1..=3 {
            script.start(id).await;
        }
        wait(&script, "a leader", || world.active().is_some()).await;
        let old = world.active().unwrap();
        assert!(propose(&script, old, 1_000).await);
        sleep(Duration::from_secs(1)).await;
        // The leader is cut off, with an entry that nobody gets.
        script.cut_off(&[old], true);
        assert!(!propose(&script, old, 2_000).await);
        wait(&script, "a successor", || {
            world.active().is_some_and(|next| next != old)
        })
        .await;
        let new = world.active().unwrap();
        let other = (1..=3).find(|id| ![old, new].contains(id)).unwrap();
        assert!(propose(&script, new, 3_000).await);
        // The one that the two could share loses its disk, and can see the leader of the past only.
        script.exchange_disk(other).await;
        script.cut_off(&[old], false);
        script.cut_off(&[new], true);
        script.start(other).await;
        sleep(Duration::from_secs(10)).await;
        world.judge();
        assert_eq!(world.failure(), None);
        assert!(!propose(&script, old, 4_000).await, "a second history");
        script.cut_off(&[new], false);
        wait(&script, "a whole cluster", || script.is_settled()).await;
        assert_eq!(script.image(other).next_producer_id, 3_000);
        assert_eq!(world.failure(), None);
    });
}
