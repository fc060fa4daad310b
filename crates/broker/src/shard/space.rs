//! What the file system of a log directory still has.

use std::io;
use std::path::Path;

/// Not less than this much space is left free, or [`FREE_SHARE`] of a small file system: below it a directory counts as full
/// once a write has failed, and copies that can wait are not begun.
const FREE_BYTES: u64 = 64 << 20;
/// One part in so many.
const FREE_SHARE: u64 = 20;

/// Is so much free, besides what is to be left? Quotas are not in the file system's numbers. Blocks.
///
/// # Errors
/// The directory cannot be asked.
pub(super) fn has_room(dir: &Path, bytes: u64) -> io::Result<bool> {
    let stat = rustix::fs::statvfs(dir)?;
    let size = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok(fits(bytes, size(stat.f_bavail), size(stat.f_blocks)))
}

/// A file system that does not say how large it is, is believed to have room.
fn fits(bytes: u64, free: u64, total: u64) -> bool {
    total == 0 || free >= bytes.saturating_add(FREE_BYTES.min(total / FREE_SHARE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_left_free() {
        let gib = 1 << 30;
        assert!(fits(0, FREE_BYTES, 2 * gib));
        assert!(!fits(1, FREE_BYTES, 2 * gib));
        assert!(fits(gib, gib + FREE_BYTES, 2 * gib));
        assert!(!fits(gib, gib + FREE_BYTES - 1, 2 * gib));
        assert!(fits(0, 5, 100), "of a small one, a part");
        assert!(!fits(0, 4, 100));
        assert!(!fits(u64::MAX, gib, gib));
        assert!(fits(gib, 0, 0));
    }

    #[test]
    fn the_file_system_is_asked() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!has_room(dir.path(), u64::MAX).unwrap());
        assert!(has_room(&dir.path().join("gone"), 0).is_err());
    }
}
