//! Who acknowledged, and when: a leader that was deposed must not, once its successor has.

use std::time::Duration;

/// One acknowledged record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Who has acknowledged it.
    pub broker: i32,
    /// When it was sent.
    pub sent: Duration,
    /// When the answer came.
    pub answered: Duration,
}

/// A change of the leader as clients saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Succession {
    /// The old one's last acknowledgement.
    pub last_of_old: Option<Duration>,
    /// Its successor's first.
    pub first_of_new: Duration,
    /// What the old one has acknowledged after that. What was sent before the fault it may have taken before it, too.
    pub late: Vec<Acknowledged>,
}

/// What became of `old` after a fault; `None` when nobody else has acknowledged anything.
#[must_use]
pub fn succession(acknowledged: &[Acknowledged], old: i32, fault: Duration) -> Option<Succession> {
    let by_old = |one: &&Acknowledged| one.broker == old;
    let others = acknowledged.iter().filter(|one| one.broker != old);
    let first_of_new = others.map(|one| one.answered).min()?;
    let is_late = |one: &&Acknowledged| one.answered > first_of_new && one.sent > fault;
    Some(Succession {
        last_of_old: acknowledged.iter().filter(by_old).map(|one| one.answered).max(),
        first_of_new,
        late: acknowledged
            .iter()
            .filter(by_old)
            .filter(is_late)
            .copied()
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Acknowledged, succession};
    use std::time::Duration;

    fn one(broker: i32, sent: u64, answered: u64) -> Acknowledged {
        Acknowledged {
            broker,
            sent: Duration::from_secs(sent),
            answered: Duration::from_secs(answered),
        }
    }

    fn late(acknowledged: &[Acknowledged]) -> Option<usize> {
        succession(acknowledged, 1, Duration::from_secs(10)).map(|found| found.late.len())
    }

    #[test]
    fn the_old_one_is_late_only_after_the_new_one() {
        assert_eq!(late(&[one(1, 9, 9), one(1, 14, 15), one(2, 15, 16)]), Some(0));
        assert_eq!(late(&[one(1, 14, 17), one(2, 15, 16)]), Some(1));
        assert_eq!(
            late(&[one(1, 9, 17), one(2, 15, 16)]),
            Some(0),
            "sent before the fault"
        );
        assert_eq!(late(&[one(1, 14, 15)]), None, "nobody took over");
    }
}
