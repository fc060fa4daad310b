//! Why bytes are not a usable record batch.

use milena_types::ErrorCode;

/// Why bytes are not a usable record batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end before the batch does. At the end of a read this is normal: the tail is incomplete.
    #[error("batch is truncated: {needed} bytes are needed, {available} are there")]
    Truncated {
        /// Size of the header, or of the whole batch as its header says.
        needed: usize,
        /// What is there.
        available: usize,
    },
    /// Not magic 2.
    #[error("batch has magic {0}, only 2 is supported")]
    Magic(i8),
    /// `batch_length` is shorter than a header.
    #[error("batch length {0} is impossible")]
    Length(i32),
    /// The checksum differs: the bytes were damaged.
    #[error("batch has crc {actual:#010x}, its header says {expected:#010x}")]
    Crc {
        /// What the header says.
        expected: u32,
        /// What the bytes have.
        actual: u32,
    },
    /// A rule of the format is broken.
    #[error("batch is invalid: {0}")]
    Invalid(&'static str),
    /// The attributes name a codec that does not exist.
    #[error("batch has unknown compression codec {0}")]
    UnknownCodec(i16),
    /// The compressed bytes do not decompress.
    #[error("batch does not decompress: {0}")]
    Decompress(String),
    /// It decompresses to more bytes than allowed.
    #[error("batch decompresses to more than {limit} bytes")]
    TooLarge {
        /// What was allowed.
        limit: usize,
    },
}

impl BatchError {
    /// What a client is told when it sent such a batch.
    ///
    /// Source: `LogValidator.java`, `UnifiedLog.analyzeAndValidateRecords`, `ProduceRequest.validateRecords`.
    #[must_use]
    pub fn error_code(&self) -> ErrorCode {
        match self {
            BatchError::Truncated { .. }
            | BatchError::Length(_)
            | BatchError::Crc { .. }
            | BatchError::Decompress(_) => ErrorCode::CorruptMessage,
            BatchError::Magic(_) | BatchError::Invalid(_) => ErrorCode::InvalidRecord,
            BatchError::UnknownCodec(_) => ErrorCode::UnsupportedCompressionType,
            BatchError::TooLarge { .. } => ErrorCode::MessageTooLarge,
        }
    }
}
