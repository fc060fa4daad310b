//! Crashes at every byte, under every survival of unsynced data.
//!
//! Properties: no synced record is lost, no record appears that was not written, recovering twice is recovering once, and
//! a crash during recovery is harmless.

use crate::support::*;
use milena_log::env::{FaultyFileSystem, Survival};
use milena_log::{LogConfig, PartitionLog};
use milena_types::{ErrorCode, LeaderEpoch, Offset, ProducerId};
use proptest::prelude::*;

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Append { size: usize, records: usize },
    Produce { sequence_step: bool },
    Flush,
    Truncate { back: i64 },
    Idle,
    Checkpoint,
    NewEpoch,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0usize..120, 1usize..4).prop_map(|(size, records)| Step::Append { size, records }),
        3 => any::<bool>().prop_map(|sequence_step| Step::Produce { sequence_step }),
        3 => Just(Step::Flush),
        1 => (0i64..12).prop_map(|back| Step::Truncate { back }),
        1 => Just(Step::Idle),
        2 => Just(Step::Checkpoint),
        1 => Just(Step::NewEpoch),
    ]
}

/// What a history did, as far as it came.
#[derive(Debug, Default)]
struct Model {
    /// Every record that was ever acknowledged at an offset, newest last; truncation removes.
    records: Vec<(i64, String)>,
    /// Also those that truncation removed or whose append did not return: they may be there, or not.
    ever: Vec<(i64, String)>,
    flushed: i64,
    /// A truncation began and did not return: records at or past it may be gone.
    cutting: Option<i64>,
    checkpoint: i64,
}

/// A log that is being written, and what is known of it.
struct Run<'a> {
    fs: &'a FaultyFileSystem,
    log: PartitionLog,
    model: Model,
    epoch: i32,
    sequence: i32,
    serial: usize,
}

/// Runs the steps until the disk dies; errors of a dead disk end it.
fn run(fs: &FaultyFileSystem, config: &LogConfig, steps: &[Step]) -> Model {
    let Ok((log, _)) = PartitionLog::open(options(fs, config)) else {
        return Model::default();
    };
    let mut run = Run {
        fs,
        log,
        model: Model::default(),
        epoch: 0,
        sequence: 0,
        serial: 0,
    };
    for step in steps {
        if !run.step(step) {
            assert!(run.fs.is_dead(), "{step:?} failed on a living disk");
            break;
        }
        let log = &run.log;
        assert!(log.recovery_point() <= log.flushed_offset() && log.flushed_offset() <= log.log_end_offset());
    }
    run.model
}

impl Run<'_> {
    /// False when the step failed.
    fn step(&mut self, step: &Step) -> bool {
        match step {
            Step::Append { size, records } => self.append(*size, *records),
            Step::Produce { sequence_step } => self.produce(*sequence_step),
            Step::Flush => self.flush(),
            Step::Truncate { back } => self.truncate(*back),
            Step::Idle => self.log.release_idle().is_ok(),
            Step::Checkpoint => {
                self.model.checkpoint = self.log.recovery_point().0;
                self.log.on_recovery_point_saved(Offset(self.model.checkpoint));
                true
            }
            Step::NewEpoch => {
                self.epoch += 1;
                self.log.assign_epoch_at_become_leader(LeaderEpoch(self.epoch));
                true
            }
        }
    }

    fn append(&mut self, size: usize, records: usize) -> bool {
        self.serial += 1;
        let serial = self.serial;
        let values: Vec<String> = (0..records)
            .map(|i| format!("{serial}.{i}{}", "x".repeat(size)))
            .collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let at = self.log.log_end_offset().0;
        let new: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(i, v)| (at + i as i64, (*v).to_owned()))
            .collect();
        self.model.ever.extend(new.clone());
        let done = self
            .log
            .append_as_leader(batch(&values), &ctx(self.epoch))
            .is_ok();
        self.model.records.extend(if done { new } else { Vec::new() });
        done
    }

    fn produce(&mut self, sequence_step: bool) -> bool {
        let at = self.log.log_end_offset().0;
        self.model.ever.push((at, "value".to_owned()));
        let next = if sequence_step {
            self.sequence
        } else {
            self.sequence + 5
        };
        match self
            .log
            .append_as_leader(produced(1, 0, next, 1, false), &ctx(self.epoch))
        {
            Ok(appended) if !appended.duplicate => {
                self.sequence = next + 1;
                self.model.records.push((at, "value".to_owned()));
                true
            }
            Ok(_) => true,
            Err(error) => error.code() == ErrorCode::OutOfOrderSequenceNumber,
        }
    }

    fn flush(&mut self) -> bool {
        match self.log.take_flush() {
            Ok(Some(ticket)) => {
                let synced = ticket.sync().is_ok();
                if synced {
                    self.model.flushed = self.log.on_flushed(&ticket).0;
                }
                synced
            }
            other => other.is_ok(),
        }
    }

    fn truncate(&mut self, back: i64) -> bool {
        let to = (self.log.log_end_offset().0 - back).max(0);
        self.model.cutting = Some(to);
        let done = self.log.truncate_to(Offset(to)).is_ok();
        if done {
            let end = self.log.log_end_offset().0;
            self.model.records.retain(|(offset, _)| *offset < end);
            self.model.flushed = self.log.flushed_offset().0;
            self.model.cutting = None;
            let known = self
                .log
                .active_producers()
                .entry(ProducerId(1))
                .and_then(|entry| entry.last_sequence());
            self.sequence = known.map_or(self.sequence, |last| last + 1);
            self.epoch += 1;
        }
        done
    }
}

