//! D3: a leader is cut off from the controller only, or from its followers only, in each direction and in both; and together with the
//! active controller, which runs in the same process and does not know either that another one was elected.
//!
//! Without the controller it is deposed: others lead, and from the moment in which another one acknowledges it acknowledges nothing, not
//! even with acks=1. Without its followers the ISR shrinks to it alone, and nothing is acknowledged below min.insync.replicas.

use super::victim::{OTHERS, VICTIM, at_most_one, cut, lead_again, probe, wait_taken_over};
use super::{Options, staged};
use crate::Outcome;
use crate::net::{Cut, Peer};
use crate::node::{CONTROLLER_PORT, Layout};
use crate::report::Report;
use crate::stage::{Stage, StageSettings};
use milena_cluster_tests::wait;
use std::time::Duration;

const CONTROLLER: i32 = 101;
/// HTTP/2 notices a dead connection after so long, which is what a one-way cut is to it.
const KEEP_ALIVE: Duration = Duration::from_secs(9);
/// Runs of this length have time for cuts of both directions at once.
const BOTH_TOO: Duration = Duration::from_secs(30);
/// A client waits so long for the answer of one that cannot know it was deposed.
const CLIENT: Duration = Duration::from_secs(5);
const SLACK: Duration = Duration::from_secs(4);

/// How often the active controller is killed at most, until the victim is it.
const ELECTIONS_MAX: usize = 12;
const PATIENCE: Duration = Duration::from_secs(60);
const WITH_CONTROLLER: &str = "leader with its controller";

/// Two clusters: the controller on a node of its own, and in the process of the leader.
pub(super) fn run(options: &Options) -> Report {
    let mut first = separate(options);
    let second = staged(options, StageSettings::of(Layout::combined()), |stage| {
        let others = OTHERS.iter().map(|id| Peer::Node(*id));
        let victim = Peer::Node(VICTIM);
        let cuts: Vec<Cut> = others
            .flat_map(|other| [Cut::all(victim, other), Cut::all(other, victim)])
            .collect();
        stage.rounds(1, options.time / 3, |stage, round| {
            make_active(stage)?;
            without_controller(stage, WITH_CONTROLLER, &cuts, round)
        })?;
        let kind = format!("cut {WITH_CONTROLLER}");
        stage.bound(&[&kind], Layout::SESSION + KEEP_ALIVE + CLIENT + SLACK);
        stage.need(&kind, 1);
        stage.need("failovers", 1);
        Ok(())
    });
    first.join(second);
    first
}

/// Kills the active controller until the victim is it.
fn make_active(stage: &mut Stage) -> Outcome<()> {
    for _ in 0..ELECTIONS_MAX {
        stage.wait_whole()?;
        let active = wait("an active controller", PATIENCE, || stage.cluster.controller())?;
        if active == VICTIM {
            return Ok(());
        }
        stage.cluster.kill(&[active])?;
        wait("another active controller", PATIENCE, || {
            stage.cluster.controller().filter(|id| *id != active)
        })?;
        stage.cluster.start_node(active)?;
        stage.cluster.wait_ready(&[active])?;
    }
    Err("the victim did not become the active controller".into())
}

