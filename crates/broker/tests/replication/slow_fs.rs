//! The real file system, but a flush of a file below one directory does not come back for as long as a test says so.

use crate::opened_files::OpensFiles;
use milena_log::env::{FileSystem, LogFile, OpenMode, StdFileSystem};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

/// Clones share what they hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlowFs(Arc<Gate>);

#[derive(Debug, Default)]
struct Gate {
    held: Mutex<Option<PathBuf>>,
    changed: Condvar,
}

impl SlowFs {
    /// Flushes below this directory wait from now on; `None`: those that wait go on.
    pub(crate) fn hold(&self, below: Option<PathBuf>) {
        *self.0.held.lock().unwrap() = below;
        self.0.changed.notify_all();
    }
}

#[derive(Debug)]
struct SlowFile {
    file: Arc<dyn LogFile>,
    path: PathBuf,
    gate: Arc<Gate>,
}

impl LogFile for SlowFile {
    fn read_at(&self, into: &mut Vec<u8>, max: usize, at: u64) -> io::Result<usize> {
        self.file.read_at(into, max, at)
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let is_held =
            |held: &mut Option<PathBuf>| held.as_ref().is_some_and(|below| self.path.starts_with(below));
        let held = self.gate.held.lock().unwrap();
        drop(self.gate.changed.wait_while(held, is_held).unwrap());
        self.file.sync_data()
    }

    fn set_modified(&self, at: i64) -> io::Result<()> {
        self.file.set_modified(at)
    }

    fn std_file(&self) -> Option<&std::fs::File> {
        self.file.std_file()
    }
}

impl OpensFiles for SlowFs {
    fn open_file(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn LogFile>> {
        let file = StdFileSystem.open(path, mode)?;
        Ok(Arc::new(SlowFile {
            file,
            path: path.to_owned(),
            gate: Arc::clone(&self.0),
        }))
    }
}
