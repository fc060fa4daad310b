//! How a request ended.

use super::{ConvertError, error_code, required};
use crate::proto;
use milena_metadata::request::Outcome;

impl From<&Outcome> for proto::Outcome {
    fn from(outcome: &Outcome) -> Self {
        Self {
            error: i32::from(outcome.error.code()),
            message: outcome.message.clone(),
        }
    }
}

impl From<proto::Outcome> for Outcome {
    fn from(outcome: proto::Outcome) -> Self {
        Self {
            error: error_code(outcome.error),
            message: outcome.message,
        }
    }
}

pub(super) fn outcome(outcome: Option<proto::Outcome>) -> Result<Outcome, ConvertError> {
    Ok(required(outcome, "outcome")?.into())
}
