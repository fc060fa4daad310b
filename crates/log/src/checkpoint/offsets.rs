//! `recovery-point-offset-checkpoint` and its siblings: one line `topic partition offset` per partition of a log
//! directory. Source: `OffsetCheckpointFile.java`.

use super::{CheckpointError, text};
use milena_types::{Offset, PartitionIndex, TopicName, TopicPartition};
use std::collections::BTreeMap;

/// The checkpoint files of a log directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetCheckpoint {
    /// Below it everything is on disk; recovery starts there.
    RecoveryPoint,
    /// The high watermark.
    HighWatermark,
    /// The first offset that readers may see, when DeleteRecords moved it into a segment.
    LogStart,
    /// How far compaction has come.
    Cleaner,
}

impl OffsetCheckpoint {
    /// Kafka's file name.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            OffsetCheckpoint::RecoveryPoint => "recovery-point-offset-checkpoint",
            OffsetCheckpoint::HighWatermark => "replication-offset-checkpoint",
            OffsetCheckpoint::LogStart => "log-start-offset-checkpoint",
            OffsetCheckpoint::Cleaner => "cleaner-offset-checkpoint",
        }
    }
}

/// The file's text.
#[must_use]
pub fn encode_offsets(offsets: &BTreeMap<TopicPartition, Offset>) -> String {
    text::encode(
        offsets
            .iter()
            .map(|(p, offset)| format!("{} {} {offset}", p.topic, p.partition)),
    )
}

/// Inverse of [`encode_offsets`].
///
/// # Errors
/// [`CheckpointError`] says which line is wrong.
pub fn parse_offsets(bytes: &[u8]) -> Result<BTreeMap<TopicPartition, Offset>, CheckpointError> {
    Ok(text::parse(bytes, parse_offset_line)?.into_iter().collect())
}

/// `topic partition offset`.
pub(crate) fn parse_offset_line(line: &str) -> Option<(TopicPartition, Offset)> {
    let mut words = line.split(' ');
    let (topic, partition, offset) = (words.next()?, words.next()?, words.next()?);
    let topic = TopicName::new(topic).ok()?;
    let partition = PartitionIndex(partition.parse().ok()?);
    let offset = Offset(offset.parse().ok()?);
    let line = (TopicPartition { topic, partition }, offset);
    words.next().is_none().then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kafkas_and_damage_is_named() {
        let at = |topic: &str, partition, offset| {
            let topic = TopicName::new(topic).unwrap();
            (
                TopicPartition {
                    topic,
                    partition: PartitionIndex(partition),
                },
                Offset(offset),
            )
        };
        let offsets: BTreeMap<_, _> = [at("b", 1, 7), at("a", 10, 5)].into();
        assert_eq!(encode_offsets(&offsets), "0\n2\na 10 5\nb 1 7\n");
        assert_eq!(parse_offsets(encode_offsets(&offsets).as_bytes()), Ok(offsets));
        for bad in [
            "0\n1\na 1\n",
            "0\n1\na 1 2 3\n",
            "0\n1\n../x 1 2\n",
            "0\n3\na 1 2\n",
            "0\n",
        ] {
            assert!(parse_offsets(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
