//! All of them, by their names.

use super::{Options, d01_leader_killed, d03_leader_cut_off, d07_all_at_once};
use crate::report::Report;

/// A drill.
pub struct Drill {
    /// Its name on the command line.
    pub name: &'static str,
    /// What happens in it.
    pub about: &'static str,
    /// Runs it; what came out.
    pub run: fn(&Options) -> Report,
}

/// All drills.
pub const DRILLS: &[Drill] = &[
    Drill {
        name: "D1",
        about: "kill -9 of a leader, again and again",
        run: d01_leader_killed::run,
    },
    Drill {
        name: "D3",
        about: "a leader is cut off from the controller only, from its followers only, in each direction",
        run: d03_leader_cut_off::run,
    },
    Drill {
        name: "D7",
        about: "all three nodes at once: kill -9, and power cut",
        run: d07_all_at_once::run,
    },
];
