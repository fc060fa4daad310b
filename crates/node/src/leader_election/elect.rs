//! ElectLeaders, as `kafka-leader-election.sh` asks for it.

use super::cluster::{first_of, topic_name};
use super::{ElectionError, Wanted};
use milena_types::ErrorCode;
use milena_wire::messages::ElectLeadersRequest;
use milena_wire::messages::elect_leaders_request::TopicPartitions;
use std::collections::BTreeMap;

const VERSION: i16 = 2;
const TIMEOUT_MS: i32 = 60_000;

/// What became of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has another leader.
    Elected,
    /// A valid leader was there already.
    NotNeeded,
    /// Why not.
    Failed(String),
}

/// Asks for elections, preferred or unclean ones; gives what became of each partition (`topic-number`). Blocks.
///
/// # Errors
/// When nobody answers, or the request as a whole is refused.
pub fn elect(
    bootstrap: &str,
    unclean: bool,
    wanted: &Wanted,
) -> Result<Vec<(String, Outcome)>, ElectionError> {
    let mut connection = first_of(bootstrap)?;
    let mut by_topic: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in wanted.iter().flatten() {
        by_topic.entry(topic).or_default().push(*partition);
    }
    let topics = by_topic.into_iter().map(|(topic, partitions)| {
        TopicPartitions::default()
            .with_topic(topic_name(topic))
            .with_partitions(partitions)
    });
    let request = ElectLeadersRequest::default()
        .with_election_type(i8::from(unclean))
        .with_topic_partitions(wanted.as_ref().map(|_| topics.collect()))
        .with_timeout_ms(TIMEOUT_MS);
    let response = connection.call(VERSION, &request)?;
    match ErrorCode::from_code(response.error_code) {
        ErrorCode::None => {}
        error => return Err(connection.refused(format!("{error:?}"))),
    }
    let mut outcomes = Vec::new();
    for topic in &response.replica_election_results {
        for result in &topic.partition_result {
            let name = format!("{}-{}", topic.topic.as_str(), result.partition_id);
            let outcome = match ErrorCode::from_code(result.error_code) {
                ErrorCode::None => Outcome::Elected,
                ErrorCode::ElectionNotNeeded => Outcome::NotNeeded,
                error => Outcome::Failed(match &result.error_message {
                    Some(text) => format!("{error:?}: {text}"),
                    None => format!("{error:?}"),
                }),
            };
            outcomes.push((name, outcome));
        }
    }
    Ok(outcomes)
}
