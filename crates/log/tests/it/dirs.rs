//! Log directories: whose they are, how they were left, what they remember.

use crate::support::*;
use milena_log::checkpoint::OffsetCheckpoint;
use milena_log::env::{FileSystem, Survival};
use milena_log::{CorruptionPolicy, Env, LogConfig, LogDir, LogDirError, OpenError, PartitionLog};
use milena_types::{
    BrokerEpoch, BrokerId, ClusterId, Offset, PartitionIndex, Timestamp, TopicId, TopicName, TopicPartition,
    Uuid,
};
use std::path::Path;
use std::sync::Arc;

fn cluster(id: &str) -> ClusterId {
    ClusterId(id.to_owned())
}

fn partition(topic: &str, index: i32) -> TopicPartition {
    TopicPartition {
        topic: TopicName::new(topic).unwrap(),
        partition: PartitionIndex(index),
    }
}

#[test]
fn a_directory_is_formatted_once_and_bound_to_its_owner() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("data");
    assert!(matches!(
        LogDir::open(&path, BrokerId(1), None),
        Err(LogDirError::NotFormatted(_))
    ));
    let dir = LogDir::open(&path, BrokerId(1), Some(&cluster("c"))).unwrap();
    let id = dir.directory_id();
    assert!(!id.0.is_zero());
    assert!(
        matches!(
            LogDir::open(&path, BrokerId(1), None),
            Err(LogDirError::Locked(_))
        ),
        "held by this process"
    );
    drop(dir);
    assert_eq!(LogDir::open(&path, BrokerId(1), None).unwrap().directory_id(), id);
    let other = LogDir::open(&path, BrokerId(2), None).unwrap_err();
    assert!(matches!(
        other,
        LogDirError::OtherNode {
            found: BrokerId(1),
            ..
        }
    ));
    assert!(
        other
            .to_string()
            .contains("data belongs to node 1, this is node 2"),
        "{other}"
    );
    let other = LogDir::open(&path, BrokerId(1), Some(&cluster("d"))).unwrap_err();
    assert!(
        other
            .to_string()
            .contains("belongs to cluster c, this node is part of d"),
        "{other}"
    );
}

#[test]
fn a_directory_with_data_but_without_owner_is_not_adopted() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::create_dir(temp.path().join("topic-0")).unwrap();
    assert!(matches!(
        LogDir::open(temp.path(), BrokerId(1), Some(&cluster("c"))),
        Err(LogDirError::Unbound(_))
    ));
}

#[test]
fn only_the_run_after_a_clean_shutdown_is_clean() {
    let temp = tempfile::tempdir().unwrap();
    let open = || LogDir::open(temp.path(), BrokerId(1), Some(&cluster("c"))).unwrap();
    assert_eq!(open().was_clean(), None);
    open().write_clean_shutdown(BrokerEpoch(77)).unwrap();
    assert_eq!(open().was_clean(), Some(BrokerEpoch(77)));
    assert_eq!(open().was_clean(), None, "the run before did not end cleanly");
}

#[test]
fn a_directory_with_a_log_that_nobody_opened_since_a_crash_is_not_clean() {
    let temp = tempfile::tempdir().unwrap();
    let open = || LogDir::open(temp.path(), BrokerId(1), Some(&cluster("c"))).unwrap();
    let config = Arc::new(LogConfig::default());
    let log_in = |dir: &LogDir, index| {
        let id = TopicId(Uuid([7; 16]));
        let options = dir.open_options(partition("orders", index), id, config.clone(), Timestamp(0));
        PartitionLog::open(options).unwrap().0
    };
    let dir = open();
    for index in [0, 1] {
        append(&mut log_in(&dir, index), &["x"]);
    }
    drop(dir);
    // A life that sees one of them only.
    let dir = open();
    log_in(&dir, 0).close().unwrap();
    dir.write_clean_shutdown(BrokerEpoch(1)).unwrap();
    drop(dir);
    let dir = open();
    assert_eq!(dir.was_clean(), None);
    for index in [0, 1] {
        log_in(&dir, index).close().unwrap();
    }
    dir.write_clean_shutdown(BrokerEpoch(2)).unwrap();
    drop(dir);
    // After a shutdown that was clean it need not be opened.
    for epoch in [2, 3] {
        let dir = open();
        assert_eq!(dir.was_clean(), Some(BrokerEpoch(epoch)));
        dir.write_clean_shutdown(BrokerEpoch(epoch + 1)).unwrap();
    }
    // One that has been deleted is missed by nobody.
    drop(open());
    let dir = open();
    log_in(&dir, 0).close().unwrap();
    std::fs::remove_dir_all(temp.path().join("orders-1")).unwrap();
    dir.write_clean_shutdown(BrokerEpoch(9)).unwrap();
    drop(dir);
    assert_eq!(open().was_clean(), Some(BrokerEpoch(9)));
}

