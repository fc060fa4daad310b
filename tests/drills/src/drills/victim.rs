//! One broker that is to suffer, leads again before each round, and is watched for acknowledging what it must not.

use crate::Outcome;
use crate::client::{Probe, Said, Shown};
use crate::net::Cut;
use crate::node::tool;
use crate::oracle::{Acknowledged, succession};
use crate::stage::{Stage, addresses, create_topic, preferred_leader};
use milena_cluster_tests::wait;
use std::collections::BTreeSet;
use std::time::Duration;

/// Its id: it is the preferred leader of partition 0 of each topic.
pub(super) const VICTIM: i32 = 1;
/// The others.
pub(super) const OTHERS: [i32; 2] = [2, 3];

/// Waits until the victim leads what it is preferred for: these partitions.
pub(super) fn lead_again(stage: &mut Stage) -> Outcome<Vec<i32>> {
    stage.wait_whole()?;
    let bootstrap = stage.cluster.bootstrap();
    tool(&[
        "leader-election",
        "--bootstrap-server",
        &bootstrap,
        "--election-type",
        "preferred",
        "--all-topic-partitions",
    ])?;
    let mut preferred = stage.all();
    preferred.retain(|partition| preferred_leader(&stage.cluster, *partition) == VICTIM);
    let leads = |shown: &Shown| shown.leader == VICTIM;
    stage.wait_shown(
        "the victim to lead again",
        Duration::from_secs(30),
        &preferred,
        leads,
    )?;
    Ok(preferred)
}

/// Cuts the victim off.
pub(super) fn cut(stage: &mut Stage, kind: &str, cuts: &[Cut]) -> Outcome<()> {
    stage.fault(kind, &format!("node {VICTIM}"), |stage| {
        stage.cluster.net.cut(cuts)
    })
}

/// A topic of its own, which the victim leads and to which every broker is sent records with acks=1 all the time.
pub(super) fn probe(stage: &Stage, topic: &str) -> Outcome<Probe> {
    create_topic(&stage.cluster, topic, 1, &[])?;
    let brokers = addresses(&stage.cluster, &stage.cluster.brokers());
    let probe = Probe::start(&brokers, topic, 1, stage.clock);
    wait_taken(
        &probe,
        "the victim to take acks=1",
        Duration::from_secs(20),
        &[VICTIM],
    )?;
    Ok(probe)
}

/// Waits until another one acknowledges.
pub(super) fn wait_taken_over(probe: &Probe, bound: Duration) -> Outcome<()> {
    wait_taken(probe, "another one to take acks=1", bound, &OTHERS)
}

fn wait_taken(probe: &Probe, what: &str, bound: Duration, by: &[i32]) -> Outcome<()> {
    let taken = |said: &Said| by.contains(&said.broker) && said.is_ok();
    wait(what, bound, || probe.said().iter().any(taken).then_some(()))
}

/// What a broker says for three seconds to records for that topic, with these acks: errors of this list, and nothing else.
pub(super) fn refuses(
    stage: &mut Stage,
    id: &str,
    broker: i32,
    (topic, acks): (&str, i16),
    allowed: &[i16],
) -> bool {
    let probe = Probe::start(&addresses(&stage.cluster, &[broker]), topic, acks, stage.clock);
    stage.pass(Duration::from_secs(3));
    let said = probe.said();
    let codes: BTreeSet<i16> = said.iter().filter_map(Said::code).collect();
    let taken = said.iter().filter(|said| said.is_ok()).count();
    let held = taken == 0 && !codes.is_empty() && codes.iter().all(|code| allowed.contains(code));
    stage.expect(id, held, format!("{taken} taken, codes {codes:?}"));
    held
}

/// The victim acknowledges nothing any more once another one has.
pub(super) fn at_most_one(stage: &mut Stage, id: &str, said: &[Said], fault: Duration) {
    let ok = said.iter().filter(|said| said.is_ok());
    let acknowledged: Vec<Acknowledged> = ok
        .map(|said| Acknowledged {
            broker: said.broker,
            sent: said.sent,
            answered: said.answered,
        })
        .collect();
    match succession(&acknowledged, VICTIM, fault) {
        Some(found) => stage.expect(id, found.late.is_empty(), format!("{found:?}")),
        None => stage.expect(id, false, "nobody took over"),
    }
}

/// Kafka's error codes that the victim gave to what was sent after a moment.
pub(super) fn refusals(said: &[Said], after: Duration) -> BTreeSet<i16> {
    let of = said
        .iter()
        .filter(|said| said.broker == VICTIM && said.answered > after);
    of.filter_map(Said::code).collect()
}
