//! Everything that can be asked of a log, as values that compare.

use milena_log::producer::encode_snapshot;
use milena_log::{PartitionLog, ReadError, TimestampOffset};
use milena_types::{LeaderEpoch, Offset, Timestamp};

/// What a log answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// The bytes that a read of one batch gives at each offset, and where it says to go on.
    pub(crate) reads: Vec<(Vec<u8>, i64)>,
    /// Larger reads, bounded above.
    pub(crate) ranges: Vec<(Vec<u8>, i64)>,
    pub(crate) times: Vec<Option<TimestampOffset>>,
    pub(crate) latest: Option<TimestampOffset>,
    pub(crate) aborted: Vec<Vec<(i64, i64, i64)>>,
    pub(crate) epochs: Vec<(LeaderEpoch, Offset)>,
    /// As a snapshot: newest batches and open transactions.
    pub(crate) producers: Vec<u8>,
}

pub(crate) type Asked<T> = Result<T, String>;

fn read(log: &PartitionLog, from: i64, max: usize, upper: i64) -> Result<(Vec<u8>, i64), ReadError> {
    let read = log.read(Offset(from), max, Offset(upper), true)?;
    Ok((read.records.to_vec(), read.next_offset.0))
}

pub(crate) fn reads(log: &PartitionLog) -> Asked<Vec<(Vec<u8>, i64)>> {
    let (start, end) = (log.log_start_offset().0, log.log_end_offset().0);
    (start..end)
        .map(|from| read(log, from, 1, end).map_err(|e| format!("{e:?}")))
        .collect()
}

/// Reads of several batches from each offset that stop below each of some bounds.
pub(crate) fn ranges(log: &PartitionLog) -> Asked<Vec<(Vec<u8>, i64)>> {
    let (start, end) = (log.log_start_offset().0, log.log_end_offset().0);
    let mut all = Vec::new();
    for from in (start..end).step_by(3) {
        for ahead in [5, 1000] {
            // Fewer bytes than asked are allowed, so several reads are put together.
            let upper = (from + ahead).min(end);
            let (mut at, mut bytes) = (from, Vec::new());
            loop {
                let (more, next) = read(log, at, 700, upper).map_err(|e| format!("{e:?}"))?;
                bytes.extend(more);
                if next <= at || next >= upper {
                    at = next;
                    break;
                }
                at = next;
            }
            all.push((bytes, at));
        }
    }
    Ok(all)
}

pub(crate) fn times(log: &PartitionLog, range: std::ops::Range<i64>) -> Asked<Vec<Option<TimestampOffset>>> {
    let end = log.log_end_offset();
    range
        .step_by(3)
        .map(|timestamp| {
            log.offset_for_timestamp(Timestamp(timestamp), end)
                .map_err(|e| format!("{e:?}"))
        })
        .collect()
}

pub(crate) fn aborted(log: &PartitionLog) -> Asked<Vec<Vec<(i64, i64, i64)>>> {
    let (start, end) = (log.log_start_offset().0, log.log_end_offset().0);
    let mut all = Vec::new();
    for from in (start..end).step_by(2) {
        for upper in [from + 3, end] {
            let found = log
                .aborted_transactions(Offset(from), Offset(upper.min(end)))
                .map_err(|e| format!("{e:?}"))?;
            all.push(
                found
                    .iter()
                    .map(|a| (a.producer_id.0, a.first_offset.0, a.last_offset.0))
                    .collect(),
            );
        }
    }
    Ok(all)
}

/// Asks everything; the first error ends it.
pub(crate) fn observe(log: &PartitionLog, timestamps: std::ops::Range<i64>) -> Asked<Observed> {
    Ok(Observed {
        start: log.log_start_offset().0,
        end: log.log_end_offset().0,
        // First: they use entries of an index that reads of every offset would have found wrong.
        ranges: ranges(log)?,
        reads: reads(log)?,
        times: times(log, timestamps)?,
        latest: log
            .offset_of_max_timestamp(log.log_end_offset())
            .map_err(|e| format!("{e:?}"))?,
        aborted: aborted(log)?,
        epochs: log.epoch_entries().to_vec(),
        producers: encode_snapshot(log.active_producers()),
    })
}
