//! The real file system, but flushes, or writes too, of files below one directory do not come back for as long as a test says so.

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
    held: Mutex<Held>,
    changed: Condvar,
}

/// Below which directories what waits.
#[derive(Debug, Default)]
struct Held {
    flushes: Option<PathBuf>,
    writes: Option<PathBuf>,
}

impl SlowFs {
    /// Flushes below this directory wait from now on; `None`: what waits goes on.
    pub(crate) fn hold(&self, below: Option<PathBuf>) {
        self.change(Held {
            flushes: below,
            writes: None,
        });
    }

    /// Flushes and writes below this directory wait from now on.
    pub(crate) fn hang(&self, below: &Path) {
        self.change(Held {
            flushes: Some(below.to_owned()),
            writes: Some(below.to_owned()),
        });
    }

    fn change(&self, held: Held) {
        *self.0.held.lock().unwrap() = held;
        self.0.changed.notify_all();
    }
}

impl Gate {
    fn pass(&self, path: &Path, what: impl Fn(&Held) -> &Option<PathBuf>) {
        let is_held = |held: &mut Held| what(held).as_ref().is_some_and(|below| path.starts_with(below));
        let held = self.held.lock().unwrap();
        drop(self.changed.wait_while(held, is_held).unwrap());
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
        self.gate.pass(&self.path, |held| &held.writes);
        self.file.write_all_at(bytes, at)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.gate.pass(&self.path, |held| &held.flushes);
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
