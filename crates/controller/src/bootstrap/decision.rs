//! What an empty voter makes of the answers of the others. Pure.

use std::time::Duration;

/// After so long a majority may found a cluster without the others.
const GRACE: Duration = Duration::from_secs(3);
/// How much longer each further voter waits for those before it to initialize.
const TURN: Duration = Duration::from_secs(1);

/// What the other voters say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// How many others there are.
    pub(super) others: usize,
    /// How many of them answered.
    pub(super) answered: usize,
    /// The cluster that one of them is in.
    pub(super) cluster: Option<String>,
    /// One of them has a raft log.
    pub(super) any_initialized: bool,
    /// How many of them grant votes.
    pub(super) voting: usize,
}

/// What an empty voter does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Ask again.
    Wait,
    /// There is no cluster: vote.
    Vote,
    /// There is no cluster, and it is this voter's turn: vote and initialize.
    Initialize,
    /// There is a cluster: follow.
    Restore,
}

/// Decides from the last survey. `rank`: how many voters have a lower id.
pub(super) fn decide(survey: &Survey, rank: u32, waited: Duration) -> Decision {
    if survey.cluster.is_some() {
        return Decision::Restore;
    }
    let voters = survey.others + 1;
    let majority = voters / 2 + 1;
    let heard = survey.answered == survey.others || (survey.answered + 1 >= majority && waited >= GRACE);
    // A voter with a log may know more than it says (it has not heard from a leader since its start): wait for one.
    if !heard || survey.any_initialized {
        return Decision::Wait;
    }
    let turn = if rank == 0 {
        Duration::ZERO
    } else {
        GRACE + TURN * rank
    };
    if survey.voting + 1 >= majority && waited >= turn {
        Decision::Initialize
    } else {
        Decision::Vote
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_voter_decides() {
        let base = Survey {
            others: 2,
            answered: 2,
            ..Survey::default()
        };
        let alone = Survey::default();
        let short = Duration::from_millis(10);
        let cases = [
            (
                "a single voter founds at once",
                alone,
                0,
                short,
                Decision::Initialize,
            ),
            ("nobody votes yet: vote", base.clone(), 0, short, Decision::Vote),
            (
                "a majority votes: found",
                Survey {
                    voting: 1,
                    ..base.clone()
                },
                0,
                short,
                Decision::Initialize,
            ),
            (
                "not my turn",
                Survey {
                    voting: 2,
                    ..base.clone()
                },
                1,
                short,
                Decision::Vote,
            ),
            (
                "the first one is gone",
                Survey {
                    voting: 2,
                    ..base.clone()
                },
                1,
                GRACE + TURN,
                Decision::Initialize,
            ),
            (
                "one is silent: wait",
                Survey {
                    answered: 1,
                    voting: 1,
                    ..base.clone()
                },
                0,
                short,
                Decision::Wait,
            ),
            (
                "it stays silent",
                Survey {
                    answered: 1,
                    voting: 1,
                    ..base.clone()
                },
                0,
                GRACE,
                Decision::Initialize,
            ),
            (
                "both are silent",
                Survey {
                    answered: 0,
                    ..base.clone()
                },
                0,
                GRACE * 9,
                Decision::Wait,
            ),
            (
                "one has a log: wait",
                Survey {
                    any_initialized: true,
                    ..base.clone()
                },
                0,
                GRACE * 9,
                Decision::Wait,
            ),
            (
                "there is a cluster",
                Survey {
                    cluster: Some("c".into()),
                    answered: 1,
                    ..base
                },
                0,
                short,
                Decision::Restore,
            ),
        ];
        for (name, survey, rank, waited, expected) in cases {
            assert_eq!(decide(&survey, rank, waited), expected, "{name}");
        }
    }
}
