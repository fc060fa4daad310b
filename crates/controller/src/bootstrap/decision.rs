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
    /// The highest vote that one of them has given, as (term, node).
    pub(super) vote: (u64, u64),
}

impl Survey {
    /// Whether so many answered that every majority which this voter may have been part of has one of them: what it has
    /// forgotten to have promised to a leader, one of these knows.
    pub(super) fn knows_all_leaders(&self) -> bool {
        let voters = self.others + 1;
        let majority = voters / 2 + 1;
        self.answered > voters - majority
    }
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
    fn so_many_answers_meet_every_majority() {
        for (others, needed) in [(1, 1), (2, 2), (3, 2), (4, 3), (6, 4)] {
            let knows = |answered| {
                let survey = Survey {
                    others,
                    answered,
                    ..Survey::default()
                };
                survey.knows_all_leaders()
            };
            assert!(knows(needed) && !knows(needed - 1), "{others} others");
        }
    }

    /// Two others, of whom so many answered and so many vote.
    fn survey(answered: usize, voting: usize) -> Survey {
        Survey {
            others: 2,
            answered,
            voting,
            ..Survey::default()
        }
    }

    #[test]
    fn an_empty_voter_decides() {
        use Decision::{Initialize, Restore, Vote, Wait};
        let alone = Survey::default();
        let logged = Survey {
            any_initialized: true,
            ..survey(2, 0)
        };
        let clustered = Survey {
            cluster: Some("c".into()),
            ..survey(1, 0)
        };
        let short = Duration::from_millis(10);
        let cases = [
            ("a single voter founds at once", alone, 0, short, Initialize),
            ("nobody votes yet: vote", survey(2, 0), 0, short, Vote),
            ("a majority votes: found", survey(2, 1), 0, short, Initialize),
            ("not my turn", survey(2, 2), 1, short, Vote),
            ("the first one is gone", survey(2, 2), 1, GRACE + TURN, Initialize),
            ("one is silent: wait", survey(1, 1), 0, short, Wait),
            ("it stays silent", survey(1, 1), 0, GRACE, Initialize),
            ("both are silent", survey(0, 0), 0, GRACE * 9, Wait),
            ("one has a log: wait", logged, 0, GRACE * 9, Wait),
            ("there is a cluster", clustered, 0, short, Restore),
        ];
        for (name, survey, rank, waited, expected) in cases {
            assert_eq!(decide(&survey, rank, waited), expected, "{name}");
        }
    }
}
