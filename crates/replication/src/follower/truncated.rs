//! What a truncation has done.

use milena_types::Offset;

/// What became of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truncated {
    /// Every record is still there: at most epochs without records went.
    Nothing,
    /// Records at the end are gone.
    Cut {
        /// The log end before.
        from: Offset,
        /// And after.
        to: Offset,
    },
    /// All records, if there were any, are gone, and the log continues elsewhere.
    Restarted {
        /// Where.
        at: Offset,
    },
}

impl Truncated {
    /// `before` and `after`: log start and log end.
    #[must_use]
    pub fn between(before: (Offset, Offset), after: (Offset, Offset)) -> Self {
        if before == after {
            Truncated::Nothing
        } else if before.0 == after.0 {
            let (from, to) = (before.1, after.1);
            Truncated::Cut { from, to }
        } else {
            Truncated::Restarted { at: after.0 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncation_that_cuts_nothing_is_no_event() {
        let log = |start, end| (Offset(start), Offset(end));
        let cut = |from, to| Truncated::Cut {
            from: Offset(from),
            to: Offset(to),
        };
        let restarted = Truncated::Restarted { at: Offset(40) };
        for (before, after, expected) in [
            (log(0, 12), log(0, 12), Truncated::Nothing),
            (log(5, 5), log(5, 5), Truncated::Nothing),
            (log(0, 12), log(0, 9), cut(12, 9)),
            (log(3, 12), log(3, 3), cut(12, 3)),
            (log(0, 0), log(40, 40), restarted),
            (log(0, 12), log(40, 40), restarted),
        ] {
            let found = Truncated::between(before, after);
            assert_eq!(found, expected, "{before:?} {after:?}");
        }
    }
}
