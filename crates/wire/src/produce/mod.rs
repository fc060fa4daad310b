//! Produce (0) by our own codec: records are cut out of the frame, never copied. Source: `ProduceRequest.json`,
//! `ProduceResponse.json`, versions 3 to 13.

mod request;
mod response;

pub use request::{ProducePartition, ProduceRequest, ProduceTopic};
pub use response::{ProducePartitionResponse, ProduceResponse, ProduceTopicResponse, RecordError};
