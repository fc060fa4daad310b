//! Completes what a producer snapshot forgets: all but the newest batch of each producer.
//!
//! A producer may have five batches in flight and repeats them all when the broker comes back; each must be answered with
//! its original offset. Kafka's snapshot has room for one, so the four before it are looked up in the log below the
//! snapshot, from its end backwards, headers only. Nothing but the window changes, and a window that stays short costs a
//! late repetition an OUT_OF_ORDER_SEQUENCE_NUMBER, as in Kafka. So the search has bounds, and many partitions start fast:
//!
//! - no producer, or none with a window to complete: nothing is read;
//! - it ends when all windows are complete: with one busy producer, after its last batches;
//! - it reaches [`BYTES_MIN`] down, or ten of the largest batches where they are larger, and into [`SEGMENTS_MAX`] segments:
//!   five requests of a Java producer are 5 MiB at the defaults, and others write between them. A producer that wrote nothing
//!   in there when the snapshot was taken has nothing in flight that is still to be repeated.

use super::PartitionLog;
use crate::error::LogError;
use crate::format::FileKind;
use crate::producer::ProducerEntry;
use crate::segment::{ScanDepth, Scanner};
use milena_record::BatchHeader;
use milena_types::{Offset, ProducerId};
use std::collections::{BTreeMap, HashSet, VecDeque};

/// How far down the log is searched at least.
const BYTES_MIN: u64 = 16 << 20;
/// In how many segments at most.
const SEGMENTS_MAX: usize = 8;
/// Read at first, then four times as much each time.
const FIRST_STEP_BYTES: u64 = 64 << 10;

/// A place between two batches: what is searched lies above one and below another.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Number of the segment.
    at: usize,
    /// Where in its file.
    position: u64,
    offset: Offset,
}

/// The newest batches of each producer in a piece of the log, oldest first.
type Found = BTreeMap<ProducerId, VecDeque<BatchHeader>>;

impl PartitionLog {
    /// Completes the producers that were loaded from the snapshot at this offset.
    pub(super) fn complete_windows(&mut self, snapshot: Offset) -> Result<(), LogError> {
        if self.producers.incomplete().next().is_none() {
            return Ok(());
        }
        let Some(mut end) = self.place_of(snapshot)? else {
            return Ok(());
        };
        let floor = self.search_floor(end)?;
        let incomplete = self.producers.incomplete();
        let mut wanted: HashSet<ProducerId> = incomplete
            .filter(|(_, newest)| *newest >= floor.offset)
            .map(|(id, _)| id)
            .collect();
        let mut step = FIRST_STEP_BYTES;
        while !wanted.is_empty() {
            let (found, next) = self.search(floor, end, step, &wanted)?;
            for (id, batches) in found {
                if !batches
                    .iter()
                    .rev()
                    .all(|header| self.producers.add_older(header))
                {
                    wanted.remove(&id);
                }
            }
            let Some(next) = next else { break };
            end = next;
            step = step.saturating_mul(4);
        }
        Ok(())
    }

    /// A place in the file that is not below `offset`, and not far above; `offset` is at most the log end.
    fn place_of(&self, offset: Offset) -> Result<Option<Place>, LogError> {
        let Some(at) = self.segment_of(offset.plus(-1)) else {
            return Ok(None);
        };
        let meta = &self.segments[at];
        let mut position = meta.size;
        if offset < self.segment_end(at) {
            let delta = u32::try_from(offset.since(meta.base)).unwrap_or(u32::MAX);
            let indexed = self.open_segment(at)?.offsets().position_after(delta);
            position = indexed.map_or(position, u64::from);
        }
        Ok(Some(Place { at, position, offset }))
    }

    /// The place below which nothing is searched.
    fn search_floor(&self, end: Place) -> Result<Place, LogError> {
        let largest = u64::try_from(self.config.max_message_bytes).unwrap_or(u64::MAX);
        let mut left = largest.saturating_mul(10).max(BYTES_MIN);
        let mut floor = end;
        let lowest = (end.at + 1).saturating_sub(SEGMENTS_MAX);
        for at in (lowest..=end.at).rev() {
            let meta = &self.segments[at];
            let bytes = if at == end.at { end.position } else { meta.size };
            let (position, delta) = match bytes.checked_sub(left) {
                None | Some(0) => (0, 0),
                Some(skipped) => {
                    let entry = self.open_segment(at)?.offsets().entry_at(skipped);
                    entry.map_or((0, 0), |entry| (u64::from(entry.position), entry.delta))
                }
            };
            let offset = meta.base.plus(i64::from(delta)).max(self.log_start);
            floor = Place { at, position, offset };
            left = left.saturating_sub(bytes);
            if left == 0 || meta.base <= self.log_start {
                break;
            }
        }
        Ok(floor)
    }

    /// What these producers wrote in some `bytes` right below `end`, and the place where that begins; `None` where the log
    /// does not read.
    fn search(
        &self,
        floor: Place,
        end: Place,
        bytes: u64,
        wanted: &HashSet<ProducerId>,
    ) -> Result<(Found, Option<Place>), LogError> {
        let meta = &self.segments[end.at];
        let segment = self.open_segment(end.at)?;
        let begin = segment.offsets().entry_at(end.position.saturating_sub(bytes));
        let mut begin = begin.map_or(0, |entry| u64::from(entry.position));
        if end.at == floor.at {
            begin = begin.max(floor.position);
        }
        let mut found = Found::new();
        let mut first = None;
        let mut scanner = Scanner::new(&**segment.file(), begin, end.position, ScanDepth::Headers);
        let path = || self.path(meta.base, FileKind::Log);
        while let Some(batch) = scanner.next().map_err(|e| LogError::new("read", path())(e))? {
            let header = match batch {
                Ok(batch) if batch.header.base_offset < end.offset => batch.header,
                Ok(_) => break,
                Err(stop) => {
                    tracing::debug!(partition = %self.partition, base = meta.base.0, position = stop.position, error = %stop.error,
                        "the log does not read where the batches of producers were looked up");
                    return Ok((found, None));
                }
            };
            first.get_or_insert(header.base_offset);
            let Some(id) = header
                .producer_id
                .filter(|id| wanted.contains(id) && !header.is_control())
            else {
                continue;
            };
            let newest = found.entry(id).or_default();
            if newest.len() == ProducerEntry::BATCHES_MAX {
                newest.pop_front();
            }
            newest.push_back(header);
        }
        let next = match (begin, end.at.checked_sub(1)) {
            (0, Some(at)) => Some(Place {
                at,
                position: self.segments[at].size,
                offset: meta.base,
            }),
            (position, _) => first.map(|offset| Place {
                at: end.at,
                position,
                offset,
            }),
        };
        Ok((found, next.filter(|next| next.offset > floor.offset)))
    }
}
