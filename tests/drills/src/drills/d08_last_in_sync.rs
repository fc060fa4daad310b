//! D8: a leader whose followers are cut off acknowledges alone (min.insync.replicas 1), and then loses its power. Nobody else is elected, and
//! when it is back everything that it acknowledged alone is there.

use super::victim::{OTHERS, VICTIM, cut, lead_again};
use super::{Options, staged};
use crate::Outcome;
use crate::client::Shown;
use crate::net::{Cut, Peer};
use crate::node::Layout;
use crate::report::Report;
use crate::stage::{Stage, StageSettings};
use std::time::Duration;

const CUT: &str = "cut leader and followers";
const POWER: &str = "power cut of the last in sync";
/// The ISR shrinks after replica.lag.time.max.ms; HTTP/2 may need 9 s to give up.
const SHRINK: Duration = Duration::from_secs(21);
/// Longer than a session, so that whoever may be elected is.
const AWAY: Duration = Duration::from_secs(10);

pub(super) fn run(options: &Options) -> Report {
    let settings = StageSettings {
        min_isr: 1,
        ..StageSettings::of(Layout::separate(1))
    };
    staged(options, settings, |stage| {
        stage.rounds(1, options.time, |stage, _| last_in_sync(stage))?;
        stage.need(CUT, 1);
        stage.need(POWER, 1);
        stage.need("acknowledged alone", 1);
        stage.need("elections", 1);
        Ok(())
    })
}

fn last_in_sync(stage: &mut Stage) -> Outcome<()> {
    let led = lead_again(stage)?;
    let both = |id: &i32| {
        [
            Cut::all(Peer::Node(VICTIM), Peer::Node(*id)),
            Cut::all(Peer::Node(*id), Peer::Node(VICTIM)),
        ]
    };
    let cuts: Vec<Cut> = OTHERS.iter().flat_map(both).collect();
    cut(stage, CUT, &cuts)?;
    let alone = |shown: &Shown| shown.leader == VICTIM && shown.isr == [VICTIM];
    stage.wait_shown("the ISR to be the leader alone", SHRINK, &led, alone)?;
    let since = stage.clock.now();
    stage.wait_progress(&led, since, Duration::from_secs(20))?;
    stage.pass(Duration::from_secs(2));
    let taken = stage.ledger.acknowledged_of(&led, since);
    if taken > 100 {
        stage.cover("acknowledged alone");
    }
    let from = stage.clock.now();
    stage.fault(POWER, &format!("node {VICTIM}"), |stage| {
        stage.cluster.cut_power(&[VICTIM])
    })?;
    stage.cluster.net.heal()?;
    stage.pass(AWAY);
    let leaders: Vec<i32> = led
        .iter()
        .filter_map(|p| stage.watch.newest(*p))
        .map(|shown| shown.leader)
        .collect();
    let nobody = leaders.iter().all(|leader| *leader == -1);
    stage.expect(
        "D8 nobody else is elected",
        nobody,
        format!("{leaders:?} after {AWAY:?}; {taken} acknowledged alone"),
    );
    stage.cluster.start_node(VICTIM)?;
    stage.wait_progress(&led, from + AWAY, Duration::from_secs(60))?;
    stage.outage(POWER, &led, from);
    stage.wait_whole()
}
