//! One broker that is to suffer, leads again before each round, and is watched for acknowledging what it must not.

use crate::Outcome;
use crate::client::{Probe, Said};
use crate::node::tool;
use crate::oracle::{Acknowledged, succession};
use crate::stage::{Stage, addresses, create_topic};
use crate::wait::wait;
use std::collections::BTreeSet;
use std::time::Duration;

/// Its id: it is the preferred leader of partition 0 of each topic.
pub(super) const VICTIM: i32 = 1;
/// The others.
pub(super) const OTHERS: [i32; 2] = [2, 3];

/// Waits until the victim leads what it is preferred for.
pub(super) fn lead_again(stage: &mut Stage) -> Outcome<()> {
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
    wait("the victim to lead again", Duration::from_secs(30), || {
        let led = stage.watch.led_by(VICTIM, stage.settings.partitions);
        (!led.is_empty()).then_some(())
    })
}

/// A topic of its own, which the victim leads and to which every broker is sent records with acks=1 all the time.
pub(super) fn probe(stage: &Stage, topic: &str) -> Outcome<Probe> {
    create_topic(&stage.cluster, topic, 1, &[])?;
    let brokers = addresses(&stage.cluster, &stage.cluster.brokers());
    let probe = Probe::start(&brokers, topic, 1, stage.clock);
    wait("the victim to take acks=1", Duration::from_secs(20), || {
        probe
            .said()
            .iter()
            .any(|said| said.broker == VICTIM && said.is_ok())
            .then_some(())
    })?;
    Ok(probe)
}

/// Waits until another one acknowledges.
pub(super) fn wait_taken_over(probe: &Probe, bound: Duration) -> Outcome<()> {
    wait("another one to take acks=1", bound, || {
        probe
            .said()
            .iter()
            .any(|said| OTHERS.contains(&said.broker) && said.is_ok())
            .then_some(())
    })
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
