//! Walks the batches of a log file in order, with or without their records.
//!
//! Trusts nothing: a length that a header claims is compared with the bytes that are there before anything is read for
//! it, so that garbage cannot ask for memory.

use crate::env::{FileSystem, LogFile, OpenMode};
use milena_record::{BatchError, BatchHeader, HEADER_BYTES, check_crc};
use milena_types::Offset;
use std::io;
use std::path::Path;

/// How much of each batch is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScanDepth {
    /// Only headers (and whole control batches).
    Headers,
    /// Everything, and the checksum is compared.
    Checked,
}

/// Why a scan ended before the end of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScanStop {
    /// Where the batch begins that could not be taken.
    pub(crate) position: u64,
    /// What is wrong with it.
    pub(crate) error: BatchError,
}

/// One batch; `bytes` is empty when only its header was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanned<'a> {
    pub(crate) position: u64,
    pub(crate) header: BatchHeader,
    pub(crate) bytes: &'a [u8],
}

/// A walk over `[position, end)` of a file.
#[derive(Debug)]
pub(crate) struct Scanner<'f> {
    file: &'f dyn LogFile,
    depth: ScanDepth,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    buffer_position: u64,
}

/// The offset after the last whole batch of the log file of a segment that begins at `base`.
pub(crate) fn end_of(fs: &dyn FileSystem, path: &Path, base: Offset) -> io::Result<Offset> {
    let file = fs.open(path, OpenMode::Read)?;
    let mut scanner = Scanner::new(&*file, 0, file.len()?, ScanDepth::Headers);
    let mut end = base;
    while let Some(Ok(batch)) = scanner.next()? {
        end = batch.header.next_offset();
    }
    Ok(end)
}

const HEADERS_CHUNK_BYTES: usize = 16 * 1024;
const BATCHES_CHUNK_BYTES: usize = 1 << 20;

impl<'f> Scanner<'f> {
    pub(crate) fn new(file: &'f dyn LogFile, position: u64, end: u64, depth: ScanDepth) -> Self {
        Self {
            file,
            depth,
            position,
            end,
            buffer: Vec::new(),
            buffer_position: position,
        }
    }

    /// Reads deeper or shallower from the next batch on.
    pub(crate) fn set_depth(&mut self, depth: ScanDepth) {
        self.depth = depth;
    }

    /// Goes on at another batch: one that was taken before, or one that lies behind what cannot be read.
    pub(crate) fn go_to(&mut self, position: u64) {
        if position < self.buffer_position {
            self.buffer.clear();
            self.buffer_position = position;
        }
        self.position = position;
    }

    /// Makes `wanted` bytes at the current position available; fewer at the end.
    fn fill(&mut self, wanted: usize) -> io::Result<&[u8]> {
        let skip = usize::try_from(self.position - self.buffer_position).unwrap_or(usize::MAX);
        if skip.saturating_add(wanted) > self.buffer.len() {
            self.buffer.clear();
            self.buffer_position = self.position;
            let chunk = if self.depth == ScanDepth::Headers {
                HEADERS_CHUNK_BYTES
            } else {
                BATCHES_CHUNK_BYTES
            };
            let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
            self.file
                .read_at(&mut self.buffer, wanted.max(chunk).min(left), self.position)?;
        }
        let at = usize::try_from(self.position - self.buffer_position)
            .unwrap_or(usize::MAX)
            .min(self.buffer.len());
        let to = at.saturating_add(wanted).min(self.buffer.len());
        Ok(&self.buffer[at..to])
    }

    /// The next batch, `None` at the end of the range, or what is wrong there. After a stop the scan stays where it is.
    pub(crate) fn next(&mut self) -> io::Result<Option<Result<Scanned<'_>, ScanStop>>> {
        let position = self.position;
        if position >= self.end {
            return Ok(None);
        }
        let stop = |error| Ok(Some(Err(ScanStop { position, error })));
        let header = match BatchHeader::parse(self.fill(HEADER_BYTES)?) {
            Ok(header) => header,
            Err(error) => return stop(error),
        };
        let size = header.size_bytes();
        let available = self.end - position;
        if size as u64 > available {
            let available = usize::try_from(available).unwrap_or(usize::MAX);
            return stop(BatchError::Truncated {
                needed: size,
                available,
            });
        }
        if self.depth == ScanDepth::Headers && !header.is_control() {
            self.position += size as u64;
            return Ok(Some(Ok(Scanned {
                position,
                header,
                bytes: &[],
            })));
        }
        let checked = self.depth == ScanDepth::Checked;
        let available = self.fill(size)?.len();
        if available < size {
            return stop(BatchError::Truncated {
                needed: size,
                available,
            });
        }
        let at = usize::try_from(position - self.buffer_position).unwrap_or_default();
        self.position += size as u64;
        let bytes = &self.buffer[at..at + size];
        if checked && let Err(error) = check_crc(bytes) {
            self.position = position;
            return stop(error);
        }
        Ok(Some(Ok(Scanned {
            position,
            header,
            bytes,
        })))
    }
}
