//! D4: the clients are cut off from one leader only, amid their requests: nothing that arrives is answered, or nothing arrives at all. What they
//! send again afterwards is not there twice.

use super::victim::{VICTIM, cut, lead_again};
use super::{Options, staged};
use crate::Outcome;
use crate::net::{Cut, Peer};
use crate::node::{CLIENT_PORT, Layout};
use crate::report::Report;
use crate::stage::{Stage, StageSettings};
use std::time::Duration;

/// Longer than a client waits for an answer (5 s), so that it connects and sends again.
const CUT: Duration = Duration::from_secs(7);
/// What is sent in so much of it is sent on the connections that are cut.
const FIRST: Duration = Duration::from_secs(1);

pub(super) fn run(options: &Options) -> Report {
    staged(options, StageSettings::of(Layout::combined()), |stage| {
        let leader = Peer::Node(VICTIM);
        let answers = Cut::answers(leader, Peer::Clients, CLIENT_PORT);
        let requests = Cut::requests(Peer::Clients, leader, CLIENT_PORT);
        let kinds: [(&str, &[Cut]); 3] = [
            ("cut leader to clients", &[answers]),
            ("cut clients to leader", &[requests]),
            ("cut leader and clients", &[answers, requests]),
        ];
        stage.rounds(1, options.time, |stage, _| {
            for (kind, cuts) in kinds {
                cut_off(stage, kind, cuts)?;
            }
            Ok(())
        })?;
        for (kind, _) in kinds {
            stage.need(kind, 1);
        }
        stage.need("records sent again", 1);
        Ok(())
    })
}

fn cut_off(stage: &mut Stage, kind: &str, cuts: &[Cut]) -> Outcome<()> {
    let led = lead_again(stage)?;
    let elections = stage.watch.elections();
    let from = stage.clock.now();
    cut(stage, kind, cuts)?;
    let begun = stage.clock.now();
    stage.pass(CUT);
    stage.cluster.net.heal()?;
    let healed = stage.clock.now();
    stage.wait_progress(&led, healed, Duration::from_secs(60))?;
    stage.outage(kind, &led, from);
    // Sent before the cut or as it began, long before the client connects anew, and acknowledged only after it.
    let sent = Duration::ZERO..=begun + FIRST;
    if stage.ledger.acknowledged_late(&led, sent, healed) > 0 {
        stage.cover("records sent again");
    }
    stage.wait_whole()?;
    let moved = stage.watch.elections() - elections;
    stage.expect(
        &format!("D4 nobody else was elected: {kind}"),
        moved == 0,
        format!("{moved} elections"),
    );
    Ok(())
}
