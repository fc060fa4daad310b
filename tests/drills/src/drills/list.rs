//! All of them, by their names.

use super::{
    Options, d01_leader_killed, d02_leader_stopped, d03_leader_cut_off, d04_client_cut_off,
    d05_controller_killed, d06_majority_killed, d07_all_at_once, d08_last_in_sync, d10_disk_full,
    d11_disk_fails, d12_disk_hangs, d15_disk_replaced, d16_held_back, d23_starved,
};
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
        name: "D2",
        about: "SIGSTOP of a leader for two sessions, SIGCONT",
        run: d02_leader_stopped::run,
    },
    Drill {
        name: "D3",
        about: "a leader is cut off from the controller only, from its followers only, in each direction, and together with the controller",
        run: d03_leader_cut_off::run,
    },
    Drill {
        name: "D4",
        about: "the clients are cut off from one leader only, amid their requests",
        run: d04_client_cut_off::run,
    },
    Drill {
        name: "D5",
        about: "kill -9 of the active controller while topics are created, configured and deleted",
        run: d05_controller_killed::run,
    },
    Drill {
        name: "D6",
        about: "kill -9 of two of three",
        run: d06_majority_killed::run,
    },
    Drill {
        name: "D7",
        about: "all three nodes at once: kill -9, and power cut",
        run: d07_all_at_once::run,
    },
    Drill {
        name: "D8",
        about: "the last one in sync loses its power while its followers are cut off",
        run: d08_last_in_sync::run,
    },
    Drill {
        name: "D10",
        about: "a disk without a free byte: of a broker, of the active controller, of a node that is both",
        run: d10_disk_full::run,
    },
    Drill {
        name: "D11",
        about: "a data disk fails, for good or in one flush",
        run: d11_disk_fails::run,
    },
    Drill {
        name: "D12",
        about: "a disk hangs for thirty seconds: of a broker, of a node that is also the active controller",
        run: d12_disk_hangs::run,
    },
    Drill {
        name: "D15",
        about: "a broker, and a controller, come back with an empty disk",
        run: d15_disk_replaced::run,
    },
    Drill {
        name: "D16",
        about: "messages arrive seconds late, none is dropped",
        run: d16_held_back::run,
    },
    Drill {
        name: "D23",
        about: "too little processor for all, and nobody fails",
        run: d23_starved::run,
    },
];
