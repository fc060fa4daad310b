//! The segment that is being written: one open log file, both indexes in memory. Index files are open only while entries are
//! written to them, so that a log in use has one descriptor.
//!
//! Writes go to the page cache with `pwrite`; nothing here forces anything to the disk.

use crate::env::{FileSystem, LogFile, OpenMode};
use crate::format::{FileKind, file_path};
use crate::index::{IndexBuilder, OffsetIndex, TimeIndex};
use crate::segment::{ScanDepth, Scanner};
use milena_record::{BatchHeader, HEADER_BYTES};
use milena_types::{Offset, Timestamp};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Index bytes that may wait in memory before they are written to their files.
const INDEX_UNSAVED_BYTES_MAX: usize = 4096;

#[derive(Debug)]
struct IndexFile {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    saved: usize,
}

impl IndexFile {
    fn save(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(unsaved) = bytes.get(self.saved..).filter(|b| !b.is_empty()) {
            self.fs
                .open(&self.path, OpenMode::Write)?
                .write_all_at(unsaved, self.saved as u64)?;
            self.saved = bytes.len();
        }
        Ok(())
    }
}

/// The last segment of a log, open for appends.
#[derive(Debug)]
pub(crate) struct ActiveSegment {
    pub(crate) file: Arc<dyn LogFile>,
    pub(crate) index: IndexBuilder,
    /// Largest timestamp of the first batch: the age of the segment counts from it.
    pub(crate) first_timestamp: Option<Timestamp>,
    /// A reader found an entry that is not right: the indexes are to be built again.
    pub(crate) index_is_wrong: Arc<AtomicBool>,
    offset_file: IndexFile,
    time_file: IndexFile,
}

impl ActiveSegment {
    /// Creates (or empties) the three files of a segment at `base`.
    pub(crate) fn create(
        fs: &Arc<dyn FileSystem>,
        dir: &Path,
        base: Offset,
        interval_bytes: u32,
    ) -> io::Result<Self> {
        let open = |kind| fs.open(&file_path(dir, base, kind), OpenMode::Truncate);
        let index_file = |kind| -> io::Result<IndexFile> {
            open(kind)?;
            Ok(IndexFile {
                fs: Arc::clone(fs),
                path: file_path(dir, base, kind),
                saved: 0,
            })
        };
        Ok(Self {
            file: open(FileKind::Log)?,
            index: IndexBuilder::new(base, interval_bytes),
            first_timestamp: None,
            index_is_wrong: Arc::default(),
            offset_file: index_file(FileKind::Index)?,
            time_file: index_file(FileKind::TimeIndex)?,
        })
    }

    /// Opens the segment at `base`, whose log has `size` good bytes, for more appends.
    ///
    /// `offsets` and `times` are the good bytes of its indexes; what the files hold beyond them is cut off.
    pub(crate) fn resume(
        fs: &Arc<dyn FileSystem>,
        dir: &Path,
        base: Offset,
        size: u64,
        index: IndexBuilder,
        rewrite_indexes: bool,
    ) -> io::Result<Self> {
        let file = fs.open(&file_path(dir, base, FileKind::Log), OpenMode::Write)?;
        if file.len()? != size {
            file.set_len(size)?;
        }
        let mode = if rewrite_indexes {
            OpenMode::Truncate
        } else {
            OpenMode::Write
        };
        let open = |kind, len: usize| -> io::Result<IndexFile> {
            let path = file_path(dir, base, kind);
            let file = fs.open(&path, mode)?;
            let saved = if rewrite_indexes { 0 } else { len };
            if file.len()? != saved as u64 {
                file.set_len(saved as u64)?;
            }
            let fs = Arc::clone(fs);
            Ok(IndexFile { fs, path, saved })
        };
        let mut head = Vec::with_capacity(HEADER_BYTES);
        file.read_at(&mut head, HEADER_BYTES, 0)?;
        let first_timestamp = BatchHeader::parse(&head)
            .ok()
            .filter(|_| size > 0)
            .map(|h| h.max_timestamp);
        let offset_file = open(FileKind::Index, index.offsets().0.len())?;
        let time_file = open(FileKind::TimeIndex, index.times().0.len())?;
        let mut active = Self {
            file,
            index,
            first_timestamp,
            index_is_wrong: Arc::default(),
            offset_file,
            time_file,
        };
        active.save_indexes()?;
        Ok(active)
    }

    /// The index builder of a sealed segment's indexes plus the batches after their last entry.
    pub(crate) fn builder_from(
        sealed: &super::SealedSegment,
        base: Offset,
        size: u64,
        interval_bytes: u32,
    ) -> io::Result<IndexBuilder> {
        let (offsets, times) = (sealed.offsets(), sealed.times());
        let from = offsets.last().map_or(0, |entry| u64::from(entry.position));
        let mut tail = IndexBuilder::new(base, u32::MAX);
        let mut scanner = Scanner::new(&*sealed.file, from, size, ScanDepth::Headers);
        let mut builder = IndexBuilder::resume(base, interval_bytes, offsets.0.to_vec(), times.0.to_vec());
        while let Some(Ok(batch)) = scanner.next()? {
            tail.add(&batch.header, batch.position);
        }
        builder.note_max_timestamp(tail.max_timestamp());
        Ok(builder)
    }

    /// Writes bytes at `position`, the end of the log.
    pub(crate) fn write(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, position)
    }

    /// Indexes a batch that was written.
    pub(crate) fn note(&mut self, header: &BatchHeader, position: u64) {
        self.first_timestamp.get_or_insert(header.max_timestamp);
        self.index.add(header, position);
    }

    /// True when enough index entries wait to be worth a write.
    pub(crate) fn index_is_due(&self) -> bool {
        self.index.offsets().0.len() - self.offset_file.saved >= INDEX_UNSAVED_BYTES_MAX
    }

    /// Writes the index entries that wait.
    pub(crate) fn save_indexes(&mut self) -> io::Result<()> {
        self.offset_file.save(self.index.offsets().0)?;
        self.time_file.save(self.index.times().0)
    }

    /// Completes and writes the indexes: nothing will be appended for now.
    pub(crate) fn seal(&mut self) -> io::Result<()> {
        self.index.add_time_entry();
        self.save_indexes()
    }

    /// The largest timestamp of its records; [`Timestamp::NONE`] when none has one.
    pub(crate) fn largest_timestamp(&self) -> Timestamp {
        self.index
            .max_timestamp()
            .map_or(Timestamp::NONE, |(timestamp, _)| timestamp)
    }

    pub(crate) fn offsets(&self) -> OffsetIndex<'_> {
        self.index.offsets()
    }

    pub(crate) fn times(&self) -> TimeIndex<'_> {
        self.index.times()
    }
}
