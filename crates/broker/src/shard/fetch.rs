//! Fetch for consumers: reads up to the high watermark or the last stable offset, and long polls.
//!
//! A call that must wait is parked on the lists of its partitions; news name the partitions, and only those are read
//! again. The tail is served from memory, the rest from the page cache.

use super::api::{FetchCall, FetchPartition, FetchPartitionResult, FetchResults};
use super::context::Context;
use super::fetch_wait::FetchWait;
use super::gather::Gather;
use super::partition::Partition;
use super::router::{Router, send_error_code};
use super::state::Shard;
use milena_log::ReadError;
use milena_types::{ErrorCode, Offset};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Longest wait for an owner that answers at once unless its thread is stuck.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// What all partitions of one read share.
#[derive(Clone, Copy)]
struct ReadMode {
    max_bytes: usize,
    read_committed: bool,
}

impl Router {
    /// Reads; waits up to `max_wait` until there are `min_bytes`, an error, or a divergence.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the call; nothing is consumed by it.
    pub async fn fetch(&self, call: FetchCall) -> FetchResults {
        let deadline = Instant::now() + call.max_wait;
        let wait = (!call.max_wait.is_zero() && call.min_bytes > 0).then(|| Arc::new(FetchWait::default()));
        let mode = ReadMode {
            max_bytes: call.max_bytes,
            read_committed: call.read_committed,
        };
        let all: Vec<u32> = (0..u32::try_from(call.partitions.len()).unwrap_or(u32::MAX)).collect();
        let mut results: Vec<Option<FetchPartitionResult>> = vec![None; call.partitions.len()];
        self.read_into(&mut results, &call.partitions, &all, mode, wait.as_ref())
            .await;
        if let Some(wait) = &wait {
            while !is_enough(&results, call.min_bytes) {
                let Ok(ready) = tokio::time::timeout_at(deadline, wait.news()).await else {
                    break;
                };
                self.read_into(&mut results, &call.partitions, &ready, mode, Some(wait))
                    .await;
            }
        }
        let filled = results
            .into_iter()
            .zip(&call.partitions)
            .map(|(result, partition)| {
                result
                    .unwrap_or_else(|| FetchPartitionResult::failed(partition.id, ErrorCode::RequestTimedOut))
            });
        trim(filled.collect(), call.max_bytes)
    }

    /// Reads some of the partitions, each on its owner, and puts the answers into their places.
    async fn read_into(
        &self,
        results: &mut [Option<FetchPartitionResult>],
        partitions: &[FetchPartition],
        which: &[u32],
        mode: ReadMode,
        wait: Option<&Arc<FetchWait>>,
    ) {
        let mut by_owner: Vec<Vec<(u32, FetchPartition)>> = vec![Vec::new(); self.mailboxes.len()];
        for index in which {
            let Some(partition) = usize::try_from(*index).ok().and_then(|at| partitions.get(at)) else {
                continue;
            };
            if let Some(items) = by_owner.get_mut(self.mailboxes.owner_of(partition.id).0) {
                items.push((*index, partition.clone()));
            }
        }
        let owners = by_owner.iter().filter(|items| !items.is_empty()).count();
        let (gather, done) = Gather::new(owners);
        let busy = self
            .mailboxes
            .shards()
            .zip(by_owner)
            .filter(|(_, items)| !items.is_empty());
        for (slot, (owner, items)) in busy.enumerate() {
            let (slot, wait) = (gather.slot(slot), wait.cloned());
            let refused: Vec<_> = items.iter().map(|(index, item)| (*index, item.id)).collect();
            let sent = self.mailboxes.run(owner, move |shard| {
                slot.set(shard.fetch(items, mode, wait.as_ref()))
            });
            if let Err(error) = sent {
                for (index, id) in refused {
                    let failed = FetchPartitionResult::failed(id, send_error_code(error));
                    put(results, index, failed);
                }
            }
        }
        // On time-out the partitions that are missing are answered by the caller.
        let _ = tokio::time::timeout(READ_TIMEOUT, done).await;
        for (index, result) in gather.take().into_iter().flatten().flatten() {
            put(results, index, result);
        }
    }
}

fn put(results: &mut [Option<FetchPartitionResult>], index: u32, result: FetchPartitionResult) {
    if let Some(place) = usize::try_from(index).ok().and_then(|at| results.get_mut(at)) {
        *place = Some(result);
    }
}

/// True when the answer need not wait: enough bytes, or something that the client must know now.
fn is_enough(results: &[Option<FetchPartitionResult>], min_bytes: usize) -> bool {
    let mut bytes = 0;
    for result in results.iter().flatten() {
        if result.error != ErrorCode::None || result.diverging.is_some() {
            return true;
        }
        bytes += result.records.len();
    }
    bytes >= min_bytes
}

