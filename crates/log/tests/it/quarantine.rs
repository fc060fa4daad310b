//! The end of a log is set aside, whole and durably, before it is cut.

use crate::support::*;
use milena_log::env::{Fault, FaultyFileSystem, FileSystem, Survival};
use milena_log::quarantine::{LOSS_FILE, Quarantine, QuarantineRules, Quarantined};
use milena_log::{Env, LogError, PartitionLog};
use milena_record::batches;
use milena_types::{Offset, Timestamp};
use std::path::Path;
use std::sync::Arc;

const LOGS: &str = "/logs";
/// As the test sees it, without the time.
const LOSS: &str = "{\"lost_from\": 6, \"at_ms\": ";
const CUT: Offset = Offset(6);
const NOW: Timestamp = Timestamp(5_000_000);
const ALL: QuarantineRules = QuarantineRules {
    bytes_max: 1 << 20,
    age_max_ms: 1000,
};

fn quarantine(fs: &FaultyFileSystem, rules: QuarantineRules) -> Quarantine {
    Quarantine::new(Env::with(Arc::new(fs.clone()), 4), Path::new(LOGS), rules)
}

/// Three epochs of three batches of two records, in several segments, all flushed.
fn filled() -> (FaultyFileSystem, PartitionLog) {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    for i in 0..9 {
        log.append_as_leader(batch(&[&format!("a{i}"), &format!("b{i}")]), &ctx(i / 3))
            .unwrap();
    }
    flush(&mut log);
    (fs, log)
}

#[derive(Debug)]
enum SetAsideError {
    Log(LogError),
    Read,
}

/// As the broker does it: piece by piece.
fn set_aside(
    fs: &FaultyFileSystem,
    log: &PartitionLog,
    from: Offset,
    now: Timestamp,
) -> Result<Quarantined, SetAsideError> {
    let quarantine = quarantine(fs, ALL);
    let mut tail = quarantine
        .begin(log.partition(), log.topic_id())
        .map_err(SetAsideError::Log)?;
    let mut at = from;
    let end = log.log_end_offset();
    while let Some(plan) = log
        .plan_read(at, 150, end, true)
        .map_err(|_| SetAsideError::Read)?
    {
        let read = plan.run().map_err(|_| SetAsideError::Read)?;
        if !read.records.is_empty() {
            tail.append(&read.records).map_err(SetAsideError::Log)?;
        }
        at = read.next_offset;
    }
    tail.finish(format!("{LOSS}{}}}", now.0).as_bytes(), now)
        .map_err(SetAsideError::Log)
}

/// The bytes of the log from `from` on.
fn tail_of(log: &PartitionLog, from: Offset) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut at = from;
    while at < log.log_end_offset() {
        let read = log.read(at, 1 << 20, log.log_end_offset(), true).unwrap();
        bytes.extend_from_slice(&read.records);
        at = read.next_offset;
    }
    bytes
}

/// The batches that a quarantined tail holds, and where they begin, after a look at its other files.
fn kept(fs: &FaultyFileSystem, path: &Path) -> (Vec<u8>, Offset) {
    let loss = String::from_utf8(fs.content(&path.join(LOSS_FILE)).unwrap()).unwrap();
    assert!(loss.starts_with(LOSS) && loss.ends_with('}'), "{loss}");
    let bound = String::from_utf8(fs.content(&path.join("partition.metadata")).unwrap()).unwrap();
    assert!(bound.starts_with("version: 0\ntopic_id: "), "{bound}");
    let names = fs.read_dir(path).unwrap();
    let log = names.iter().find(|(name, _)| name.ends_with(".log")).unwrap();
    assert_eq!(names.len(), 3, "{names:?}");
    let base = Offset(log.0.trim_end_matches(".log").parse().unwrap());
    (fs.content(&path.join(&log.0)).unwrap(), base)
}

