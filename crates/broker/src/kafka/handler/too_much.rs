//! Requests whose partitions do not fit into one message to the active controller. They name a topic once for all its
//! partitions, a message names it with each: what would not fit is not even built. Kafka refuses more than 10,000 records
//! with the same words (`QuorumController.MAX_RECORDS_PER_USER_OP`).

use milena_metadata::plan::too_many;
use milena_metadata::request::Outcome;
use milena_rpc::channel::MESSAGE_BYTES_MAX;

/// What a partition takes besides its topic's name.
const PARTITION_BYTES: usize = 16;

/// The answer, when topics with names of so many bytes, and so many partitions, are too much.
pub(super) fn check(topics: impl IntoIterator<Item = (usize, usize)>) -> Result<(), Outcome> {
    let sizes = topics.into_iter().map(|(name_bytes, partitions)| {
        partitions.saturating_mul(name_bytes.saturating_add(PARTITION_BYTES))
    });
    if sizes.fold(0, usize::saturating_add) <= MESSAGE_BYTES_MAX {
        return Ok(());
    }
    Err(too_many())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_as_often_as_there_are_partitions() {
        let million = 1 << 20;
        assert!(check([(16, million), (16, million)]).is_ok());
        assert!(check([(16, million), (17, million)]).is_err());
        assert!(check([(usize::MAX, 2)]).is_err());
        assert!(check([(million, 0)]).is_ok());
    }
}
