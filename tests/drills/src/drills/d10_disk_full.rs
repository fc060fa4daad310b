//! D10: a disk without a free byte, of a broker that leads and follows, of a controller, and of a node that is both. The process stays; a
//! broker gives its leaderships away and leaves the ISR where others can go on; with space again it is as before.

use super::victim::{VICTIM, lead_again, refuses};
use super::{Options, staged};
use crate::Outcome;
use crate::client::Shown;
use crate::node::Layout;
use crate::report::Report;
use crate::stage::{Stage, StageSettings, create_topic};
use milena_cluster_tests::{admin, wait};
use std::time::Duration;

const BROKER: &str = "disk full: broker";
const CONTROLLER: &str = "disk full: active controller";
const BOTH: &str = "disk full: broker and active controller";
const RESTART: &str = "start of a controller on a full disk";
const PATIENCE: Duration = Duration::from_secs(40);
/// NOT_LEADER_OR_FOLLOWER, REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS_AFTER_APPEND, KAFKA_STORAGE_ERROR.
const REFUSALS: [i16; 5] = [6, 7, 19, 20, 56];

/// Two clusters: with the partitions, the metadata and the controllers on disks of their own, and with everything on one.
pub(super) fn run(options: &Options) -> Report {
    let separate = StageSettings::of(Layout::separate(3).with_data_disks(1));
    let mut first = staged(options, separate, |stage| {
        stage.rounds(1, options.time / 2, |stage, round| {
            broker(stage, round)?;
            controller(stage, round)
        })?;
        stage.bound(&[BROKER, CONTROLLER], Layout::SESSION + Duration::from_secs(2));
        stage.need(BROKER, 1);
        stage.need(CONTROLLER, 1);
        stage.need(RESTART, 1);
        stage.need("failovers", 1);
        Ok(())
    });
    let second = staged(options, StageSettings::of(Layout::combined()), |stage| {
        stage.rounds(1, options.time / 2, both)?;
        stage.bound(&[BOTH], Layout::SESSION + Duration::from_secs(2));
        stage.need(BOTH, 1);
        stage.need("failovers", 1);
        Ok(())
    });
    first.join(second);
    first
}

fn broker(stage: &mut Stage, round: usize) -> Outcome<()> {
    let led = lead_again(stage)?;
    let topic = format!("probe-{round}");
    create_topic(&stage.cluster, &topic, 1, &[("min.insync.replicas", "2")])?;
    let from = stage.clock.now();
    let filler = stage.fault(BROKER, &format!("node {VICTIM}"), |stage| {
        stage.cluster.disk(VICTIM, 1).fill()
    })?;
    let filled = stage.clock.now();
    given_away(stage, VICTIM, &led);
    stage.wait_progress(&stage.all(), filled, PATIENCE)?;
    stage.outage(BROKER, &led, from);
    refuses(
        stage,
        "D10 the full broker refuses",
        VICTIM,
        (&topic, 1),
        &REFUSALS,
    );
    recovered(stage, VICTIM, &filler)?;
    let lines = stage.cluster.said(VICTIM, &["has space again"]).len();
    stage.expect(
        "D10 it says that there is space again",
        lines > 0,
        format!("{lines} lines"),
    );
    Ok(())
}

/// The full one leads none of these any more.
fn given_away(stage: &mut Stage, full: i32, led: &[i32]) {
    let away = |shown: &Shown| shown.leader >= 0 && shown.leader != full;
    let shed = stage.wait_shown("the leaderships to be given away", PATIENCE, led, away);
    stage.expect(
        "D10 the leaderships are given away",
        shed.is_ok(),
        format!("{shed:?}"),
    );
}

fn controller(stage: &mut Stage, round: usize) -> Outcome<()> {
    let active = wait("an active controller", PATIENCE, || stage.cluster.controller())?;
    let from = stage.clock.now();
    let filler = stage.fault(CONTROLLER, &format!("node {active}"), |stage| {
        stage.cluster.disk(active, 0).fill()
    })?;
    metadata_goes_on(stage, CONTROLLER, &format!("controller-full-{round}"));
    let stayed = stage.cluster.is_running(active);
    stage.expect("D10 the process stays", stayed, format!("node {active}"));
    started_on_a_full_disk(stage, active, &format!("controller-restarted-{round}"))?;
    let now = stage.clock.now();
    stage.wait_progress(&stage.all(), now, PATIENCE)?;
    stage.outage(CONTROLLER, &stage.all(), from);
    std::fs::remove_file(&filler).map_err(|error| format!("{}: {error}", filler.display()))?;
    if !stage.cluster.is_running(active) {
        stage.cluster.start_node(active)?;
    }
    stage.cluster.wait_ready(&[active])?;
    stage.wait_whole()
}

fn both(stage: &mut Stage, round: usize) -> Outcome<()> {
    stage.wait_whole()?;
    let active = wait("an active controller", PATIENCE, || stage.cluster.controller())?;
    let led = stage.led_by(active);
    let from = stage.clock.now();
    let filler = stage.fault(BOTH, &format!("node {active}"), |stage| {
        stage.cluster.disk(active, 0).fill()
    })?;
    given_away(stage, active, &led);
    metadata_goes_on(stage, BOTH, &format!("both-full-{round}"));
    let now = stage.clock.now();
    stage.wait_progress(&stage.all(), now, PATIENCE)?;
    stage.outage(BOTH, &stage.all(), from);
    recovered(stage, active, &filler)
}

/// Topics can be created while a controller's disk is full, by it or by another one. The active one goes on in what its log has reserved.
fn metadata_goes_on(stage: &mut Stage, what: &str, name: &str) {
    let bootstrap = stage.cluster.bootstrap();
    let mut number = 0;
    let created = wait("five topics to be created", PATIENCE, || {
        let done = admin::try_create_topic(&bootstrap, &format!("{name}-{number}"), Duration::from_secs(5));
        number += i32::from(done);
        (number == 5).then_some(())
    });
    stage.expect(
        &format!("D10 metadata goes on: {what}"),
        created.is_ok(),
        format!("{number} topics were created"),
    );
}

/// A controller that is killed and started on a full disk cannot open its log. It ends and says why, as often as it is started; the others go on.
fn started_on_a_full_disk(stage: &mut Stage, id: i32, name: &str) -> Outcome<()> {
    stage.fault(RESTART, &format!("node {id}"), |stage| {
        stage.cluster.kill(&[id])?;
        stage.cluster.start_node(id)
    })?;
    wait("another active controller", PATIENCE, || {
        stage.cluster.controller().filter(|active| *active != id)
    })?;
    metadata_goes_on(stage, RESTART, name);
    if let Some(status) = stage.cluster.forget_ended(id) {
        let why = stage.cluster.said(id, &["No space left"]);
        stage.expect(
            "D10 it says why it cannot start",
            !why.is_empty(),
            format!("{status}: {why:?}"),
        );
    }
    Ok(())
}

/// With space again the node is as before; it was never down.
fn recovered(stage: &mut Stage, id: i32, filler: &std::path::Path) -> Outcome<()> {
    let stayed = stage.cluster.is_running(id);
    stage.expect("D10 the process stays", stayed, format!("node {id}"));
    std::fs::remove_file(filler).map_err(|error| format!("{}: {error}", filler.display()))?;
    stage.cluster.wait_ready(&[id])?;
    stage.wait_whole()
}
