//! What a log asks of a file system: files by position, names, and the two ways to force them to the disk.

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; the file must exist.
    Read,
    /// For reading and writing; created empty when it does not exist.
    Write,
    /// For reading and writing; created, or emptied when it exists.
    Truncate,
}

/// One open file. Positions are explicit: a handle has no cursor, so it may be shared between threads.
pub trait LogFile: Debug + Send + Sync {
    /// Appends to `into` at most `max` bytes from position `at`; returns how many. Fewer than `max` only at the end.
    ///
    /// # Errors
    /// The error of the operating system.
    fn read_at(&self, into: &mut Vec<u8>, max: usize, at: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at position `at`, into the page cache.
    ///
    /// # Errors
    /// The error of the operating system; a part may have been written.
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    /// The error of the operating system.
    fn len(&self) -> io::Result<u64>;

    /// True when the length is 0.
    ///
    /// # Errors
    /// The error of the operating system.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts or extends (with zeros) the file.
    ///
    /// # Errors
    /// The error of the operating system.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Forces content and length to the disk (`fdatasync`). After an error the content is undefined: never retry.
    ///
    /// # Errors
    /// The error of the operating system.
    fn sync_data(&self) -> io::Result<()>;

    /// Sets when the content changed last, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// The error of the operating system.
    fn set_modified(&self, at: i64) -> io::Result<()>;

    /// The handle beneath, when the file is a real one: what memory mapping and `sendfile` need.
    fn std_file(&self) -> Option<&std::fs::File>;
}

/// The operations on names that a log needs.
pub trait FileSystem: Debug + Send + Sync {
    /// Opens a file.
    ///
    /// # Errors
    /// The error of the operating system; `NotFound` for a missing file in mode `Read`.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn LogFile>>;

    /// Creates a directory inside one that exists; an existing one is fine.
    ///
    /// # Errors
    /// The error of the operating system; `NotFound` when the parent is missing.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Creates a directory and its parents; an existing one is fine.
    ///
    /// # Errors
    /// The error of the operating system.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Names inside a directory, in any order, each with `true` when it is a directory.
    ///
    /// # Errors
    /// `NotFound` when the directory does not exist, or the error of the operating system.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<(String, bool)>>;

    /// Length of a file, `None` when it does not exist.
    ///
    /// # Errors
    /// The error of the operating system.
    fn file_len(&self, path: &Path) -> io::Result<Option<u64>>;

    /// When a file's content changed last, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// The error of the operating system.
    fn modified(&self, path: &Path) -> io::Result<i64>;

    /// Renames a file or directory over whatever file has the new name.
    ///
    /// # Errors
    /// The error of the operating system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file; a missing one is fine.
    ///
    /// # Errors
    /// The error of the operating system.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory with all it holds; a missing one is fine.
    ///
    /// # Errors
    /// The error of the operating system.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Forces the names inside a directory to the disk.
    ///
    /// # Errors
    /// The error of the operating system.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Forces everything of the file system that holds `path` to the disk: many files at the price of few.
    ///
    /// # Errors
    /// `Unsupported` where that cannot be done, or the error of the operating system.
    fn sync_file_system(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}

/// Reads a whole small file; `None` when it does not exist.
///
/// # Errors
/// The error of the operating system, or `InvalidData` for a file above `limit` bytes.
pub fn read_small_file(fs: &dyn FileSystem, path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match fs.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
    if len > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("file of {len} bytes, limit {limit}"),
        ));
    }
    let mut bytes = Vec::with_capacity(len);
    file.read_at(&mut bytes, len, 0)?;
    Ok(Some(bytes))
}
