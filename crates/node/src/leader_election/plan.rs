//! What each replica would lose as the leader of an unclean election. Pure.
//!
//! ```text
//!   another replica   start ├──────────────────────────────┤ end
//!   the candidate            lost │ shared │      lost
//! ```
//!
//! Two logs are the same up to where their epochs part (KIP-279: the largest common epoch, and its smaller end). What another replica has
//! behind that would be cut, and what it has before the candidate's log start deleted: followers take over where their leader begins.

use milena_types::{BrokerId, LeaderEpoch, Offset};

/// A replica that can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub broker: BrokerId,
    /// Its first offset.
    pub log_start: Offset,
    /// Its log end.
    pub log_end: Offset,
    /// The epoch of its last record; `None`: it has none.
    pub last_epoch: Option<LeaderEpoch>,
}

/// What an unclean election of a candidate would cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// The candidate.
    pub candidate: Candidate,
    /// What would be gone; nothing that another candidate has, when empty.
    pub losses: Vec<Loss>,
}

/// Offsets `[from, to)` that another replica has and would lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Whose.
    pub broker: BrokerId,
    /// The first.
    pub from: Offset,
    /// The one behind the last.
    pub to: Offset,
}

/// Epochs are asked for so often in one comparison.
const ROUNDS_MAX: usize = 100;

/// One forecast for each candidate; `epoch_end` is a log's largest epoch at or below one, and where it ends.
pub(super) fn forecast<E>(
    candidates: &[Candidate],
    mut epoch_end: impl FnMut(BrokerId, LeaderEpoch) -> Result<Option<(LeaderEpoch, Offset)>, E>,
) -> Vec<(BrokerId, Result<Forecast, E>)> {
    let mut one = |candidate: &Candidate| {
        let mut losses = Vec::new();
        for other in candidates.iter().filter(|other| other.broker != candidate.broker) {
            let shared_end = shared_end(candidate, other, &mut epoch_end)?;
            let before = (other.log_start, candidate.log_start.min(other.log_end));
            let behind = (shared_end.max(other.log_start).max(before.1), other.log_end);
            let lost = [before, behind].into_iter().filter(|(from, to)| from < to);
            losses.extend(lost.map(|(from, to)| Loss {
                broker: other.broker,
                from,
                to,
            }));
        }
        Ok(Forecast {
            candidate: *candidate,
            losses,
        })
    };
    candidates.iter().map(|c| (c.broker, one(c))).collect()
}

/// Up to where both logs are the same.
fn shared_end<E>(
    candidate: &Candidate,
    other: &Candidate,
    epoch_end: &mut impl FnMut(BrokerId, LeaderEpoch) -> Result<Option<(LeaderEpoch, Offset)>, E>,
) -> Result<Offset, E> {
    let Some(mut epoch) = candidate.last_epoch else {
        return Ok(candidate.log_start);
    };
    for _ in 0..ROUNDS_MAX {
        let Some((theirs, their_end)) = epoch_end(other.broker, epoch)? else {
            break;
        };
        let Some((own, own_end)) = epoch_end(candidate.broker, theirs)? else {
            break;
        };
        if own == theirs {
            return Ok(own_end.min(their_end));
        }
        epoch = own;
    }
    Ok(candidate.log_start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    /// (start, end, epochs with their starts) by broker.
    type Logs = BTreeMap<i32, (i64, i64, Vec<(i32, i64)>)>;

    fn end_for(logs: &Logs, broker: BrokerId, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let (_, end, epochs) = &logs[&broker.0];
        let at = epochs.iter().rposition(|(e, _)| *e <= epoch.0)?;
        let end = epochs.get(at + 1).map_or(*end, |(_, start)| *start);
        Some((LeaderEpoch(epochs[at].0), Offset(end)))
    }

    /// (whose log, from, to).
    type Lost = Vec<(i32, i64, i64)>;

    fn losses(logs: &Logs) -> Vec<(i32, Lost)> {
        let candidates: Vec<_> = logs
            .iter()
            .map(|(id, (start, end, epochs))| Candidate {
                broker: BrokerId(*id),
                log_start: Offset(*start),
                log_end: Offset(*end),
                last_epoch: epochs.last().map(|(epoch, _)| LeaderEpoch(*epoch)),
            })
            .collect();
        let found = forecast(&candidates, |broker, epoch| {
            Ok::<_, Infallible>(end_for(logs, broker, epoch))
        });
        let plain = |forecast: Forecast| -> Lost {
            let losses = forecast.losses.iter();
            losses
                .map(|loss| (loss.broker.0, loss.from.0, loss.to.0))
                .collect()
        };
        let found = found.into_iter();
        found
            .map(|(broker, forecast)| (broker.0, plain(forecast.expect("never fails"))))
            .collect()
    }

    #[test]
    fn a_shorter_log_loses_what_others_have_behind_it() {
        let logs = Logs::from([
            (1, (0, 120, vec![(0, 0), (5, 100)])),
            (2, (0, 150, vec![(0, 0), (5, 100)])),
            (3, (0, 0, vec![])),
        ]);
        assert_eq!(
            losses(&logs),
            [
                (1, vec![(2, 120, 150)]),
                (2, vec![]),
                (3, vec![(1, 0, 120), (2, 0, 150)])
            ]
        );
    }

    #[test]
    fn a_log_that_parted_loses_from_there_and_costs_what_only_it_has() {
        let logs = Logs::from([
            (1, (0, 300, vec![(0, 0), (4, 90)])),
            (2, (0, 150, vec![(0, 0), (3, 80), (6, 110)])),
        ]);
        // Epoch 3 is not in the first log, epoch 4 not in the second: they share epoch 0 up to 80.
        assert_eq!(losses(&logs), [(1, vec![(2, 80, 150)]), (2, vec![(1, 80, 300)])]);
    }

    #[test]
    fn a_log_that_begins_later_costs_what_lies_before_it() {
        let logs = Logs::from([
            (1, (10, 150, vec![(3, 10), (6, 110)])),
            (2, (140, 150, vec![(6, 140)])),
            (3, (150, 150, vec![])),
        ]);
        assert_eq!(
            losses(&logs),
            [
                (1, vec![]),
                (2, vec![(1, 10, 140)]),
                (3, vec![(1, 10, 150), (2, 140, 150)])
            ]
        );
    }

    #[test]
    fn logs_in_several_steps_apart_are_followed_down() {
        let logs = Logs::from([
            (1, (0, 50, vec![(0, 0), (2, 10), (4, 20), (6, 30)])),
            (2, (0, 40, vec![(0, 0), (1, 8), (3, 15), (5, 25), (7, 35)])),
        ]);
        assert_eq!(losses(&logs), [(1, vec![(2, 8, 40)]), (2, vec![(1, 8, 50)])]);
        assert!(forecast(&[], |_, _| Ok::<_, Infallible>(None)).is_empty());
    }
}
