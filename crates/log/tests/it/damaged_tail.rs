//! The end of a damaged log is told before it is cut, and set aside byte by byte.

use crate::support::*;
use milena_log::env::{Fault, FaultyFileSystem, FileSystem, Survival};
use milena_log::quarantine::{LOSS_FILE, Quarantine, QuarantineRules, Quarantined};
use milena_log::{
    CorruptionPolicy, DamagedTail, Env, LogConfig, LogError, OpenError, OpenOptions, PartitionLog, TailKeeper,
};
use milena_types::{LeaderEpoch, Offset, Timestamp};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const NOW: Timestamp = Timestamp(5_000_000);
const END: Offset = Offset(36);
/// The third batch of its segment is damaged there.
const BAD: Offset = Offset(18);

fn quarantine(fs: &FaultyFileSystem) -> Quarantine {
    let rules = QuarantineRules {
        bytes_max: 1 << 20,
        age_max_ms: 1000,
    };
    Quarantine::new(Env::with(Arc::new(fs.clone()), 4), Path::new("/logs"), rules)
}

fn logs(fs: &FaultyFileSystem) -> Vec<PathBuf> {
    let logs = files(fs, ".log").into_iter();
    logs.filter(|path| path.starts_with(DIR)).collect()
}

fn base_of(path: &Path) -> Offset {
    Offset(path.file_stem().unwrap().to_str().unwrap().parse().unwrap())
}

/// Where the batch of an offset begins: its segment, and the byte.
fn place_of(fs: &FaultyFileSystem, offset: Offset) -> (PathBuf, usize) {
    let path = logs(fs)
        .into_iter()
        .rfind(|path| base_of(path) <= offset)
        .unwrap();
    let mut at = 0;
    for batch in milena_record::batches(&fs.content(&path).unwrap()) {
        let (header, bytes) = batch.unwrap();
        if header.last_offset() >= offset {
            break;
        }
        at += bytes.len();
    }
    (path, at)
}

/// Six epochs of three batches of two records, in several segments, all flushed and closed; one byte of a batch is bad. Gives the
/// bytes from that batch on.
fn damaged() -> (FaultyFileSystem, Vec<u8>) {
    damaged_at(IN_A_RECORD)
}

/// Only the checksum tells.
const IN_A_RECORD: usize = 70;
/// What follows in the segment cannot be made out.
const IN_THE_LENGTH: usize = 8;

fn damaged_at(bad: usize) -> (FaultyFileSystem, Vec<u8>) {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    for i in 0..18 {
        log.append_as_leader(batch(&[&format!("a{i}"), &format!("b{i}")]), &ctx(i / 3))
            .unwrap();
    }
    log.close().unwrap();
    let (path, at) = place_of(&fs, BAD);
    let mut bytes = fs.content(&path).unwrap();
    bytes[at + bad] ^= 0x40;
    fs.overwrite(&path, &bytes);
    let later = logs(&fs).into_iter().filter(|later| *later > path);
    let mut tail = bytes[at..].to_vec();
    later.for_each(|later| tail.extend(fs.content(&later).unwrap()));
    (fs, tail)
}

/// As after a clean stop: nothing is scanned.
fn open_clean(fs: &FaultyFileSystem) -> PartitionLog {
    let options = OpenOptions {
        clean: true,
        recovery_point: END,
        ..options(fs, &small())
    };
    PartitionLog::open(options).unwrap().0
}

fn tail_of(log: &PartitionLog) -> DamagedTail {
    log.damaged_tail(BAD, Offset(20), "bad").unwrap().unwrap()
}

fn set_aside(fs: &FaultyFileSystem, log: &PartitionLog) -> Result<Quarantined, LogError> {
    set_tail_aside(fs, log, &tail_of(log))
}

fn set_tail_aside(
    fs: &FaultyFileSystem,
    log: &PartitionLog,
    tail: &DamagedTail,
) -> Result<Quarantined, LogError> {
    let mut writer = quarantine(fs).begin(log.partition(), log.topic_id())?;
    writer.append_damaged(tail)?;
    writer.finish(b"{\"at_ms\": 5000000}", NOW)
}

/// The bytes that a copy holds, in the order of its files.
fn kept(fs: &FaultyFileSystem, copy: &Quarantined) -> Vec<u8> {
    assert!(fs.content(&copy.path.join(LOSS_FILE)).is_some());
    let mut names: Vec<_> = fs.read_dir(&copy.path).unwrap().into_iter().collect();
    names.sort();
    let logs = names.iter().filter(|(name, _)| name.ends_with(".log"));
    logs.flat_map(|(name, _)| fs.content(&copy.path.join(name)).unwrap())
        .collect()
}

