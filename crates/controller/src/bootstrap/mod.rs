//! How voters with an empty log become a quorum, and how one that lost its disk comes back without doing harm.
//!
//! An empty voter grants no votes until it knows which of the two it is:
//!
//! * **There is no cluster.** All voters (or, after some seconds, a majority) say that they are empty too. Then it votes,
//!   and the one with the lowest id initializes raft once a majority votes; the others take over if it does not. All
//!   would write the same first entry, so that two of them do no harm.
//! * **There is one.** Then this voter is late, or its disk was lost. It follows as if it were new, and neither votes
//!   nor stands for election until it holds everything that the leader had committed when it came. It takes nothing from
//!   a leader, and so confirms nothing, before it knows the votes of so many others that one of them was in every majority
//!   that it may have been part of, and has made the highest its own: a leader of the past, whose successor it had helped
//!   and forgotten, would otherwise find a majority with it.

mod ask;
mod decision;
mod gate;
mod join;
pub(crate) mod wake;

pub(crate) use gate::VoteGate;
pub(crate) use join::{JoinError, Joiner};
