//! The generated messages, clients and servers of package `milena.v1`.
//!
//! Nothing outside this crate, the controller's and the broker's gRPC fronts should keep one of these: convert at the edge.
#![allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]

tonic::include_proto!("milena.v1");
