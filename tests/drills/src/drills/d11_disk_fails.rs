//! D11: one of a broker's two data disks fails: every write and flush on it gives EIO from then on, or one single flush does. The broker stops using that
//! directory at once and for good, tries nothing again, and acknowledges nothing of the batch that failed; its other disk goes on.

use super::victim::{OTHERS, VICTIM, lead_again};
use super::{Options, staged};
use crate::Outcome;
use crate::client::Shown;
use crate::node::{Layout, fail_one_flush};
use crate::report::Report;
use crate::stage::{Stage, StageSettings, TOPIC};
use std::time::Duration;

const ALWAYS: &str = "EIO for good";
const ONCE: &str = "EIO of one flush";
const PATIENCE: Duration = Duration::from_secs(40);
/// The data disk that fails.
const FAILING: usize = 2;

pub(super) fn run(options: &Options) -> Report {
    let settings = StageSettings::of(Layout::separate(1).with_data_disks(2));
    staged(options, settings, |stage| {
        stage.rounds(2, options.time, |stage, round| {
            fails(stage, if round % 2 == 0 { ALWAYS } else { ONCE })
        })?;
        stage.bound(&[ALWAYS, ONCE], Layout::SESSION + Duration::from_secs(2));
        stage.need(ALWAYS, 1);
        stage.need(ONCE, 1);
        stage.need("failovers", 1);
        Ok(())
    })
}

/// The partitions of the topic in the directory that fails.
fn inside(stage: &Stage) -> Vec<i32> {
    let dir = &stage.cluster.log_dirs(VICTIM)[FAILING - 1];
    let is_inside = |p: &i32| dir.join(format!("{TOPIC}-{p}")).is_dir();
    stage.all().into_iter().filter(is_inside).collect()
}

fn fails(stage: &mut Stage, kind: &'static str) -> Outcome<()> {
    lead_again(stage)?;
    let (gone, all) = (inside(stage), stage.all());
    let staying: Vec<i32> = all.iter().copied().filter(|p| !gone.contains(p)).collect();
    if gone.is_empty() || staying.is_empty() {
        return Err(format!(
            "the partitions are not spread: {gone:?} on the disk that fails"
        ));
    }
    let offline = |stage: &Stage| stage.cluster.said(VICTIM, &["log directory is offline"]).len();
    let before = offline(stage);
    let from = stage.clock.now();
    stage.fault(kind, &format!("node {VICTIM}"), |stage| match kind {
        ALWAYS => stage.cluster.disk(VICTIM, FAILING).fail(),
        _ => {
            let pid = stage.cluster.pid(VICTIM)?;
            let dir = stage.cluster.log_dirs(VICTIM)[FAILING - 1].join(format!("{TOPIC}-{}", gone[0]));
            fail_one_flush(pid, &dir)
        }
    })?;
    let failed = stage.clock.now();
    let away = |shown: &Shown| OTHERS.contains(&shown.leader) && !shown.isr.contains(&VICTIM);
    let what = "the directory's partitions to be led elsewhere, without this replica";
    let out = stage.wait_shown(what, PATIENCE, &gone, away);
    stage.expect(
        &format!("D11 the directory is left: {kind}"),
        out.is_ok(),
        format!("{gone:?}: {out:?}"),
    );
    stage.wait_progress(&all, failed, PATIENCE)?;
    stage.outage(kind, &gone, from);
    stage.pass(Duration::from_secs(3));
    let lines = offline(stage) - before;
    stage.expect(
        &format!("D11 it is offline once, and not tried again: {kind}"),
        lines == 1,
        format!("{lines} lines"),
    );
    let kept = |p: &i32| {
        stage
            .watch
            .newest(*p)
            .is_some_and(|shown| shown.isr.contains(&VICTIM))
    };
    let kept_all = staying.iter().all(kept);
    stage.expect(
        &format!("D11 the other disk goes on: {kind}"),
        kept_all,
        format!("{staying:?}"),
    );
    stage.cluster.kill(&[VICTIM])?;
    let disk = stage.cluster.disk(VICTIM, FAILING);
    disk.unmount()?;
    disk.mount()?;
    stage.cluster.start_node(VICTIM)?;
    stage.cluster.wait_ready(&[VICTIM])?;
    stage.wait_whole()
}
