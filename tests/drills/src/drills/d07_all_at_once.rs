//! D7: all nodes at once are killed, or lose their power. All partitions have a leader again without anybody's help, and nothing that was
//! acknowledged is lost.

use super::{Options, staged};
use crate::Outcome;
use crate::node::Layout;
use crate::report::Report;
use crate::stage::{Stage, StageSettings};
use std::time::Duration;

const KILL: &str = "kill -9 of all";
const POWER: &str = "power cut of all";
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(options: &Options) -> Report {
    staged(options, StageSettings::of(Layout::combined()), |stage| {
        stage.rounds(2, options.time, |stage, round| all_at_once(stage, round % 2 == 0))?;
        stage.bound(&[KILL, POWER], PATIENCE);
        stage.need(KILL, 1);
        stage.need(POWER, 1);
        Ok(())
    })
}

fn all_at_once(stage: &mut Stage, power: bool) -> Outcome<()> {
    let (nodes, all) = (stage.cluster.brokers(), stage.all());
    let from = stage.clock.now();
    let kind = if power { POWER } else { KILL };
    stage.fault(kind, "nodes 1, 2 and 3", |stage| {
        if power {
            stage.cluster.cut_power(&nodes)
        } else {
            stage.cluster.kill(&nodes)
        }
    })?;
    let down = stage.clock.now();
    for id in &nodes {
        stage.cluster.start_node(*id)?;
    }
    stage.wait_progress(&all, down, PATIENCE)?;
    stage.outage(kind, &all, from);
    stage.wait_whole()
}
