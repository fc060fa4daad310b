//! Why a message is no value.

use milena_types::TopicNameError;

/// A message that does not make sense; nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// A field that must be there is not.
    #[error("field {0} is missing")]
    Missing(&'static str),
    /// An id that is not 16 bytes.
    #[error("field {field} has {length} bytes, an id has 16")]
    Id {
        /// Which field.
        field: &'static str,
        /// How many bytes came.
        length: usize,
    },
    /// A number outside of its type or meaning.
    #[error("field {field} cannot be {value}")]
    Range {
        /// Which field.
        field: &'static str,
        /// What came.
        value: i64,
    },
    /// An illegal topic name where only checked names occur.
    #[error(transparent)]
    TopicName(#[from] TopicNameError),
}
