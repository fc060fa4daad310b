//! What seeds found, played on purpose: a leader of the past and a voter that has forgotten who came after; a founding
//! that is interrupted.

use super::script::{Script, on_seed};
use super::world::World;
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

/// Three voters that were started just now.
async fn three(seed: u64) -> Script {
    let mut script = Script::with(seed, 3, Flaw::None, &World::new(seed, false));
    for id in 1..=3 {
        script.start(id).await;
    }
    script
}

/// All of them lose their power at each moment of the founding.
#[test]
fn a_founding_that_is_interrupted_goes_on() {
    for moment in (0..300).step_by(3) {
        on_seed(moment, async {
            let mut script = three(moment).await;
            let world = script.world.clone();
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

/// With several seeds: who reaches the voter first, when both leaders can, is a lot.
#[test]
fn a_voter_with_a_new_disk_helps_no_leader_of_the_past() {
    for seed in 1..=20 {
        on_seed(seed, help_no_leader_of_the_past(seed));
    }
}

async fn help_no_leader_of_the_past(seed: u64) {
    let mut script = three(seed).await;
    let world = script.world.clone();
    wait(&script, "a leader", || world.active().is_some()).await;
    let old = world.active().unwrap();
    assert!(propose(&script, old, 1_000).await);
    sleep(Duration::from_secs(1)).await;
    // The leader is cut off, with an entry that nobody gets.
    for id in (1..=3).filter(|id| *id != old) {
        script.part(old, id, true);
    }
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
    script.part(old, other, false);
    script.part(new, other, true);
    script.start(other).await;
    helps_nobody(&script, old, seed).await;
    // It hears of the successor. The leader of the past does not, and goes on.
    script.part(new, other, false);
    helps_nobody(&script, old, seed).await;
    script.part(new, old, false);
    wait(&script, "a whole cluster", || script.is_settled()).await;
    assert_eq!(script.image(other).next_producer_id, 3_000, "seed {seed}");
    assert_eq!(world.failure(), None, "seed {seed}");
}

/// Nothing of the leader of the past is confirmed.
async fn helps_nobody(script: &Script, old: u64, seed: u64) {
    sleep(Duration::from_secs(10)).await;
    script.world.judge();
    assert_eq!(script.world.failure(), None, "seed {seed}");
    assert!(
        !propose(script, old, 4_000).await,
        "a second history, seed {seed}"
    );
}
