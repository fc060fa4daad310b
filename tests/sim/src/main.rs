//! `sim run [--seeds A..B] [--jobs N] [--failovers N] [--coverage]`, `sim replay SEED [--faults 1,2] [--disks]`; both with `--late`
//! for seeds of that swarm. `sim mutants`: the rules of the product, switched off one at a time.
//!
//! `run` ends with 1 when an invariant did not hold in some seed, when fewer leaderships moved than were asked for, or when, with
//! `--coverage`, something of what a run can meet was met by none: nothing is proven by what does not happen.

use milena_sim::coverage::Coverage;
use milena_sim::minimise::minimise;
use milena_sim::report::{Outcome, keep_panics, run_of};
use milena_sim::settings::Swarm;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

const USAGE: &str = "sim run [--seeds 1..1000] [--jobs 2] [--failovers 0] [--coverage] [--late]
sim replay SEED [--faults 1,2] [--disks] [--late] [--mutant NAME]
sim mutants [--seeds-max 1200] [--jobs 2] [--only NAME]      (with the feature mutants)";

/// Failing seeds whose faults are minimised; the others are only named.
const MINIMISED_MAX: usize = 5;

/// What is asked for on the command line.
struct Arguments(Vec<String>);

impl Arguments {
    fn value(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|argument| argument == name)?;
        self.0.get(at + 1).map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.value(name)?.parse().ok()
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument == name)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments(std::env::args().skip(1).collect());
    let code = match arguments.0.first().map(String::as_str) {
        Some("replay") => replay(&arguments),
        Some("run") => run_all(&arguments),
        #[cfg(feature = "mutants")]
        Some("mutants") => prove_mutants(&arguments),
        _ => None,
    };
    code.unwrap_or_else(|| {
        eprintln!("{USAGE}");
        ExitCode::from(2)
    })
}

fn swarm(arguments: &Arguments) -> Swarm {
    match arguments.has("--late") {
        true => Swarm::Late,
        false => Swarm::Usual,
    }
}

fn verdict(holds: bool) -> ExitCode {
    if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn replay(arguments: &Arguments) -> Option<ExitCode> {
    switch(arguments)?;
    let seed: u64 = arguments.0.get(1)?.parse().ok()?;
    let kept: Option<Vec<usize>> = arguments
        .value("--faults")
        .map(|list| list.split(',').filter_map(|number| number.parse().ok()).collect());
    let outcome = run_of(swarm(arguments), seed, kept.as_deref(), true);
    let mut out = std::io::stdout().lock();
    for line in &outcome.lines {
        // Whoever reads may have seen enough.
        writeln!(out, "{line}").ok()?;
    }
    if arguments.has("--disks") {
        for line in &outcome.disks {
            writeln!(out, "{line}").ok()?;
        }
    }
    let (events, seconds, hash) = (outcome.events, outcome.seconds, outcome.hash);
    writeln!(
        out,
        "seed {seed}: {events} events, {seconds} simulated s, hash {hash:016x}"
    )
    .ok()?;
    if let Some(violation) = &outcome.violation {
        writeln!(out, "{} does not hold: {}", violation.invariant, violation.detail).ok()?;
    }
    Some(verdict(outcome.violation.is_none()))
}

fn run_all(arguments: &Arguments) -> Option<ExitCode> {
    let (from, to) = arguments.value("--seeds").unwrap_or("1..1000").split_once("..")?;
    let (from, to): (u64, u64) = (from.parse().ok()?, to.parse().ok()?);
    let jobs = arguments.number("--jobs").unwrap_or(2);
    let began = Instant::now();
    keep_panics();
    let outcomes = run_seeds(swarm(arguments), from, to, jobs);
    let took = began.elapsed().as_secs_f64();
    let failed: Vec<&Outcome> = outcomes
        .iter()
        .filter(|outcome| outcome.violation.is_some())
        .collect();
    failed
        .iter()
        .take(MINIMISED_MAX)
        .for_each(|outcome| tell(outcome));
    let mut coverage = Coverage::default();
    outcomes
        .iter()
        .for_each(|outcome| coverage.add(&outcome.coverage));
    let unmet = print_coverage(&coverage);
    let events: u64 = outcomes.iter().map(|outcome| outcome.events).sum();
    let seconds: u64 = outcomes.iter().map(|outcome| outcome.seconds).sum();
    let (seeds, failovers) = (outcomes.len(), coverage.failover);
    println!(
        "{seeds} seeds, {} failed, {events} events, {failovers} failovers, {seconds} simulated s, in {took:.1} s: {:.1} seeds/s",
        failed.len(),
        seeds as f64 / took
    );
    let wanted = arguments.number("--failovers").unwrap_or(0);
    if failovers < wanted {
        println!("only {failovers} failovers, {wanted} are wanted");
    }
    let covered = !arguments.has("--coverage") || unmet == 0;
    Some(verdict(failed.is_empty() && failovers >= wanted && covered))
}

/// Every rule switched off once.
#[cfg(feature = "mutants")]
fn prove_mutants(arguments: &Arguments) -> Option<ExitCode> {
    use milena_sim::mutants::{LATE_SEEDS, prove};
    let seeds = arguments.number("--seeds-max").unwrap_or(LATE_SEEDS);
    let jobs = usize::try_from(arguments.number("--jobs").unwrap_or(2)).ok()?;
    keep_panics();
    Some(verdict(prove(seeds, jobs, arguments.value("--only"))))
}

/// With `--mutant` that rule does not hold in a replay.
#[cfg(feature = "mutants")]
fn switch(arguments: &Arguments) -> Option<()> {
    use milena_types::mutants::{Mutant, switch_off};
    if let Some(name) = arguments.value("--mutant") {
        switch_off(Some(Mutant::of(name)?));
    }
    Some(())
}

#[cfg(not(feature = "mutants"))]
fn switch(arguments: &Arguments) -> Option<()> {
    (!arguments.has("--mutant")).then_some(())
}

fn run_seeds(swarm: Swarm, from: u64, to: u64, jobs: u64) -> Vec<Outcome> {
    let next = AtomicU64::new(from);
    let outcomes: Mutex<Vec<Outcome>> = Mutex::default();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= to {
                return;
            }
            let outcome = run_of(swarm, seed, None, false);
            if let Some(violation) = &outcome.violation {
                println!(
                    "seed {seed}: {} does not hold: {}",
                    violation.invariant, violation.detail
                );
            }
            outcomes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(outcome);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|outcome| outcome.seed);
    outcomes
}

/// How to repeat a failing run, with as few faults as it takes.
fn tell(failed: &Outcome) {
    let (kept, smallest) = minimise(failed);
    if let Some(violation) = &smallest.violation {
        println!(
            "seed {}, {} of {} faults: {}",
            failed.seed,
            kept.len(),
            failed.faults,
            violation.detail
        );
    }
    println!("  {}", failed.replay_line(Some(&kept)));
}

/// Gives how many things were never met.
fn print_coverage(coverage: &Coverage) -> usize {
    let rows = coverage.rows();
    for (name, what, count) in &rows {
        println!("{count:>10}  {name}: {what}");
    }
    let unmet: Vec<_> = rows
        .iter()
        .filter(|(_, _, count)| *count == 0)
        .map(|(name, _, _)| *name)
        .collect();
    if !unmet.is_empty() {
        println!("never met: {}", unmet.join(", "));
    }
    unmet.len()
}
