//! D16: messages arrive late, by seconds, and none is dropped: produce requests and their acknowledgements, fetch replies, what a leader sends its
//! followers and what they acknowledge, what a broker asks the controller (heartbeats, AlterPartition) and what it is answered. Whoever
//! sent them has long given up, tried again, or was deposed.
//!
//! EndTxn has no drill yet: there are no transactions.

use super::victim::{VICTIM, at_most_one, lead_again, probe};
use super::{Options, staged};
use crate::Outcome;
use crate::node::Layout;
use crate::proxy::{Hold, Side};
use crate::report::Report;
use crate::stage::{Stage, StageSettings};
use std::time::Duration;

const CONTROLLER: i32 = 101;
const PATIENCE: Duration = Duration::from_secs(90);
/// How long each round holds; the rounds that `--seconds` leaves time for.
const TIMES: [u64; 5] = [12, 2, 30, 7, 60];

/// (what is held, at which node, for whom, in which part of its connections, its answers)
type Kind = (&'static str, i32, Option<i32>, Side, bool);

const KINDS: [Kind; 6] = [
    (
        "late: produce and fetch requests",
        VICTIM,
        None,
        Side::Broker,
        false,
    ),
    (
        "late: acknowledgements and fetch replies",
        VICTIM,
        None,
        Side::Broker,
        true,
    ),
    (
        "late: records to followers",
        VICTIM,
        None,
        Side::Replication,
        true,
    ),
    (
        "late: followers' acknowledgements",
        VICTIM,
        None,
        Side::Replication,
        false,
    ),
    (
        "late: heartbeats and AlterPartition",
        CONTROLLER,
        Some(VICTIM),
        Side::Controller,
        false,
    ),
    (
        "late: the controller's answers",
        CONTROLLER,
        Some(VICTIM),
        Side::Controller,
        true,
    ),
];

pub(super) fn run(options: &Options) -> Report {
    let settings = StageSettings::of(Layout::separate(1).behind_proxies());
    staged(options, settings, |stage| {
        stage.rounds(1, options.time, |stage, round| {
            let time = Duration::from_secs(TIMES[round % TIMES.len()]);
            for (number, kind) in KINDS.into_iter().enumerate() {
                held_back(stage, kind, time, &format!("probe-{round}-{number}"))?;
            }
            Ok(())
        })?;
        for (what, ..) in KINDS {
            stage.need(what, 1);
            stage.need(&format!("held: {what}"), 1);
        }
        stage.need("failovers", 1);
        Ok(())
    })
}

fn held_back(stage: &mut Stage, kind: Kind, time: Duration, topic: &str) -> Outcome<()> {
    let (what, node, from, side, answers) = kind;
    let led = lead_again(stage)?;
    let probe = probe(stage, topic)?;
    let (before, begun) = (held(stage), stage.clock.now());
    let hold = Hold {
        node,
        from,
        side,
        answers,
        time,
    };
    stage.fault(what, &format!("node {node}, {time:?}"), |stage| {
        match &stage.cluster.proxies {
            Some(proxies) => {
                proxies.hold(hold);
                Ok(())
            }
            None => Err("no proxies".to_owned()),
        }
    })?;
    stage.pass(time + Duration::from_secs(1));
    if let Some(proxies) = &stage.cluster.proxies {
        proxies.release();
    }
    // The last that was held arrives only then.
    stage.pass(time);
    if held(stage) > before {
        stage.cover(&format!("held: {what}"));
    }
    let said = probe.said();
    drop(probe);
    if said.iter().any(|said| said.broker != VICTIM && said.is_ok()) {
        at_most_one(stage, &format!("D16 at most one acceptor: {what}"), &said, begun);
    }
    let released = stage.clock.now();
    stage.wait_progress(&led, released, PATIENCE)?;
    stage.outage(what, &led, begun);
    stage.wait_whole()
}

fn held(stage: &Stage) -> u64 {
    stage
        .cluster
        .proxies
        .as_ref()
        .map_or(0, crate::proxy::Proxies::held)
}
