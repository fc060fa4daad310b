//! How much a log knows, as far as its files tell without being opened.

use milena_log::LogDir;
use milena_log::checkpoint::parse_epochs;
use milena_log::format::EPOCH_CHECKPOINT_FILE;
use milena_types::{LeaderEpoch, Offset, TopicPartition};

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
            end: dir.log_end(name).ok().flatten(),
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
}
