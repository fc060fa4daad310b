//! What the controller has answered about many partitions at once.

use super::client::ControllerError;
use milena_metadata::request::AlterPartitionResult;
use milena_types::{ErrorCode, TopicIdPartition};
use std::collections::HashMap;

/// The answers by partition; none when the request was not answered, which is said in the log: `what` is not known, of so many
/// partitions.
pub(super) fn by_partition(
    answer: Result<Vec<AlterPartitionResult>, ControllerError>,
    what: &str,
    partitions: usize,
) -> HashMap<TopicIdPartition, ErrorCode> {
    match answer {
        Ok(results) => results
            .into_iter()
            .map(|result| (result.id, result.error))
            .collect(),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, partitions, "{what} were not answered");
            HashMap::new()
        }
    }
}