/// Opens what a crash left and compares it with the model.
fn check(
    crashed: &FaultyFileSystem,
    config: &LogConfig,
    model: &Model,
    survival: Survival,
) -> Vec<(i64, String)> {
    let (log, report) = open_at(crashed, config, Offset(model.checkpoint))
        .unwrap_or_else(|e| panic!("{survival:?}: {e}\n{model:?}"));
    let found = dump(&log, 1);
    let limit = model.cutting.unwrap_or(i64::MAX).min(model.flushed);
    let synced: Vec<_> = model
        .records
        .iter()
        .filter(|(offset, _)| *offset < limit)
        .collect();
    // Whole batches reach across a truncation point, so the last one below it may be gone.
    let sure = synced
        .len()
        .saturating_sub(if model.cutting.is_some() { 4 } else { 0 });
    for (i, record) in synced.iter().take(sure).enumerate() {
        assert_eq!(
            found.get(i),
            Some(*record),
            "{survival:?}: a synced record is lost; {report:?}"
        );
    }
    for (i, record) in found.iter().enumerate() {
        assert_eq!(record.0, i as i64, "{survival:?}: offsets have a gap");
        assert!(
            model.ever.contains(record),
            "{survival:?}: {record:?} was never written"
        );
    }
    if survival == Survival::ProcessKilled && model.cutting.is_none() {
        assert!(
            found.len() >= model.records.len(),
            "the page cache keeps every append that returned"
        );
        assert_eq!(found[..model.records.len()], model.records);
    }
    for pair in log.epoch_entries().windows(2) {
        assert!(
            pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1,
            "{:?}",
            log.epoch_entries()
        );
    }
    assert!(
        log.epoch_entries()
            .iter()
            .all(|(_, start)| *start < log.log_end_offset().max(Offset(1)))
    );
    found
}

fn crash_and_check(steps: &[Step], budget: u64, survival: Survival, second: u64) {
    let config = LogConfig {
        segment_bytes: 700,
        index_interval_bytes: 150,
        ..LogConfig::default()
    };
    let fs = disk();
    fs.die_after(budget);
    let model = run(&fs, &config, steps);
    let crashed = fs.after_crash(survival);
    let found = check(
        &crashed.after_crash(Survival::ProcessKilled),
        &config,
        &model,
        survival,
    );

    // Dying during the recovery, at any byte, and recovering again gives the same log or (power cut) one that keeps the rules.
    crashed.die_after(second);
    let _ = open_at(&crashed, &config, Offset(model.checkpoint));
    let again = check(
        &crashed.after_crash(Survival::ProcessKilled),
        &config,
        &model,
        survival,
    );
    assert_eq!(again, found, "{survival:?}: recovery is not idempotent");
    check(
        &crashed.after_crash(Survival::NothingUnsynced),
        &config,
        &model,
        Survival::NothingUnsynced,
    );

    // Life goes on: what is appended after the recovery is there after the next one.
    let revived = crashed.after_crash(Survival::ProcessKilled);
    let (mut log, _) = open_at(&revived, &config, Offset(model.checkpoint)).unwrap();
    log.append_as_leader(batch(&["afterwards"]), &ctx(1000)).unwrap();
    flush(&mut log);
    assert_eq!(log.flushed_offset(), log.log_end_offset());
    let (log, _) = open_at(
        &revived.after_crash(Survival::NothingUnsynced),
        &config,
        log.recovery_point(),
    )
    .unwrap();
    assert_eq!(dump(&log, 1).last().map(|(_, v)| v.as_str()), Some("afterwards"));
    assert_eq!(log.log_end_offset().0 as usize, found.len() + 1);
}

/// Cases per run; `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_synced_record_is_lost_and_none_appears(
        steps in prop::collection::vec(step(), 1..40),
        budget in 1u64..6000,
        seed in any::<u64>(),
        second in 1u64..400,
    ) {
        for survival in [Survival::ProcessKilled, Survival::NothingUnsynced, Survival::Random(seed)] {
            crash_and_check(&steps, budget, survival, second);
        }
    }
}

#[test]
fn one_history_dies_at_every_byte() {
    let mut steps = Vec::new();
    for i in 0..12 {
        steps.push(Step::Append {
            size: 20 * (i % 4),
            records: 1 + i % 3,
        });
        match i % 4 {
            1 => steps.push(Step::Flush),
            2 => steps.push(Step::Produce { sequence_step: true }),
            3 => steps.push(Step::Checkpoint),
            _ => {}
        }
        if i == 8 {
            steps.push(Step::Truncate { back: 3 });
        }
    }
    let config = LogConfig {
        segment_bytes: 700,
        index_interval_bytes: 150,
        ..LogConfig::default()
    };
    let whole = disk();
    run(&whole, &config, &steps);
    for budget in 1..whole.spent() {
        for survival in [
            Survival::ProcessKilled,
            Survival::NothingUnsynced,
            Survival::Random(budget),
        ] {
            crash_and_check(&steps, budget, survival, 1 + budget % 50);
        }
    }
}