#[test]
fn checkpoints_and_partitions_are_found_again() {
    let temp = tempfile::tempdir().unwrap();
    let open = || LogDir::open(temp.path(), BrokerId(1), Some(&cluster("c"))).unwrap();
    let dir = open();
    let config = Arc::new(LogConfig::default());
    let options = |dir: &LogDir, name| {
        dir.open_options(
            partition(name, 3),
            TopicId::random(),
            config.clone(),
            Timestamp(0),
        )
    };
    let (mut log, _) = PartitionLog::open(options(&dir, "orders")).unwrap();
    assert!(
        dir.partitions().unwrap().is_empty(),
        "no directory before the first record"
    );
    append(&mut log, &["x"]);
    assert_eq!(dir.partitions().unwrap(), [partition("orders", 3)]);
    let offsets = [(partition("orders", 3), Offset(1))].into();
    dir.write_checkpoint(OffsetCheckpoint::RecoveryPoint, &offsets)
        .unwrap();
    log.close().unwrap();
    drop(log);
    drop(dir);
    let dir = open();
    assert_eq!(
        dir.read_checkpoint(OffsetCheckpoint::RecoveryPoint).unwrap(),
        offsets
    );
    assert_eq!(options(&dir, "orders").recovery_point, Offset(1));
    std::fs::write(temp.path().join("recovery-point-offset-checkpoint"), "garbage").unwrap();
    drop(dir);
    assert_eq!(
        options(&open(), "orders").recovery_point,
        Offset(0),
        "a damaged checkpoint means: scan everything"
    );
}

#[test]
fn a_log_of_another_life_of_the_topic_is_not_opened() {
    let fs = disk();
    let (mut log, _) = open(&fs, &small());
    append(&mut log, &["x"]);
    log.close().unwrap();
    let options = milena_log::OpenOptions {
        topic_id: TopicId(Uuid([8; 16])),
        ..options(&fs, &small())
    };
    let error = PartitionLog::open(options).unwrap_err();
    assert!(matches!(error, OpenError::TopicIdMismatch { .. }), "{error}");
}

/// One flipped bit in `partition.metadata` makes another valid id.
#[test]
fn a_log_that_counts_and_says_that_it_is_of_a_topic_that_nobody_knows_is_damaged() {
    let other = TopicId(Uuid([8; 16]));
    let flushed = [(1, 0, false), (0, 1, false), (0, 0, true)];
    for (recovery_point, high_watermark, clean) in flushed.into_iter().chain([(0, 0, false)]) {
        let fs = disk();
        let (mut log, _) = open(&fs, &small());
        append(&mut log, &["x"]);
        log.close().unwrap();
        drop(log);
        let open = |corruption, counts, former: &[TopicId]| {
            PartitionLog::open(milena_log::OpenOptions {
                topic_id: other,
                recovery_point: Offset(recovery_point),
                high_watermark: Offset(high_watermark),
                clean,
                corruption,
                counts,
                former_topics: former.to_vec(),
                ..options(&fs, &small())
            })
            .unwrap_err()
        };
        let known = options(&fs, &small()).topic_id;
        let was_flushed = flushed.contains(&(recovery_point, high_watermark, clean));
        for policy in [CorruptionPolicy::Refuse, CorruptionPolicy::RefuseDoubtful] {
            let error = open(policy, true, &[other]);
            assert_eq!(matches!(error, OpenError::Corrupt { .. }), was_flushed, "{error}");
            if was_flushed {
                let text = error.to_string();
                assert!(
                    text.contains(&known.to_string()) && text.contains(&other.to_string()),
                    "{text}"
                );
            }
            for error in [open(policy, false, &[]), open(policy, true, &[other, known])] {
                assert!(matches!(error, OpenError::TopicIdMismatch { .. }), "{error}");
            }
        }
        // The leader's takes its place.
        let error = open(CorruptionPolicy::Truncate, true, &[]);
        assert!(matches!(error, OpenError::TopicIdMismatch { .. }), "{error}");
    }
}

