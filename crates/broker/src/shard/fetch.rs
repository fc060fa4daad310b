//! Fetch for consumers: reads up to the high watermark or the last stable offset, and long polls.
//!
//! A call that must wait is parked on the lists of its partitions; news name the partitions, and only those are read
//! again. The tail is served from memory, the active segment from the page cache, closed segments off the data thread.

use super::api::{FetchCall, FetchPartition, FetchPartitionResult, FetchResults, Reader};
use super::fetch_read::{ColdRead, Fetched, ReadMode};
use super::fetch_wait::FetchWait;
use super::gather::Gather;
use super::router::{Router, send_error_code};
use super::state::Shard;
use milena_types::ErrorCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Longest wait for an owner that answers at once unless its thread is stuck.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// What all partitions of one call share.
#[derive(Clone)]
struct CallMode {
    min_bytes: usize,
    max_bytes: usize,
    read_committed: bool,
    may_defer: bool,
    reader: Option<Reader>,
    /// Present when the call may wait.
    wait: Option<Arc<FetchWait>>,
}

/// One call under way.
struct Reading<'a> {
    router: &'a Router,
    partitions: &'a [FetchPartition],
    mode: CallMode,
    results: Vec<Option<FetchPartitionResult>>,
}

impl Router {
    /// Reads; waits up to `max_wait` until there are `min_bytes`, an error, or a divergence.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the call; nothing is consumed by it.
    pub async fn fetch(&self, call: FetchCall) -> FetchResults {
        let deadline = Instant::now() + call.max_wait;
        let wait = (!call.max_wait.is_zero() && call.min_bytes > 0).then(|| Arc::new(FetchWait::default()));
        let mut reading = Reading {
            router: self,
            partitions: &call.partitions,
            mode: CallMode {
                min_bytes: call.min_bytes,
                max_bytes: call.max_bytes,
                read_committed: call.read_committed,
                may_defer: true,
                reader: call.reader.clone(),
                wait: wait.clone(),
            },
            results: vec![None; call.partitions.len()],
        };
        let all: Vec<u32> = (0..u32::try_from(call.partitions.len()).unwrap_or(u32::MAX)).collect();
        reading.read(&all).await;
        if let Some(wait) = &wait {
            while !is_enough(&reading.results, call.min_bytes) {
                let Ok(ready) = tokio::time::timeout_at(deadline, wait.news()).await else {
                    break;
                };
                reading.read(&ready).await;
            }
        }
        let missing = |partition: &FetchPartition| {
            FetchPartitionResult::failed(partition.id, ErrorCode::RequestTimedOut)
        };
        let filled = reading.results.into_iter().zip(&call.partitions);
        let filled = filled.map(|(result, partition)| result.unwrap_or_else(|| missing(partition)));
        trim(filled.collect(), &call)
    }
}

