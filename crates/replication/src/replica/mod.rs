//! What one replica does with what it is told: by the metadata, by its leader, by the controller's silence.

mod contact;
mod ends;
mod following;
mod role;

pub use contact::Contact;
pub use ends::flush_is_due;
pub use following::{AttachIds, Following};
pub use role::{Assigned, Held, Transition, check_leader_epoch, transition};
