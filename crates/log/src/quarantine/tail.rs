//! Writes one tail into the quarantine, so that it is there whole and for certain, or not at all.

use super::folder::{LOSS_FILE, Quarantined};
use crate::env::{FileSystem, LogFile, OpenMode};
use crate::error::LogError;
use crate::format::{FileKind, PARTITION_METADATA_FILE, file_path};
use crate::partition::{DamagedTail, TailPiece, topic_id_text};
use milena_record::BatchHeader;
use milena_types::{Timestamp, TopicId};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A further file is begun past so many bytes: Kafka's tools take 2 GiB at most.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// A tail that is being written. Dropped without [`TailWriter::finish`] or [`TailWriter::abandon`] it leaves a directory that
/// the next start removes.
#[derive(Debug)]
pub struct TailWriter {
    fs: Arc<dyn FileSystem>,
    written: PathBuf,
    kept: PathBuf,
    topic: TopicId,
    file: Option<(Arc<dyn LogFile>, PathBuf, u64)>,
    bytes: u64,
}

impl TailWriter {
    pub(super) fn begin(
        fs: Arc<dyn FileSystem>,
        written: PathBuf,
        kept: PathBuf,
        topic: TopicId,
    ) -> Result<Self, LogError> {
        fs.create_dir(&written)
            .map_err(LogError::new("create", &written))?;
        Ok(Self {
            fs,
            written,
            kept,
            topic,
            file: None,
            bytes: 0,
        })
    }

    /// Bytes of batches so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes whole batches that follow those before.
    ///
    /// # Errors
    /// A file operation failed, or the bytes are no batches: abandon it.
    pub fn append(&mut self, batches: &[u8]) -> Result<(), LogError> {
        let is_full = |(_, _, size): &(_, _, u64)| size.saturating_add(batches.len() as u64) > FILE_BYTES_MAX;
        if self.file.as_ref().is_some_and(is_full) {
            self.close_file()?;
        }
        if self.file.is_none() {
            let header = BatchHeader::parse(batches);
            let header = header.map_err(|error| {
                LogError::new("write", &self.written)(io::Error::new(io::ErrorKind::InvalidData, error))
            })?;
            let path = file_path(&self.written, header.base_offset, FileKind::Log);
            let file = self.fs.open(&path, OpenMode::Truncate);
            self.file = Some((file.map_err(LogError::new("create", &path))?, path, 0));
        }
        if let Some((file, path, size)) = &mut self.file {
            file.write_all_at(batches, *size)
                .map_err(LogError::new("write", &*path))?;
            *size += batches.len() as u64;
            self.bytes += batches.len() as u64;
        }
        Ok(())
    }

    /// Takes the damaged end of a log, byte by byte as it is: each of its pieces becomes a file of its own. Blocks.
    ///
    /// # Errors
    /// A file operation failed (`NotFound`: the segment is gone), or a segment is shorter than the piece: abandon it.
    pub fn append_damaged(&mut self, tail: &DamagedTail) -> Result<(), LogError> {
        for piece in &tail.pieces {
            self.close_file()?;
            let path = file_path(&self.written, piece.offset, FileKind::Log);
            let source = self.fs.open(&piece.path, OpenMode::Read);
            let source = source.map_err(LogError::new("read", &piece.path))?;
            let file = self.fs.open(&path, OpenMode::Truncate);
            let file = file.map_err(LogError::new("create", &path))?;
            let copied = copy(&*source, piece, &*file);
            copied.map_err(LogError::new("copy", &piece.path))?;
            self.bytes = self.bytes.saturating_add(piece.bytes);
            self.file = Some((file, path, piece.bytes));
        }
        Ok(())
    }

    /// Says what it is, and makes all of it durable: when this returns it survives a power cut. `loss`: the content of
    /// `loss.json`, an object that says `"at_ms": now` among others.
    ///
    /// # Errors
    /// A file operation failed. It may be there or not, but if it is, it is whole.
    pub fn finish(mut self, loss: &[u8], now: Timestamp) -> Result<Quarantined, LogError> {
        let written = self.write_and_rename(loss);
        let bytes = written.inspect_err(|_| {
            // It is of no use, and takes space where there may be none.
            let _ = self.fs.remove_dir_all(&self.written);
        })?;
        Ok(Quarantined {
            path: self.kept,
            bytes,
            since: now,
        })
    }

    fn write_and_rename(&mut self, loss: &[u8]) -> Result<u64, LogError> {
        self.close_file()?;
        let bound = topic_id_text(self.topic);
        self.write_file(PARTITION_METADATA_FILE, bound.as_bytes())?;
        self.write_file(LOSS_FILE, loss)?;
        self.sync_dir(&self.written)?;
        self.fs
            .rename(&self.written, &self.kept)
            .map_err(LogError::new("rename", &self.written))?;
        // Its content under the new name, too, before that name is for certain.
        self.sync_dir(&self.kept)?;
        if let Some(parent) = self.kept.parent() {
            self.sync_dir(parent)?;
        }
        Ok(self.bytes + (bound.len() + loss.len()) as u64)
    }

    /// It is not to be kept. What cannot be removed now goes at the next start.
    ///
    /// # Errors
    /// The directory could not be removed.
    pub fn abandon(self) -> Result<(), LogError> {
        drop(self.file);
        self.fs
            .remove_dir_all(&self.written)
            .map_err(LogError::new("remove", &self.written))
    }

    fn write_file(&self, name: &str, content: &[u8]) -> Result<(), LogError> {
        let path = self.written.join(name);
        let write = || {
            let file = self.fs.open(&path, OpenMode::Truncate)?;
            file.write_all_at(content, 0)?;
            file.sync_data()
        };
        write().map_err(LogError::new("write", &path))
    }

    fn close_file(&mut self) -> Result<(), LogError> {
        match self.file.take() {
            Some((file, path, _)) => file.sync_data().map_err(LogError::new("flush", path)),
            None => Ok(()),
        }
    }

    fn sync_dir(&self, path: &Path) -> Result<(), LogError> {
        self.fs.sync_dir(path).map_err(LogError::new("flush", path))
    }
}

/// Bytes that are read and written at once.
const CHUNK_BYTES: usize = 1 << 20;

fn copy(source: &dyn LogFile, piece: &TailPiece, to: &dyn LogFile) -> io::Result<()> {
    let mut buffer = Vec::new();
    let mut done = 0;
    while done < piece.bytes {
        let left = usize::try_from(piece.bytes - done).unwrap_or(usize::MAX);
        buffer.clear();
        source.read_at(&mut buffer, left.min(CHUNK_BYTES), piece.position + done)?;
        if buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all_at(&buffer, done)?;
        done += buffer.len() as u64;
    }
    Ok(())
}
