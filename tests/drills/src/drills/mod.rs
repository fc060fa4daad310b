//! The drills, one fault a file.

mod d01_leader_killed;
mod d03_leader_cut_off;
mod d07_all_at_once;
mod list;

pub use list::{DRILLS, Drill};

use crate::Outcome;
use crate::oracle::Invariant;
use crate::report::Report;
use crate::stage::{Stage, StageSettings};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// What a drill is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Faults are repeated for about so long, but each happens at least once.
    pub time: Duration,
    /// Environment of the nodes.
    pub environment: Vec<(String, String)>,
}

/// Opens a stage, lets `act` happen on it, and judges.
fn staged(
    options: &Options,
    mut settings: StageSettings,
    act: impl FnOnce(&mut Stage) -> Outcome<()>,
) -> Report {
    settings.environment.extend(options.environment.iter().cloned());
    let opened = catch_unwind(AssertUnwindSafe(|| Stage::open(settings)));
    let mut stage = match opened.unwrap_or_else(|_| Err("it panicked".to_owned())) {
        Ok(stage) => stage,
        Err(error) => return not_opened(error),
    };
    let acted = catch_unwind(AssertUnwindSafe(|| act(&mut stage)));
    stage.close(acted.unwrap_or_else(|_| Err("it panicked".to_owned())))
}

fn not_opened(error: String) -> Report {
    let mut report = Report {
        invariants: vec![Invariant {
            id: "the cluster comes up".to_owned(),
            pass: false,
            evidence: error,
        }],
        ..Report::default()
    };
    report.conclude();
    report
}

/// Asks for the preferred leaders everywhere, with Milena's own tool; where they lead already is no error.
fn elect_preferred(cluster: &crate::node::Cluster) -> Outcome<()> {
    crate::node::tool(&[
        "leader-election",
        "--bootstrap-server",
        &cluster.bootstrap(),
        "--election-type",
        "preferred",
        "--all-topic-partitions",
    ])
    .map(drop)
}
