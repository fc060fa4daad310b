//! The end of a log that is going to be cut because it is damaged: as the bytes of its files, which no read would give.
//!
//! ```text
//!   … good batches │ the damaged batch, and what follows it in this file │ later segments
//!                  └ from                                                              to ┘
//! ```
//!
//! Of all that follows only one batch may be bad. Whoever is told of it before the cut ([`TailKeeper`]) can set it aside.

use super::doubt::Tail;
use super::files::SegmentMeta;
use super::{OpenOptions, PartitionLog};
use crate::error::{LogError, OpenError};
use crate::format::FileKind;
use milena_types::{LeaderEpoch, Offset, OffsetRange};
use std::fmt::Debug;
use std::path::PathBuf;

/// Is told of the damaged end of a log before it is cut: see [`OpenOptions::keeper`].
pub trait TailKeeper: Debug + Send + Sync {
    /// Nothing of it is cut before this returns. Blocks, as long as a copy takes.
    ///
    /// # Errors
    /// It is not to be cut: the log is not opened.
    fn keep(&self, tail: &DamagedTail) -> Result<(), LogError>;
}

/// A part of one segment's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailPiece {
    /// The segment.
    pub path: PathBuf,
    /// The offset that belongs to its first byte.
    pub offset: Offset,
    /// Where it begins in the file.
    pub position: u64,
    /// Its length; at least 1.
    pub bytes: u64,
}

/// The end of a log that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedTail {
    /// The offsets that go. Of a log that is not open yet it ends where the last batch does that can be made out.
    pub range: OffsetRange,
    /// False: there may be more behind the range, which cannot be made out.
    pub is_end_known: bool,
    /// All below it is known to be committed: a lower bound, within the range.
    pub committed_to: Offset,
    /// The leader epochs in it and where they begin, oldest first, as far as they are known.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
    /// That of its last record; `None`: it is not known, or the end is not.
    pub last_epoch: Option<LeaderEpoch>,
    /// What is wrong, in words.
    pub damage: String,
    /// Where its bytes are, oldest first; none of them is empty.
    pub pieces: Vec<TailPiece>,
}

impl DamagedTail {
    /// How long it is.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let each = self.pieces.iter().map(|piece| piece.bytes);
        each.fold(0, u64::saturating_add)
    }
}

impl PartitionLog {
    /// What goes when this log is cut at `offset` because of `damage`; at or below the log start all of it does. `None`: nothing.
    /// `high_watermark`: what is known to be committed.
    ///
    /// # Errors
    /// The segment that holds `offset` could not be read, or the files are not what the last shutdown left.
    pub fn damaged_tail(
        &self,
        offset: Offset,
        high_watermark: Offset,
        damage: &str,
    ) -> Result<Option<DamagedTail>, LogError> {
        if offset >= self.log_end {
            return Ok(None);
        }
        self.verify()?;
        let (at, position, from) = match self.segment_to_cut(offset) {
            Some(at) => {
                let (position, end, _) = self.find_cut(at, offset)?;
                (at, position, end)
            }
            None => (0, 0, self.log_start),
        };
        let range = OffsetRange {
            from: from.max(self.log_start),
            to: self.log_end,
        };
        let mut epochs = self.epochs.clone();
        // A leader that has appended nothing has one that begins at the end.
        epochs.truncate_from_end(range.to);
        epochs.truncate_from_start(range.from);
        Ok(Some(DamagedTail {
            range,
            is_end_known: true,
            last_epoch: epochs.entries().last().map(|(epoch, _)| *epoch),
            committed_to: committed_within(range, high_watermark),
            epochs: epochs.entries().to_vec(),
            damage: damage.to_owned(),
            pieces: self.pieces(at, position, from),
        }))
    }

    /// Tells the keeper of `opts` what is going to be cut from a log that is being opened; `known_to`: it had records up to there at
    /// least.
    pub(super) fn set_aside(
        &self,
        tail: &Tail,
        damage: &str,
        known_to: Offset,
        opts: &OpenOptions,
    ) -> Result<(), OpenError> {
        let Some(keeper) = &opts.keeper else {
            return Ok(());
        };
        let pieces = self.pieces(tail.at, tail.position, tail.expected);
        let Some(first) = pieces.first() else {
            return Ok(());
        };
        let seen = self
            .look_through(&pieces, tail, opts.leader_epoch)
            .map_err(LogError::new("read", &first.path))?;
        let from = tail.expected.max(self.log_start);
        let range = OffsetRange {
            from,
            to: seen.end.max(known_to).max(from.plus(1)),
        };
        let is_end_known = seen.is_all && seen.end == range.to && opts.high_watermark <= range.to;
        let told = keeper.keep(&DamagedTail {
            range,
            is_end_known,
            committed_to: committed_within(range, opts.high_watermark),
            last_epoch: seen.last_epoch.filter(|_| is_end_known),
            epochs: seen.epochs.entries().to_vec(),
            damage: damage.to_owned(),
            pieces,
        });
        told.map_err(OpenError::NotSetAside)
    }

    /// The bytes from this place on; `offset` belongs there.
    fn pieces(&self, at: usize, position: u64, offset: Offset) -> Vec<TailPiece> {
        let segments = self.segments.get(at..).unwrap_or_default().iter();
        let piece = |(number, meta): (usize, &SegmentMeta)| {
            let skipped = if number == 0 { position } else { 0 };
            TailPiece {
                path: self.path(meta.base, FileKind::Log),
                offset: if skipped > 0 { offset } else { meta.base },
                position: skipped,
                bytes: meta.size.saturating_sub(skipped),
            }
        };
        let pieces = segments.enumerate().map(piece);
        pieces.filter(|piece| piece.bytes > 0).collect()
    }
}

fn committed_within(range: OffsetRange, high_watermark: Offset) -> Offset {
    high_watermark.min(range.to).max(range.from)
}
