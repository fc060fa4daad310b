//! A run is a pure function of its seed: run again, everything happens again, down to the hash of it.

use milena_sim::report::run;

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 1..=6 {
        let (once, again) = (run(seed, None, false), run(seed, None, true));
        assert_eq!(once.hash, again.hash, "seed {seed}");
        assert_eq!(once.events, again.events, "seed {seed}");
        assert_eq!(once.coverage, again.coverage, "seed {seed}");
        assert_eq!(once.violation, again.violation, "seed {seed}");
    }
}

#[test]
fn another_seed_gives_another_trace() {
    assert_ne!(run(1, None, false).hash, run(2, None, false).hash);
}

#[test]
fn what_is_left_out_does_not_happen() {
    let whole = run(1, None, false);
    let quiet = run(1, Some(&[]), false);
    assert_ne!(whole.hash, quiet.hash);
    let faults = [
        quiet.coverage.killed,
        quiet.coverage.power_lost,
        quiet.coverage.paused,
        quiet.coverage.cut_one_way,
        quiet.coverage.controller_failed_over,
    ];
    assert_eq!(faults, [0; 5]);
    assert_eq!(quiet.violation, None);
}
