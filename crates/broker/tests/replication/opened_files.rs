//! The real file system, but for how files are opened.

use milena_log::Env;
use milena_log::env::{FileSystem, LogFile, OpenMode, StdFileSystem};
use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Segments that are open at once.
const SEALED_OPEN_MAX: usize = 100;

/// Opens files otherwise. Clones are one.
pub(crate) trait OpensFiles: Clone + Debug + Send + Sync + 'static {
    fn open_file(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn LogFile>>;

    /// What brokers run in whose files are opened like that.
    fn env(&self) -> Arc<Env> {
        Env::with(Arc::new(OpenedFiles(self.clone())), SEALED_OPEN_MAX)
    }
}

#[derive(Debug)]
struct OpenedFiles<O>(O);

impl<O: OpensFiles> FileSystem for OpenedFiles<O> {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn LogFile>> {
        self.0.open_file(path, mode)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        StdFileSystem.create_dir(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        StdFileSystem.create_dir_all(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<(String, bool)>> {
        StdFileSystem.read_dir(path)
    }

    fn file_len(&self, path: &Path) -> io::Result<Option<u64>> {
        StdFileSystem.file_len(path)
    }

    fn modified(&self, path: &Path) -> io::Result<i64> {
        StdFileSystem.modified(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        StdFileSystem.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        StdFileSystem.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        StdFileSystem.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        StdFileSystem.sync_dir(path)
    }

    fn sync_file_system(&self, path: &Path) -> io::Result<()> {
        StdFileSystem.sync_file_system(path)
    }
}
