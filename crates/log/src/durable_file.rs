//! Replaces a small file so that after a crash either the old or the new content is there, whole.
//!
//! Write a temporary file, fsync it, rename it over the old one, fsync the directory. Blocks on two disk flushes.

use crate::env::{FileSystem, OpenMode};
use crate::format::TEMPORARY_SUFFIX;
use std::io;
use std::path::Path;

/// Replaces the file at `path`; when this returns, the new content survives a power cut.
///
/// # Errors
/// The error of the operating system; the old content is then still in place, or the new one is.
pub fn replace_file(fs: &dyn FileSystem, path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_added_extension(TEMPORARY_SUFFIX);
    let write = || {
        let file = fs.open(&temporary, OpenMode::Truncate)?;
        file.write_all_at(content, 0)?;
        file.sync_data()?;
        drop(file);
        fs.rename(&temporary, path)
    };
    write().inspect_err(|_| {
        // It is of no use, and takes space where there may be none.
        let _ = fs.remove_file(&temporary);
    })?;
    match path.parent() {
        Some(dir) => fs.sync_dir(dir),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{FaultyFileSystem, Survival};

    #[test]
    fn a_crash_at_any_byte_leaves_the_old_or_the_new_content() {
        let dir = Path::new("/d");
        let path = dir.join("file");
        let prepared = || {
            let fs = FaultyFileSystem::default();
            fs.create_dir_all(dir).unwrap();
            fs.sync_dir(Path::new("/")).unwrap();
            replace_file(&fs, &path, b"old content").unwrap();
            fs
        };
        let survivals = (0..20)
            .map(Survival::Random)
            .chain([Survival::ProcessKilled, Survival::NothingUnsynced]);
        for survival in survivals {
            for budget in 1..40 {
                let fs = prepared();
                fs.die_after(budget);
                let result = replace_file(&fs, &path, b"NEW");
                let found = fs.after_crash(survival).content(&path).unwrap();
                let expected: &[&[u8]] = if result.is_ok() {
                    &[b"NEW"]
                } else {
                    &[b"old content", b"NEW"]
                };
                assert!(
                    expected.contains(&found.as_slice()),
                    "{survival:?} {budget}: {found:?}"
                );
            }
        }
    }
}
