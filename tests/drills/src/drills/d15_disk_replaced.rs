//! D15: a node comes back with an empty disk. A broker keeps no place in the ISR that its old disk had, and fills up from the leaders; a controller
//! has forgotten for whom it voted and what it acknowledged: it has no vote until a leader has brought it up to date, so that the cluster
//! stands still rather than follow it.

use super::victim::{VICTIM, lead_again};
use super::{Options, staged};
use crate::Outcome;
use crate::node::Layout;
use crate::report::Report;
use crate::stage::{Stage, StageSettings};
use milena_cluster_tests::{admin, wait};
use std::time::Duration;

const BROKER: &str = "empty disk: broker";
const CONTROLLER: &str = "empty disk: controller";
const PATIENCE: Duration = Duration::from_secs(60);
/// So long two of three, one of them empty, must not elect a controller; an election takes about a second.
const STANDS: Duration = Duration::from_secs(10);

pub(super) fn run(options: &Options) -> Report {
    staged(options, StageSettings::of(Layout::separate(3)), |stage| {
        stage.rounds(1, options.time, |stage, round| {
            broker(stage)?;
            controller(stage, round)
        })?;
        stage.bound(&[BROKER], Layout::SESSION + Duration::from_secs(2));
        stage.need(BROKER, 1);
        stage.need(CONTROLLER, 1);
        stage.need("failovers", 1);
        Ok(())
    })
}

fn broker(stage: &mut Stage) -> Outcome<()> {
    let led = lead_again(stage)?;
    let (all, from) = (stage.all(), stage.clock.now());
    // At once: the controller may not have noticed that it was away.
    stage.fault(BROKER, &format!("node {VICTIM}"), |stage| {
        stage.cluster.kill(&[VICTIM])?;
        stage.cluster.disk(VICTIM, 0).replace()?;
        stage.cluster.start_node(VICTIM)
    })?;
    let out = wait("the replaced disk to be out of every ISR", PATIENCE, || {
        let changes = stage.watch.changes();
        let was_out = |p: &i32| {
            changes
                .iter()
                .any(|c| c.partition == *p && c.at > from && !c.isr.contains(&VICTIM))
        };
        all.iter().all(was_out).then_some(())
    });
    stage.expect(
        "D15 it comes back out of the ISR",
        out.is_ok(),
        format!("{out:?}"),
    );
    stage.wait_progress(&all, from, PATIENCE)?;
    stage.outage(BROKER, &led, from);
    stage.cluster.wait_ready(&[VICTIM])?;
    stage.wait_whole()?;
    let led_empty: Vec<_> = {
        let changes = stage.watch.changes();
        let empty = |c: &&crate::client::Shown| c.at > from && c.leader == VICTIM && !c.isr.contains(&VICTIM);
        changes.iter().filter(empty).cloned().collect()
    };
    stage.expect(
        "D15 it leads nothing before it is in sync",
        led_empty.is_empty(),
        format!("{led_empty:?}"),
    );
    Ok(())
}

fn controller(stage: &mut Stage, round: usize) -> Outcome<()> {
    let active = wait("an active controller", PATIENCE, || stage.cluster.controller())?;
    let others: Vec<i32> = stage
        .cluster
        .layout()
        .controllers
        .iter()
        .copied()
        .filter(|id| *id != active)
        .collect();
    let wiped = others[0];
    let name = format!("before-{round}");
    let bootstrap = stage.cluster.bootstrap();
    let created = admin::try_create_topic(&bootstrap, &name, Duration::from_secs(10));
    stage.expect("D15 a topic is created", created, name.clone());
    stage.fault(
        CONTROLLER,
        &format!("node {wiped}, while {active} is down"),
        |stage| {
            stage.cluster.kill(&[active, wiped])?;
            stage.cluster.disk(wiped, 0).replace()?;
            stage.cluster.start_node(wiped)
        },
    )?;
    let elected = wait("a controller", STANDS, || {
        stage.cluster.controller().filter(|id| *id != active)
    });
    stage.expect(
        "D15 an empty controller elects nobody",
        elected.is_err(),
        format!("{elected:?} within {STANDS:?}"),
    );
    let caught_up = |stage: &Stage| stage.cluster.said(wiped, &["caught up and votes"]).len();
    let before = caught_up(stage);
    stage.cluster.start_node(active)?;
    stage.cluster.wait_ready(&[active, wiped])?;
    wait("the empty controller to have its vote back", PATIENCE, || {
        (caught_up(stage) > before).then_some(())
    })?;
    let there = wait("the topic to be there", PATIENCE, || {
        (!admin::partitions(&bootstrap, &name).is_empty()).then_some(())
    });
    stage.expect("D15 no metadata is lost", there.is_ok(), format!("{there:?}"));
    // With a vote again: it and one other are a majority.
    let active = wait("an active controller", PATIENCE, || stage.cluster.controller())?;
    let down = if active == wiped { others[1] } else { active };
    stage.cluster.kill(&[down])?;
    let votes = wait(
        "a controller, with the vote of the one that was empty",
        PATIENCE,
        || stage.cluster.controller().filter(|id| *id != down),
    );
    stage.expect(
        "D15 it has a vote once it is up to date",
        votes.is_ok(),
        format!("{votes:?}"),
    );
    stage.cluster.start_node(down)?;
    stage.cluster.wait_ready(&[down])?;
    stage.wait_whole()
}
