//! The states of a classic group and the steps between them.
//!
//! ```text
//!            first join                all joined, or time is up           leader's assignment stored
//!   Empty ──────────────► PreparingRebalance ─────────────► CompletingRebalance ─────────────► Stable
//!     ▲                    │   ▲    ▲                                │                          │
//!     └── nobody left ─────┘   │    └── member joins, leaves, fails ─┘                          │
//!                              └────────────── member joins, leaves, fails ─────────────────────┘
//!   any ──► Dead (deleted, or the coordinator moved)
//! ```
//!
//! Source: `ClassicGroupState.java`.

/// Where a classic group is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupState {
    /// No members; may hold offsets.
    Empty,
    /// Members are asked to rejoin.
    PreparingRebalance,
    /// The generation is fixed; the leader computes the assignment.
    CompletingRebalance,
    /// Every member has its assignment.
    Stable,
    /// Gone: what DescribeGroups says of a group that does not exist.
    Dead,
}

impl GroupState {
    /// Kafka's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }

    /// True when a group in this state may go to `next`.
    #[must_use]
    pub fn may_become(self, next: GroupState) -> bool {
        use GroupState::{CompletingRebalance, Dead, Empty, PreparingRebalance, Stable};
        match next {
            Empty | CompletingRebalance => self == PreparingRebalance,
            PreparingRebalance => matches!(self, Stable | CompletingRebalance | Empty),
            Stable => self == CompletingRebalance,
            Dead => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::GroupState::{CompletingRebalance, Dead, Empty, PreparingRebalance, Stable};

    #[test]
    fn the_transition_table_is_kafkas() {
        let states = [Empty, PreparingRebalance, CompletingRebalance, Stable, Dead];
        let allowed = [
            (PreparingRebalance, Empty),
            (PreparingRebalance, CompletingRebalance),
            (Empty, PreparingRebalance),
            (CompletingRebalance, PreparingRebalance),
            (Stable, PreparingRebalance),
            (CompletingRebalance, Stable),
        ];
        for from in states {
            for to in states {
                let expected = to == Dead || allowed.contains(&(from, to));
                assert_eq!(from.may_become(to), expected, "{from:?} to {to:?}");
            }
        }
    }
}
