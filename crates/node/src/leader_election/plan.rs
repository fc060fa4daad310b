//! What each replica would lose as the leader of an unclean election. Pure.
//!
//! The log that goes furthest, in the newest leader epoch, is what there is to lose. A candidate shares it up to where their epochs
//! part (KIP-279: the largest common epoch, and its smaller end); what lies behind that in the furthest log would be cut.

use milena_types::{BrokerId, LeaderEpoch, Offset};
use std::cmp::Reverse;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// The candidate.
    pub candidate: Candidate,
    /// Offsets `[from, to)` of that broker's log would be lost; `None`: nothing that another candidate has.
    pub loses: Option<(Offset, Offset, BrokerId)>,
}

/// Epochs are asked for so often in one comparison.
const ROUNDS_MAX: usize = 100;

/// One forecast for each candidate; `epoch_end` is a log's largest epoch at or below one, and where it ends.
pub(super) fn forecast<E>(
    candidates: &[Candidate],
    mut epoch_end: impl FnMut(BrokerId, LeaderEpoch) -> Result<Option<(LeaderEpoch, Offset)>, E>,
) -> Vec<(BrokerId, Result<Forecast, E>)> {
    let reach = |c: &&Candidate| (c.last_epoch, c.log_end, Reverse(c.log_start));
    let furthest = candidates.iter().max_by_key(reach);
    let Some(furthest) = furthest else {
        return Vec::new();
    };
    let mut one = |candidate: &Candidate| {
        let shared = match candidate.broker == furthest.broker {
            true => furthest.log_end,
            false => shared_end(candidate, furthest, &mut epoch_end)?,
        };
        let from = shared.max(furthest.log_start);
        Ok(Forecast {
            candidate: *candidate,
            loses: (from < furthest.log_end).then_some((from, furthest.log_end, furthest.broker)),
        })
    };
    candidates.iter().map(|c| (c.broker, one(c))).collect()
}

/// Up to where both logs are the same.
fn shared_end<E>(
    candidate: &Candidate,
    furthest: &Candidate,
    epoch_end: &mut impl FnMut(BrokerId, LeaderEpoch) -> Result<Option<(LeaderEpoch, Offset)>, E>,
) -> Result<Offset, E> {
    let Some(mut epoch) = candidate.last_epoch else {
        return Ok(candidate.log_end);
    };
    for _ in 0..ROUNDS_MAX {
        let Some((theirs, their_end)) = epoch_end(furthest.broker, epoch)? else {
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

    /// (from, to, whose log).
    type Lost = Option<(i64, i64, i32)>;

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
        let plain = |forecast: Forecast| forecast.loses.map(|(from, to, of)| (from.0, to.0, of.0));
        let found = found.into_iter();
        found
            .map(|(broker, forecast)| (broker.0, plain(forecast.expect("never fails"))))
            .collect()
    }

    #[test]
    fn a_shorter_log_loses_what_the_furthest_has_behind_it() {
        let logs = Logs::from([
            (1, (0, 120, vec![(0, 0), (5, 100)])),
            (2, (0, 150, vec![(0, 0), (5, 100)])),
            (3, (0, 0, vec![])),
        ]);
        assert_eq!(
            losses(&logs),
            [(1, Some((120, 150, 2))), (2, None), (3, Some((0, 150, 2)))]
        );
    }

    #[test]
    fn a_log_that_parted_earlier_loses_from_there_though_it_is_longer() {
        let logs = Logs::from([
            (1, (0, 300, vec![(0, 0), (4, 90)])),
            (2, (10, 150, vec![(0, 10), (3, 80), (6, 110)])),
            (3, (140, 150, vec![(6, 140)])),
        ]);
        // Epoch 3 is not in the first log, epoch 4 not in the second: they share epoch 0 up to 80.
        assert_eq!(losses(&logs), [(1, Some((80, 150, 2))), (2, None), (3, None)]);
    }

    #[test]
    fn logs_in_several_steps_apart_are_followed_down() {
        let logs = Logs::from([
            (1, (0, 50, vec![(0, 0), (2, 10), (4, 20), (6, 30)])),
            (2, (0, 40, vec![(0, 0), (1, 8), (3, 15), (5, 25), (7, 35)])),
        ]);
        assert_eq!(losses(&logs), [(1, Some((8, 40, 2))), (2, None)]);
        assert!(forecast(&[], |_, _| Ok::<_, Infallible>(None)).is_empty());
    }
}
