//! One partition's part of a Fetch: from memory, from the page cache, or planned for another thread.

use super::api::{FetchPartition, FetchPartitionResult, Reader};
use super::context::Context;
use super::partition::Partition;
use super::role::Role;
use milena_log::{ReadError, ReadPlan};
use milena_types::{ErrorCode, Offset};

/// How one partition is read.
#[derive(Clone, Copy)]
pub(super) struct ReadMode {
    /// Most bytes, unless `min_one` needs more.
    pub(super) budget: usize,
    /// At least one batch, however large.
    pub(super) min_one: bool,
    pub(super) read_committed: bool,
    /// Reads of closed segments may be left to another thread.
    pub(super) may_defer: bool,
}

/// What a partition answers.
pub(super) enum Fetched {
    /// All of it.
    Ready(FetchPartitionResult),
    /// All but the records, which lie in a closed segment and may have to come from the disk.
    Cold(Box<ColdRead>),
}

/// A read for another thread.
pub(super) struct ColdRead {
    result: FetchPartitionResult,
    plan: ReadPlan,
}

impl ColdRead {
    /// Reads. Blocks on the disk. `None`: the segment has no record there (compaction), so the owner must look again.
    ///
    /// # Errors
    /// What the owner must be told, and the answer.
    pub(super) fn run(self) -> Result<Option<FetchPartitionResult>, Box<(ReadError, FetchPartitionResult)>> {
        match self.plan.run() {
            Ok(read) if read.records.is_empty() || read.is_without_records() => Ok(None),
            Ok(read) => Ok(Some(FetchPartitionResult {
                records: read.records,
                ..self.result
            })),
            Err(error) => {
                let code = error.code();
                let result = FetchPartitionResult::failed(self.result.id, code);
                Err(Box::new((error, result)))
            }
        }
    }
}

impl Partition {
    pub(super) fn fetch(
        &mut self,
        cx: &mut Context,
        item: &FetchPartition,
        reader: Option<&Reader>,
        mode: ReadMode,
    ) -> Fetched {
        self.try_fetch(cx, item, reader, mode).unwrap_or_else(|error| {
            let hint = matches!(
                error,
                ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch
            );
            let current_leader = if hint { cx.current_leader(self.id) } else { None };
            Fetched::Ready(FetchPartitionResult {
                current_leader,
                ..FetchPartitionResult::failed(self.id, error)
            })
        })
    }

    fn try_fetch(
        &self,
        cx: &mut Context,
        item: &FetchPartition,
        reader: Option<&Reader>,
        mode: ReadMode,
    ) -> Result<Fetched, ErrorCode> {
        self.check_readable(item.current_leader_epoch, reader)?;
        if let Some(preferred) = self.preferred_read_replica(cx, item.offset, reader) {
            return Ok(Fetched::Ready(FetchPartitionResult {
                preferred_read_replica: Some(preferred),
                ..self.nothing_read(mode)
            }));
        }
        let (log_start, log_end) = (self.log.log_start_offset(), self.log.log_end_offset());
        if item.offset < log_start {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        let diverging = self.divergence(item)?;
        if item.offset > log_end && diverging.is_none() {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        let mut result = FetchPartitionResult {
            diverging,
            ..self.nothing_read(mode)
        };
        let upper = self.visible_end(mode.read_committed);
        let nothing = item.offset >= upper || (mode.budget == 0 && !mode.min_one);
        if nothing || result.diverging.is_some() {
            return Ok(Fetched::Ready(result));
        }
        let from_ring = match &self.role {
            Role::Leader(role) => role.ring.read(item.offset, upper, mode.budget),
            Role::Follower(_) | Role::Idle => None,
        };
        let next = match from_ring {
            Some((records, next)) if mode.min_one || records.len() <= mode.budget => {
                result.records = records;
                next
            }
            Some(_) => item.offset,
            None if mode.may_defer
                && self
                    .log
                    .active_base_offset()
                    .is_some_and(|base| item.offset < base) =>
            {
                return self.plan_cold(cx, item.offset, upper, mode, result);
            }
            None => {
                let read = self
                    .log
                    .read_records(item.offset, mode.budget, upper, mode.min_one);
                let read = read.map_err(|error| self.read_error(cx, &error))?;
                result.records = read.records;
                read.next_offset
            }
        };
        self.add_aborted(&mut result, item.offset, next)?;
        Ok(Fetched::Ready(result))
    }

    /// An answer without records.
    fn nothing_read(&self, mode: ReadMode) -> FetchPartitionResult {
        FetchPartitionResult {
            high_watermark: self.high_watermark(),
            last_stable_offset: self.last_stable_offset(),
            log_start_offset: self.log.log_start_offset(),
            aborted: mode.read_committed.then(Vec::new),
            ..FetchPartitionResult::failed(self.id, ErrorCode::None)
        }
    }

    /// Decides what to read; the list of aborted transactions may then name some that lie past what is read, which
    /// consumers ignore.
    fn plan_cold(
        &self,
        cx: &mut Context,
        from: Offset,
        upper: Offset,
        mode: ReadMode,
        mut result: FetchPartitionResult,
    ) -> Result<Fetched, ErrorCode> {
        let planned = self.log.plan_read(from, mode.budget, upper, mode.min_one);
        let Some(plan) = planned.map_err(|error| self.read_error(cx, &error))? else {
            return Ok(Fetched::Ready(result));
        };
        let segment_end = self.log.active_base_offset().unwrap_or(upper);
        self.add_aborted(&mut result, from, upper.min(segment_end))?;
        Ok(Fetched::Cold(Box::new(ColdRead { result, plan })))
    }

    fn add_aborted(
        &self,
        result: &mut FetchPartitionResult,
        from: Offset,
        to: Offset,
    ) -> Result<(), ErrorCode> {
        if result.aborted.is_none() || to <= from {
            return Ok(());
        }
        let aborted = self.log.aborted_transactions(from, to).map_err(|error| {
            let cause: &dyn std::error::Error = &error;
            tracing::error!(partition = %self.name, error = cause, "cannot read the transaction index");
            ErrorCode::KafkaStorageError
        })?;
        result.aborted = Some(
            aborted
                .iter()
                .map(|txn| (txn.producer_id, txn.first_offset))
                .collect(),
        );
        Ok(())
    }

    /// KIP-595: the reader's last epoch ended, on this log, before the offset that it has reached.
    fn divergence(
        &self,
        item: &FetchPartition,
    ) -> Result<Option<(milena_types::LeaderEpoch, Offset)>, ErrorCode> {
        let Some(epoch) = item.last_fetched_epoch else {
            return Ok(None);
        };
        let (known, end) = self
            .log
            .end_offset_for_epoch(epoch)
            .ok_or(ErrorCode::OffsetOutOfRange)?;
        Ok((known < epoch || end < item.offset).then_some((known, end)))
    }

    /// The offset that a reader may not pass: the last stable offset, or the high watermark.
    pub(super) fn visible_end(&self, read_committed: bool) -> Offset {
        if read_committed {
            self.last_stable_offset()
        } else {
            self.high_watermark()
        }
    }
}
