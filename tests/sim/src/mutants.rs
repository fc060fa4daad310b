//! The rules of the product, switched off one at a time: each has to be noticed.
//!
//! ```text
//! a rule is switched off ─► seeds of the usual swarm ─► of the late one ─► the model     until an invariant does not hold
//! all rules hold         ─► the same seeds, and the model with more faults               nothing is found
//! ```

use crate::model;
use crate::oracle::Violation;
use crate::report;
use crate::settings::Swarm;
use milena_types::mutants::{Mutant, switch_off};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Seeds of the usual swarm; what they do not notice is left to the late one.
const USUAL_SEEDS: u64 = 100;
/// Seeds of the late swarm, if nothing else is said.
pub const LATE_SEEDS: u64 = 1_200;
/// For the model: how many faults, and steps, while a rule is switched off.
const MODEL: (u8, usize) = (1, 9);
/// And while all rules hold: fewer steps with more faults, so that all of it is looked at.
const MODEL_SOUND: [(u8, usize); 3] = [(1, 9), (2, 7), (3, 6)];
/// How long the model may take for one of these.
const MODEL_PATIENCE: Duration = Duration::from_secs(300);
/// Rules that chance may miss: the model has to notice them as well.
const RARE: [Mutant; 3] = [
    Mutant::RollbackOnIneligible,
    Mutant::StaleIncarnation,
    Mutant::NoBrokerEpochCheck,
];

/// What came of a search.
#[derive(Debug)]
pub struct Search {
    /// The smallest seed that failed, and how.
    pub found: Option<(u64, Violation)>,
    /// The processors' time, of all threads.
    pub cpu: Duration,
}

/// Runs seeds in order on so many threads until one fails.
#[must_use]
pub fn search(swarm: Swarm, seeds: Range<u64>, jobs: usize) -> Search {
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicU64::new(seeds.end);
    let found: Mutex<Option<(u64, Violation)>> = Mutex::default();
    let work = || {
        let began = processor_time();
        loop {
            // Whatever is smaller than a seed that failed is run to its end: the first one is the same with any number of threads.
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= failed.load(Ordering::Relaxed) {
                return processor_time().saturating_sub(began);
            }
            let outcome = report::run_of(swarm, seed, None, false);
            let Some(violation) = outcome.violation.filter(counts) else {
                continue;
            };
            failed.fetch_min(seed, Ordering::Relaxed);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            if found.as_ref().is_none_or(|(first, _)| seed < *first) {
                *found = Some((seed, violation));
            }
        }
    };
    let cpu = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        let times = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_default());
        times.sum()
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    Search { found, cpu }
}

/// A panic counts when it is an assertion of the product, which names its file; one of the simulator says nothing about the rule.
fn counts(violation: &Violation) -> bool {
    violation.invariant != report::PANIC || violation.detail.starts_with("crates/")
}

/// How long this thread has run on a processor; zero where the system does not tell.
fn processor_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = told.split(' ').next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// How far the seeds had to go.
#[derive(Debug, Default)]
struct Reach {
    usual: u64,
    late: u64,
}

/// Switches off each rule, or the one of that name, and tells who notices. False: one is noticed by nobody, or something is
/// noticed while all rules hold.
#[must_use]
pub fn prove(late_seeds: u64, jobs: usize, only: Option<&str>) -> bool {
    let wanted = |mutant: &Mutant| only.is_none_or(|only| only == mutant.name());
    let mutants: Vec<Mutant> = Mutant::ALL.into_iter().filter(wanted).collect();
    let mut reach = Reach::default();
    let killed = mutants
        .iter()
        .filter(|mutant| is_killed(**mutant, late_seeds, jobs, &mut reach));
    let killed = killed.count();
    let sound = is_sound(&reach, jobs);
    println!("mutants killed {killed}/{}", mutants.len());
    killed == mutants.len() && !mutants.is_empty() && sound
}

/// The switch is the process's: one rule at a time.
fn is_killed(mutant: Mutant, late_seeds: u64, jobs: usize, reach: &mut Reach) -> bool {
    switch_off(Some(mutant));
    let (mut cpu, mut by_seeds, mut by_model) = (Duration::ZERO, None, None);
    for (swarm, name, seeds) in [
        (Swarm::Usual, "usual", USUAL_SEEDS),
        (Swarm::Late, "late", late_seeds),
    ] {
        let done = search(swarm, 1..seeds + 1, jobs);
        cpu += done.cpu;
        let last = done.found.as_ref().map_or(seeds, |(seed, _)| *seed);
        match swarm {
            Swarm::Usual => reach.usual = reach.usual.max(last),
            Swarm::Late => reach.late = reach.late.max(last),
        }
        by_seeds = done
            .found
            .map(|(seed, broken)| format!("{name} seed {seed}: {}: {}", broken.invariant, broken.detail));
        if by_seeds.is_some() {
            break;
        }
    }
    let is_rare = RARE.contains(&mutant);
    if is_rare || by_seeds.is_none() {
        let done = model::check(MODEL.0, MODEL.1, jobs, MODEL_PATIENCE);
        let seconds = done.took.as_secs_f64();
        by_model = done.found.map(|steps| {
            format!(
                "the model in {seconds:.1} s, {} steps: {}",
                steps.len(),
                steps.join(" ")
            )
        });
    }
    switch_off(None);
    let (name, cpu) = (mutant.name(), cpu.as_secs_f64());
    println!(
        "{name:<28}{cpu:>6.1} s  {}",
        by_seeds.as_deref().unwrap_or("no seed")
    );
    if let Some(told) = &by_model {
        println!("{:<38}{told}", "");
    }
    match is_rare {
        true => by_model.is_some(),
        false => by_seeds.is_some() || by_model.is_some(),
    }
}

/// All rules hold: nothing is noticed, as far as the seeds went, and by the model.
fn is_sound(reach: &Reach, jobs: usize) -> bool {
    let mut sound = true;
    for (swarm, name, seeds) in [
        (Swarm::Usual, "usual", reach.usual),
        (Swarm::Late, "late", reach.late),
    ] {
        let done = search(swarm, 1..seeds + 1, jobs);
        sound &= done.found.is_none();
        let told = done.found.map_or("nothing".to_owned(), |(seed, broken)| {
            format!("seed {seed}: {}: {}", broken.invariant, broken.detail)
        });
        println!(
            "{:<28}{:>6.1} s  {seeds} {name} seeds: {told}",
            "all rules hold",
            done.cpu.as_secs_f64()
        );
    }
    for (faults, steps) in MODEL_SOUND {
        let done = model::check(faults, steps, jobs, MODEL_PATIENCE);
        sound &= done.found.is_none() && done.steps >= steps;
        let told = done.found.map_or("nothing".to_owned(), |steps| steps.join(" "));
        println!(
            "{:<38}the model in {:.1} s, {} states, {} steps, {faults} faults: {told}",
            "",
            done.took.as_secs_f64(),
            done.states,
            done.steps
        );
    }
    sound
}