#[test]
fn all_from_the_damage_on_is_copied_as_it_is() {
    let (fs, expected) = damaged();
    let mut log = open_clean(&fs);
    // That leader has appended nothing.
    log.assign_epoch_at_become_leader(LeaderEpoch(8));
    let tail = tail_of(&log);
    assert_eq!((tail.range.from, tail.range.to), (BAD, END));
    assert_eq!(tail.committed_to, Offset(20));
    let epochs = [(3, 18), (4, 24), (5, 30)].map(|(epoch, start)| (LeaderEpoch(epoch), Offset(start)));
    assert_eq!(tail.epochs, epochs);
    assert_eq!(tail.bytes(), expected.len() as u64);
    assert_eq!(tail.pieces.len(), 2, "of several segments");
    let copy = set_aside(&fs, &log).unwrap();
    assert_eq!(kept(&fs, &copy), expected);
    assert!(
        fs.content(&copy.path.join("00000000000000000018.log")).is_some(),
        "named after its first batch"
    );
    assert_eq!(quarantine(&fs).list().unwrap(), [copy]);
    assert_eq!(
        log.damaged_tail(END, END, "").unwrap(),
        None,
        "nothing is behind it"
    );
}

#[test]
fn a_log_that_goes_as_a_whole_is_copied_as_a_whole() {
    let (fs, _) = damaged();
    let mut log = open_clean(&fs);
    log.set_log_start_offset(Offset(4));
    let tail = log.damaged_tail(Offset(4), Offset(99), "").unwrap().unwrap();
    assert_eq!((tail.range.from, tail.range.to), (Offset(4), END));
    assert_eq!(tail.committed_to, END, "not more than there was");
    let sizes = logs(&fs).into_iter().map(|path| fs.content(&path).unwrap().len());
    assert_eq!(tail.bytes(), sizes.sum::<usize>() as u64);
}

#[test]
fn a_crash_at_any_byte_leaves_the_damaged_log_uncut_or_its_end_whole() {
    let (_, expected) = damaged();
    let spent = {
        let (fs, _) = damaged();
        let mut log = open_clean(&fs);
        let before = fs.spent();
        set_aside(&fs, &log).unwrap();
        log.truncate_to(BAD).unwrap();
        fs.spent() - before
    };
    let (mut cut, mut uncut) = (0, 0);
    for budget in (1..=spent + 1).step_by(7) {
        let (fs, _) = damaged();
        let mut log = open_clean(&fs);
        fs.die_after(budget);
        if set_aside(&fs, &log).is_ok() {
            let _ = log.truncate_to(BAD);
        }
        for survival in [
            Survival::ProcessKilled,
            Survival::NothingUnsynced,
            Survival::Random(budget),
        ] {
            let found = fs.after_crash(survival);
            let copies = quarantine(&found).list().unwrap();
            for copy in &copies {
                assert_eq!(kept(&found, copy), expected, "{budget} {survival:?}");
            }
            let whole: usize = logs(&found)
                .into_iter()
                .map(|path| found.content(&path).unwrap().len())
                .sum();
            let before: usize = {
                let (fs, _) = damaged();
                logs(&fs)
                    .into_iter()
                    .map(|path| fs.content(&path).unwrap().len())
                    .sum()
            };
            if whole < before {
                assert_eq!(copies.len(), 1, "{budget} {survival:?}");
                cut += 1;
            } else {
                uncut += 1;
            }
        }
    }
    assert!(cut > 3 && uncut > 10, "{cut} {uncut}");
}

#[test]
fn a_copy_that_fails_is_not_kept() {
    type Kind = fn(u64) -> Fault;
    let kinds: [(Kind, u64); 5] = [
        (Fault::NoSpaceAtWrite, 3),
        (Fault::NoSpaceAtCreate, 3),
        (Fault::SyncFails, 3),
        (Fault::RenameFails, 1),
        (Fault::ReadFails, 2),
    ];
    for (kind, times) in kinds {
        for at in 1..=times {
            let (fs, expected) = damaged();
            let log = open_clean(&fs);
            let tail = tail_of(&log);
            fs.inject(kind(at));
            assert!(set_tail_aside(&fs, &log, &tail).is_err(), "{:?}", kind(at));
            assert_eq!(quarantine(&fs).list().unwrap(), [], "{:?}", kind(at));
            fs.disarm();
            assert_eq!(kept(&fs, &set_aside(&fs, &log).unwrap()), expected);
        }
    }
}

