//! How much a log knows, as far as its files tell without being opened.

use milena_log::LogDir;
use milena_log::checkpoint::parse_epochs;
use milena_log::format::{EPOCH_CHECKPOINT_FILE, FileKind, parse_file_name};
use milena_record::{BATCH_OVERHEAD, BatchHeader, HEADER_BYTES};
use milena_types::{LeaderEpoch, Offset, TopicPartition};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The latest leader epoch in a log's history, and where its last whole batch ends. What cannot be read counts as nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    epoch: Option<LeaderEpoch>,
    end: Option<Offset>,
}

impl Extent {
    /// Of the log of that name in that directory. Reads the headers of its last segment.
    pub(super) fn of(dir: &LogDir, name: &TopicPartition) -> Self {
        let path = dir.partition_path(name);
        let epochs = std::fs::read(path.join(EPOCH_CHECKPOINT_FILE)).ok();
        let epochs = epochs.and_then(|bytes| parse_epochs(&bytes).ok());
        Self {
            epoch: epochs.and_then(|epochs| Some(epochs.last()?.0)),
            end: end_of(&path),
        }
    }

    /// True when nothing shows that the other one has something that this one has not.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.epoch >= other.epoch && self.end >= other.end
    }

    /// True when this is the better guess: a later leader epoch, then more records. One that knows no epoch has no records; those
    /// that it had were deleted, and only its end says how far it was.
    pub(super) fn exceeds(&self, other: &Self) -> bool {
        match (self.epoch, other.epoch) {
            (Some(own), Some(others)) => (own, self.end) > (others, other.end),
            _ => self.end > other.end,
        }
    }
}

/// Where the last segment's last whole batch ends; the segment's first offset when it has none.
fn end_of(path: &Path) -> Option<Offset> {
    let files = std::fs::read_dir(path).ok()?.flatten();
    let segments = files.filter_map(|file| {
        let (base, kind) = parse_file_name(file.file_name().to_str()?)?;
        (kind == FileKind::Log).then(|| (base, file.path()))
    });
    let (base, last) = segments.max()?;
    let file = File::open(last).ok()?;
    let (bytes, mut at, mut end) = (file.metadata().ok()?.len(), 0, base);
    let mut header = [0; HEADER_BYTES];
    while file.read_exact_at(&mut header, at).is_ok() {
        let length = i32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        let next = usize::try_from(length)
            .ok()
            .and_then(|length| u64::try_from(length.checked_add(BATCH_OVERHEAD)?).ok())
            .and_then(|size| at.checked_add(size));
        let (Some(next), Ok(batch)) = (next, BatchHeader::parse(&header)) else {
            break;
        };
        if next > bytes || batch.base_offset < end {
            break;
        }
        (at, end) = (next, batch.next_offset());
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(epoch: Option<i32>, end: i64) -> Extent {
        Extent {
            epoch: epoch.map(LeaderEpoch),
            end: Some(Offset(end)),
        }
    }

    #[test]
    fn a_later_epoch_is_more_than_records_and_no_epoch_says_nothing() {
        let (old, new) = (extent(Some(1), 90), extent(Some(3), 50));
        assert!(new.exceeds(&old) && !old.exceeds(&new));
        assert!(
            !new.covers(&old) && !old.covers(&new),
            "each has what the other has not"
        );
        assert!(new.covers(&new) && !new.exceeds(&new));
        let emptied = extent(None, 18);
        assert!(emptied.exceeds(&extent(Some(0), 12)));
        assert!(extent(Some(0), 19).exceeds(&emptied));
    }

    #[test]
    fn the_end_is_that_of_the_last_whole_batch() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(end_of(dir.path()), None);
        let batch = milena_record::BatchBuilder::single(Offset(7), b"value");
        let segment = dir.path().join("00000000000000000007.log");
        for (more, end) in [(&[][..], 8), (&batch[..20], 8), (&[0; 100], 8)] {
            std::fs::write(&segment, [&batch[..], more].concat()).unwrap();
            assert_eq!(end_of(dir.path()), Some(Offset(end)), "{more:?}");
        }
        std::fs::write(dir.path().join("00000000000000000009.log"), b"").unwrap();
        assert_eq!(end_of(dir.path()), Some(Offset(9)));
    }
}
