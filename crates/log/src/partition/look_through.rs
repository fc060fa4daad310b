//! How far does the end of a log reach that is going to be cut? Behind a header that cannot be read the next whole batch is
//! looked for: only batches that lead to the end of the last file, one after the other, tell where the log has ended.

use super::PartitionLog;
use super::damaged_tail::TailPiece;
use super::doubt::{Search, Tail};
use crate::env::{LogFile, OpenMode};
use crate::epoch_cache::EpochCache;
use crate::format::OFFSET_SPAN_MAX;
use crate::segment::{ScanDepth, Scanner};
use milena_record::BatchHeader;
use milena_types::{LeaderEpoch, Offset};
use std::io;

/// What could be made out.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Where the last batch ends.
    pub(super) end: Offset,
    /// Nothing lies behind it.
    pub(super) is_all: bool,
    /// That of the last batch, if it can be one.
    pub(super) last_epoch: Option<LeaderEpoch>,
    /// The epochs and where they begin.
    pub(super) epochs: EpochCache,
}

impl Seen {
    fn add(&mut self, header: &BatchHeader, newest: LeaderEpoch) {
        let epoch = header.partition_leader_epoch;
        let can_be = epoch <= newest;
        if can_be {
            self.epochs.assign(epoch, header.base_offset);
        }
        if header.next_offset() >= self.end {
            self.end = header.next_offset();
            self.last_epoch = Some(epoch).filter(|_| can_be);
        }
    }
}

impl PartitionLog {
    /// Looks through what is cut at `tail`. Whole batches are read only where the one before them cannot be; no epoch is newer than
    /// `newest`.
    pub(super) fn look_through(
        &self,
        pieces: &[TailPiece],
        tail: &Tail,
        newest: LeaderEpoch,
    ) -> io::Result<Seen> {
        let mut seen = Seen::default();
        let mut search = self.batch_search(tail);
        for piece in pieces {
            let file = self.env.fs.open(&piece.path, OpenMode::Read)?;
            self.look_through_piece(&*file, piece, newest, &mut search, &mut seen)?;
        }
        Ok(seen)
    }

    fn look_through_piece(
        &self,
        file: &dyn LogFile,
        piece: &TailPiece,
        newest: LeaderEpoch,
        search: &mut Search,
        seen: &mut Seen,
    ) -> io::Result<()> {
        let to = piece.position + piece.bytes;
        let mut scanner = Scanner::new(file, piece.position, to, ScanDepth::Headers);
        let mut expected = piece.offset;
        let mut last = None;
        let mut found = None;
        seen.is_all = false;
        loop {
            let bad = match scanner.next()? {
                None => break,
                Some(Ok(batch)) if found == Some(batch.position) || self.follows(&batch.header, expected) => {
                    last = Some((batch.position, batch.header));
                    expected = batch.header.next_offset();
                    seen.add(&batch.header, newest);
                    continue;
                }
                Some(Ok(batch)) => batch.position,
                Some(Err(stop)) => stop.position,
            };
            search.tail.expected = expected;
            found = search.batch_from(file, bad + 1, to)?;
            match found {
                Some(position) if !search.is_exhausted() => scanner.go_to(position),
                _ => return Ok(()),
            }
        }
        seen.is_all = match last {
            Some((position, header)) => {
                header.next_offset() == seen.end && says_its_length(file, &header, position, to)?
            }
            None => false,
        };
        Ok(())
    }

    fn follows(&self, header: &BatchHeader, expected: Offset) -> bool {
        let distance = header.base_offset.since(expected);
        distance == 0 || (self.may_have_holes() && (0..=OFFSET_SPAN_MAX).contains(&distance))
    }
}

/// The number of records agrees with the offsets, or the checksum with all of it.
fn says_its_length(file: &dyn LogFile, header: &BatchHeader, position: u64, to: u64) -> io::Result<bool> {
    if header.records_count == header.last_offset_delta.saturating_add(1) {
        return Ok(true);
    }
    let mut scanner = Scanner::new(file, position, to, ScanDepth::Checked);
    Ok(matches!(scanner.next()?, Some(Ok(_))))
}