#[test]
fn a_segment_that_is_shorter_than_it_was_is_no_copy() {
    let (fs, _) = damaged();
    let log = open_clean(&fs);
    let tail = tail_of(&log);
    let last = &tail.pieces.last().unwrap().path;
    let bytes = fs.content(last).unwrap();
    fs.overwrite(last, &bytes[..bytes.len() - 1]);
    let mut writer = quarantine(&fs).begin(log.partition(), log.topic_id()).unwrap();
    let error = writer.append_damaged(&tail).unwrap_err();
    assert_eq!(error.source.kind(), std::io::ErrorKind::UnexpectedEof);
    writer.abandon().unwrap();
    assert_eq!(quarantine(&fs).list().unwrap(), []);
}

/// Remembers what it was told, and how the disk was then; may refuse.
#[derive(Debug)]
struct Told {
    fs: FaultyFileSystem,
    refuses: bool,
    tails: Mutex<Tails>,
}

impl TailKeeper for Told {
    fn keep(&self, tail: &DamagedTail) -> Result<(), LogError> {
        let mut bytes = Vec::new();
        for piece in &tail.pieces {
            let from = usize::try_from(piece.position).unwrap();
            let to = from + usize::try_from(piece.bytes).unwrap();
            bytes.extend(&self.fs.content(&piece.path).unwrap()[from..to]);
        }
        self.tails.lock().unwrap().push((tail.clone(), bytes));
        match self.refuses {
            true => Err(LogError {
                operation: "copy",
                path: DIR.into(),
                source: std::io::ErrorKind::StorageFull.into(),
            }),
            false => Ok(()),
        }
    }
}

/// What a keeper was told, and the bytes that were there then.
type Tails = Vec<(DamagedTail, Vec<u8>)>;

/// Opens the log with a keeper. `recovery_point`: what lies below is damaged for certain.
fn open_told(
    fs: &FaultyFileSystem,
    corruption: CorruptionPolicy,
    recovery_point: Offset,
    refuses: bool,
) -> (Result<PartitionLog, OpenError>, Tails) {
    let told = Arc::new(Told {
        fs: fs.clone(),
        refuses,
        tails: Mutex::default(),
    });
    let opened = PartitionLog::open(OpenOptions {
        corruption,
        recovery_point,
        high_watermark: Offset(20),
        leader_epoch: LeaderEpoch(9),
        keeper: Some(Arc::clone(&told) as _),
        ..options(fs, &small())
    });
    let tails = std::mem::take(&mut *told.tails.lock().unwrap());
    (opened.map(|(log, _)| log), tails)
}

fn content(fs: &FaultyFileSystem) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let paths = fs.paths().into_iter();
    paths.map(|path| (path.clone(), fs.content(&path))).collect()
}

#[test]
fn opening_tells_of_a_damaged_end_before_it_cuts_it() {
    // Flushed records are damaged; the tail past the recovery point may be.
    for (corruption, recovery_point, bad) in [
        (CorruptionPolicy::Truncate, Offset(24), IN_THE_LENGTH),
        (CorruptionPolicy::Truncate, BAD, IN_A_RECORD),
        (CorruptionPolicy::Refuse, BAD, IN_A_RECORD),
    ] {
        let (fs, expected) = damaged_at(bad);
        let before = content(&fs);
        let (refused, tails) = open_told(&fs, corruption, recovery_point, true);
        let what = format!("{corruption:?} {recovery_point}");
        assert!(matches!(refused, Err(OpenError::NotSetAside(_))), "{what}");
        assert_eq!(tails.len(), 1, "{what}");
        let (tail, bytes) = &tails[0];
        assert_eq!(bytes, &expected, "{what}");
        assert_eq!((tail.range.from, tail.range.to), (BAD, END), "{what}");
        assert_eq!(tail.committed_to, Offset(20), "{what}");
        assert_eq!(tail.last_epoch, Some(LeaderEpoch(5)), "{what}");
        assert_eq!(content(&fs), before, "{what}: nothing was cut");
        let (log, again) = open_told(&fs, corruption, recovery_point, false);
        assert_eq!(log.unwrap().log_end_offset(), BAD, "{what}");
        assert_eq!(again, tails, "{what}: it was told as before");
    }
}

