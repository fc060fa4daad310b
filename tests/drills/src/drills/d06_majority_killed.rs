//! D6: two of three nodes are killed. The third one acknowledges nothing below min.insync.replicas, and no metadata is written without a
//! majority of the controllers; after the restart nothing is lost.

use super::victim::refuses;
use super::{Options, staged};
use crate::Outcome;
use crate::node::Layout;
use crate::report::Report;
use crate::stage::{Stage, StageSettings, create_topic};
use milena_cluster_tests::admin;
use std::time::Duration;

const KIND: &str = "kill -9 of two of three";
/// What single records are sent to.
const PROBED: &str = "refused";
/// So long two are down.
const DOWN: Duration = Duration::from_secs(8);
/// NOT_LEADER_OR_FOLLOWER, REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS_AFTER_APPEND.
const REFUSALS: [i16; 4] = [6, 7, 19, 20];

pub(super) fn run(options: &Options) -> Report {
    staged(options, StageSettings::of(Layout::combined()), |stage| {
        create_topic(&stage.cluster, PROBED, 1, &[("min.insync.replicas", "2")])?;
        stage.rounds(1, options.time, kill_two)?;
        stage.need(KIND, 1);
        stage.need("writes refused", 1);
        stage.need("failovers", 1);
        Ok(())
    })
}

fn kill_two(stage: &mut Stage, round: usize) -> Outcome<()> {
    let left = stage.cluster.brokers()[round % 3];
    let killed: Vec<i32> = (1..=3).filter(|id| *id != left).collect();
    let (all, from) = (stage.all(), stage.clock.now());
    stage.fault(KIND, &format!("nodes {killed:?}"), |stage| {
        stage.cluster.kill(&killed)
    })?;
    let down = stage.clock.now();
    let name = format!("minority-{round}");
    let created = admin::try_create_topic(&stage.cluster.address(left), &name, Duration::from_secs(3));
    stage.pass(DOWN.saturating_sub(stage.clock.now() - down));

    let shown = admin::partitions(&stage.cluster.address(left), &name);
    let up = stage.clock.now();
    let silent = stage.ledger.acknowledged_of(&all, down);
    stage.expect(
        "D6 no ack below min.isr",
        silent == 0,
        format!("{silent} in {:?}", up - down),
    );
    let written = created || !shown.is_empty();
    stage.expect(
        "D6 no minority metadata write",
        !written,
        format!("created {created}, shown {shown:?}"),
    );
    if refuses(stage, "D6 acks=all is refused", left, (PROBED, -1), &REFUSALS) {
        stage.cover("writes refused");
    }
    for id in killed {
        stage.cluster.start_node(id)?;
    }
    stage.wait_progress(&all, up, Duration::from_secs(90))?;
    stage.outage(KIND, &all, from);
    stage.wait_whole()
}
