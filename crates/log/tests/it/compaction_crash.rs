//! Compactions that die at every byte, under every survival of unsynced data.
//!
//! Property: whatever the crash left, opening the log gives for every key the value that the same log without compaction
//! would give up to the same end; opening twice gives the same; and compacting again changes nothing of that.

use crate::compaction::{compact_with, compacted, roll};
use crate::support::*;
use bytes::Bytes;
use milena_log::compaction::CompactionRules;
use milena_log::env::{FaultyFileSystem, Survival};
use milena_log::{LogConfig, PartitionLog};
use milena_record::{BatchBuilder, batches, records};
use milena_types::{Offset, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Keys and values in the order of the log; `None` is a tombstone.
type History = Vec<(i64, u8, Option<u16>)>;

#[derive(Clone, Debug)]
enum Step {
    /// Several records in one batch.
    Append(Vec<(u8, bool)>),
    /// Every replica has everything: nothing below is cut any more.
    Commit,
    Roll,
    Flush,
    Compact {
        lacking: i64,
        later: i64,
        keys: usize,
    },
    Cut {
        back: i64,
    },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => prop::collection::vec((0u8..6, prop::bool::weighted(0.25)), 1..5).prop_map(Step::Append),
        4 => Just(Step::Commit),
        2 => Just(Step::Roll),
        2 => Just(Step::Flush),
        3 => (0i64..10, 0i64..3000, 2usize..40)
            .prop_map(|(lacking, later, keys)| Step::Compact { lacking, later, keys }),
        1 => (0i64..8).prop_map(|back| Step::Cut { back }),
        1 => Just(Step::Reopen),
    ]
}

struct Run<'a> {
    fs: &'a FaultyFileSystem,
    config: &'a LogConfig,
    log: PartitionLog,
    /// Every record ever appended and not cut.
    history: History,
    /// Records that a cut which did not return may or may not have left.
    cut: History,
    flushed: i64,
    checkpoint: i64,
    committed: i64,
    clock: i64,
}

fn rules() -> CompactionRules {
    CompactionRules {
        delete_retention_ms: 1000,
        ..CompactionRules::default()
    }
}

impl Run<'_> {
    /// False when the disk has died.
    fn step(&mut self, step: &Step) -> bool {
        match step {
            Step::Append(pairs) => self.append(pairs),
            Step::Commit => {
                self.committed = self.log.log_end_offset().0;
                self.log.on_high_watermark(self.log.log_end_offset());
                true
            }
            Step::Roll => {
                if self.log.segments() > 0
                    && self.log.log_end_offset() > self.log.active_base_offset().unwrap()
                {
                    return self.log.roll(Timestamp(1_000_000)).is_ok();
                }
                true
            }
            Step::Flush => {
                let ticket = match self.log.take_flush() {
                    Ok(Some(ticket)) => ticket,
                    Ok(None) => return true,
                    Err(_) => return false,
                };
                if ticket.sync().is_err() {
                    return false;
                }
                self.log.on_flushed(&ticket);
                self.flushed = self.log.flushed_offset().0;
                self.checkpoint = self.log.recovery_point().0;
                self.log.on_recovery_point_saved(self.log.recovery_point());
                true
            }
            Step::Compact { lacking, later, keys } => {
                self.clock += later;
                let replicated = Offset((self.log.log_end_offset().0 - lacking).max(0));
                let done = compact_with(
                    &mut self.log,
                    &rules(),
                    replicated,
                    Timestamp(self.clock),
                    24 * keys,
                );
                self.check();
                done.is_ok()
            }
            Step::Cut { back } => {
                let to = (self.log.log_end_offset().0 - back).max(self.committed);
                let (kept, cut) = self.history.iter().cloned().partition(|(at, ..)| *at < to);
                (self.history, self.cut) = (kept, cut);
                // A batch that reaches across goes as a whole, and none is longer than four records.
                self.flushed = self.flushed.min((to - 4).max(0));
                let done = self.log.truncate_to(Offset(to)).is_ok();
                if done {
                    let end = self.log.log_end_offset().0;
                    self.history.retain(|(at, ..)| *at < end);
                    self.flushed = self.log.flushed_offset().0;
                    self.checkpoint = self.checkpoint.min(end);
                    self.cut.clear();
                }
                done
            }
            Step::Reopen => {
                let Ok((log, _)) = open_at(self.fs, self.config, Offset(self.checkpoint)) else {
                    return false;
                };
                self.log = log;
                self.log.on_high_watermark(Offset(self.committed));
                self.check();
                true
            }
        }
    }

    fn append(&mut self, pairs: &[(u8, bool)]) -> bool {
        let mut builder = BatchBuilder::plain(Offset(0));
        let from = self.log.log_end_offset().0;
        for (i, (key, tombstone)) in pairs.iter().enumerate() {
            let at = from + i as i64;
            let value = (!tombstone).then_some(at as u16);
            let bytes = value.map(|value| value.to_be_bytes());
            builder.append(
                Timestamp(1000),
                Some(&[*key]),
                bytes.as_ref().map(|b| &b[..]),
                &[],
            );
            self.history.push((at, *key, value));
        }
        if self.log.append_as_leader(builder.build(), &ctx(0)).is_err() {
            return false;
        }
        true
    }

    fn check(&self) {
        if !self.fs.is_dead() {
            let end = self.log.log_end_offset().0;
            assert_eq!(state(&stored(&self.log)), state_below(&self.history, end));
        }
    }
}

