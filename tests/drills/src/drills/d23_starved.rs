//! D23: nobody fails, but there is too little processor for all. No leadership moves, of partitions or of the controller.

use super::{Options, staged};
use crate::Outcome;
use crate::node::Layout;
use crate::report::Report;
use crate::stage::{Stage, StageSettings};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const KIND: &str = "processors taken";
/// Loops that do nothing, for each processor, at the priority of the nodes.
const LOOPS: usize = 2;
const PATIENCE: Duration = Duration::from_secs(60);
const BY_FAILURE: &str = "milena_elections_total{reason=\"failure\"}";
const ACTIVE: [&str; 1] = ["this node is the active controller"];

pub(super) fn run(options: &Options) -> Report {
    staged(options, StageSettings::of(Layout::combined()), |stage| {
        let before = Elections::of(stage)?;
        let count = LOOPS * std::thread::available_parallelism().map_or(2, usize::from);
        let time = options.time;
        let loops = stage.fault(KIND, &format!("{count} loops for {} s", time.as_secs()), |_| {
            Loops::start(count, time)
        })?;
        stage.pass(time);
        drop(loops);
        let from = stage.clock.now();
        stage.wait_progress(&stage.all(), from, PATIENCE)?;
        let after = Elections::of(stage)?;
        let moved = stage.watch.failovers();
        let evidence = format!("{moved} leaderships moved, {before:?} became {after:?}");
        stage.expect(
            "no leadership moves without a failure",
            moved == 0 && before == after && before.controllers > 0,
            evidence,
        );
        stage.need(KIND, 1);
        Ok(())
    })
}

/// Elections of all nodes so far, as they count them.
#[derive(Debug, PartialEq)]
struct Elections {
    by_failure: f64,
    controllers: usize,
}

impl Elections {
    fn of(stage: &Stage) -> Outcome<Self> {
        let nodes = stage.cluster.layout().nodes();
        let count = |id: &i32| stage.cluster.metric(*id, BY_FAILURE);
        let terms = |id: &i32| stage.cluster.said(*id, &ACTIVE).len();
        Ok(Self {
            by_failure: nodes.iter().map(count).sum::<Option<_>>().ok_or(BY_FAILURE)?,
            controllers: nodes.iter().map(terms).sum(),
        })
    }
}

/// Running loops; they end by themselves, too.
struct Loops(Vec<Child>);

impl Loops {
    fn start(count: usize, time: Duration) -> Outcome<Self> {
        let mut loops = Self(Vec::new());
        let seconds = time.as_secs().to_string();
        for _ in 0..count {
            // The drill has stepped back, the loops have not.
            let mut command = Command::new("nice");
            command.args([
                "-n",
                "-10",
                "timeout",
                &seconds,
                "sh",
                "-c",
                "while :; do :; done",
            ]);
            command.stdin(Stdio::null());
            loops
                .0
                .push(command.spawn().map_err(|error| format!("nice: {error}"))?);
        }
        Ok(loops)
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended; `timeout` takes its loop along.
            let _ = crate::command::run("kill", &[&child.id().to_string()]);
            let _ = child.wait();
        }
    }
}
