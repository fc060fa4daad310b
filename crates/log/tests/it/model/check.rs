//! Compares a log with the model, in all that can be asked of it.

use super::random::Random;
use super::state::Model;
use milena_log::PartitionLog;
use milena_types::{LeaderEpoch, Offset, ProducerId, Timestamp};

/// A disk that died meanwhile; everything else that is wrong panics.
pub(crate) type Checked = Result<(), String>;

/// Compares everything; reads in pieces of a size that the generator chooses.
pub(crate) fn check(log: &PartitionLog, model: &Model, random: &mut Random) -> Checked {
    assert_eq!(
        (log.log_start_offset().0, log.log_end_offset().0),
        (model.start, model.end()),
        "log start and end"
    );
    check_reads(log, model, random)?;
    check_epochs(log, model);
    check_producers(log, model);
    check_transactions(log, model, random)?;
    check_times(log, model, random)
}

fn check_reads(log: &PartitionLog, model: &Model, random: &mut Random) -> Checked {
    let end = log.log_end_offset();
    let piece = [1, 200, 700, 1 << 20][random.below(4) as usize];
    let mut at = model.start;
    let mut found = Vec::new();
    while at < end.0 {
        let read = log
            .read(Offset(at), piece, end, true)
            .map_err(|e| e.to_string())?;
        assert!(read.next_offset.0 > at, "a reader at {at} does not get on");
        found.extend_from_slice(&read.records);
        at = read.next_offset.0;
    }
    let expected: Vec<u8> = model.visible().flat_map(|entry| entry.bytes.clone()).collect();
    assert!(found == expected, "the records of the log");
    if end.0 > model.start {
        let from = random.between(model.start, end.0 - 1);
        let upper = random.between(from, end.0);
        let read = log.read(Offset(from), 1, Offset(upper), true);
        let read = read.map_err(|e| e.to_string())?;
        let holder = model.visible().find(|entry| entry.last >= from);
        let expected = holder.filter(|entry| entry.last < upper);
        assert_eq!(
            &read.records[..],
            expected.map_or(&[][..], |entry| &entry.bytes[..]),
            "the batch at {from} below {upper}"
        );
    }
    Ok(())
}

fn check_epochs(log: &PartitionLog, model: &Model) {
    let found: Vec<(i32, i64)> = log.epoch_entries().iter().map(|(e, s)| (e.0, s.0)).collect();
    if model.start < model.start_max {
        // The log start went back to its checkpoint; the epochs below where it was may be gone.
        if model.end() <= model.start_max {
            return;
        }
        let (mut found, mut known) = (model.clone(), model.clone());
        found.epochs = log.epoch_entries().iter().map(|(e, s)| (e.0, s.0)).collect();
        found.set_start(model.start_max);
        known.set_start(model.start_max);
        assert_eq!(
            found.epochs,
            known.epochs,
            "leader epochs, {}..{}",
            model.start,
            model.end()
        );
        return;
    }
    assert_eq!(
        found,
        model.epochs,
        "leader epochs, {}..{}",
        model.start,
        model.end()
    );
    let latest = model.epochs.last().map_or(-1, |(epoch, _)| *epoch);
    for epoch in 0..=latest + 1 {
        let end = model
            .epochs
            .iter()
            .find(|(e, _)| *e > epoch)
            .map_or(model.end(), |(_, start)| *start);
        let floor = model.epochs.iter().rfind(|(e, _)| *e <= epoch);
        let expected = (epoch <= latest).then(|| (floor.map_or(epoch, |(e, _)| *e), end));
        let found = log.end_offset_for_epoch(LeaderEpoch(epoch));
        assert_eq!(found.map(|(e, o)| (e.0, o.0)), expected, "end of epoch {epoch}");
    }
}

