//! Crashes: at every byte of a life, and again and again, during recovery too.
//!
//! What the next start finds must be a whole number of the batches that were written, in their order, with all that was
//! flushed (and, when only the process died, all that was acknowledged); and everything that can be asked of the log must
//! follow from those batches alone.

use super::compact::SWAPPED;
use super::random::Random;
use super::run::{Run, config, open_model};
use super::state::Model;
use super::{Replay, asked_seed};
use crate::support::disk;
use milena_log::env::{Fault, FaultyFileSystem, Survival};
use milena_log::{CorruptionPolicy, LogConfig, PartitionLog};
use std::sync::atomic::{AtomicU64, Ordering};

/// How many crashes are tried; `MILENA_LOG_CASES` asks for more.
const CASES: u64 = 200_000;

/// What is known before a start.
#[derive(Clone)]
struct Known {
    disk: FaultyFileSystem,
    model: Model,
    /// What the operation that was under way would have made of it.
    outcomes: Vec<Model>,
    /// Power was cut since: only what was flushed need be there.
    lossy: bool,
    /// Its compactions may die while they swap, however long the disk has to live.
    deadly: bool,
    epoch: i32,
    serial: u64,
    history: Vec<String>,
}

impl Known {
    fn new() -> Self {
        Self {
            disk: disk(),
            model: Model::default(),
            outcomes: Vec::new(),
            lossy: false,
            deadly: false,
            epoch: 0,
            serial: 0,
            history: Vec::new(),
        }
    }

    fn crash(&mut self, survival: Survival) {
        self.history.push(format!("{survival:?}"));
        self.disk = self.disk.after_crash(survival);
        self.lossy |= survival != Survival::ProcessKilled;
    }
}

fn survival(random: &mut Random) -> Survival {
    match random.below(4) {
        0 => Survival::ProcessKilled,
        1 => Survival::NothingUnsynced,
        _ => Survival::Random(random.next()),
    }
}

/// All bytes from the log start to its end; an error when the disk died meanwhile.
fn found_bytes(log: &PartitionLog) -> Result<Vec<u8>, String> {
    let (mut at, end) = (log.log_start_offset(), log.log_end_offset());
    let mut all = Vec::new();
    while at < end {
        let read = log.read(at, 1 << 20, end, true).map_err(|e| e.to_string())?;
        assert!(read.next_offset > at, "a reader at {at} does not get on");
        all.extend_from_slice(&read.records);
        at = read.next_offset;
    }
    Ok(all)
}

/// The model of what a start found, if the rules allow it.
fn adopt(log: &PartitionLog, known: &Known) -> Result<Model, String> {
    let before = &known.model;
    let (start, end) = (log.log_start_offset().0, log.log_end_offset().0);
    let bytes = found_bytes(log)?;
    let context = || {
        format!(
            "found {start}..{end}; before {}..{} flushed {} checkpoints {} {}; outcomes {:?}; {:?}",
            before.start,
            before.end(),
            before.flushed,
            before.recovery_point,
            before.start_checkpoint,
            known
                .outcomes
                .iter()
                .map(|outcome| (outcome.start, outcome.end()))
                .collect::<Vec<_>>(),
            known.history
        )
    };
    // Truncating the whole log takes everything, segment by segment.
    let ends = known.outcomes.iter().map(|outcome| match outcome.lineage.len() {
        0 => before.begin.min(outcome.begin),
        _ => outcome.end(),
    });
    let lowest_end = ends.min().unwrap_or(i64::MAX).min(before.end());
    let sure = if known.lossy {
        before.flushed.min(lowest_end)
    } else {
        lowest_end
    };
    assert!(end >= sure, "records below {sure} are lost: {}", context());
    let start_max = known.outcomes.iter().map(|outcome| outcome.start).max();
    let start_max = start_max.unwrap_or(before.start).max(before.start);
    let checkpoint = before.start_checkpoint;
    assert!(
        (start >= checkpoint || end < checkpoint) && (start <= start_max || start <= checkpoint),
        "log start: {}",
        context()
    );
    let candidates = std::iter::once(before).chain(&known.outcomes);
    let same = candidates.into_iter().find(|model| {
        let held = model
            .lineage
            .iter()
            .filter(|entry| entry.last >= start && entry.base < end);
        let whole = end == model.begin || model.lineage.iter().any(|entry| entry.last + 1 == end);
        whole && model.begin <= start && held.flat_map(|entry| entry.bytes.iter()).eq(bytes.iter())
    });
    let mut model = match same {
        Some(model) => model.clone(),
        None => {
            // Deleted up to here, or truncated as a whole.
            assert!(bytes.is_empty() && start == end, "other records: {}", context());
            let mut model = before.clone();
            model.begin_again(start);
            model
        }
    };
    model.lineage.retain(|entry| entry.base < end);
    model.start = start;
    model.start_max = model.start_max.min(end).max(start);
    model.flushed = before.flushed.min(end);
    model.start_checkpoint = checkpoint.min(start);
    model.recovery_point = before.recovery_point;
    model.long |= before.long;
    model.mark = None;
    Ok(model)
}

