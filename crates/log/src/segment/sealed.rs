//! A segment that is only read: its open file and its indexes, checked when they are opened.

use crate::env::{FileSystem, LogFile, OpenMode};
use crate::format::{FileKind, file_path};
use crate::index::{IndexBuilder, IndexBytes, OffsetIndex, TimeIndex};
use crate::segment::{ScanDepth, Scanner};
use milena_record::{BatchHeader, HEADER_BYTES};
use milena_types::Offset;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// An open segment that nobody appends to.
#[derive(Debug)]
pub(crate) struct SealedSegment {
    pub(crate) file: Arc<dyn LogFile>,
    offsets: IndexBytes,
    times: IndexBytes,
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
            return Ok(Self { file, offsets, times });
        }
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
        })
    }

    pub(crate) fn offsets(&self) -> OffsetIndex<'_> {
        OffsetIndex(self.offsets.as_slice())
    }

    pub(crate) fn times(&self) -> TimeIndex<'_> {
        TimeIndex(self.times.as_slice())
    }
}

/// Do these indexes belong to this log: ordered, complete, and is the batch of the last entry where it says?
fn indexes_fit(
    file: &dyn LogFile,
    base: Offset,
    size: u64,
    interval_bytes: u32,
    offsets: &IndexBytes,
    times: &IndexBytes,
) -> io::Result<bool> {
    let offsets = OffsetIndex(offsets.as_slice());
    let last_position = offsets.last().map_or(0, |entry| u64::from(entry.position));
    if !offsets.is_sane(size)
        || !TimeIndex(times.as_slice()).is_sane()
        || size.saturating_sub(last_position) > tail_bytes_max(interval_bytes)
    {
        return Ok(false);
    }
    let Some(last) = offsets.last() else {
        return Ok(true);
    };
    let mut head = Vec::with_capacity(HEADER_BYTES);
    file.read_at(&mut head, HEADER_BYTES, last_position)?;
    Ok(
        BatchHeader::parse(&head)
            .is_ok_and(|header| header.last_offset() == base.plus(i64::from(last.delta))),
    )
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