/// Producers whose records lie all below the log start may be forgotten; all else is known exactly.
fn check_producers(log: &PartitionLog, model: &Model) {
    let (producers, _) = model.producers();
    let known = log.active_producers();
    assert!(
        known.entries().all(|(id, _)| producers.contains_key(&id.0)),
        "a producer that never wrote"
    );
    for (id, expected) in &producers {
        if expected.batches.last().is_some_and(|(.., there)| !there) {
            // Compacted because of a newer one, which a crash took from the page cache.
            continue;
        }
        let Some(found) = known.entry(ProducerId(*id)) else {
            assert!(expected.newest < model.start_max, "producer {id} is not known");
            continue;
        };
        if expected.newest < model.start_max {
            continue;
        }
        let found_batches: Vec<_> = found
            .batches()
            .iter()
            .map(|batch| (batch.last_sequence, batch.first_offset().0, batch.last_offset.0))
            .collect();
        let found_epoch = found.epoch.map(|epoch| epoch.0);
        let context = || format!("producer {id}: {found:?}, expected {expected:?}");
        assert_eq!(found_epoch, expected.epoch, "{}", context());
        check_window(&expected.batches, &found_batches, model, &context());
        assert_eq!(
            found.txn_first_offset().map(|o| o.0),
            expected.open_since,
            "{}",
            context()
        );
        let markers = model.lineage.iter().filter(|entry| {
            entry.marker.is_some() && entry.producer.is_some_and(|(owner, _, _)| owner == *id)
        });
        // A restart may have forgotten what was of compacted markers.
        let since = markers
            .clone()
            .rfind(|entry| entry.last >= model.start && !entry.items.is_empty());
        if let Some(since) = since {
            let mut known = markers.skip_while(|entry| entry.base < since.base);
            let known = known.any(|entry| {
                entry
                    .marker
                    .is_some_and(|(_, epoch)| epoch == found.coordinator_epoch)
            });
            assert!(known, "{}", context());
        }
    }
}

/// The newest five batches of a producer are known; of those that a compaction has taken, a restart may know nothing.
fn check_window(expected: &[(i32, i64, i64, bool)], found: &[(i32, i64, i64)], model: &Model, context: &str) {
    let newest = &expected[expected.len().saturating_sub(5)..];
    let batch = |(sequence, base, last, _): &(i32, i64, i64, bool)| (*sequence, *base, *last);
    let mut rest = expected.iter().map(batch);
    assert!(
        found.iter().all(|known| rest.any(|batch| batch == *known)),
        "{context}"
    );
    assert!(found.len() <= 5, "{context}");
    assert_eq!(found.last().copied(), newest.last().map(batch), "{context}");
    if newest.iter().all(|(.., there)| *there) {
        let dense: Vec<_> = newest.iter().map(batch).collect();
        assert!(dense.ends_with(found), "{context}");
    }
    // Those before one that is gone do not join on to those that are known. From eight segments at most windows are completed.
    let joined = newest.iter().rev();
    let mut needed = joined.take_while(|(_, base, _, there)| *there && *base >= model.start_max);
    assert!(
        model.long || needed.all(|known| found.contains(&batch(known))),
        "{context}"
    );
}

fn check_transactions(log: &PartitionLog, model: &Model, random: &mut Random) -> Checked {
    assert_eq!(
        log.first_unstable_offset().map(|o| o.0),
        model.first_unstable(),
        "first unstable offset"
    );
    let (start, end) = (model.start, model.end());
    let some = random.between(start, end);
    for (from, upper) in [(start, end), (some, random.between(some, end)), (start, some)] {
        let found = log
            .aborted_transactions(Offset(from), Offset(upper))
            .map_err(|e| e.to_string())?;
        let found: Vec<_> = found
            .iter()
            .filter_map(|txn| model.readable(txn.producer_id.0, txn.first_offset.0, txn.last_offset.0))
            .filter(|(_, first, _)| *first < upper)
            .collect();
        let mut expected = model.aborted(from, upper);
        expected.retain(|(_, first, _)| *first < upper);
        assert_eq!(found, expected, "aborted transactions of {from} to {upper}");
    }
    Ok(())
}

fn check_times(log: &PartitionLog, model: &Model, random: &mut Random) -> Checked {
    let times: Vec<i64> = model
        .visible()
        .flat_map(|entry| entry.items.iter().map(|item| item.time))
        .collect();
    let (low, high) = (
        times.iter().min().copied().unwrap_or(0),
        times.iter().max().copied().unwrap_or(0),
    );
    for _ in 0..3 {
        let timestamp = random.between(low - 1, high + 1);
        let found = log
            .offset_for_timestamp(Timestamp(timestamp), Offset(model.end()))
            .map_err(|e| e.to_string())?;
        let expected = model.at_time(timestamp);
        assert_eq!(
            found.map(|f| (f.offset.0, f.timestamp.0)),
            expected,
            "first record at or after {timestamp}"
        );
    }
    Ok(())
}
