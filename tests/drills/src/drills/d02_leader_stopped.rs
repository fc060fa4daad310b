//! D2: SIGSTOP of a leader for twice the session timeout, then SIGCONT. It wakes up as one that was deposed: what it is sent then it refuses
//! (NOT_LEADER_OR_FOLLOWER or FENCED_LEADER_EPOCH), also with acks=1, and it acknowledges nothing after another one has.

use super::victim::{VICTIM, at_most_one, lead_again, probe, refusals, wait_taken_over};
use super::{Options, staged};
use crate::Outcome;
use crate::node::Layout;
use crate::report::Report;
use crate::stage::{Stage, StageSettings};
use milena_cluster_tests::wait;
use std::time::Duration;

const KIND: &str = "SIGSTOP of a leader";
/// HTTP/2 gives up a connection after so long.
const KEEP_ALIVE: Duration = Duration::from_secs(9);
/// A client waits so long for the answer of one that stands still.
const CLIENT: Duration = Duration::from_secs(5);
const SLACK: Duration = Duration::from_secs(4);
/// NOT_LEADER_OR_FOLLOWER and FENCED_LEADER_EPOCH.
const REFUSALS: [i16; 2] = [6, 74];

pub(super) fn run(options: &Options) -> Report {
    staged(options, StageSettings::of(Layout::separate(1)), |stage| {
        stage.rounds(1, options.time, stop_and_go_on)?;
        stage.bound(&[KIND], Layout::SESSION + CLIENT + SLACK);
        stage.need(KIND, 1);
        stage.need("failovers", 1);
        Ok(())
    })
}

fn stop_and_go_on(stage: &mut Stage, round: usize) -> Outcome<()> {
    let led = lead_again(stage)?;
    let probe = probe(stage, &format!("probe-{round}"))?;
    let from = stage.clock.now();
    stage.fault(KIND, &format!("node {VICTIM}"), |stage| {
        stage.cluster.signal(VICTIM, "STOP")
    })?;
    let bound = Layout::SESSION + KEEP_ALIVE + SLACK;
    wait_taken_over(&probe, bound)?;
    stage.wait_progress(&led, stage.clock.now(), bound)?;
    stage.outage(KIND, &led, from);
    stage.pass((from + Layout::SESSION * 2).saturating_sub(stage.clock.now()));
    let resumed = stage.clock.now();
    stage.cluster.signal(VICTIM, "CONT")?;
    let refused = wait("the zombie to refuse", Duration::from_secs(10), || {
        (!refusals(&probe.said(), resumed).is_empty()).then_some(())
    });
    // And goes on to.
    stage.pass(Duration::from_secs(2));
    let said = probe.said();
    drop(probe);
    let codes = refusals(&said, resumed);
    let only = codes.iter().all(|code| REFUSALS.contains(code));
    stage.expect(
        "D2 the zombie refuses with 6 or 74",
        refused.is_ok() && only,
        format!("{codes:?}"),
    );
    at_most_one(stage, "D2 no ack after fencing", &said, from);
    stage.wait_whole()
}
