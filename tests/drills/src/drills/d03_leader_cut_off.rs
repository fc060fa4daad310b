//! D3: a leader is cut off from the controller only, or from its followers only, in each direction and in both.
//!
//! Without the controller it is deposed: others lead, and from the moment in which another one acknowledges it acknowledges nothing, not
//! even with acks=1. Without its followers the ISR shrinks to it alone, and nothing is acknowledged below min.insync.replicas.

use super::{Options, staged};
use crate::Outcome;
use crate::client::{Probe, Said};
use crate::net::{Cut, Peer};
use crate::node::{CONTROLLER_PORT, Layout};
use crate::report::Report;
use crate::stage::{Stage, StageSettings, addresses, create_topic};
use crate::wait::wait;
use std::time::Duration;

/// The broker that is cut off; it leads partition 0 of each topic while nothing has happened.
const VICTIM: i32 = 1;
const CONTROLLER: i32 = 101;
const OTHERS: [i32; 2] = [2, 3];
/// HTTP/2 notices a dead connection after so long, which is what a one-way cut is to it.
const KEEP_ALIVE: Duration = Duration::from_secs(9);
const SLACK: Duration = Duration::from_secs(4);

pub(super) fn run(options: &Options) -> Report {
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
        let begun = stage.clock.now();
        let mut round = 0;
        while round == 0 || stage.clock.now() - begun < options.time {
            without_controller(stage, "leader to controller", &[to_controller], round)?;
            without_followers(stage, "leader to followers", &to_followers)?;
            without_controller(stage, "controller to leader", &[from_controller], round)?;
            without_followers(stage, "followers to leader", &from_followers)?;
            round += 1;
        }
        for kind in [
            "cut leader to controller",
            "cut controller to leader",
            "cut leader to followers",
            "cut followers to leader",
        ] {
            stage.need(kind, 1);
        }
        stage.need("failovers", 2);
        Ok(())
    })
}

/// Partition 0 of every topic prefers the victim, which leads again once it is in sync.
fn lead_again(stage: &mut Stage) -> Outcome<()> {
    stage.wait_whole()?;
    super::elect_preferred(&stage.cluster)?;
    wait("the victim to lead again", Duration::from_secs(30), || {
        let led = stage.watch.led_by(VICTIM, stage.settings.partitions);
        (!led.is_empty()).then_some(())
    })
}

fn without_controller(stage: &mut Stage, what: &str, cuts: &[Cut], round: i32) -> Outcome<()> {
    lead_again(stage)?;
    let topic = format!("probe-{}-{round}", what.replace(' ', "-"));
    create_topic(&stage.cluster, &topic, 1, &[])?;
    let brokers = addresses(&stage.cluster, &stage.cluster.brokers());
    let probe = Probe::start(&brokers, &topic, 1, stage.clock);
    let by = |broker: i32, probe: &Probe| {
        probe
            .said()
            .iter()
            .rev()
            .find(|said| said.broker == broker && said.is_ok())
            .cloned()
    };
    wait("the victim to take acks=1", Duration::from_secs(20), || {
        by(VICTIM, &probe)
    })?;
    let led = stage.watch.led_by(VICTIM, stage.settings.partitions);
    let from = stage.clock.now();
    let kind = format!("cut {what}");
    stage.fault(&kind, &format!("node {VICTIM}"), |stage| {
        stage.cluster.net.cut(cuts)
    })?;
    let bound = Layout::SESSION + KEEP_ALIVE + SLACK;
    let taken = wait("another one to take acks=1", bound, || {
        OTHERS.iter().find_map(|id| by(*id, &probe))
    });
    let moved = stage.wait_progress(&led, stage.clock.now(), bound);
    stage.outage(&kind, &led, from);
    // The deposed one goes on to be asked for a while.
    stage.pass(Duration::from_secs(2));
    stage.cluster.net.heal()?;
    let said = probe.said();
    drop(probe);
    let told = |outcome: &Outcome<()>| outcome.clone().err().unwrap_or_default();
    let moved = taken.map(drop).and(moved);
    stage.expect(&format!("D3 others lead: {what}"), moved.is_ok(), told(&moved));
    at_most_one(stage, what, &said);
    stage.wait_whole()
}

/// Nobody acknowledges after a newer leader has: neither the victim, nor anybody else.
fn at_most_one(stage: &mut Stage, what: &str, said: &[Said]) {
    let first_other = said
        .iter()
        .filter(|said| OTHERS.contains(&said.broker) && said.is_ok())
        .map(|said| said.answered)
        .min();
    let Some(deposed) = first_other else { return };
    let late = said
        .iter()
        .find(|said| said.broker == VICTIM && said.is_ok() && said.sent > deposed);
    let last = said
        .iter()
        .filter(|said| said.broker == VICTIM && said.is_ok())
        .map(|said| said.answered)
        .max();
    let codes: std::collections::BTreeSet<i16> = said
        .iter()
        .filter(|said| said.broker == VICTIM && said.sent > deposed)
        .filter_map(Said::code)
        .collect();
    let evidence = format!(
        "the old one's last {last:?}, the new one's first {deposed:?}, then {codes:?}; late: {late:?}"
    );
    stage.expect(
        &format!("D3 at most one acceptor: {what}"),
        late.is_none(),
        evidence,
    );
}

fn without_followers(stage: &mut Stage, what: &str, cuts: &[Cut]) -> Outcome<()> {
    lead_again(stage)?;
    let led = stage.watch.led_by(VICTIM, stage.settings.partitions);
    let from = stage.clock.now();
    let kind = format!("cut {what}");
    stage.fault(&kind, &format!("node {VICTIM}"), |stage| {
        stage.cluster.net.cut(cuts)
    })?;
    let cut = stage.clock.now();
    let alone = |partition: &i32| {
        let shown = stage.watch.shown_by(OTHERS[0], *partition);
        shown.is_some_and(|shown| shown.leader == VICTIM && shown.isr == [VICTIM])
    };
    let bound = Layout::LAG + KEEP_ALIVE + SLACK;
    let shrunk = wait("the ISR to be the leader alone", bound, || {
        led.iter().all(alone).then_some(())
    });
    let after = stage.clock.now() - cut;
    // Below min.insync.replicas for a while.
    stage.pass(Duration::from_secs(3));
    let (settled, now) = (cut + Duration::from_secs(1), stage.clock.now());
    let below = stage.ledger.acknowledged_within(&led, settled, now);
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
