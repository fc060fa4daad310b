//! Why bytes from the network were refused. Pure data; texts name the field and the numbers, never the bytes.

/// A request that does not have the shape its API and version prescribe.
///
/// Whoever gets one answers INVALID_REQUEST where the protocol allows it and closes the connection: nothing was applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The frame ends inside a field.
    #[error("{field}: {need} bytes are needed, {left} are left")]
    Truncated {
        /// Which field.
        field: &'static str,
        /// How many bytes it wants.
        need: usize,
        /// How many the frame still has.
        left: usize,
    },
    /// An array announces more elements than the frame can hold.
    #[error("{field}: {count} elements cannot be in the {left} bytes left")]
    Count {
        /// Which field.
        field: &'static str,
        /// The announced count.
        count: u64,
        /// How many bytes the frame still has.
        left: usize,
    },
    /// A length below zero where null is not allowed, or below -1.
    #[error("{field}: invalid length {length}")]
    Length {
        /// Which field.
        field: &'static str,
        /// As announced.
        length: i64,
    },
    /// A varint of more than five bytes, or above 32 bits.
    #[error("{field}: varint is longer than 32 bits")]
    Varint {
        /// Which field.
        field: &'static str,
    },
    /// Text that is not UTF-8.
    #[error("{field}: text is not utf-8")]
    Utf8 {
        /// Which field.
        field: &'static str,
    },
    /// A tagged field whose content does not fill its announced size.
    #[error("tagged field {tag}: announced {announced} bytes, its content takes {actual}")]
    TagSize {
        /// Its number.
        tag: u32,
        /// As announced.
        announced: usize,
        /// As read.
        actual: usize,
    },
    /// Bytes after the last field.
    #[error("{0} bytes follow the request")]
    Trailing(usize),
    /// Decoding would take more memory than its frame justifies.
    #[error("{field}: decoding needs more than {limit} bytes of memory")]
    Memory {
        /// The field that went over the limit.
        field: &'static str,
        /// The limit, in bytes.
        limit: usize,
    },
    /// More structs than any client sends.
    #[error("{field}: more than {limit} elements in one request")]
    Elements {
        /// The field that went over the limit.
        field: &'static str,
        /// The limit.
        limit: usize,
    },
    /// This build serves no such API or version.
    #[error("{api} has no version {version}")]
    Version {
        /// The API's name.
        api: &'static str,
        /// As asked.
        version: i16,
    },
    /// The message library refused what the guard let through.
    #[error("malformed request: {0}")]
    Malformed(String),
}

/// A response that cannot be written in the version asked for: always a defect of the handler that built it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot encode {api} response version {version}: {reason}")]
pub struct EncodeError {
    /// The API's name.
    pub api: &'static str,
    /// The response's version.
    pub version: i16,
    /// What the encoder says.
    pub reason: String,
}