/// One life: start, compare, some operations, until they are done or the disk dies. True when the log was open.
fn life(known: &mut Known, config: &LogConfig, random: &mut Random, operations: usize) -> bool {
    let disk = known.disk.clone();
    // What a killed process leaves is in no doubt.
    let corruption = match known.lossy {
        false => CorruptionPolicy::RefuseDoubtful,
        true => CorruptionPolicy::Refuse,
    };
    let log = match open_model(&disk, config, &known.model, false, corruption) {
        Ok(log) => log,
        Err(error) => {
            let why = disk.is_dead() || is_injected(&error);
            let tail = known.history.len().saturating_sub(40);
            assert!(why, "cannot start: {error}; {:?}", &known.history[tail..]);
            return false;
        }
    };
    let Ok(model) = adopt(&log, known) else {
        assert!(disk.is_dead(), "cannot read: {:?}", known.history);
        return false;
    };
    let start = model.start;
    if start == model.end() && known.outcomes.iter().any(|outcome| outcome.lineage.is_empty()) {
        // Truncated as a whole, or nearly: what producers are known of depends on how far it came.
        *known = Known::new();
        return true;
    }
    let mut run = Run::new(disk.clone(), log, model, config.clone());
    run.epoch = run.epoch.max(known.epoch) + 1;
    run.serial = known.serial;
    run.deadly = known.deadly;
    run.settle();
    run.done = std::mem::take(&mut known.history);
    run.outcomes.clear();
    if super::asked_seed().is_some() {
        let tail = run.done.len().saturating_sub(12);
        let epochs: Vec<_> = run
            .model
            .lineage
            .iter()
            .map(|entry| (entry.base, entry.epoch))
            .collect();
        eprintln!(
            "{:?}\n  {epochs:?} {:?}",
            &run.done[tail..],
            run.log.epoch_entries()
        );
    }
    if let Err(error) = run.check(random) {
        assert!(disk.is_dead(), "{error}; {:?}", run.done);
    } else {
        for _ in 0..operations {
            let Err(error) = run.step(random) else { continue };
            if disk.is_dead() || !recovers_from_a_full_disk(&mut run, random, &error) {
                break;
            }
        }
    }
    (known.model, known.outcomes, known.lossy) = (run.model, run.outcomes, false);
    (known.epoch, known.serial, known.history) = (run.epoch, run.serial, run.done);
    true
}

fn is_injected(error: &str) -> bool {
    error.contains("StorageFull") || error.contains("simulated sync failure")
}