impl Reading<'_> {
    /// Reads some of the partitions, and puts the answers into their places.
    async fn read(&mut self, which: &[u32]) {
        let cold = self.ask_owners(which).await;
        if cold.is_empty() {
            return;
        }
        let ran = tokio::task::spawn_blocking(move || {
            cold.into_iter()
                .map(|(index, read)| (index, read.run()))
                .collect::<Vec<_>>()
        });
        let mut again = Vec::new();
        // A runtime that is stopping reads nothing any more; the partitions are then answered as timed out.
        for (index, result) in ran.await.unwrap_or_default() {
            match result {
                Ok(Some(result)) => self.put(index, result),
                Ok(None) => again.push(index),
                Err(failed) => {
                    let (error, result) = *failed;
                    let id = result.id;
                    let mailboxes = &self.router.mailboxes;
                    mailboxes.run_control(mailboxes.owner_of(id), move |shard| {
                        shard.on_read_failed(id, &error);
                    });
                    self.put(index, result);
                }
            }
        }
        if !again.is_empty() {
            let may_defer = std::mem::replace(&mut self.mode.may_defer, false);
            self.ask_owners(&again).await;
            self.mode.may_defer = may_defer;
        }
    }

    /// Asks the owners; what they leave to another thread is returned.
    async fn ask_owners(&mut self, which: &[u32]) -> Vec<(u32, Box<ColdRead>)> {
        let mailboxes = &self.router.mailboxes;
        let mut by_owner: Vec<Vec<(u32, FetchPartition)>> = vec![Vec::new(); mailboxes.len()];
        for index in which {
            let Some(partition) = usize::try_from(*index)
                .ok()
                .and_then(|at| self.partitions.get(at))
            else {
                continue;
            };
            if let Some(items) = by_owner.get_mut(mailboxes.owner_of(partition.id).0) {
                items.push((*index, partition.clone()));
            }
        }
        let owners = by_owner.iter().filter(|items| !items.is_empty()).count();
        let (gather, done) = Gather::new(owners);
        let mut refused = Vec::new();
        let busy = mailboxes
            .shards()
            .zip(by_owner)
            .filter(|(_, items)| !items.is_empty());
        for (slot, (owner, items)) in busy.enumerate() {
            let (slot, mode) = (gather.slot(slot), self.mode.clone());
            let asked: Vec<_> = items.iter().map(|(index, item)| (*index, item.id)).collect();
            if let Err(error) = mailboxes.run(owner, move |shard| slot.set(shard.fetch(items, &mode))) {
                refused.extend(
                    asked
                        .into_iter()
                        .map(|(index, id)| (index, id, send_error_code(error))),
                );
            }
        }
        // On time-out the partitions that are missing are answered by the caller.
        let _ = tokio::time::timeout(READ_TIMEOUT, done).await;
        for (index, id, error) in refused {
            self.put(index, FetchPartitionResult::failed(id, error));
        }
        let mut cold = Vec::new();
        for (index, fetched) in gather.take().into_iter().flatten().flatten() {
            match fetched {
                Fetched::Ready(result) => self.put(index, result),
                Fetched::Cold(read) => cold.push((index, read)),
            }
        }
        cold
    }

    fn put(&mut self, index: u32, result: FetchPartitionResult) {
        if let Some(place) = usize::try_from(index)
            .ok()
            .and_then(|at| self.results.get_mut(at))
        {
            *place = Some(result);
        }
    }
}

/// True when the answer need not wait: enough bytes, or something that the client must know now.
fn is_enough(results: &[Option<FetchPartitionResult>], min_bytes: usize) -> bool {
    let tells = |r: &FetchPartitionResult| {
        r.error != ErrorCode::None || r.diverging.is_some() || r.preferred_read_replica.is_some()
    };
    let bytes: usize = results.iter().flatten().map(|result| result.records.len()).sum();
    bytes >= min_bytes || results.iter().flatten().any(tells)
}

/// Keeps the response inside its budgets when several owners read at once and each gave its first partition one batch at
/// least: only the first records of all may exceed a limit.
fn trim(mut results: FetchResults, call: &FetchCall) -> FetchResults {
    let mut left = call.max_bytes;
    let mut first = true;
    let with_records = results.iter_mut().zip(&call.partitions);
    for (result, asked) in with_records.filter(|(result, _)| !result.records.is_empty()) {
        if !first && result.records.len() > left.min(asked.max_bytes) {
            result.records = bytes::Bytes::new();
            result.aborted = result.aborted.as_ref().map(|_| Vec::new());
        }
        left = left.saturating_sub(result.records.len());
        first = false;
    }
    results
}

impl Shard {
    fn fetch(&mut self, items: Vec<(u32, FetchPartition)>, call: &CallMode) -> Vec<(u32, Fetched)> {
        let (mut left, mut bytes) = (call.max_bytes, 0);
        let mut results = Vec::with_capacity(items.len());
        for (index, item) in &items {
            let mode = ReadMode {
                budget: item.max_bytes.min(left),
                min_one: bytes == 0,
                read_committed: call.read_committed,
                may_defer: call.may_defer,
            };
            let fetched = match self.partition(item.id) {
                Ok((partition, cx)) => partition.fetch(cx, item, call.reader.as_ref(), mode),
                Err(error) => {
                    let current_leader = self.cx.current_leader(item.id);
                    Fetched::Ready(FetchPartitionResult {
                        current_leader,
                        ..FetchPartitionResult::failed(item.id, error)
                    })
                }
            };
            let taken = match &fetched {
                Fetched::Ready(result) => result.records.len(),
                // How much it will be is not known yet, but hardly less.
                Fetched::Cold(_) => mode.budget.max(1),
            };
            left = left.saturating_sub(taken);
            bytes += taken;
            results.push((*index, fetched));
        }
        if let Some(wait) = call.wait.as_ref().filter(|_| bytes < call.min_bytes) {
            for (index, item) in items {
                if let Some(partition) = self.partitions.get_mut(&item.id) {
                    partition.waiters.park(wait, index);
                }
            }
        }
        results
    }
}
