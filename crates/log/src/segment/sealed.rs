//! A segment that is only read: its open file and its indexes, checked when they are opened.

use crate::env::{FileSystem, LogFile, OpenMode};
use crate::format::{FileKind, file_path};
use crate::index::{IndexBuilder, IndexBytes, OffsetIndex, TimeEntry, TimeIndex};
use crate::segment::{ScanDepth, Scanner};
use milena_record::{BatchHeader, HEADER_BYTES};
use milena_types::{Offset, Timestamp};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// An open segment that nobody appends to.
#[derive(Debug)]
pub(crate) struct SealedSegment {
    pub(crate) file: Arc<dyn LogFile>,
    offsets: IndexBytes,
    times: IndexBytes,
    /// A reader found an entry that is not right: the indexes are to be built again.
    pub(crate) index_is_wrong: Arc<AtomicBool>,
}

/// Bytes behind the last index entry above which an index counts as cut short.
fn tail_bytes_max(interval_bytes: u32) -> u64 {
    (8 << 20) + 4 * u64::from(interval_bytes)
}

impl SealedSegment {
    /// Opens the segment at `base`, whose log has `size` bytes. Indexes that are missing, short or wrong are rebuilt, and
    /// written again as far as the disk allows.
    pub(crate) fn open(
        fs: &dyn FileSystem,
        dir: &Path,
        base: Offset,
        size: u64,
        interval_bytes: u32,
    ) -> io::Result<Self> {
        let file = fs.open(&file_path(dir, base, FileKind::Log), OpenMode::Read)?;
        let load = |kind| -> io::Result<Option<IndexBytes>> {
            match fs.open(&file_path(dir, base, kind), OpenMode::Read) {
                Ok(index) => IndexBytes::open(&*index).map(Some),
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(e),
            }
        };
        if let (Some(offsets), Some(times)) = (load(FileKind::Index)?, load(FileKind::TimeIndex)?)
            && indexes_fit(&*file, base, size, interval_bytes, &offsets, &times)?
        {
            let index_is_wrong = Arc::default();
            return Ok(Self {
                file,
                offsets,
                times,
                index_is_wrong,
            });
        }
        Self::rebuild(fs, dir, base, size, interval_bytes)
    }

    /// Opens the segment with indexes that are built from its log, and written again as far as the disk allows.
    pub(crate) fn rebuild(
        fs: &dyn FileSystem,
        dir: &Path,
        base: Offset,
        size: u64,
        interval_bytes: u32,
    ) -> io::Result<Self> {
        let file = fs.open(&file_path(dir, base, FileKind::Log), OpenMode::Read)?;
        let (offsets, times) = rebuild(&*file, base, size, interval_bytes)?;
        tracing::warn!(dir = %dir.display(), base = base.0, entries = OffsetIndex(&offsets).len(), "rebuilt the indexes of a segment: they were missing, short or wrong");
        for (kind, bytes) in [(FileKind::Index, &offsets), (FileKind::TimeIndex, &times)] {
            let path = file_path(dir, base, kind);
            if let Err(error) = crate::durable_file::replace_file(fs, &path, bytes) {
                tracing::warn!(path = %path.display(), %error, "could not write a rebuilt index; it stays in memory");
            }
        }
        Ok(Self {
            file,
            offsets: IndexBytes::Loaded(offsets),
            times: IndexBytes::Loaded(times),
            index_is_wrong: Arc::default(),
        })
    }

    pub(crate) fn offsets(&self) -> OffsetIndex<'_> {
        OffsetIndex(self.offsets.as_slice())
    }

    pub(crate) fn times(&self) -> TimeIndex<'_> {
        TimeIndex(self.times.as_slice())
    }
}

/// Do these indexes belong to this log: ordered, complete, and are the batches of the last entries where they say? The
/// entries between are looked at when they are used.
fn indexes_fit(
    file: &dyn LogFile,
    base: Offset,
    size: u64,
    interval_bytes: u32,
    offsets: &IndexBytes,
    times: &IndexBytes,
) -> io::Result<bool> {
    let (offsets, times) = (OffsetIndex(offsets.as_slice()), TimeIndex(times.as_slice()));
    let last_position = offsets.last().map_or(0, |entry| u64::from(entry.position));
    if !offsets.is_sane(size)
        || !times.is_sane()
        || size.saturating_sub(last_position) > tail_bytes_max(interval_bytes)
    {
        return Ok(false);
    }
    last_entries_fit(file, base, size, offsets, times)
}

/// Are the batches of the last entries of these indexes where they say?
pub(crate) fn last_entries_fit(
    file: &dyn LogFile,
    base: Offset,
    size: u64,
    offsets: OffsetIndex<'_>,
    times: TimeIndex<'_>,
) -> io::Result<bool> {
    let mut newest = Timestamp::NONE;
    if let Some(last) = offsets.last() {
        let mut head = Vec::with_capacity(HEADER_BYTES);
        file.read_at(&mut head, HEADER_BYTES, u64::from(last.position))?;
        match BatchHeader::parse(&head) {
            Ok(header) if header.last_offset() == base.plus(i64::from(last.delta)) => {
                newest = header.max_timestamp;
            }
            _ => return Ok(false),
        }
    }
    match times.last() {
        // A time index that was cut short ends before the timestamps of the last batches.
        Some(last) if last.timestamp >= newest => time_entry_fits(file, base, size, offsets, last),
        found => Ok(found.is_none() && newest == Timestamp::NONE),
    }
}

/// Has the batch of a time entry its timestamp?
fn time_entry_fits(
    file: &dyn LogFile,
    base: Offset,
    size: u64,
    offsets: OffsetIndex<'_>,
    entry: TimeEntry,
) -> io::Result<bool> {
    let start = u64::from(offsets.position_before(entry.delta));
    let offset = base.plus(i64::from(entry.delta));
    let mut scanner = Scanner::new(file, start, size, ScanDepth::Headers);
    while let Some(Ok(batch)) = scanner.next()? {
        if batch.header.last_offset() >= offset {
            return Ok(entry.is_of(&batch.header, base));
        }
    }
    Ok(false)
}

/// Builds both indexes from the log's headers.
pub(crate) fn rebuild(
    file: &dyn LogFile,
    base: Offset,
    size: u64,
    interval_bytes: u32,
) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut builder = IndexBuilder::new(base, interval_bytes);
    let mut scanner = Scanner::new(file, 0, size, ScanDepth::Headers);
    while let Some(Ok(batch)) = scanner.next()? {
        builder.add(&batch.header, batch.position);
    }
    builder.add_time_entry();
    Ok(builder.into_bytes())
}
