//! The model-based test: without crashes, everything compared after each operation.

use super::random::Random;
use super::run::{Run, config, open_model};
use super::state::Model;
use super::{Replay, asked_seed};
use crate::support::disk;
use milena_log::CorruptionPolicy;

const RUNS: u64 = 400;
const OPERATIONS: usize = 60;

fn one_run(seed: u64) {
    let _replay = Replay(seed, "operations");
    let mut random = Random(seed);
    let (fs, config, model) = (disk(), config(&mut random), Model::default());
    let log = open_model(&fs, &config, &model, false, CorruptionPolicy::RefuseDoubtful).unwrap();
    let mut run = Run::new(fs, log, model, config);
    for _ in 0..OPERATIONS {
        let done = run.step(&mut random);
        done.unwrap_or_else(|e| panic!("{e} after {:?}", run.done));
        let checked = run.check(&mut random);
        checked.unwrap_or_else(|e| panic!("{e} after {:?}", run.done));
    }
}

#[test]
fn a_log_is_what_its_model_says_after_every_operation() {
    match asked_seed() {
        Some(seed) => one_run(seed),
        None => (0..RUNS).for_each(one_run),
    }
}