fn names(fs: &FaultyFileSystem) -> Vec<String> {
    let names = fs.read_dir(Path::new(LOGS)).unwrap();
    names.into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_tail_is_kept_as_it_was() {
    let (fs, mut log) = filled();
    for from in [0, 6, 7, 16] {
        let tail = set_aside(&fs, &log, Offset(from), NOW).unwrap();
        let (bytes, base) = kept(&fs, &tail.path);
        assert_eq!(bytes, tail_of(&log, Offset(from)));
        assert_eq!(base, Offset(from / 2 * 2), "named after its first batch");
        let offsets: Vec<_> = batches(&bytes)
            .map(|batch| batch.unwrap().0.base_offset.0)
            .collect();
        assert_eq!(offsets, (from / 2 * 2..18).step_by(2).collect::<Vec<_>>());
        let size = log.bytes_from(Offset(from)).unwrap();
        let written = bytes.len() as u64;
        assert!(size >= written && size <= written + 300, "{size} for {written}");
        assert_eq!(quarantine(&fs, ALL).list().unwrap().last().unwrap().since, NOW);
        assert!(quarantine(&fs, ALL).list().unwrap().contains(&tail));
    }
    assert_eq!(log.bytes_from(Offset(18)).unwrap(), 0);
    log.truncate_to(CUT).unwrap();
    assert_eq!(
        quarantine(&fs, ALL).list().unwrap().len(),
        4,
        "it outlives the log"
    );
}

#[test]
fn a_crash_at_any_byte_leaves_the_log_uncut_or_the_tail_whole() {
    let (_, log) = filled();
    let expected = tail_of(&log, CUT);
    let (mut cut, mut complete) = (0, 0);
    let budgets = {
        let (fs, mut log) = filled();
        let before = fs.spent();
        set_aside(&fs, &log, CUT, NOW).unwrap();
        log.truncate_to(CUT).unwrap();
        fs.spent() - before
    };
    for budget in 1..=budgets + 1 {
        let (fs, mut log) = filled();
        fs.die_after(budget);
        if set_aside(&fs, &log, CUT, NOW).is_ok() {
            // What follows may die, too.
            let _ = log.truncate_to(CUT);
        }
        for survival in [
            Survival::ProcessKilled,
            Survival::NothingUnsynced,
            Survival::Random(budget),
            Survival::Random(budget + 10_000),
        ] {
            let found = fs.after_crash(survival);
            let tails = quarantine(&found, ALL).list().unwrap();
            for tail in &tails {
                assert_eq!(
                    kept(&found, &tail.path),
                    (expected.clone(), CUT),
                    "{budget} {survival:?}"
                );
            }
            let (log, _) = open_at(&found, &small(), CUT).unwrap();
            let is_cut = log.log_end_offset() < Offset(18);
            assert!(
                !is_cut || tails.len() == 1,
                "{budget} {survival:?}: {:?}",
                names(&found)
            );
            cut += usize::from(is_cut);
            complete += tails.len();
        }
    }
    assert!(cut > 10 && complete > cut, "{cut} {complete}");
}

#[test]
fn what_fails_is_not_kept_and_can_be_tried_again() {
    type Kind = fn(u64) -> Fault;
    let kinds: [(Kind, u64); 5] = [
        (Fault::NoSpaceAtWrite, 4),
        (Fault::NoSpaceAtCreate, 4),
        (Fault::SyncFails, 3),
        (Fault::RenameFails, 1),
        (Fault::ReadFails, 2),
    ];
    for (kind, times) in kinds {
        for at in 1..=times {
            let (fs, log) = filled();
            fs.inject(kind(at));
            let failed = set_aside(&fs, &log, CUT, NOW);
            assert!(failed.is_err(), "{:?} {failed:?}", kind(at));
            if let (Err(SetAsideError::Log(error)), Fault::NoSpaceAtWrite(_)) = (&failed, kind(at)) {
                assert!(error.is_no_space());
            }
            assert_eq!(quarantine(&fs, ALL).list().unwrap(), [], "{:?}", kind(at));
            fs.disarm();
            let tail = set_aside(&fs, &log, CUT, NOW).unwrap();
            assert_eq!(kept(&fs, &tail.path).0, tail_of(&log, CUT));
        }
    }
}

#[test]
fn an_abandoned_tail_takes_no_space() {
    let (fs, log) = filled();
    let before = names(&fs);
    let mut tail = quarantine(&fs, ALL)
        .begin(log.partition(), log.topic_id())
        .unwrap();
    tail.append(&tail_of(&log, CUT)).unwrap();
    assert_eq!(tail.bytes(), tail_of(&log, CUT).len() as u64);
    assert_eq!(names(&fs).len(), before.len() + 1);
    assert!(
        names(&fs).iter().any(|name| name.ends_with("-delete")),
        "a start removes it"
    );
    tail.abandon().unwrap();
    assert_eq!(names(&fs), before);
    let tail = set_aside(&fs, &log, CUT, NOW).unwrap();
    quarantine(&fs, ALL).release(&tail).unwrap();
    assert_eq!(names(&fs), before);
}

#[test]
fn room_is_made_by_the_oldest_and_never_by_other_strays() {
    let (fs, log) = filled();
    // The log of a deleted topic; an operator's folder.
    for stray in ["/logs/gone-0.0123-stray", "/logs/kept-stray"] {
        fs.create_dir_all(Path::new(stray)).unwrap();
        fs.overwrite(&Path::new(stray).join("00000000000000000000.log"), &[0; 5000]);
    }
    let tails: Vec<_> = [30, 10, 20]
        .map(|at| set_aside(&fs, &log, CUT, Timestamp(at)).unwrap())
        .into();
    let bytes = tails[0].bytes;
    assert_eq!(
        quarantine(&fs, ALL).list().unwrap(),
        [&tails[1], &tails[2], &tails[0]].map(Clone::clone)
    );
    let limited = |bytes_max| {
        let rules = QuarantineRules { bytes_max, ..ALL };
        quarantine(&fs, rules)
    };
    assert_eq!(
        limited(4 * bytes).make_room(bytes, |_| false).unwrap(),
        Some(vec![])
    );
    assert_eq!(
        limited(4 * bytes - 1).make_room(bytes, |_| false).unwrap(),
        Some(vec![tails[1].clone()])
    );
    let first = &tails[2].path;
    assert_eq!(
        limited(3 * bytes - 1)
            .make_room(bytes, |path| path == first)
            .unwrap(),
        Some(vec![tails[0].clone()]),
        "an older one is awaited"
    );
    assert_eq!(
        limited(bytes - 1).make_room(bytes, |_| false).unwrap(),
        None,
        "it would never fit"
    );
    assert_eq!(
        limited(0).make_room(1, |_| false).unwrap(),
        None,
        "nothing is kept"
    );
    assert_eq!(limited(bytes).list().unwrap().len(), 1, "and nothing went for it");
    assert_eq!(
        limited(bytes)
            .make_room(bytes, |_| false)
            .unwrap()
            .map(|gone| gone.len()),
        Some(1)
    );
    assert_eq!(limited(bytes).list().unwrap(), []);
    assert_eq!(
        names(&fs).iter().filter(|name| name.ends_with("-stray")).count(),
        2
    );
}

#[test]
fn what_is_old_goes_and_what_is_too_much() {
    let (fs, log) = filled();
    let tails: Vec<_> = [100, 200, 300]
        .map(|at| set_aside(&fs, &log, CUT, Timestamp(at)).unwrap())
        .into();
    fs.create_dir_all(Path::new("/logs/gone-0.0123-stray")).unwrap();
    let all = quarantine(&fs, ALL);
    assert_eq!(all.sweep(Timestamp(1100)).unwrap(), []);
    assert_eq!(all.sweep(Timestamp(1101)).unwrap(), [tails[0].clone()]);
    let rules = QuarantineRules {
        bytes_max: tails[1].bytes,
        ..ALL
    };
    assert_eq!(
        quarantine(&fs, rules).sweep(Timestamp(400)).unwrap(),
        [tails[1].clone()]
    );
    assert_eq!(all.list().unwrap(), [tails[2].clone()]);
    let off = QuarantineRules { bytes_max: 0, ..ALL };
    assert_eq!(
        quarantine(&fs, off).sweep(Timestamp(400)).unwrap(),
        [tails[2].clone()]
    );
    assert!(names(&fs).contains(&"gone-0.0123-stray".to_owned()));
}
