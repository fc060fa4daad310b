//! Many seeds, one of them again, and disks that lie.

use super::script::{Outcome, run};
use crate::store::memory::Flaw;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds of a usual run; `MILENA_SIM_SEEDS=1..2001` asks for others.
const SEEDS: std::ops::Range<u64> = 1..301;
/// A run in which less was met proves nothing.
const ELECTIONS_MIN: usize = 150;
const MUST_MEET: [&str; 12] = [
    "crashes with lost bytes",
    "doubled appends",
    "doubled votes",
    "images to subscribers",
    "lost answers between voters",
    "lost answers to clients",
    "one-way cuts",
    "snapshots installed",
    "voters added",
    "voters removed",
    "votes refused by the gate",
    "wiped voters that vote again",
];

fn range() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("MILENA_SIM_SEEDS") else {
        return SEEDS;
    };
    let (from, to) = text.split_once("..").expect("MILENA_SIM_SEEDS=FROM..TO");
    from.parse().unwrap()..to.parse().unwrap()
}

/// Runs the seeds on two threads; stops at the first that fails.
fn run_all(seeds: std::ops::Range<u64>, flaw: Flaw) -> Vec<Outcome> {
    let next = AtomicU64::new(seeds.start);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = run(seed, flaw, false);
                    if outcome.failure.is_some() {
                        next.store(seeds.end, Ordering::Relaxed);
                    }
                    outcomes.lock().unwrap().push(outcome);
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap();
    outcomes.sort_by_key(|outcome| outcome.seed);
    outcomes
}

fn show(outcome: &Outcome) -> String {
    let failure = outcome.failure.as_deref().unwrap_or("nothing");
    let lines = outcome.lines.join("\n");
    let seed = outcome.seed;
    format!(
        "{lines}\nseed {seed}: {failure}\nreplay: MILENA_SIM_SEED={seed} cargo test --release -p milena-controller \
         lives_test::replay -- --nocapture"
    )
}

#[test]
fn every_life_of_the_quorum_keeps_what_it_promised() {
    let begun = std::time::Instant::now();
    let outcomes = run_all(range(), Flaw::None);
    if let Some(failed) = outcomes.iter().find(|outcome| outcome.failure.is_some()) {
        panic!("{}", show(failed));
    }
    let elections: usize = outcomes.iter().map(|outcome| outcome.elections).sum();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (what, count) in outcomes.iter().flat_map(|outcome| &outcome.counts) {
        *counts.entry(what).or_default() += count;
    }
    println!(
        "{} seeds, {elections} elections in {:?}: {counts:#?}",
        outcomes.len(),
        begun.elapsed()
    );
    assert!(elections >= ELECTIONS_MIN, "{elections} elections only");
    for what in MUST_MEET {
        assert!(counts.contains_key(what), "no run met: {what}");
    }
}

/// `MILENA_SIM_SEED=17 cargo test --release -p milena-controller lives_test::replay -- --nocapture` prints one life.
#[test]
fn replay() {
    let Ok(seed) = std::env::var("MILENA_SIM_SEED") else {
        return;
    };
    let outcome = run(seed.parse().unwrap(), Flaw::None, true);
    assert!(outcome.failure.is_none(), "{}", show(&outcome));
}

/// An oracle that never failed proves nothing: each of these is noticed.
#[test]
fn disks_that_lie_are_found_out() {
    for flaw in [Flaw::ForgetsVote, Flaw::LiesAboutSyncs, Flaw::HidesLoss] {
        let outcomes = run_all(1..301, flaw);
        let failed = outcomes.iter().find(|outcome| outcome.failure.is_some());
        let failed = failed.unwrap_or_else(|| panic!("{flaw:?} was not noticed in {} seeds", outcomes.len()));
        println!(
            "{flaw:?}: seed {}: {}",
            failed.seed,
            failed.failure.as_deref().unwrap_or_default()
        );
    }
}

#[test]
fn a_seed_is_one_life() {
    for seed in [3, 8] {
        let lives = [(); 2].map(|()| run(seed, Flaw::None, false));
        assert_eq!(lives[0].lines, lives[1].lines, "seed {seed}");
        assert_eq!(lives[0].hash, lives[1].hash, "seed {seed}");
    }
}
