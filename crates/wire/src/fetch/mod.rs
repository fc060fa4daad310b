//! Fetch (1) by our own codec: the response is a chain of buffers in which records are never copied. Source:
//! `FetchRequest.json`, `FetchResponse.json`, versions 4 to 18.

mod request;
mod response;

pub use request::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic};
pub use response::{FetchPartitionResponse, FetchResponse, FetchTopicResponse};