/// It may be the log of a deleted topic of the same name.
#[test]
fn a_log_that_does_not_say_whose_it_is_is_not_opened_once_it_was_flushed() {
    let damages: [Option<&[u8]>; 5] = [
        None,
        Some(b""),
        Some(&[0; 40]),
        Some(b"version: 0"),
        Some(b"junk"),
    ];
    for damage in damages {
        for (recovery_point, clean) in [(1, false), (1, true), (0, true), (0, false)] {
            let fs = disk();
            let (mut log, _) = open(&fs, &small());
            append(&mut log, &["x"]);
            log.close().unwrap();
            drop(log);
            let path = files(&fs, "partition.metadata").remove(0);
            let whole = fs.content(&path).unwrap();
            match damage {
                Some(bytes) => fs.overwrite(&path, bytes),
                None => fs.remove_file(&path).unwrap(),
            }
            let open = |corruption| {
                PartitionLog::open(milena_log::OpenOptions {
                    recovery_point: Offset(recovery_point),
                    clean,
                    corruption,
                    ..options(&fs, &small())
                })
            };
            if recovery_point > 0 || clean {
                for policy in [CorruptionPolicy::Refuse, CorruptionPolicy::RefuseDoubtful] {
                    let error = open(policy).unwrap_err();
                    assert!(
                        error
                            .to_string()
                            .contains("does not say that the log is of the topic"),
                        "{error}"
                    );
                    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
                }
                let error = open(CorruptionPolicy::Truncate).unwrap_err();
                assert!(
                    matches!(error, OpenError::TopicIdMismatch { .. }),
                    "it is set aside: {error}"
                );
            } else {
                // A power cut may leave this of a log that nothing of was acknowledged.
                let (mut log, _) = open(CorruptionPolicy::Refuse).unwrap();
                assert_eq!(dump(&log, 1).len(), 1);
                log.flush().unwrap();
                let after = fs.after_crash(Survival::NothingUnsynced);
                assert_eq!(after.content(&path).unwrap(), whole);
            }
        }
    }
}

#[test]
fn the_real_file_system_behaves_like_the_simulated_one() {
    let temp = tempfile::tempdir().unwrap();
    let dir = LogDir::open(temp.path(), BrokerId(1), Some(&cluster("c"))).unwrap();
    let config = Arc::new(LogConfig {
        segment_bytes: 100_000,
        index_interval_bytes: 1,
        ..LogConfig::default()
    });
    let options = || {
        dir.open_options(
            partition("t", 0),
            TopicId(Uuid([1; 16])),
            config.clone(),
            Timestamp(0),
        )
    };
    let (mut log, _) = PartitionLog::open(options()).unwrap();
    for i in 0..5000 {
        append(&mut log, &[&format!("value {i}")]);
    }
    flush(&mut log);
    assert!(log.segments() > 3);
    let all = dump(&log, 4096);
    assert_eq!((all.len(), log.flushed_offset()), (5000, Offset(5000)));
    assert!(log.release_idle().unwrap());
    // Indexes of 8000 bytes and more are read through maps from here on.
    assert_eq!(dump(&log, 4096), all);
    drop(log);
    let (mut log, report) = PartitionLog::open(options()).unwrap();
    assert_eq!((log.log_end_offset(), report.cut), (Offset(5000), None));
    log.truncate_to(Offset(1234)).unwrap();
    assert_eq!(dump(&log, 100_000), all[..1234]);
    log.delete().unwrap().unwrap().run().unwrap();
    assert!(dir.partitions().unwrap().is_empty() && dir.leftovers().unwrap().is_empty());
}

