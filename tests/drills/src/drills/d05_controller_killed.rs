//! D5: kill -9 of the active controller, again and again, while topics are created, configured and deleted. What was answered holds: no topic is
//! lost, none comes back, and no configuration is forgotten.

use super::{Options, staged};
use crate::Outcome;
use crate::client::{Churn, configured, topic_ids};
use crate::node::Layout;
use crate::oracle::Catalogue;
use crate::report::Report;
use crate::stage::{Stage, StageSettings};
use milena_cluster_tests::wait;
use std::collections::BTreeMap;
use std::time::Duration;

const KIND: &str = "kill -9 of the active controller";
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(options: &Options) -> Report {
    staged(options, StageSettings::of(Layout::combined()), |stage| {
        let churn = Churn::start(&stage.cluster.bootstrap())?;
        stage.rounds(3, options.time, |stage, _| kill_active(stage, &churn))?;
        let catalogue = churn.finish();
        stage.cluster.wait_ready(&[1, 2, 3])?;
        stage.wait_whole()?;
        judge(stage, &catalogue)?;
        stage.bound(&[KIND], Layout::SESSION + Duration::from_secs(2));
        stage.need(KIND, 3);
        stage.need("failovers", 1);
        if catalogue.succeeded() > 20 {
            stage.cover("metadata was changed");
        }
        stage.need("metadata was changed", 1);
        Ok(())
    })
}

fn kill_active(stage: &mut Stage, churn: &Churn) -> Outcome<()> {
    let active = wait("an active controller", PATIENCE, || stage.cluster.controller())?;
    let led = stage.led_by(active);
    let (from, before) = (stage.clock.now(), churn.succeeded());
    stage.fault(KIND, &format!("node {active}"), |stage| {
        stage.cluster.kill(&[active])
    })?;
    wait("another active controller", PATIENCE, || {
        stage.cluster.controller().filter(|id| *id != active)
    })?;
    stage.wait_progress(&led, from, PATIENCE)?;
    stage.outage(KIND, &led, from);
    wait("metadata to change again", PATIENCE, || {
        (churn.succeeded() > before + 3).then_some(())
    })?;
    stage.cluster.start_node(active)?;
    stage.cluster.wait_ready(&[active])?;
    stage.wait_whole()
}

fn judge(stage: &mut Stage, catalogue: &Catalogue) -> Outcome<()> {
    let names = catalogue.names();
    let mut shown = Vec::new();
    for id in stage.cluster.brokers() {
        shown.push(topic_ids(&stage.cluster.address(id), &names)?);
    }
    let same = shown.windows(2).all(|two| two[0] == two[1]);
    stage.expect(
        "I32 all brokers show the same topics",
        same,
        format!("{} topics", shown[0].len()),
    );
    let bootstrap = stage.cluster.bootstrap();
    let mut in_the_end = BTreeMap::new();
    for name in names {
        let value = match shown[0].contains_key(&name) {
            true => Some(configured(&bootstrap, &name)?),
            false => None,
        };
        in_the_end.insert(name, value);
    }
    let wrong = catalogue.judge(&in_the_end);
    let evidence = format!("{} calls were done; {}", catalogue.succeeded(), wrong.join("; "));
    stage.expect(
        "I26 I27 I28 metadata is what was answered",
        wrong.is_empty(),
        evidence,
    );
    Ok(())
}
