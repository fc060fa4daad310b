//! The adapter around openraft: its types, their encodings, and the network between the voters.
//!
//! openraft is named in this folder, in `store/` and where the controller proposes; no openraft type reaches disk or
//! wire but through [`codec`].

pub(crate) mod append_stream;
pub(crate) mod caught_up;
pub(crate) mod codec;
pub(crate) mod early_election;
pub(crate) mod grpc;
pub(crate) mod lease;
pub(crate) mod majority;
pub(crate) mod network;
pub(crate) mod peers;
pub(crate) mod pulse;
pub(crate) mod service;
pub(crate) mod settings;
#[cfg(test)]
pub(crate) mod test_runtime;
pub(crate) mod types;
pub(crate) mod wire;
