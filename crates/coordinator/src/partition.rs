//! Which partition of `__consumer_offsets` holds a group.

use milena_types::PartitionIndex;

/// Java's `String.hashCode`: over UTF-16 code units, wrapping.
#[must_use]
pub fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

/// The partition of the offsets topic that holds `group_id`, out of `partitions` (at least 1).
///
/// Source: `GroupCoordinatorService.partitionFor`, `Utils.abs` (which is `& 0x7fffffff`).
#[must_use]
pub fn partition_for(group_id: &str, partitions: i32) -> PartitionIndex {
    PartitionIndex((java_hash(group_id) & 0x7fff_ffff) % partitions.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_javas() {
        // Values of java.lang.String.hashCode.
        for (text, hash) in [
            ("", 0),
            ("a", 97),
            ("my-group", -1_906_497_762),
            ("hello", 99_162_322),
            ("é", 233),
            ("polygenelubricants", i32::MIN),
        ] {
            assert_eq!(java_hash(text), hash, "{text}");
        }
        // A character outside the basic plane is two code units: D83D DE00.
        assert_eq!(java_hash("\u{1F600}"), 0xD83D_i32 * 31 + 0xDE00);
    }

    #[test]
    fn the_smallest_hash_does_not_make_a_negative_partition() {
        assert_eq!(partition_for("polygenelubricants", 50), PartitionIndex(0));
        assert!((0..50).contains(&partition_for("my-group", 50).0));
    }
}
