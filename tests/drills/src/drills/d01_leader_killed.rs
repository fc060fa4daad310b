//! D1: kill -9 of the leader of a partition. Others lead within the session timeout and two seconds, for 99 of 100 partitions.

use super::{Options, staged};
use crate::Outcome;
use crate::node::Layout;
use crate::report::Report;
use crate::stage::{Stage, StageSettings};
use std::time::Duration;

const KIND: &str = "kill -9 of a leader";
/// Everything is acknowledged again within this time, else the drill ends.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(options: &Options) -> Report {
    staged(options, StageSettings::of(Layout::combined()), |stage| {
        stage.rounds(1, options.time, kill_one)?;
        stage.bound(&[KIND], Layout::SESSION + Duration::from_secs(2));
        stage.need(KIND, 1);
        stage.need("failovers", 1);
        Ok(())
    })
}

/// Kills the leader of a partition, waits for acknowledgements in all that it led, and starts it again.
fn kill_one(stage: &mut Stage, round: usize) -> Outcome<()> {
    let partition = stage.all()[round % stage.all().len()];
    let leader = stage.watch.newest(partition).map_or(-1, |shown| shown.leader);
    let led = stage.led_by(leader);
    let from = stage.clock.now();
    stage.fault(KIND, &format!("node {leader}"), |stage| {
        stage.cluster.kill(&[leader])
    })?;
    stage.wait_progress(&led, from, PATIENCE)?;
    stage.outage(KIND, &led, from);
    stage.cluster.start_node(leader)?;
    stage.cluster.wait_ready(&[leader])?;
    stage.wait_whole()
}
