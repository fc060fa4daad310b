//! The segments that a group becomes: one, or more where one would grow beyond what an index can hold.

use super::error::CompactionError;
use super::manifest::{CLEANED_SUFFIX, NewSegment};
use super::permit::Permit;
use crate::env::{FileSystem, LogFile, OpenMode};
use crate::error::LogError;
use crate::format::{FileKind, OFFSET_SPAN_MAX, SEGMENT_BYTES_MAX, file_path};
use crate::index::IndexBuilder;
use crate::partition::{AbortedTxn, TxnIndexSum};
use milena_record::BatchHeader;
use milena_types::{Offset, Timestamp};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes that are collected before they are written.
const BUFFER_BYTES: usize = 1 << 20;

/// What every output of a group has in common.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) fs: &'a dyn FileSystem,
    pub(super) dir: &'a Path,
    pub(super) permit: &'a Permit,
    pub(super) interval_bytes: u32,
    /// `segment.index.bytes`.
    pub(super) index_bytes_max: u32,
}

impl Place<'_> {
    /// Creates a file of the new segment, while that is permitted.
    fn create(&self, base: Offset, kind: FileKind) -> Result<(PathBuf, Arc<dyn LogFile>), CompactionError> {
        let path = file_path(self.dir, base, kind).with_added_extension(CLEANED_SUFFIX);
        self.permit.with_names(|files| {
            let file = self
                .fs
                .open(&path, OpenMode::Truncate)
                .map_err(LogError::new("create", &path))?;
            files.push(path.clone());
            Ok((path.clone(), file))
        })
    }
}

/// A segment that is being written.
pub(super) struct Output<'a> {
    place: Place<'a>,
    base: Offset,
    path: PathBuf,
    file: Arc<dyn LogFile>,
    index: IndexBuilder,
    aborted: Vec<AbortedTxn>,
    end: Offset,
    written: u64,
    buffer: Vec<u8>,
}

impl<'a> Output<'a> {
    pub(super) fn create(place: Place<'a>, base: Offset) -> Result<Self, CompactionError> {
        let (path, file) = place.create(base, FileKind::Log)?;
        Ok(Self {
            index: IndexBuilder::new(base, place.interval_bytes),
            place,
            base,
            end: base,
            path,
            file,
            aborted: Vec::new(),
            written: 0,
            buffer: Vec::new(),
        })
    }

    fn size(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// One more batch would not fit: it needs a segment of its own.
    pub(super) fn is_full_for(&self, header: &BatchHeader, bytes: usize) -> bool {
        self.size() > 0
            && (self.size() + bytes as u64 > SEGMENT_BYTES_MAX
                || header.last_offset().since(self.base) > OFFSET_SPAN_MAX
                || self.index.is_full(self.place.index_bytes_max))
    }

    /// The offset after its last batch.
    pub(super) fn end(&self) -> Offset {
        self.end
    }

    /// Appends a batch; `header` is its own.
    pub(super) fn append(&mut self, header: &BatchHeader, bytes: &[u8]) -> Result<(), CompactionError> {
        self.index.add(header, self.size());
        self.end = header.next_offset();
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES {
            self.write()?;
        }
        Ok(())
    }

    pub(super) fn add_aborted(&mut self, aborted: AbortedTxn) {
        self.aborted.push(aborted);
    }

    fn write(&mut self) -> Result<(), CompactionError> {
        self.place.permit.check()?;
        self.file
            .write_all_at(&self.buffer, self.written)
            .map_err(LogError::new("write", &self.path))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Completes log and indexes and forces them to the disk. `modified` becomes the log's time of change.
    pub(super) fn finish(mut self, modified: Option<i64>) -> Result<NewSegment, CompactionError> {
        self.write()?;
        let (base, size) = (self.base, self.written);
        let max_timestamp = self.index.max_timestamp().map_or(Timestamp::NONE, |(at, _)| at);
        self.index.add_time_entry();
        let aborted: Vec<u8> = self.aborted.iter().flat_map(AbortedTxn::encode).collect();
        let sum = TxnIndexSum::of(&aborted);
        let (offsets, times) = self.index.into_bytes();
        let mut files = vec![(FileKind::Index, offsets), (FileKind::TimeIndex, times)];
        if !aborted.is_empty() {
            files.push((FileKind::TxnIndex, aborted));
        }
        for (kind, bytes) in files {
            let (path, file) = self.place.create(base, kind)?;
            file.write_all_at(&bytes, 0)
                .map_err(LogError::new("write", &path))?;
            sync(&*file, &path)?;
        }
        if let Some(modified) = modified {
            // Records without timestamps age by their file.
            self.file
                .set_modified(modified)
                .map_err(LogError::new("set the time of", &self.path))?;
        }
        sync(&*self.file, &self.path)?;
        Ok(NewSegment {
            base,
            size,
            max_timestamp,
            aborted: sum,
        })
    }
}

fn sync(file: &dyn LogFile, path: &Path) -> Result<(), CompactionError> {
    file.sync_data()
        .map_err(LogError::new("flush", path))
        .map_err(CompactionError::Sync)
}