/// Every record in the log.
fn stored(log: &PartitionLog) -> History {
    let mut all = Vec::new();
    let mut at = log.log_start_offset();
    while at < log.log_end_offset() {
        let read = log.read(at, 200, log.log_end_offset(), true).unwrap();
        for (_, bytes) in batches(&read.records).flatten() {
            for record in records(&Bytes::copy_from_slice(bytes), 1 << 20).unwrap() {
                let value = record
                    .value
                    .map(|value| u16::from_be_bytes(value[..].try_into().unwrap()));
                all.push((record.offset.0, record.key.unwrap()[0], value));
            }
        }
        assert!(read.next_offset > at, "no progress at {at}");
        at = read.next_offset;
    }
    all
}

/// What a reader from the beginning knows at the end: the value of every key that has one.
fn state(history: &[(i64, u8, Option<u16>)]) -> BTreeMap<u8, u16> {
    let mut state = BTreeMap::new();
    for (_, key, value) in history {
        match value {
            Some(value) => state.insert(*key, *value),
            None => state.remove(key),
        };
    }
    state
}

fn state_below(history: &History, end: i64) -> BTreeMap<u8, u16> {
    let below: History = history.iter().filter(|(at, ..)| *at < end).cloned().collect();
    state(&below)
}

/// Runs the steps on a disk that dies after `budget`, then looks at what the crash left.
fn run(steps: &[Step], budget: Option<u64>, survival: Survival) -> u64 {
    let (fs, config) = (disk(), compacted());
    if let Some(budget) = budget {
        fs.die_after(budget);
    }
    let Ok((log, _)) = PartitionLog::open(options(&fs, &config)) else {
        return 0;
    };
    let mut run = Run {
        fs: &fs,
        config: &config,
        log,
        history: Vec::new(),
        cut: Vec::new(),
        flushed: 0,
        checkpoint: 0,
        committed: 0,
        clock: 10_000,
    };
    for step in steps {
        if !run.step(step) {
            assert!(fs.is_dead(), "{step:?} failed on a living disk");
            break;
        }
    }
    let spent = fs.spent();
    let Run {
        history,
        cut,
        flushed,
        checkpoint,
        log,
        ..
    } = run;
    drop(log);
    let fs = fs.after_crash(survival);
    let (mut log, report) = open_at(&fs, &config, Offset(checkpoint)).unwrap();
    let end = log.log_end_offset().0;
    assert!(
        end >= flushed,
        "flushed up to {flushed}, {end} is left: {report:?}"
    );
    let whole: History = history.iter().chain(&cut).cloned().collect();
    let found = stored(&log);
    assert!(
        found.iter().all(|record| whole.contains(record)),
        "{found:?} of {whole:?}"
    );
    let expected = state_below(&whole, end);
    assert_eq!(state(&found), expected, "log end {end}: {found:?} of {whole:?}");
    let (again, _) = open_at(&fs, &config, Offset(checkpoint)).unwrap();
    assert_eq!(stored(&again), found, "opened twice");
    log.on_high_watermark(Offset(end));
    compact_with(&mut log, &rules(), Offset(end), Timestamp(50_000), 1 << 16).unwrap();
    assert_eq!(state(&stored(&log)), expected, "compacted again");
    spent
}

const SURVIVALS: [Survival; 5] = [
    Survival::ProcessKilled,
    Survival::NothingUnsynced,
    Survival::Random(1),
    Survival::Random(2),
    Survival::Random(3),
];

/// Two compactions of a log with tombstones whose horizon passes between them.
fn history() -> Vec<Step> {
    let mut steps = Vec::new();
    for round in 0..3 {
        for key in 0..6 {
            steps.push(Step::Append(vec![
                (key, false),
                ((key + 1) % 6, key % 3 == round),
            ]));
        }
        steps.extend([Step::Roll, Step::Commit, Step::Flush]);
        steps.push(Step::Compact {
            lacking: 0,
            later: 2000,
            keys: 100,
        });
    }
    steps
}

#[test]
fn one_history_dies_at_every_byte() {
    let steps = history();
    let spent = run(&steps, None, Survival::ProcessKilled);
    assert!(spent > 2000, "{spent}");
    for budget in (1..=spent).rev() {
        let survival = SURVIVALS[usize::try_from(budget).unwrap() % SURVIVALS.len()];
        run(&steps, Some(budget), survival);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_history_dies_anywhere(
        steps in prop::collection::vec(step(), 5..40),
        share in 0u64..1000,
        seed in any::<u64>(),
    ) {
        let spent = run(&steps, None, Survival::ProcessKilled);
        let survival = if seed.is_multiple_of(4) { SURVIVALS[(seed % 3) as usize] } else { Survival::Random(seed) };
        run(&steps, Some(spent * share / 1000 + 1), survival);
    }
}

#[test]
fn a_rolled_log_is_what_the_steps_take_it_for() {
    let fs = disk();
    let (mut log, _) = open(&fs, &compacted());
    append(&mut log, &["a"]);
    roll(&mut log);
    assert_eq!(log.segments(), 2);
}
