//! Names, suffixes and widths of everything a log keeps on disk: Kafka's, to the byte.
//!
//! ```text
//! <log dir>/<topic>-<partition>/00000000000000000000.log        record batches, back to back
//!                              /00000000000000000000.index      8 bytes: i32 offset - base, i32 position
//!                              /00000000000000000000.timeindex  12 bytes: i64 timestamp, i32 offset - base
//!                              /00000000000000000000.txnindex   34 bytes: aborted transactions (only if any)
//!                              /00000000000000000042.snapshot   producer state before offset 42
//!                              /leader-epoch-checkpoint         text
//!                              /partition.metadata              text: the topic's id
//! ```
//! All integers are big-endian. Source: `LogFileUtils.java`, `UnifiedLog.java`.

use milena_types::{Offset, PartitionIndex, TopicName, TopicPartition};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Bytes of one entry of an offset index.
pub const OFFSET_INDEX_ENTRY_BYTES: usize = 8;
/// Bytes of one entry of a time index.
pub const TIME_INDEX_ENTRY_BYTES: usize = 12;
/// Bytes of one entry of a transaction index.
pub const TXN_INDEX_ENTRY_BYTES: usize = 34;

/// Most bytes of a segment's log: positions in an index are signed 32-bit numbers.
pub(crate) const SEGMENT_BYTES_MAX: u64 = i32::MAX as u64;
/// How far the offsets of a segment may lie from its base: offsets in an index are signed 32-bit numbers too.
pub(crate) const OFFSET_SPAN_MAX: i64 = i32::MAX as i64;

/// Name of the epoch cache's file inside a partition's directory.
pub const EPOCH_CHECKPOINT_FILE: &str = "leader-epoch-checkpoint";
/// Epoch files above this size are not ours.
pub(crate) const EPOCH_FILE_BYTES_MAX: usize = 64 << 20;
/// Name of the file that binds a partition's directory to a topic id.
pub const PARTITION_METADATA_FILE: &str = "partition.metadata";
/// Name of the file that holds recovery back after a truncation; Milena's own, Kafka ignores it.
pub const RECOVERY_FLOOR_FILE: &str = "recovery-floor";
/// Name of the empty file that says that Kafka has compacted the log, and may have left segments that do not reach the next one;
/// Milena's own, Kafka ignores it.
pub const PARTED_FILE: &str = "parted-segments";
/// Name of the empty file that allows missing offsets between batches; Milena's own, Kafka ignores it.
pub const HOLES_FILE: &str = "offset-holes";
/// Name of the empty file that makes a log the newer one of two with the same name; Milena's own, Kafka ignores it.
pub const MOVED_IN_FILE: &str = "moved-in";
/// Name of the file of entry counts and checksums of the transaction indexes; Milena's own, Kafka ignores it.
pub const TXN_INDEX_SUMS_FILE: &str = "txn-index-checkpoint";
/// Suffix of files that wait for their removal.
pub const DELETED_SUFFIX: &str = "deleted";
/// Suffix of a small file while it is being written.
pub const TEMPORARY_SUFFIX: &str = "tmp";
/// Suffix of directories of partitions that are being moved here.
pub const FUTURE_DIR_SUFFIX: &str = "-future";
/// Suffix of directories of deleted partitions.
pub const DELETED_DIR_SUFFIX: &str = "-delete";
/// Suffix of directories of logs that belong to no partition of this broker: set aside for the operator.
pub const STRAY_DIR_SUFFIX: &str = "-stray";

/// The kinds of file that are named by an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Record batches.
    Log,
    /// Offset index.
    Index,
    /// Time index.
    TimeIndex,
    /// Transaction index.
    TxnIndex,
    /// Producer state.
    Snapshot,
}

impl FileKind {
    /// Every kind, the log first.
    pub const ALL: [FileKind; 5] = [
        FileKind::Log,
        FileKind::Index,
        FileKind::TimeIndex,
        FileKind::TxnIndex,
        FileKind::Snapshot,
    ];

    /// The suffix, without the dot.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            FileKind::Log => "log",
            FileKind::Index => "index",
            FileKind::TimeIndex => "timeindex",
            FileKind::TxnIndex => "txnindex",
            FileKind::Snapshot => "snapshot",
        }
    }
}

/// True for the name of a small file that is being written.
#[must_use]
pub fn is_temporary(name: &str) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, end)| end == TEMPORARY_SUFFIX)
}

/// Path of the file of `kind` whose base is `offset`.
#[must_use]
pub fn file_path(dir: &Path, offset: Offset, kind: FileKind) -> PathBuf {
    let mut name = String::with_capacity(FILE_NAME_BYTES);
    push_file_name(&mut name, offset, kind);
    dir.join(name)
}

/// A slash and the longest name that [`push_file_name`] gives.
pub(crate) const FILE_NAME_BYTES: usize = 32;

/// Appends the name of a segment's file.
pub(crate) fn push_file_name(to: &mut impl Write, offset: Offset, kind: FileKind) {
    // Memory does not fail to be written.
    let _ = write!(to, "{:020}.{}", offset.0, kind.suffix());
}

/// Reads a file name made by [`file_path`]; `None` for any other name.
#[must_use]
pub fn parse_file_name(name: &str) -> Option<(Offset, FileKind)> {
    let (digits, suffix) = name.split_once('.')?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let kind = FileKind::ALL.into_iter().find(|kind| kind.suffix() == suffix)?;
    Some((Offset(digits.parse().ok()?), kind))
}

