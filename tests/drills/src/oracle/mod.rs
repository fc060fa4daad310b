//! What clients saw, and the judgement on it. Pure: everything here can be fed with made-up histories.

mod acceptors;
mod catalogue;
mod history;
mod judge;
mod spread;

pub use acceptors::{Acknowledged, succession};
pub use catalogue::{Catalogue, Told};
pub use history::{End, History, Id, Op, Seen};
pub use judge::{Counts, Invariant, judge};
pub use spread::Spread;
