//! `sim run [--seeds A..B] [--jobs N]`, `sim replay SEED [--faults 1,2]`.

use milena_sim::coverage::Coverage;
use milena_sim::report::{Outcome, run};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    match arguments.first().map(String::as_str) {
        Some("replay") => {
            let Some(seed) = arguments.get(1).and_then(|seed| seed.parse().ok()) else {
                return usage();
            };
            let kept: Option<Vec<usize>> =
                option("--faults").map(|list| list.split(',').filter_map(|n| n.parse().ok()).collect());
            replay(seed, kept.as_deref())
        }
        Some("run") => {
            let seeds = option("--seeds").unwrap_or_else(|| "1..1000".to_owned());
            let Some((from, to)) = seeds.split_once("..") else {
                return usage();
            };
            let (Ok(from), Ok(to)) = (from.parse(), to.parse()) else {
                return usage();
            };
            let jobs = option("--jobs").and_then(|jobs| jobs.parse().ok()).unwrap_or(2);
            run_all(from, to, jobs)
        }
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("sim run [--seeds 1..1000] [--jobs 2]\nsim replay SEED [--faults 1,2]");
    ExitCode::from(2)
}

fn replay(seed: u64, kept: Option<&[usize]>) -> ExitCode {
    let outcome = run(seed, kept, true);
    for line in &outcome.lines {
        println!("{line}");
    }
    println!(
        "seed {seed}: {} events, {} simulated s, hash {:016x}",
        outcome.events, outcome.seconds, outcome.hash
    );
    match &outcome.violation {
        Some(violation) => {
            println!("{} does not hold: {}", violation.invariant, violation.detail);
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn run_all(from: u64, to: u64, jobs: usize) -> ExitCode {
    let began = Instant::now();
    let next = AtomicU64::new(from);
    let outcomes: Mutex<Vec<Outcome>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        return;
                    }
                    let outcome = run(seed, None, false);
                    if let Some(violation) = &outcome.violation {
                        println!("seed {seed}: {} does not hold: {}", violation.invariant, violation.detail);
                        println!("  {}", outcome.replay_line(None));
                    }
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut coverage = Coverage::default();
    outcomes.iter().for_each(|outcome| coverage.add(&outcome.coverage));
    let failed = outcomes.iter().filter(|outcome| outcome.violation.is_some()).count();
    let events: u64 = outcomes.iter().map(|outcome| outcome.events).sum();
    let seconds: u64 = outcomes.iter().map(|outcome| outcome.seconds).sum();
    let took = began.elapsed().as_secs_f64();
    for (name, what, count) in coverage.rows() {
        println!("{count:>10}  {name}: {what}");
    }
    println!(
        "{} seeds, {failed} failed, {events} events, {} failovers, {seconds} simulated s, in {took:.1} s: {:.1} seeds/s",
        outcomes.len(),
        coverage.failover,
        outcomes.len() as f64 / took
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
