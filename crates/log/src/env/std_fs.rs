//! The real file system: `pread`/`pwrite`, `fdatasync`, directory `fsync`.
//!
//! The error of a flush is wrapped: "no space left" or "out of memory" from `fdatasync` means that pages were dropped, and must
//! not be taken for a write that can be tried again.

use super::{FileSystem, LogFile, OpenMode};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// The operating system's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct StdFileSystem;

#[derive(Debug)]
struct StdFile(File);

impl LogFile for StdFile {
    fn read_at(&self, into: &mut Vec<u8>, max: usize, at: u64) -> io::Result<usize> {
        let start = into.len();
        into.reserve(max);
        while into.len() - start < max {
            let position = at + (into.len() - start) as u64;
            // Reads into the spare capacity: a fetch buffer is never zeroed first.
            match rustix::io::pread(&self.0, rustix::buffer::spare_capacity(into), position) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        into.truncate(start + max);
        Ok(into.len() - start)
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data().map_err(flush_failed)
    }

    fn set_modified(&self, at: i64) -> io::Result<()> {
        let since = std::time::Duration::from_millis(u64::try_from(at).unwrap_or_default());
        self.0.set_modified(std::time::UNIX_EPOCH + since)
    }

    fn std_file(&self) -> Option<&File> {
        Some(&self.0)
    }
}

/// What was to be flushed is lost for this process.
#[derive(Debug, thiserror::Error)]
#[error("flush failed")]
struct FlushFailed(#[source] io::Error);

fn flush_failed(error: io::Error) -> io::Error {
    io::Error::other(FlushFailed(error))
}

fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl FileSystem for StdFileSystem {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn LogFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        if mode != OpenMode::Read {
            options
                .write(true)
                .create(true)
                .truncate(mode == OpenMode::Truncate);
        }
        Ok(Arc::new(StdFile(options.open(path)?)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match std::fs::create_dir(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<(String, bool)>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().into_string() {
                names.push((name, entry.file_type()?.is_dir()));
            }
        }
        Ok(names)
    }

    fn file_len(&self, path: &Path) -> io::Result<Option<u64>> {
        match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn modified(&self, path: &Path) -> io::Result<i64> {
        let since = std::fs::metadata(path)?
            .modified()?
            .duration_since(std::time::UNIX_EPOCH);
        Ok(since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        missing_is_fine(std::fs::remove_file(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        missing_is_fine(std::fs::remove_dir_all(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all().map_err(flush_failed)
    }

    fn sync_file_system(&self, path: &Path) -> io::Result<()> {
        rustix::fs::syncfs(File::open(path)?).map_err(|errno| flush_failed(errno.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{is_no_space, is_shortage};

    #[test]
    fn no_space_at_a_write_is_told_from_no_space_at_a_flush() {
        let no_space = || io::Error::from_raw_os_error(28);
        assert!(is_no_space(&no_space()));
        assert!(!is_no_space(&flush_failed(no_space())));
    }

    #[test]
    fn a_shortage_at_a_flush_is_a_failed_flush() {
        for errno in [rustix::io::Errno::MFILE, rustix::io::Errno::NOMEM] {
            assert!(is_shortage(&errno.into()));
            assert!(!is_shortage(&flush_failed(errno.into())));
        }
        assert!(!is_shortage(&rustix::io::Errno::IO.into()));
    }

    #[test]
    fn a_directory_is_made_only_inside_one_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        assert!(StdFileSystem.create_dir(&dir.path().join("gone/t-0")).is_err());
        let new = dir.path().join("t-0");
        StdFileSystem.create_dir(&new).unwrap();
        StdFileSystem.create_dir(&new).unwrap();
    }
}
