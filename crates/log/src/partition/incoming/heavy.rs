//! What of an append is too much to be done where other partitions wait for it.
//!
//! ```text
//! walk       1 MiB of records costs some milliseconds in the slowest codec; no more are unpacked there
//! rewrite    16 KiB cost some milliseconds at the slowest level (zstd 22), and far below one at the levels that are common
//! ```

use milena_record::Compression;

/// Most bytes of records that are walked there, as they are uncompressed.
const WALK_BYTES_MAX: usize = 1 << 20;
/// A compressed batch above this size is taken to be more than that, and none of it is unpacked there in vain.
const COMPRESSED_BYTES_MAX: usize = 256 << 10;
/// Most bytes of records, uncompressed, that are compressed anew there.
const REWRITE_BYTES_MAX: usize = 16 << 10;

/// How many bytes of records may be unpacked while others wait, of a batch of `size` bytes in a topic whose batches may unpack to
/// `limit`; `None`: it is not even begun.
pub(in crate::partition) fn walk_limit(codec: Compression, size: usize, limit: usize) -> Option<usize> {
    let size_max = match codec {
        Compression::None => WALK_BYTES_MAX,
        Compression::Gzip | Compression::Snappy | Compression::Lz4 | Compression::Zstd => {
            COMPRESSED_BYTES_MAX
        }
    };
    (size <= size_max).then_some(limit.min(WALK_BYTES_MAX))
}

/// Is it too much to compress so many bytes of records anew?
pub(in crate::partition) fn is_heavy_rewrite(uncompressed_bytes: usize) -> bool {
    uncompressed_bytes > REWRITE_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_is_bounded_by_what_is_there_and_by_what_comes_out() {
        const TOPIC: usize = 256 << 20;
        assert_eq!(
            walk_limit(Compression::None, WALK_BYTES_MAX, TOPIC),
            Some(WALK_BYTES_MAX)
        );
        assert_eq!(walk_limit(Compression::None, WALK_BYTES_MAX + 1, TOPIC), None);
        for codec in [
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ] {
            let at_most = walk_limit(codec, COMPRESSED_BYTES_MAX, TOPIC);
            assert_eq!(at_most, Some(WALK_BYTES_MAX), "{codec:?}");
            assert_eq!(walk_limit(codec, COMPRESSED_BYTES_MAX + 1, TOPIC), None);
        }
        // What the topic does not take is refused at once.
        assert_eq!(walk_limit(Compression::Zstd, 100, 1000), Some(1000));
    }

    #[test]
    fn little_is_rewritten_at_once() {
        assert!(!is_heavy_rewrite(REWRITE_BYTES_MAX));
        assert!(is_heavy_rewrite(REWRITE_BYTES_MAX + 1));
    }
}
