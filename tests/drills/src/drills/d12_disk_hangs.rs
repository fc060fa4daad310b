//! D12: a disk hangs: no write and no flush on it comes back, and none fails. Of a broker that leads and follows, and of a node that is the
//! active controller as well. Within `milena.flush.stall.ms` others lead, and go on without it; nobody waits for the disk. When it
//! comes back, so does the broker, and what it was sent before is as with any leader that was deposed.

use super::victim::{VICTIM, at_most_one, lead_again, probe};
use super::{Options, staged};
use crate::Outcome;
use crate::client::Shown;
use crate::node::Layout;
use crate::report::Report;
use crate::stage::{Stage, StageSettings};
use milena_cluster_tests::wait;
use std::time::Duration;

const BROKER: &str = "disk hangs: broker";
const BOTH: &str = "disk hangs: broker and active controller";
/// `milena.flush.stall.ms`.
const STALL: Duration = Duration::from_secs(10);
const SLACK: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(40);
/// So long it hangs.
const HANGS: Duration = Duration::from_secs(30);

/// Two clusters: with the partitions on a disk of their own, and with everything on one.
pub(super) fn run(options: &Options) -> Report {
    let separate = StageSettings::of(Layout::separate(1).with_data_disks(1));
    let mut first = staged(options, separate, |stage| {
        stage.rounds(1, options.time / 2, broker)?;
        stage.bound(&[BROKER], STALL + SLACK);
        stage.need(BROKER, 1);
        stage.need("failovers", 1);
        Ok(())
    });
    let second = staged(options, StageSettings::of(Layout::combined()), |stage| {
        stage.rounds(1, options.time / 2, both)?;
        stage.bound(&[BOTH], STALL + SLACK);
        stage.need(BOTH, 1);
        stage.need("failovers", 1);
        Ok(())
    });
    first.join(second);
    first
}

fn broker(stage: &mut Stage, round: usize) -> Outcome<()> {
    let led = lead_again(stage)?;
    let probe = probe(stage, &format!("probe-{round}"))?;
    let from = stage.clock.now();
    hangs(stage, BROKER, (VICTIM, 1), &led)?;
    // And for some time after it has come back.
    stage.pass(Duration::from_secs(3));
    let said = probe.said();
    drop(probe);
    at_most_one(stage, "D12 no ack of one that another has replaced", &said, from);
    stage.wait_whole()
}

fn both(stage: &mut Stage, _round: usize) -> Outcome<()> {
    stage.wait_whole()?;
    let active = wait("an active controller", PATIENCE, || stage.cluster.controller())?;
    let led = stage.led_by(active);
    hangs(stage, BOTH, (active, 0), &led)?;
    stage.wait_whole()
}

/// That disk of a node hangs, and comes back, whatever happens: a process that waits for it cannot even be killed.
fn hangs(stage: &mut Stage, kind: &'static str, (node, disk): (i32, usize), led: &[i32]) -> Outcome<()> {
    let from = stage.clock.now();
    stage.fault(kind, &format!("node {node}"), |stage| {
        stage.cluster.disk(node, disk).hang()
    })?;
    let meanwhile = meanwhile(stage, kind, node, (from, led));
    stage.cluster.disk(node, disk).come_back()?;
    meanwhile?;
    stage.cluster.wait_ready(&[node])
}

/// What is expected while it hangs, since then.
fn meanwhile(
    stage: &mut Stage,
    kind: &'static str,
    node: i32,
    (from, led): (Duration, &[i32]),
) -> Outcome<()> {
    let (hung, all) = (stage.clock.now(), stage.all());
    let away = |shown: &Shown| shown.leader >= 0 && shown.leader != node && !shown.isr.contains(&node);
    let left = stage.wait_shown("the others to go on without the broker", PATIENCE, &all, away);
    stage.expect(
        &format!("D12 the others go on without it: {kind}"),
        left.is_ok(),
        format!("{left:?}"),
    );
    stage.wait_progress(&all, hung, PATIENCE)?;
    stage.outage(kind, led, from);
    stage.pass((hung + HANGS).saturating_sub(stage.clock.now()));
    let running = stage.cluster.is_running(node);
    stage.expect(
        &format!("D12 the process stays: {kind}"),
        running,
        format!("node {node}"),
    );
    Ok(())
}
