//! The real file system, but that of copies, tails for the quarantine, under way, and logs of the topic `short` no file can be opened,
//! or made, while a test says so.

use crate::opened_files::OpensFiles;
use milena_log::env::{FileSystem, LogFile, OpenMode, StdFileSystem};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

const NO_SPACE: i32 = rustix::io::Errno::NOSPC.raw_os_error();

/// Clones share what they refuse.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShortFs {
    /// The error's number; 0: none.
    errno: Arc<AtomicI32>,
    refused: Arc<AtomicUsize>,
}

impl ShortFs {
    /// No file of a copy can be opened from now on (for want of space: made); 0: it can.
    pub(crate) fn refuse(&self, errno: i32) {
        self.errno.store(errno, Ordering::SeqCst);
    }

    /// How often one could not be.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }
}

impl OpensFiles for ShortFs {
    fn open_file(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn LogFile>> {
        let errno = self.errno.load(Ordering::SeqCst);
        // Without space a file can still be read.
        let concerned = errno != NO_SPACE || mode != OpenMode::Read;
        let text = path.to_string_lossy();
        let named = ["-future/", "-delete/", "/short-"];
        if errno != 0 && concerned && named.iter().any(|part| text.contains(part)) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(io::Error::from_raw_os_error(errno));
        }
        StdFileSystem.open(path, mode)
    }
}
