//! Which faults of a failing run matter: those that it does not fail without.

use crate::report::{Outcome, run_of};

/// Runs that are tried at most.
const TRIES_MAX: usize = 60;

/// Leaves out one fault after the other for as long as the same invariant is broken. Gives the numbers of those that are left, and
/// what came of the run with them alone.
#[must_use]
pub fn minimise(failed: &Outcome) -> (Vec<usize>, Outcome) {
    let mut kept: Vec<usize> = (0..failed.faults).collect();
    let mut best = failed.clone();
    let Some(wanted) = failed.violation.as_ref().map(|violation| violation.invariant) else {
        return (kept, best);
    };
    let mut tries = 0;
    let mut size = (kept.len() / 2).max(1);
    while tries < TRIES_MAX {
        let mut at = 0;
        let before = kept.len();
        while at < kept.len() && tries < TRIES_MAX {
            let end = (at + size).min(kept.len());
            let fewer: Vec<usize> = kept[..at].iter().chain(&kept[end..]).copied().collect();
            tries += 1;
            let outcome = run_of(failed.swarm, failed.seed, Some(&fewer), false);
            if outcome
                .violation
                .as_ref()
                .is_some_and(|violation| violation.invariant == wanted)
            {
                (kept, best) = (fewer, outcome);
            } else {
                at = end;
            }
        }
        if size == 1 && kept.len() == before {
            break;
        }
        size = (size / 2).max(1);
    }
    (kept, best)
}
