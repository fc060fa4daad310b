//! Conversions between the generated messages and the domain types, one file per group of messages.
//!
//! `From<&Domain> for proto` never fails; `TryFrom<proto> for Domain` checks presence, widths, id lengths and names.
//! It does not judge what `plan` judges: a replica list from a client may name brokers that do not exist.

mod admin_reply;
mod admin_request;
mod broker;
mod error;
mod field;
mod id;
mod outcome;
mod quorum;
mod record;

pub use error::ConvertError;
use field::{each, error_code, ids, narrow, required, topic_name, uuid, uuid_bytes};
use outcome::outcome;
