//! Seeds that once failed, each for a defect of the product or of the simulator that is mended.

use milena_sim::report::run;

/// The seed, and what it found first.
const SEEDS: &[(u64, &str)] = &[
    (
        215,
        "a log that lost partition.metadata was taken for that of a later topic of its name",
    ),
    (
        646,
        "files of a deleted log came back under the name of a new one, on the simulated disk",
    ),
    (
        731,
        "a move was completed by the death of the last other one that had everything",
    ),
    (
        932,
        "a follower joined the ISR and was put out again, a hundred times a second",
    ),
    (
        1023,
        "a log that ended inside of the batch that its leader's log begins with was never in sync again",
    ),
    (
        5922,
        "a flush of a log that is gone was taken for one of its successor, by the simulated broker",
    ),
    (
        5981,
        "a log that was made anew began where the checkpoints said of its predecessor",
    ),
];

#[test]
fn what_failed_once_holds() {
    for (seed, what) in SEEDS {
        let outcome = run(*seed, None, false);
        assert_eq!(outcome.violation, None, "{what}: {}", outcome.replay_line(None));
    }
}