/// Name of a partition's directory.
#[must_use]
pub fn partition_dir_name(partition: &TopicPartition) -> String {
    partition.to_string()
}

/// The metadata log shares `log.dirs` with the partitions but is not one of them: it belongs to the controller.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// Reads a name made by [`partition_dir_name`]; `None` for any other, deleted partitions among them.
#[must_use]
pub fn parse_partition_dir_name(name: &str) -> Option<TopicPartition> {
    let (topic, partition) = name.rsplit_once('-')?;
    let canonical =
        partition.bytes().all(|b| b.is_ascii_digit()) && (partition == "0" || !partition.starts_with('0'));
    if !canonical {
        return None;
    }
    if topic == METADATA_TOPIC {
        return None;
    }
    let partition = PartitionIndex(partition.parse().ok()?);
    Some(TopicPartition {
        topic: TopicName::new(topic).ok()?,
        partition,
    })
}

/// Name of the directory of a deleted partition: at most 255 bytes, `unique` being 32 hexadecimal digits.
#[must_use]
pub fn deleted_dir_name(partition: &TopicPartition, unique: &str) -> String {
    capped_dir_name(partition, unique, DELETED_DIR_SUFFIX)
}

/// Name of the directory of a log that is set aside: at most 255 bytes, `unique` being 32 hexadecimal digits. Source:
/// `UnifiedLog.logStrayDirName`.
#[must_use]
pub fn stray_dir_name(partition: &TopicPartition, unique: &str) -> String {
    capped_dir_name(partition, unique, STRAY_DIR_SUFFIX)
}

/// Source: `LocalLog.logDirNameWithSuffixCappedLength`.
fn capped_dir_name(partition: &TopicPartition, unique: &str, suffix: &str) -> String {
    let suffix = format!("-{}.{unique}{suffix}", partition.partition);
    let topic = partition.topic.as_str();
    format!(
        "{}{suffix}",
        &topic[..topic.len().min(255 - suffix.len().min(255))]
    )
}

/// Name of the directory of a copy that is being made, `unique` being 32 hexadecimal digits. Source:
/// `UnifiedLog.logFutureDirName`.
#[must_use]
pub fn future_dir_name(partition: &TopicPartition, unique: &str) -> String {
    format!("{}.{unique}{FUTURE_DIR_SUFFIX}", partition_dir_name(partition))
}

/// Reads a name made by [`future_dir_name`].
#[must_use]
pub fn parse_future_dir_name(name: &str) -> Option<TopicPartition> {
    let (partition, unique) = name.strip_suffix(FUTURE_DIR_SUFFIX)?.rsplit_once('.')?;
    let is_unique = unique.len() == 32 && unique.bytes().all(|b| b.is_ascii_hexdigit());
    is_unique.then(|| parse_partition_dir_name(partition))?
}

/// Reads `N` big-endian bytes at `at`; `None` past the end.
pub(crate) fn be_bytes<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas_and_parse_back() {
        let path = file_path(Path::new("/d"), Offset(42), FileKind::TimeIndex);
        assert_eq!(path, Path::new("/d/00000000000000000042.timeindex"));
        for kind in FileKind::ALL {
            let path = file_path(Path::new("d"), Offset(7), kind);
            assert_eq!(
                path.file_name()
                    .and_then(|n| n.to_str())
                    .and_then(parse_file_name),
                Some((Offset(7), kind))
            );
        }
        for bad in [
            "0.log",
            "00000000000000000042.log.deleted",
            "99999999999999999999.log",
            "leader-epoch-checkpoint",
        ] {
            assert_eq!(parse_file_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn future_directories_parse_back_and_others_do_not() {
        let partition = parse_partition_dir_name("a.b-3").unwrap();
        let name = future_dir_name(&partition, &"0a".repeat(16));
        assert_eq!(name, "a.b-3.0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a-future");
        assert_eq!(parse_future_dir_name(&name), Some(partition));
        assert_eq!(parse_partition_dir_name(&name), None);
        for bad in [
            "a-3-future",
            "a-3.0a-future",
            "a-3.0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a-delete",
        ] {
            assert_eq!(parse_future_dir_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn partition_directories_parse_back_and_others_do_not() {
        for (name, topic, partition) in [
            ("a-0", "a", 0),
            ("a-b-12", "a-b", 12),
            ("__consumer_offsets-49", "__consumer_offsets", 49),
        ] {
            let parsed = parse_partition_dir_name(name).unwrap();
            assert_eq!((parsed.topic.as_str(), parsed.partition.0), (topic, partition));
            assert_eq!(partition_dir_name(&parsed), name);
        }
        for bad in [
            "a",
            "a-",
            "-0",
            "a-01",
            "a-x",
            "a-0.6d1c0000000000000000000000000000-delete",
            "a-99999999999",
        ] {
            assert_eq!(parse_partition_dir_name(bad), None, "{bad}");
        }
        let long = TopicPartition {
            topic: TopicName::new(&"x".repeat(249)).unwrap(),
            partition: PartitionIndex(3),
        };
        assert_eq!(deleted_dir_name(&long, &"0".repeat(32)).len(), 255);
        assert_eq!(stray_dir_name(&long, &"0".repeat(32)).len(), 255);
        let stray = stray_dir_name(&parse_partition_dir_name("a-3").unwrap(), &"0a".repeat(16));
        assert_eq!(stray, "a-3.0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a-stray");
        assert_eq!(parse_partition_dir_name(&stray), None);
        assert_eq!(parse_future_dir_name(&stray), None);
    }
}