/// The disk was full, or a flush failed: an append that was refused leaves the log as it was, and it goes on; all else
/// ends this life.
fn recovers_from_a_full_disk(run: &mut Run, random: &mut Random, error: &str) -> bool {
    assert!(is_injected(error), "{error}; {:?}", run.done);
    let appended = run.outcomes.len() == 1 && run.outcomes[0].end() > run.model.end();
    if !appended || run.log.is_failed() || run.log.log_end_offset().0 != run.model.end() {
        return false;
    }
    run.outcomes.clear();
    let checked = run.check(random);
    assert!(checked.is_ok() || run.fs.is_dead(), "{checked:?} {:?}", run.done);
    checked.is_ok()
}

/// Many crashes in a row on one disk, most of them soon after the start; gives how many.
fn chain(seed: u64, crashes: u64) -> u64 {
    let _replay = Replay(seed, "crashes");
    let mut random = Random(seed);
    let mut known = Known::new();
    let config = config(&mut random);
    for _ in 0..crashes {
        let limit = [60, 400, 1500][random.below(3) as usize];
        known.disk.die_after(1 + random.below(limit));
        known.deadly = true;
        match random.below(12) {
            0 => known.disk.inject(Fault::NoSpaceAtWrite(1 + random.below(20))),
            1 => known.disk.inject(Fault::SyncFails(1 + random.below(8))),
            _ => {}
        }
        life(&mut known, &config, &mut random, 12);
        let survival = survival(&mut random);
        known.crash(survival);
        if known.model.lineage.len() > 50 {
            known = Known::new();
        }
    }
    // And in the end it starts.
    known.deadly = false;
    assert!(life(&mut known, &config, &mut random, 3));
    crashes
}

/// A life that dies at each of its bytes; gives at how many.
fn every_byte(seed: u64) -> u64 {
    let _replay = Replay(seed, "crashes");
    let mut random = Random(seed);
    let config = config(&mut random);
    let mut prepared = Known::new();
    life(&mut prepared, &config, &mut random, 25);
    let stopped = survival(&mut random);
    prepared.crash(stopped);
    let inner = random.next();
    let mut whole = prepared.clone();
    whole.disk = prepared.disk.copied();
    life(&mut whole, &config, &mut Random(inner), 10);
    let spent = whole.disk.spent();
    for budget in 1..=spent {
        let mut known = prepared.clone();
        known.disk = prepared.disk.copied();
        known.disk.die_after(budget);
        life(&mut known, &config, &mut Random(inner), 10);
        let how = survival(&mut random);
        known.crash(how);
        if budget % 8 == 0 {
            // The next start dies as well.
            known.disk.die_after(1 + random.below(80));
            life(&mut known, &config, &mut random, 2);
            let how = survival(&mut random);
            known.crash(how);
        }
        assert!(life(&mut known, &config, &mut random, 0), "it starts in the end");
    }
    spent
}

#[test]
fn two_hundred_thousand_crashes_lose_nothing_and_invent_nothing() {
    if let Some(seed) = asked_seed() {
        chain(seed, 60);
        every_byte(seed);
        return;
    }
    let asked = std::env::var("MILENA_LOG_CASES")
        .ok()
        .and_then(|n| n.parse().ok());
    let cases = CASES.max(asked.unwrap_or(0));
    let first_seed = if asked.is_some() { 1 << 32 } else { 0 };
    let (seeds, bytes, chained) = (AtomicU64::new(first_seed), AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        while bytes.load(Ordering::Relaxed) + chained.load(Ordering::Relaxed) < cases {
            let seed = seeds.fetch_add(1, Ordering::Relaxed);
            chained.fetch_add(chain(seed, 60) + chain(seed + (1 << 40), 60), Ordering::Relaxed);
            if seed % 8 == 0 {
                bytes.fetch_add(every_byte(seed), Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    let (bytes, chained) = (bytes.into_inner(), chained.into_inner());
    let swapped = SWAPPED.load(Ordering::Relaxed);
    println!(
        "{bytes} crashes at every byte of a life, {chained} crashes in a row, {swapped} groups compacted"
    );
    assert!(swapped > 5_000);
    assert!(bytes + chained >= cases && bytes > cases / 3 && chained > cases / 4);
}
