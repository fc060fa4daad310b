//! What came of a run, and how to repeat it.

use crate::coverage::Coverage;
use crate::liveness;
use crate::oracle::Violation;
use crate::settings::Swarm;
use crate::time::SECOND;
use crate::world::World;
use std::cell::RefCell;

/// The invariant that a panic breaks: I36.
pub const PANIC: &str = "I36";

thread_local! {
    /// Where this thread has panicked last.
    static PANICKED_AT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Panics are told as violations, with their place, and not as they happen.
pub fn keep_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        PANICKED_AT.with_borrow_mut(|last| *last = place);
    }));
}

/// Where this thread has panicked last, for whoever keeps panics.
#[must_use]
pub fn last_panic() -> String {
    PANICKED_AT.with_borrow(String::clone)
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// From which swarm it was drawn.
    pub swarm: Swarm,
    /// Its seed.
    pub seed: u64,
    /// What must not have been.
    pub violation: Option<Violation>,
    /// Everything that happened, as a number.
    pub hash: u64,
    /// How many events there were.
    pub events: u64,
    /// How much time passed, in simulated seconds.
    pub seconds: u64,
    /// What was met.
    pub coverage: Coverage,
    /// How many faults were planned.
    pub faults: usize,
    /// The last things that happened, when that was asked for.
    pub lines: Vec<String>,
    /// What lies on the disks at the end, likewise.
    pub disks: Vec<String>,
}

/// Runs a seed. `kept`: only these faults happen. A panic, such as that of an assertion of the product, is a violation too.
#[must_use]
pub fn run(seed: u64, kept: Option<&[usize]>, verbose: bool) -> Outcome {
    run_of(Swarm::Usual, seed, kept, verbose)
}

/// Runs a seed of a swarm.
#[must_use]
pub fn run_of(swarm: Swarm, seed: u64, kept: Option<&[usize]>, verbose: bool) -> Outcome {
    let run = || run_world(swarm, seed, kept, verbose);
    std::panic::catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Outcome {
            swarm,
            seed,
            violation: Some(Violation {
                invariant: PANIC,
                detail: format!("{}: a panic: {}", PANICKED_AT.take(), text.unwrap_or_default()),
            }),
            hash: 0,
            events: 0,
            seconds: 0,
            coverage: Coverage::default(),
            faults: World::new(seed, swarm, None, false).faults.len(),
            lines: Vec::new(),
            disks: Vec::new(),
        }
    })
}

fn run_world(swarm: Swarm, seed: u64, kept: Option<&[usize]>, verbose: bool) -> Outcome {
    let mut world = World::new(seed, swarm, kept, verbose);
    let end = 3 * SECOND + world.cx.settings.chaos + SECOND;
    if world.run_until(end) {
        liveness::finish(&mut world);
    }
    Outcome {
        swarm,
        seed,
        hash: world.cx.trace.hash(),
        events: world.cx.scheduler.made(),
        seconds: world.cx.now / SECOND,
        faults: world.faults.len(),
        lines: world.cx.trace.lines(),
        disks: if verbose {
            world
                .brokers
                .iter()
                .flat_map(|broker| broker.disk.describe())
                .collect()
        } else {
            Vec::new()
        },
        coverage: world.cx.coverage,
        violation: world.cx.oracle.violation,
    }
}

impl Outcome {
    /// The line that repeats the run.
    #[must_use]
    pub fn replay_line(&self, kept: Option<&[usize]>) -> String {
        let kept = kept.map_or(String::new(), |kept| {
            let numbers: Vec<String> = kept.iter().map(ToString::to_string).collect();
            format!(" --faults {}", numbers.join(","))
        });
        let swarm = match self.swarm {
            Swarm::Usual => "",
            Swarm::Late => " --late",
        };
        format!(
            "cargo run --profile sim -p milena-sim -- replay {}{swarm}{kept}",
            self.seed
        )
    }
}
