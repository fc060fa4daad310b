//! What clients saw, and the judgement on it. Pure: everything here can be fed with made-up histories.

mod acceptors;
mod catalogue;
mod gaps;
mod history;
mod judge;

pub use acceptors::{Acknowledged, Succession, succession};
pub use catalogue::{Catalogue, Told};
pub use gaps::{Spread, gap_in};
pub use history::{End, History, Id, Op, Seen};
pub use judge::{Counts, Finding, Invariant, judge};
