//! What of an append is too much to be done where other partitions wait for it.
//!
//! ```text
//! walk       1 MiB of records takes one or two milliseconds in the slowest codec, and four when the records are tiny
//! rewrite    16 KiB take six milliseconds at the slowest level (zstd 22; 32 KiB take 23, 64 KiB 181), and far below one at those
//!            that are common
//! ```

use milena_record::Compression;

/// Most bytes of records that are walked there, as they are uncompressed.
const WALK_BYTES_MAX: usize = 1 << 20;
/// A compressed batch above this size is taken to be more than that, and none of it is unpacked there in vain.
const COMPRESSED_BYTES_MAX: usize = 256 << 10;
/// Most records of a compressed batch that are walked there: each costs something, be it of no bytes at all.
const RECORDS_MAX: i32 = 1 << 15;
/// Most bytes of records, uncompressed, that are compressed anew there.
const REWRITE_BYTES_MAX: usize = 16 << 10;

/// How many bytes of records may be unpacked while others wait, of a batch of `size` bytes that says to have so many `records`, in
/// a topic whose batches may unpack to `limit`; `None`: it is not even begun.
pub(in crate::partition) fn walk_limit(
    codec: Compression,
    (size, records): (usize, i32),
    limit: usize,
) -> Option<usize> {
    let is_light = match codec {
        Compression::None => size <= WALK_BYTES_MAX,
        Compression::Gzip | Compression::Snappy | Compression::Lz4 | Compression::Zstd => {
            size <= COMPRESSED_BYTES_MAX && records <= RECORDS_MAX
        }
    };
    is_light.then_some(limit.min(WALK_BYTES_MAX))
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
        let plain = |size| walk_limit(Compression::None, (size, i32::MAX), TOPIC);
        assert_eq!(plain(WALK_BYTES_MAX), Some(WALK_BYTES_MAX));
        assert_eq!(plain(WALK_BYTES_MAX + 1), None);
        for codec in [
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ] {
            let packed = |size, records| walk_limit(codec, (size, records), TOPIC);
            let at_most = packed(COMPRESSED_BYTES_MAX, RECORDS_MAX);
            assert_eq!(at_most, Some(WALK_BYTES_MAX), "{codec:?}");
            assert_eq!(packed(COMPRESSED_BYTES_MAX + 1, 1), None);
            assert_eq!(packed(100, RECORDS_MAX + 1), None);
        }
        // What the topic does not take is refused at once.
        assert_eq!(walk_limit(Compression::Zstd, (100, 1), 1000), Some(1000));
    }

    #[test]
    fn little_is_rewritten_at_once() {
        assert!(!is_heavy_rewrite(REWRITE_BYTES_MAX));
        assert!(is_heavy_rewrite(REWRITE_BYTES_MAX + 1));
    }
}