fn separate(options: &Options) -> Report {
    staged(options, StageSettings::of(Layout::separate(1)), |stage| {
        let victim = Peer::Node(VICTIM);
        let controller = Peer::Node(CONTROLLER);
        let to_controller = Cut::requests(victim, controller, CONTROLLER_PORT);
        let from_controller = Cut::answers(controller, victim, CONTROLLER_PORT);
        let to_followers: Vec<Cut> = OTHERS
            .iter()
            .map(|id| Cut::all(victim, Peer::Node(*id)))
            .collect();
        let from_followers: Vec<Cut> = OTHERS
            .iter()
            .map(|id| Cut::all(Peer::Node(*id), victim))
            .collect();
        let both_followers = [to_followers.clone(), from_followers.clone()].concat();
        let controller_cuts: [(&str, &[Cut]); 3] = [
            ("leader to controller", &[to_controller]),
            ("controller to leader", &[from_controller]),
            ("leader and controller", &[to_controller, from_controller]),
        ];
        let follower_cuts: [(&str, &[Cut]); 3] = [
            ("leader to followers", &to_followers),
            ("followers to leader", &from_followers),
            ("leader and followers", &both_followers),
        ];
        // In one direction is the rarer case, and each of them is seen even in the shortest run.
        let directions = if options.time < BOTH_TOO { 2 } else { 3 };
        stage.rounds(1, options.time, |stage, round| {
            for at in 0..directions {
                without_controller(stage, controller_cuts[at].0, controller_cuts[at].1, round)?;
                without_followers(stage, follower_cuts[at].0, follower_cuts[at].1)?;
            }
            Ok(())
        })?;
        for at in 0..directions {
            let kind = format!("cut {}", controller_cuts[at].0);
            stage.bound(&[&kind], Layout::SESSION + KEEP_ALIVE + CLIENT + SLACK);
            stage.need(&format!("cut {}", controller_cuts[at].0), 1);
            stage.need(&format!("cut {}", follower_cuts[at].0), 1);
        }
        stage.need("failovers", 2);
        Ok(())
    })
}

fn without_controller(stage: &mut Stage, what: &str, cuts: &[Cut], round: usize) -> Outcome<()> {
    let led = lead_again(stage)?;
    let topic = format!("probe-{}-{round}", what.replace(' ', "-"));
    let probe = probe(stage, &topic)?;
    let from = stage.clock.now();
    let kind = format!("cut {what}");
    cut(stage, &kind, cuts)?;
    let bound = Layout::SESSION + KEEP_ALIVE + SLACK;
    let taken = wait_taken_over(&probe, bound);
    let moved = stage.wait_progress(&led, stage.clock.now(), bound);
    stage.outage(&kind, &led, from);
    // The deposed one goes on to be asked for a while.
    stage.pass(Duration::from_secs(2));
    stage.cluster.net.heal()?;
    let said = probe.said();
    drop(probe);
    let told = |outcome: &Outcome<()>| outcome.clone().err().unwrap_or_default();
    let moved = taken.and(moved);
    stage.expect(&format!("D3 others lead: {what}"), moved.is_ok(), told(&moved));
    at_most_one(stage, &format!("D3 at most one acceptor: {what}"), &said, from);
    stage.wait_whole()
}

fn without_followers(stage: &mut Stage, what: &str, cuts: &[Cut]) -> Outcome<()> {
    let led = lead_again(stage)?;
    let from = stage.clock.now();
    let kind = format!("cut {what}");
    cut(stage, &kind, cuts)?;
    let begun = stage.clock.now();
    let alone = |partition: &i32| {
        let shown = stage.watch.shown_by(OTHERS[0], *partition);
        shown.is_some_and(|shown| shown.leader == VICTIM && shown.isr == [VICTIM])
    };
    let bound = Layout::LAG + KEEP_ALIVE + SLACK;
    let shrunk = wait("the ISR to be the leader alone", bound, || {
        led.iter().all(alone).then_some(())
    });
    let after = stage.clock.now() - begun;
    // Below min.insync.replicas for a while.
    stage.pass(Duration::from_secs(3));
    // What was sent after the cut: an acknowledgement from before it may still be on its way through the client.
    let (now, below) = (stage.clock.now(), stage.ledger.acknowledged_of(&led, begun));
    stage.cluster.net.heal()?;
    stage.expect(
        &format!("D3 the ISR shrinks: {what}"),
        shrunk.is_ok(),
        format!("after {after:?}"),
    );
    stage.expect(
        &format!("D3 no ack below min.isr: {what}"),
        below == 0,
        format!("{below} acknowledged"),
    );
    stage.wait_progress(&led, now, Duration::from_secs(60))?;
    stage.outage(&kind, &led, from);
    stage.wait_whole()
}
