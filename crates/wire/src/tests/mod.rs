//! Tests of the whole crate: every API in every version, against the message library and against hostile bytes.

mod codecs;
mod golden;
mod hostile;
mod library;
pub(crate) mod sample;
