//! From the errors of the layers below to Kafka's codes, in one place.

use milena_metadata::request::Outcome;
use milena_types::{ErrorCode, TopicNameError};

/// What a client is told when the active controller did not answer in time, or said something else than was asked.
/// Clients retry it.
pub(super) const CONTROLLER_SILENT: ErrorCode = ErrorCode::RequestTimedOut;

/// The code for a topic name that no topic can have.
pub(super) fn topic_name_error(_error: &TopicNameError) -> ErrorCode {
    ErrorCode::InvalidTopicException
}

/// The outcome of an item that the controller did not answer.
pub(super) fn controller_failed(error: ErrorCode) -> Outcome {
    // NOT_CONTROLLER makes Java's admin client look for another node: every broker forwards, so a retry is the same.
    let code = if error.is_none() { CONTROLLER_SILENT } else { error };
    if code == ErrorCode::UnknownServerError {
        // It did answer; as Kafka, which says no more to clients than that.
        return Outcome {
            error: code,
            message: None,
        };
    }
    Outcome::failed(code, "the active controller did not answer")
}

/// An outcome as the two fields of most responses.
pub(super) fn code_and_message(outcome: Outcome) -> (i16, Option<milena_wire::StrBytes>) {
    (
        outcome.error.code(),
        outcome.message.map(milena_wire::StrBytes::from_string),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_controller_is_a_timeout() {
        assert_eq!(
            controller_failed(ErrorCode::None).error,
            ErrorCode::RequestTimedOut
        );
        assert_eq!(
            controller_failed(ErrorCode::NotController).error,
            ErrorCode::NotController
        );
    }

    #[test]
    fn a_refusal_of_the_controller_is_passed_on_without_a_text() {
        let refused = controller_failed(ErrorCode::UnknownServerError);
        assert_eq!((refused.error.code(), refused.message), (-1, None));
    }
}
