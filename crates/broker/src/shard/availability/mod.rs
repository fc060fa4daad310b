//! What a broker knows of its partitions' availability: how soon it acknowledges after it took over, how its ISRs change, and
//! how many records are one failure from being too few.

mod at_risk;
mod figures;
mod first_ack;

pub(super) use figures::{AvailabilityFigures, IsrChange};
pub(crate) use first_ack::FirstAck;