#[test]
fn the_end_of_a_log_that_is_not_open_is_that_of_its_last_whole_batch() {
    let fs = disk();
    let env = Env::with(Arc::new(fs.clone()), 4);
    let dir = LogDir::open_in(env, Path::new("/logs"), BrokerId(1), Some(&cluster("c")), None).unwrap();
    let of = options(&fs, &small()).partition;
    assert!(dir.log_end(&of).is_err(), "there is no directory");
    let (mut log, _) = open(&fs, &small());
    for _ in 0..50 {
        append(&mut log, &["x"; 20]);
    }
    assert!(log.segments() > 1);
    let end = log.log_end_offset();
    drop(log);
    assert_eq!(dir.log_end(&of).unwrap(), Some(end));
    let logs = fs.paths().into_iter();
    let last = logs.filter(|path| path.extension() == Some("log".as_ref())).max();
    let last = last.unwrap();
    let whole = fs.content(&last).unwrap();
    for more in [&whole[..20], &[0; 100]] {
        fs.overwrite(&last, &[&whole, more].concat());
        assert_eq!(dir.log_end(&of).unwrap(), Some(end));
    }
    fs.overwrite(&last, b"");
    let base: i64 = last.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    assert!(base > 0 && Offset(base) < end);
    assert_eq!(dir.log_end(&of).unwrap(), Some(Offset(base)));
    fs.remove_file(&last).unwrap();
    assert_eq!(
        dir.log_end(&of).unwrap(),
        Some(Offset(base)),
        "the one before ends there"
    );
}

#[test]
fn nobody_knows_the_topic_of_a_log_of_which_nothing_was_flushed_and_nothing_says_it() {
    let fs = disk();
    let open_dir = || {
        let env = Env::with(Arc::new(fs.clone()), 4);
        LogDir::open_in(env, Path::new("/logs"), BrokerId(1), Some(&cluster("c")), None).unwrap()
    };
    drop(open_dir());
    let (mut log, _) = open(&fs, &small());
    append(&mut log, &["x"]);
    drop(log);
    let opens_if = |counts, flushed, committed, corruption| {
        let dir = open_dir();
        let opts = milena_log::OpenOptions {
            recovery_point: Offset(flushed),
            high_watermark: Offset(committed),
            clean: dir.was_clean().is_some(),
            corruption,
            counts,
            ..options(&fs, &small())
        };
        match dir.refuse_unclaimed(&opts) {
            Ok(()) => "opened",
            Err(OpenError::TopicIdMismatch { .. }) => "another topic's",
            Err(OpenError::Doubtful { .. }) => "in doubt",
            Err(error) => panic!("{error}"),
        }
    };
    let opens = |flushed, committed, corruption| opens_if(true, flushed, committed, corruption);
    let (doubts, alone, refilled) = (
        CorruptionPolicy::RefuseDoubtful,
        CorruptionPolicy::Refuse,
        CorruptionPolicy::Truncate,
    );
    assert_eq!(opens(0, 0, doubts), "opened", "it is marked");
    fs.remove_file(&file("partition.metadata")).unwrap();
    for policy in [doubts, alone, refilled] {
        assert_eq!(opens(0, 0, policy), "another topic's");
        assert_eq!(
            opens_if(false, 0, 1, policy),
            "another topic's",
            "it does not count"
        );
        assert_eq!(
            opens(1, 1, policy),
            "opened",
            "the first flush took the mark along"
        );
    }
    assert_eq!(
        opens(0, 1, doubts),
        "in doubt",
        "others may have what was committed"
    );
    assert_eq!(opens(0, 1, alone), "opened", "nobody else has it");
    assert_eq!(opens(0, 1, refilled), "another topic's", "its leader has it");
    fs.overwrite(&file("recovery-floor"), b"0\n");
    for policy in [doubts, alone, refilled] {
        assert_eq!(
            opens(1, 1, policy),
            "another topic's",
            "of a former log of the name"
        );
    }
    let (dir, of) = (open_dir(), options(&fs, &small()));
    // It is opened, by whoever writes the mark.
    let _ = dir.open_options(of.partition, of.topic_id, of.config, of.now);
    dir.write_clean_shutdown(BrokerEpoch(1)).unwrap();
    assert_eq!(
        opens(0, 0, doubts),
        "opened",
        "a shutdown in order vouches for it"
    );
}