/// Keeps the response inside its budget when several owners read at once; the first records always stay.
fn trim(mut results: FetchResults, max_bytes: usize) -> FetchResults {
    let mut left = max_bytes;
    let mut first = true;
    for result in results.iter_mut().filter(|result| !result.records.is_empty()) {
        if !first && result.records.len() > left {
            result.records = bytes::Bytes::new();
            result.aborted = result.aborted.as_ref().map(|_| Vec::new());
        }
        left = left.saturating_sub(result.records.len());
        first = false;
    }
    results
}

impl Shard {
    fn fetch(
        &mut self,
        items: Vec<(u32, FetchPartition)>,
        mode: ReadMode,
        wait: Option<&Arc<FetchWait>>,
    ) -> Vec<(u32, FetchPartitionResult)> {
        let mut left = mode.max_bytes;
        let mut min_one = true;
        let mut results = Vec::with_capacity(items.len());
        for (index, item) in items {
            let result = match self.partition(item.id) {
                Ok((partition, cx)) => {
                    let budget = item.max_bytes.min(left);
                    let result = partition.fetch(cx, &item, budget, min_one, mode.read_committed);
                    if let Some(wait) =
                        wait.filter(|_| result.error == ErrorCode::None && result.records.is_empty())
                    {
                        partition.waiters.park(wait, index);
                    }
                    result
                }
                Err(error) => {
                    let current_leader = self.cx.current_leader(item.id);
                    FetchPartitionResult {
                        current_leader,
                        ..FetchPartitionResult::failed(item.id, error)
                    }
                }
            };
            left = left.saturating_sub(result.records.len());
            min_one &= result.records.is_empty();
            results.push((index, result));
        }
        results
    }
}

impl Partition {
    fn fetch(
        &mut self,
        cx: &mut Context,
        item: &FetchPartition,
        budget: usize,
        min_one: bool,
        read_committed: bool,
    ) -> FetchPartitionResult {
        match self.try_fetch(item, budget, min_one, read_committed) {
            Ok(result) => result,
            Err(error) => {
                let hint = matches!(
                    error,
                    ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch
                );
                let current_leader = if hint { cx.current_leader(self.id) } else { None };
                FetchPartitionResult {
                    current_leader,
                    ..FetchPartitionResult::failed(self.id, error)
                }
            }
        }
    }

    fn try_fetch(
        &self,
        item: &FetchPartition,
        budget: usize,
        min_one: bool,
        read_committed: bool,
    ) -> Result<FetchPartitionResult, ErrorCode> {
        let role = self.check_leader(item.current_leader_epoch)?;
        let (log_start, log_end) = (self.log.log_start_offset(), self.log.log_end_offset());
        if item.offset < log_start || item.offset > log_end {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        let high_watermark = role.leader.high_watermark();
        let last_stable_offset = self.last_stable_offset();
        let mut result = FetchPartitionResult {
            high_watermark,
            last_stable_offset,
            log_start_offset: log_start,
            aborted: read_committed.then(Vec::new),
            ..FetchPartitionResult::failed(self.id, ErrorCode::None)
        };
        if let Some(epoch) = item.last_fetched_epoch {
            let (known, end) = self
                .log
                .end_offset_for_epoch(epoch)
                .ok_or(ErrorCode::OffsetOutOfRange)?;
            if known < epoch || end < item.offset {
                result.diverging = Some((known, end));
                return Ok(result);
            }
        }
        let upper = if read_committed {
            last_stable_offset
        } else {
            high_watermark
        };
        if item.offset >= upper || (budget == 0 && !min_one) {
            return Ok(result);
        }
        let next = match role.ring.read(item.offset, upper, budget) {
            Some((records, next)) if min_one || records.len() <= budget => {
                result.records = records;
                next
            }
            Some(_) => item.offset,
            None => {
                let read = self
                    .log
                    .read(item.offset, budget, upper, min_one)
                    .map_err(|error| self.read_error(&error))?;
                result.records = read.records;
                read.next_offset
            }
        };
        if read_committed && next > item.offset {
            let aborted = self
                .log
                .aborted_transactions(item.offset, next)
                .map_err(|error| {
                    tracing::error!(partition = %self.name, %error, "cannot read the transaction index");
                    ErrorCode::KafkaStorageError
                })?;
            result.aborted = Some(
                aborted
                    .iter()
                    .map(|txn| (txn.producer_id, txn.first_offset))
                    .collect(),
            );
        }
        Ok(result)
    }

    /// What a client is told when a read failed.
    pub(super) fn read_error(&self, error: &ReadError) -> ErrorCode {
        let code = error.code();
        if code != ErrorCode::OffsetOutOfRange {
            tracing::error!(partition = %self.name, %error, "cannot read the log");
        }
        code
    }
}

/// The offset that a reader of committed data may not pass.
impl Partition {
    /// The upper bound of ListOffsets and the like.
    pub(super) fn visible_end(&self, read_committed: bool) -> Offset {
        if read_committed {
            self.last_stable_offset()
        } else {
            self.high_watermark()
        }
    }
}
