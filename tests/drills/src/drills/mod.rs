//! The drills, one fault a file.

mod d01_leader_killed;
mod d02_leader_stopped;
mod d03_leader_cut_off;
mod d04_client_cut_off;
mod d05_controller_killed;
mod d06_majority_killed;
mod d07_all_at_once;
mod d08_last_in_sync;
mod d10_disk_full;
mod d11_disk_fails;
mod d12_disk_hangs;
mod d15_disk_replaced;
mod d16_held_back;
mod d23_starved;
mod list;
mod victim;

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
    /// The rule that is switched off in the nodes, in a control run.
    pub mutant: Option<String>,
}

/// Opens a stage, lets `act` happen on it, and judges.
fn staged(options: &Options, settings: StageSettings, act: impl FnOnce(&mut Stage) -> Outcome<()>) -> Report {
    let mutant = options.mutant.iter();
    let environment = mutant.map(|rule| ("MILENA_MUTANT".to_owned(), rule.clone()));
    let opened = catch_unwind(AssertUnwindSafe(|| Stage::open(settings, environment.collect())));
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
