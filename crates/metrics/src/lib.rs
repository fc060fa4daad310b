//! The figures that a node shows of itself, as values: what they are called, and how durations are counted.
//!
//! What may enter: kinds of figures that more than one role has. What must not: a role's own figures (they belong to it), and
//! how a page of figures is written (the node's admin endpoint does that).

mod histogram;
mod metric;

pub use histogram::{Distribution, Histogram};
pub use metric::{Metric, Value};
