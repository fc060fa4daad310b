//! A file system that writes down every call: which names were touched, which bytes were read.

use milena_log::env::{FaultyFileSystem, FileSystem, LogFile, OpenMode};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What was asked of the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Open(PathBuf),
    List(PathBuf),
    Stat(PathBuf),
    Change(PathBuf),
    /// From a position on, so many bytes.
    Read(PathBuf, u64, usize),
}

/// The in-memory disk, with a record of the calls.
#[derive(Clone, Debug)]
pub(crate) struct CountingFs {
    disk: FaultyFileSystem,
    calls: Arc<Mutex<Vec<Call>>>,
    before_read: Arc<BeforeRead>,
}

/// Happens once, before the next read.
#[derive(Default)]
struct BeforeRead(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl std::fmt::Debug for BeforeRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BeforeRead")
    }
}

#[derive(Debug)]
struct CountingFile {
    file: Arc<dyn LogFile>,
    path: PathBuf,
    calls: Arc<Mutex<Vec<Call>>>,
    before_read: Arc<BeforeRead>,
}

impl CountingFs {
    pub(crate) fn new(disk: &FaultyFileSystem) -> Self {
        Self {
            disk: disk.clone(),
            calls: Arc::default(),
            before_read: Arc::default(),
        }
    }

    /// Lets `happen` happen once, between the opening of a file and the next read.
    pub(crate) fn before_next_read(&self, happen: impl FnOnce() + Send + 'static) {
        *self.before_read.0.lock().unwrap() = Some(Box::new(happen));
    }

    /// The calls since the last time.
    pub(crate) fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn note(&self, call: Call) {
        self.calls.lock().unwrap().push(call);
    }
}

impl LogFile for CountingFile {
    fn read_at(&self, into: &mut Vec<u8>, max: usize, at: u64) -> io::Result<usize> {
        let due = self.before_read.0.lock().unwrap().take();
        if let Some(happen) = due {
            happen();
        }
        let read = self.file.read_at(into, max, at)?;
        let call = Call::Read(self.path.clone(), at, read);
        self.calls.lock().unwrap().push(call);
        Ok(read)
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.calls.lock().unwrap().push(Call::Change(self.path.clone()));
        self.file.write_all_at(bytes, at)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.calls.lock().unwrap().push(Call::Change(self.path.clone()));
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_modified(&self, at: i64) -> io::Result<()> {
        self.calls.lock().unwrap().push(Call::Change(self.path.clone()));
        self.file.set_modified(at)
    }

    fn std_file(&self) -> Option<&std::fs::File> {
        None
    }
}

impl FileSystem for CountingFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn LogFile>> {
        self.note(Call::Open(path.to_owned()));
        Ok(Arc::new(CountingFile {
            file: self.disk.open(path, mode)?,
            path: path.to_owned(),
            calls: Arc::clone(&self.calls),
            before_read: Arc::clone(&self.before_read),
        }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.note(Call::Change(path.to_owned()));
        self.disk.create_dir_all(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.note(Call::Change(path.to_owned()));
        self.disk.create_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<(String, bool)>> {
        self.note(Call::List(path.to_owned()));
        self.disk.read_dir(path)
    }

    fn file_len(&self, path: &Path) -> io::Result<Option<u64>> {
        self.note(Call::Stat(path.to_owned()));
        self.disk.file_len(path)
    }

    fn modified(&self, path: &Path) -> io::Result<i64> {
        self.note(Call::Stat(path.to_owned()));
        self.disk.modified(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(Call::Change(from.to_owned()));
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.note(Call::Change(path.to_owned()));
        self.disk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.note(Call::Change(path.to_owned()));
        self.disk.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.note(Call::Change(path.to_owned()));
        self.disk.sync_dir(path)
    }

    fn sync_file_system(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_file_system(path)
    }
}