#[test]
fn opening_tells_of_what_lies_behind_a_missing_segment() {
    let (fs, _) = damaged();
    let (path, _) = place_of(&fs, BAD);
    let later: Vec<_> = logs(&fs).into_iter().filter(|later| *later > path).collect();
    let expected: Vec<u8> = later
        .iter()
        .flat_map(|later| fs.content(later).unwrap())
        .collect();
    fs.remove_file(&path).unwrap();
    let (log, tails) = open_told(&fs, CorruptionPolicy::Truncate, END, false);
    assert_eq!(log.unwrap().log_end_offset(), base_of(&path));
    assert_eq!(tails.len(), 1);
    assert_eq!(tails[0].1, expected);
    assert_eq!(
        (tails[0].0.range.from, tails[0].0.range.to),
        (base_of(&path), END)
    );
    assert_eq!(tails[0].0.pieces[0].offset, base_of(&later[0]));
}

/// Only the lower bound was told, and counted as the end.
#[test]
fn what_lies_behind_an_unreadable_header_is_told_too() {
    for (corruption, recovery_point) in [
        (CorruptionPolicy::Truncate, Offset(30)),
        (CorruptionPolicy::Refuse, Offset(30)),
    ] {
        let fs = disk();
        let (mut log, _) = open(&fs, &LogConfig::default());
        (0..18).for_each(|i| drop(log.append_as_leader(batch(&["a", "b"]), &ctx(i / 3)).unwrap()));
        log.close().unwrap();
        zero_header(&fs, Offset(30));
        let (log, tails) = open_told(&fs, corruption, recovery_point, false);
        assert_eq!(log.unwrap().log_end_offset(), Offset(30));
        let tail = &tails[0].0;
        assert_eq!(
            (tail.range.from, tail.range.to),
            (Offset(30), END),
            "{corruption:?}"
        );
        assert!(tail.is_end_known);
        assert_eq!(tail.last_epoch, Some(LeaderEpoch(5)));
    }
}

#[test]
fn a_last_batch_that_cannot_be_read_leaves_the_end_unknown() {
    let (fs, _) = damaged_at(IN_THE_LENGTH);
    zero_header(&fs, Offset(34));
    let (_, tails) = open_told(&fs, CorruptionPolicy::Truncate, Offset(24), false);
    let tail = &tails[0].0;
    assert_eq!((tail.range.from, tail.range.to), (BAD, Offset(34)));
    assert!(!tail.is_end_known);
    assert_eq!(
        tail.last_epoch, None,
        "that of the last one that can be read is another one"
    );
    assert_eq!(tail.epochs.last(), Some(&(LeaderEpoch(5), Offset(30))));
}

#[test]
fn records_that_were_there_for_certain_leave_the_end_unknown_too() {
    let (fs, _) = damaged();
    // With its indexes: nothing tells of that segment but the recovery point.
    let last = logs(&fs).pop().unwrap();
    let of_the_last = |path: &PathBuf| path.file_stem() == last.file_stem();
    for path in fs.paths().into_iter().filter(of_the_last) {
        fs.remove_file(&path).unwrap();
    }
    let (log, tails) = open_told(&fs, CorruptionPolicy::Truncate, END, false);
    assert_eq!(log.unwrap().log_end_offset(), BAD);
    let tail = &tails[0].0;
    assert_eq!(tail.range.to, END);
    assert_eq!((tail.is_end_known, tail.last_epoch), (false, None));
}

fn zero_header(fs: &FaultyFileSystem, offset: Offset) {
    let (path, at) = place_of(fs, offset);
    let mut bytes = fs.content(&path).unwrap();
    bytes[at..at + 60].fill(0);
    fs.overwrite(&path, &bytes);
}

#[test]
fn the_end_of_a_batch_that_was_never_completed_is_not_told() {
    let (fs, _) = damaged();
    let whole = fs.content(&logs(&fs).pop().unwrap()).unwrap();
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    append(&mut log, &["a", "b"]);
    drop(log);
    let path = logs(&fs).pop().unwrap();
    let mut bytes = fs.content(&path).unwrap();
    let good = bytes.len();
    bytes.extend(&whole[..40]);
    fs.overwrite(&path, &bytes);
    let told = Arc::new(Told {
        fs: fs.clone(),
        refuses: true,
        tails: Mutex::default(),
    });
    PartitionLog::open(OpenOptions {
        keeper: Some(Arc::clone(&told) as _),
        ..options(&fs, &small())
    })
    .unwrap();
    assert!(told.tails.lock().unwrap().is_empty());
    assert_eq!(fs.content(&path).unwrap().len(), good, "it is cut as ever");
}
