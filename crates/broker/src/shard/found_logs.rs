//! What the log directories hold at the start, and which of two logs of one name is the log.
//!
//! A move between directories may have been cut short at any point: see `milena_log`, `partition/relocate.rs`.
//!
//! Two logs of one name may belong to two topics: one was deleted while its directory was offline, and made again in another one.
//! Neither a mark nor what they hold says anything then; the topic's id does, once the metadata is there.
//!
//! Two logs of one topic of which neither is a complete copy of the other are there when a directory was out of use for a while and
//! is back, when Kafka's failed amid a move, or when somebody has copied one. Nothing says for certain which is newer. Where other
//! replicas may have what is missing, both are in doubt ([`super::doubles`]): others lead, and what is opened at last is
//! filled in by them. A replica that is alone uses the one that knows more ([`super::log_extent`]). The other one is not touched,
//! and a line says so at every start until somebody removes it. Kafka does not start (`LogManager.loadLog`, "Duplicate log
//! directories"): all its other partitions are away then, until somebody has deleted one of the two, and it does not say which.

use super::log_extent::Extent;
use milena_log::{LogDir, LogError, Removal};
use milena_types::{TopicId, TopicPartition};
use std::collections::BTreeMap;

/// The directories, by index, with the partitions in them; `None` stands for one that cannot be used.
type Listed<'a> = [Option<(&'a LogDir, Vec<TopicPartition>)>];

/// A log of a name that several topics have had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    /// The directory's index.
    pub(super) dir: usize,
    /// Whose log it says it is.
    pub(super) topic: Option<TopicId>,
}

/// Where each partition lies.
#[derive(Debug, Default)]
pub(super) struct FoundLogs {
    pub(super) homes: BTreeMap<TopicPartition, usize>,
    /// Names under which several topics have logs: all but one of them, or all, are deleted. Only the metadata says which.
    pub(super) contested: BTreeMap<TopicPartition, Vec<Life>>,
    /// Of which two directories have a log, where nothing says which is newer.
    pub(super) doubles: BTreeMap<TopicPartition, String>,
    /// Moves that had not been completed, and where to: they begin again.
    pub(super) unfinished: BTreeMap<TopicPartition, usize>,
    /// What is out of use.
    pub(super) removals: Vec<Removal>,
}

impl FoundLogs {
    /// Looks through the directories that can be used; `None` stands for one that cannot.
    pub(super) fn settle(dirs: &Listed<'_>) -> Self {
        let (mut found, mut doubles) = (Self::default(), BTreeMap::<&TopicPartition, Vec<usize>>::new());
        for (index, dir) in dirs.iter().enumerate() {
            let Some((_, names)) = dir else { continue };
            for name in names {
                match found.homes.get(name) {
                    None => drop(found.homes.insert(name.clone(), index)),
                    Some(first) => doubles.entry(name).or_insert_with(|| vec![*first]).push(index),
                }
            }
        }
        for (name, places) in doubles {
            found.settle_double(dirs, name, &places);
        }
        for (index, dir) in dirs.iter().enumerate() {
            let Some((dir, _)) = dir else { continue };
            if let Err(error) = found.settle_copies(dirs, index, dir) {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(path = %dir.path().display(), error, "copies of partitions that were being moved are left as they are");
            }
        }
        found
    }

    /// Several directories have a log of that name.
    fn settle_double(&mut self, dirs: &Listed<'_>, name: &TopicPartition, places: &[usize]) {
        let (mut lives, mut unknown) = (Vec::<Life>::new(), Vec::new());
        for &index in places {
            let Some(topic) = topic_of(dirs, name, index) else {
                unknown.push(index);
                continue;
            };
            let same = lives.iter_mut().find(|life| life.topic == Some(topic));
            match same {
                Some(life) => life.dir = self.choose(dirs, name, life.dir, index),
                None => lives.push(Life {
                    dir: index,
                    topic: Some(topic),
                }),
            }
        }
        if let [_, _, ..] = *lives {
            lives.extend(unknown.into_iter().map(|dir| Life { dir, topic: None }));
            let path = |life: &Life| Some((dirs.get(life.dir)?.as_ref()?.0.path(), life.topic));
            let paths: Vec<_> = lives.iter().filter_map(path).collect();
            tracing::warn!(partition = %name, ?paths, "log directories hold this partition for several topics of its name; the metadata tells which one lives");
            self.homes.remove(name);
            self.contested.insert(name.clone(), lives);
            return;
        }
        let places = lives.iter().map(|life| life.dir).chain(unknown);
        if let Some(kept) =
            places.reduce(|kept, other| self.choose(dirs, name, kept.min(other), kept.max(other)))
        {
            self.homes.insert(name.clone(), kept);
        }
    }

    /// Two directories have a log of that name, of the same topic as far as they say. Gives the one whose log it is.
    fn choose(&mut self, dirs: &Listed<'_>, name: &TopicPartition, first: usize, second: usize) -> usize {
        let (Some(Some((a, _))), Some(Some((b, _)))) = (dirs.get(first), dirs.get(second)) else {
            return first;
        };
        // Whose topic cannot be read may be of a deleted one, or the other.
        let readable = [a, b]
            .iter()
            .all(|dir| dir.topic_id(&dir.partition_path(name)).is_ok());
        let moved_in =
            |dir: &LogDir| readable && dir.has_moved_in(&dir.partition_path(name)).unwrap_or(false);
        let (of_a, of_b) = (Extent::of(a, name), Extent::of(b, name));
        // A mark that a crash has left behind may be older than what came to the other one since.
        let (newer, older, kept) = match (moved_in(a), moved_in(b)) {
            (true, false) if of_a.covers(&of_b) => (a, b, first),
            (false, true) if of_b.covers(&of_a) => (b, a, second),
            _ => {
                let (used, unused, kept) = match of_b.exceeds(&of_a) {
                    true => ((b, of_b), (a, of_a), second),
                    false => ((a, of_a), (b, of_b), first),
                };
                let (used_path, unused_path) = (used.0.path().display(), unused.0.path().display());
                tracing::error!(partition = %name, used = %used_path, unused = %unused_path, used_extent = ?used.1, unused_extent = ?unused.1,
                    "two log directories hold this partition, and nothing says which is newer: where other replicas lead it is filled in by them; remove the one that is not used");
                self.doubles
                    .insert(name.clone(), format!("{used_path} and in {unused_path}"));
                return kept;
            }
        };
        tracing::info!(partition = %name, from = %older.path().display(), to = %newer.path().display(), "completes a move between log directories");
        match older.retire_dir(name, &older.partition_path(name)) {
            Ok(removal) => {
                self.removals.push(removal);
                if let Err(error) = newer.forget_moved_in(&newer.partition_path(name)) {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(partition = %name, error, "the mark of a move that is complete stays");
                }
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(partition = %name, error, "the former log stays for now");
            }
        }
        kept
    }

    /// The logs of that name.
    fn lives(&self, dirs: &Listed<'_>, name: &TopicPartition) -> Vec<Life> {
        let home = self.homes.get(name).map(|index| Life {
            dir: *index,
            topic: topic_of(dirs, name, *index),
        });
        let contested = self.contested.get(name).into_iter().flatten().copied();
        home.into_iter().chain(contested).collect()
    }

    fn settle_copies(&mut self, dirs: &Listed<'_>, index: usize, dir: &LogDir) -> Result<(), LogError> {
        let complete = dirs.iter().all(Option::is_some);
        for (name, path) in dir.futures()? {
            let mut lives = self.lives(dirs, &name);
            if dir.has_moved_in(&path)? {
                let topic = dir.topic_id(&path)?;
                let other = |life: &Life| life.topic.is_some() && topic.is_some() && life.topic != topic;
                if lives.iter().all(other) {
                    tracing::info!(partition = %name, path = %path.display(), "completes a move between log directories");
                    dir.promote_future(&name, &path)?;
                    if lives.is_empty() {
                        self.homes.insert(name, index);
                    } else {
                        lives.push(Life { dir: index, topic });
                        self.homes.remove(&name);
                        self.contested.insert(name, lives);
                    }
                    continue;
                }
            }
            let known = !lives.is_empty();
            if known || complete {
                self.removals.push(dir.retire_dir(&name, &path)?);
            }
            if known {
                self.unfinished.insert(name, index);
            }
        }
        Ok(())
    }
}

/// The topic that the log of that name in that directory belongs to. `None`: it does not say.
fn topic_of(dirs: &Listed<'_>, name: &TopicPartition, index: usize) -> Option<TopicId> {
    let (dir, _) = dirs.get(index)?.as_ref()?;
    let topic = dir.topic_id(&dir.partition_path(name));
    topic.unwrap_or_else(|error| {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(partition = %name, path = %dir.path().display(), error, "cannot read which topic a log belongs to");
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_log::checkpoint::encode_epochs;
    use milena_log::format::{EPOCH_CHECKPOINT_FILE, MOVED_IN_FILE, parse_partition_dir_name};
    use milena_types::{BrokerId, ClusterId, LeaderEpoch, Offset};
    use std::path::Path;

    fn open(path: &Path) -> LogDir {
        LogDir::open(path, BrokerId(1), Some(&ClusterId("c".to_owned()))).unwrap()
    }

    fn make(path: &Path, moved_in: bool) {
        std::fs::create_dir_all(path).unwrap();
        std::fs::write(path.join("00000000000000000000.log"), b"x").unwrap();
        if moved_in {
            std::fs::write(path.join(MOVED_IN_FILE), b"").unwrap();
        }
    }

    /// A move from `a` to `b` that was cut short; gives the home found, whether it begins again, and what is left.
    fn after(
        in_a: Option<&str>,
        in_b: &[(&str, bool)],
        b_works: bool,
    ) -> (Option<usize>, bool, Vec<Vec<String>>) {
        let root = tempfile::tempdir().unwrap();
        let paths = [root.path().join("a"), root.path().join("b")];
        let dirs = [open(&paths[0]), open(&paths[1])];
        if let Some(name) = in_a {
            make(&paths[0].join(name), false);
        }
        for (name, moved_in) in in_b {
            make(&paths[1].join(name), *moved_in);
        }
        let usable = |at: usize| Some((&dirs[at], dirs[at].partitions().unwrap()));
        let found = FoundLogs::settle(&[usable(0), if b_works { usable(1) } else { None }]);
        let name = parse_partition_dir_name("t-0").unwrap();
        for removal in found.removals {
            removal.run().unwrap();
        }
        let left = paths.iter().map(|path| {
            let entries = std::fs::read_dir(path).unwrap().flatten();
            let dirs = entries.filter(|entry| entry.path().is_dir());
            dirs.map(|dir| dir.file_name().into_string().unwrap()).collect()
        });
        (
            found.homes.get(&name).copied(),
            found.unfinished.contains_key(&name),
            left.collect(),
        )
    }

    #[test]
    fn a_move_that_was_cut_short_leaves_one_log_wherever_that_was() {
        let copy = "t-0.0123456789abcdef0123456789abcdef-future";
        let (none, log) = (Vec::<String>::new(), vec!["t-0".to_owned()]);
        for (in_a, in_b, expected) in [
            // While it is copied, and when the copy is complete.
            (Some("t-0"), vec![(copy, false)], (Some(0), true, [&log, &none])),
            (Some("t-0"), vec![(copy, true)], (Some(0), true, [&log, &none])),
            // Renamed, and the original not yet.
            (Some("t-0"), vec![("t-0", true)], (Some(1), false, [&none, &log])),
            // The original is gone, the renaming of the copy was lost.
            (None, vec![(copy, true)], (Some(1), false, [&none, &log])),
            (None, vec![("t-0", true)], (Some(1), false, [&none, &log])),
            // Of a partition that was deleted meanwhile.
            (None, vec![(copy, false)], (None, false, [&none, &none])),
        ] {
            let (home, again, left) = after(in_a, &in_b, true);
            let (expected_home, expected_again, expected_left) = expected;
            assert_eq!(
                (home, again),
                (expected_home, expected_again),
                "{in_a:?} {in_b:?}"
            );
            assert_eq!(
                left.iter().collect::<Vec<_>>(),
                expected_left,
                "{in_a:?} {in_b:?}"
            );
        }
    }

    #[test]
    fn an_unfinished_copy_is_left_alone_while_its_original_may_be_in_a_failed_directory() {
        let root = tempfile::tempdir().unwrap();
        let dir = open(root.path());
        let copy = root.path().join("t-0.0123456789abcdef0123456789abcdef-future");
        make(&copy, false);
        let found = FoundLogs::settle(&[None, Some((&dir, dir.partitions().unwrap()))]);
        assert!(found.homes.is_empty() && found.removals.is_empty());
        assert!(copy.exists());
    }

    /// The epochs of a log, and its end.
    type Known<'a> = (&'a [(i32, i64)], i64);

    /// Which of two directories with a log of the same name is used, the one in `marked` having a mark; and whether it is certain.
    fn used_of(logs: [Known<'_>; 2], marked: Option<usize>) -> (usize, bool) {
        let root = tempfile::tempdir().unwrap();
        let name = parse_partition_dir_name("t-0").unwrap();
        let dirs = [open(&root.path().join("a")), open(&root.path().join("b"))];
        for (at, (dir, (epochs, end))) in dirs.iter().zip(logs).enumerate() {
            let path = dir.partition_path(&name);
            make(&path, marked == Some(at));
            let epochs: Vec<_> = epochs
                .iter()
                .map(|(epoch, start)| (LeaderEpoch(*epoch), Offset(*start)))
                .collect();
            std::fs::write(path.join(EPOCH_CHECKPOINT_FILE), encode_epochs(&epochs)).unwrap();
            std::fs::write(path.join(format!("{end:020}.log")), b"").unwrap();
        }
        let usable = |dir| Some((dir, LogDir::partitions(dir).unwrap()));
        let found = FoundLogs::settle(&[usable(&dirs[0]), usable(&dirs[1])]);
        let certain = !found.doubles.contains_key(&name);
        assert_eq!(found.removals.len(), usize::from(certain));
        let there = dirs.iter().filter(|dir| dir.partition_path(&name).exists());
        assert_eq!(there.count(), if certain { 1 } else { 2 });
        let home = found.homes[&name];
        let path = dirs[home].partition_path(&name);
        assert!(
            !certain || !dirs[home].has_moved_in(&path).unwrap(),
            "the mark goes"
        );
        (home, certain)
    }

    #[test]
    fn of_two_logs_without_a_mark_the_one_that_knows_more_is_used_in_doubt_and_both_are_kept() {
        let (old, new): (&[_], &[_]) = (&[(1, 0)], &[(1, 0), (3, 40)]);
        for (more, less) in [
            // An epoch that the other has never seen, though its log is longer.
            ((new, 50), (old, 90)),
            // More records.
            ((new, 80), (new, 40)),
            // All of them deleted.
            ((&[][..], 18), (old, 12)),
        ] {
            assert_eq!(used_of([more, less], None), (0, false), "{more:?} and {less:?}");
            assert_eq!(used_of([less, more], None), (1, false), "{less:?} and {more:?}");
        }
        assert_eq!(used_of([(new, 80), (new, 80)], None), (0, false));
    }

    #[test]
    fn a_mark_counts_only_while_its_log_has_all_that_the_other_has() {
        let (old, new): (&[_], &[_]) = (&[(1, 0)], &[(1, 0), (3, 40)]);
        assert_eq!(used_of([(new, 80), (new, 80)], Some(1)), (1, true));
        assert_eq!(used_of([(new, 80), (old, 30)], Some(0)), (0, true));
        // It is from a move long ago, and the other one has grown since.
        assert_eq!(used_of([(new, 80), (new, 40)], Some(1)), (0, false));
        assert_eq!(used_of([(new, 50), (old, 90)], Some(1)), (0, false));
    }
}

#[cfg(test)]
mod lives_tests {
    use crate::shard::log_dirs::{Found, LogDirs, NoLog, OpenRequest};
    use milena_log::checkpoint::OffsetCheckpoint;
    use milena_log::format::{MOVED_IN_FILE, parse_partition_dir_name};
    use milena_log::{
        AppendContext, AppendOrigin, Checkpointed, CorruptionPolicy, LogConfig, LogDir, PartitionLog,
    };
    use milena_types::*;
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    fn cluster() -> ClusterId {
        ClusterId("c".to_owned())
    }

    fn name() -> TopicPartition {
        parse_partition_dir_name("t-0").unwrap()
    }

    /// The partition, of the topic of that id.
    fn life(topic: u8) -> TopicIdPartition {
        TopicIdPartition {
            topic: TopicId(Uuid([topic; 16])),
            partition: PartitionIndex(0),
        }
    }

    fn append(log: &mut PartitionLog, epoch: i32, records: usize) {
        for _ in 0..records {
            let batch = milena_record::BatchBuilder::single(Offset(0), b"value");
            let context = AppendContext {
                epoch: LeaderEpoch(epoch),
                now: Timestamp(1000),
                origin: AppendOrigin::Client,
            };
            log.append_as_leader(bytes::BytesMut::from(&batch[..]), &context)
                .unwrap();
        }
    }

    /// A log of that topic in the directory.
    fn fill(path: &Path, topic: u8, epoch: i32, records: usize) {
        let dir = LogDir::open(path, BrokerId(1), Some(&cluster())).unwrap();
        let config = Arc::new(LogConfig::default());
        let options = dir.open_options(name(), life(topic).topic, config, Timestamp(1000));
        let (mut log, _) = PartitionLog::open(options).unwrap();
        append(&mut log, epoch, records);
        log.close().unwrap();
    }

    fn open(paths: &[PathBuf]) -> LogDirs {
        LogDirs::open(paths, BrokerId(1), &cluster()).unwrap()
    }

    fn find(dirs: &LogDirs, topic: u8, is_new: bool) -> Found {
        dirs.find_partition(&OpenRequest {
            id: life(topic),
            name: &name(),
            config: &Arc::new(LogConfig::default()),
            corruption: CorruptionPolicy::Refuse,
            leader_epoch: LeaderEpoch(i32::MAX),
            is_new,
            counts: false,
            now: Timestamp(2000),
        })
    }

    /// Opens the topic's log; its directory, the log and its high watermark.
    fn opened(dirs: &LogDirs, topic: u8) -> Result<(usize, PartitionLog, Offset), NoLog> {
        opened_as(dirs, topic, false)
    }

    /// Likewise; `counts`: the replica is in sync.
    fn opened_as(dirs: &LogDirs, topic: u8, counts: bool) -> Result<(usize, PartitionLog, Offset), NoLog> {
        let Found::ToOpen(dir) = find(dirs, topic, false) else {
            panic!("not to be opened");
        };
        let request = OpenRequest {
            id: life(topic),
            name: &name(),
            config: &Arc::new(LogConfig::default()),
            corruption: CorruptionPolicy::Refuse,
            leader_epoch: LeaderEpoch(0),
            is_new: false,
            counts,
            now: Timestamp(2000),
        };
        let opened = dirs.open_partition(dir, &request, None);
        opened.map(|(log, high_watermark)| (dir, log, high_watermark))
    }

    fn two() -> (tempfile::TempDir, [PathBuf; 2]) {
        let root = tempfile::tempdir().unwrap();
        let paths = [root.path().join("a"), root.path().join("b")];
        (root, paths)
    }

    #[test]
    fn the_log_of_a_deleted_topic_does_not_take_the_place_of_the_living_one() {
        for living in [0, 1] {
            for mark in [None, Some(0), Some(1)] {
                // The topic was deleted while one directory was offline, and made again in the other.
                let (_root, paths) = two();
                fill(&paths[1 - living], 1, 7, 30);
                fill(&paths[living], 2, 0, 5);
                if let Some(marked) = mark {
                    let path: &PathBuf = &paths[marked];
                    std::fs::write(path.join("t-0").join(MOVED_IN_FILE), b"").unwrap();
                }
                let dirs = open(&paths);
                assert!(
                    paths.iter().all(|path| path.join("t-0").exists()),
                    "nobody knows yet"
                );
                let (dir, log, _) = opened(&dirs, 2).unwrap();
                assert_eq!((dir, log.log_end_offset()), (living, Offset(5)), "{mark:?}");
                assert!(paths[living].join("t-0").exists());
                assert!(!paths[1 - living].join("t-0").exists(), "the topic is deleted");
            }
        }
    }

    #[test]
    fn the_other_log_stays_while_the_living_one_cannot_be_opened() {
        let (_root, paths) = two();
        fill(&paths[0], 1, 7, 30);
        fill(&paths[1], 2, 0, 5);
        {
            let dir = LogDir::open(&paths[1], BrokerId(1), Some(&cluster())).unwrap();
            let points = BTreeMap::from([(name(), Offset(9))]);
            dir.write_checkpoint(OffsetCheckpoint::RecoveryPoint, &points)
                .unwrap();
        }
        let dirs = open(&paths);
        assert!(opened(&dirs, 2).is_err(), "records that were on disk are gone");
        assert!(paths.iter().all(|path| path.join("t-0").exists()));
    }

    #[test]
    fn when_all_logs_of_a_name_are_of_deleted_topics_it_is_made_anew() {
        let (_root, paths) = two();
        fill(&paths[0], 1, 7, 30);
        fill(&paths[1], 2, 0, 5);
        let dirs = open(&paths);
        let (_, log, _) = opened(&dirs, 3).unwrap();
        assert_eq!(log.log_end_offset(), Offset(0));
        assert!(paths.iter().all(|path| !path.join("t-0").exists()));
    }

    #[test]
    fn no_empty_log_takes_the_place_of_one_that_may_lie_in_a_directory_that_is_offline() {
        let (_root, paths) = two();
        fill(&paths[1], 1, 7, 30);
        // Not a directory: it cannot be opened.
        std::fs::write(&paths[0], b"").unwrap();
        let dirs = open(&paths);
        assert!(matches!(find(&dirs, 2, false), Found::Offline(None)));
        assert!(paths[1].join("t-0").exists());
        assert!(matches!(find(&dirs, 1, false), Found::ToOpen(1)));
    }

    #[test]
    fn a_complete_copy_of_the_living_log_is_kept_beside_the_log_of_a_deleted_topic() {
        let (_root, paths) = two();
        fill(&paths[0], 1, 7, 30);
        fill(&paths[1], 2, 0, 5);
        let copy = paths[1].join("t-0.0123456789abcdef0123456789abcdef-future");
        std::fs::write(paths[1].join("t-0").join(MOVED_IN_FILE), b"").unwrap();
        std::fs::rename(paths[1].join("t-0"), copy).unwrap();
        let (dir, log, _) = opened(&open(&paths), 2).unwrap();
        assert_eq!((dir, log.log_end_offset()), (1, Offset(5)));
    }

    /// One flipped bit in `partition.metadata` makes another valid id.
    #[test]
    fn the_log_of_a_topic_that_nobody_knows_is_damaged_where_it_counts() {
        let committed = Checkpointed {
            recovery_point: Offset(0),
            high_watermark: Offset(50),
            ..FIFTY
        };
        for offsets in [Some(FIFTY), Some(committed), None] {
            for (counts, known) in [(true, false), (true, true), (false, false)] {
                let root = tempfile::tempdir().unwrap();
                let paths = [root.path().join("a")];
                match offsets {
                    Some(offsets) => drop(checkpointed(&open(&paths), 1, offsets)),
                    None => fill(&paths[0], 1, 7, 30),
                }
                let dirs = open(&paths);
                dirs.former
                    .note(&name().topic, life(if known { 1 } else { 3 }).topic);
                let opened = opened_as(&dirs, 2, counts);
                let kept = paths[0].join("t-0").exists();
                if counts && !known && offsets.is_some() {
                    let error = opened.unwrap_err();
                    let text = error.to_string();
                    let damaged = matches!(error, NoLog::Open(milena_log::OpenError::Corrupt { .. }));
                    let names = |topic| text.contains(&life(topic).topic.to_string());
                    assert!(damaged && kept && names(1) && names(2), "{text}");
                } else {
                    assert_eq!(opened.unwrap().1.log_end_offset(), Offset(0));
                    assert!(!kept, "it is set aside");
                }
            }
        }
    }

    #[test]
    fn nor_is_it_taken_for_deleted_because_another_directory_has_the_log_of_a_topic_that_is() {
        for damaged in [0, 1] {
            let (_root, paths) = two();
            fill(&paths[damaged], 1, 7, 30);
            fill(&paths[1 - damaged], 3, 0, 5);
            for path in &paths {
                let dir = LogDir::open(path, BrokerId(1), Some(&cluster())).unwrap();
                dir.write_checkpoint(
                    OffsetCheckpoint::RecoveryPoint,
                    &BTreeMap::from([(name(), Offset(5))]),
                )
                .unwrap();
            }
            let dirs = open(&paths);
            dirs.former.note(&name().topic, life(3).topic);
            assert!(opened_as(&dirs, 2, true).is_err());
            assert!(paths.iter().all(|path| path.join("t-0").exists()));
        }
    }

    const FIFTY: Checkpointed = Checkpointed {
        recovery_point: Offset(50),
        high_watermark: Offset(0),
        log_start: Offset(0),
    };

    fn fill_in(dirs: &LogDirs, topic: u8, records: usize) -> PartitionLog {
        let Found::Log(_, mut log, _) = find(dirs, topic, true) else {
            panic!("it lies nowhere")
        };
        append(&mut log, 0, records);
        log.flush().unwrap();
        *log
    }

    /// A log of 50 records, and these offsets of it in the checkpoints on disk.
    fn checkpointed(dirs: &LogDirs, topic: u8, offsets: Checkpointed) -> PartitionLog {
        let log = fill_in(dirs, topic, 50);
        dirs.note_offsets(0, life(topic), &name(), offsets, false);
        dirs.write_checkpoints();
        log
    }

    /// A topic with 50 records and these offsets in its checkpoints is deleted and made again, gets 10 records, and the process is killed
    /// before it writes checkpoints again.
    fn made_again(offsets: Checkpointed) -> (tempfile::TempDir, LogDirs) {
        let root = tempfile::tempdir().unwrap();
        let paths = [root.path().join("a")];
        {
            let dirs = open(&paths);
            let log = checkpointed(&dirs, 1, offsets);
            // As the data thread does when the topic is deleted.
            dirs.forget_partition(0, &name());
            log.delete().unwrap().unwrap().run().unwrap();
            fill_in(&dirs, 2, 10);
        }
        let dirs = open(&paths);
        (root, dirs)
    }

    #[test]
    fn a_checkpoint_of_a_deleted_topic_says_nothing_of_the_one_made_again() {
        for log_start in [0, 5, 30] {
            let (_root, dirs) = made_again(Checkpointed {
                high_watermark: Offset(50),
                log_start: Offset(log_start),
                ..FIFTY
            });
            let (_, log, high_watermark) = opened(&dirs, 2).unwrap();
            let offsets = (log.log_start_offset(), log.log_end_offset(), high_watermark);
            assert_eq!(offsets, (Offset(0), Offset(10), Offset(0)), "{log_start}");
        }
    }

    #[test]
    fn nor_once_the_checkpoints_of_the_one_made_again_are_written() {
        for (log_start, noted) in [(5, true), (30, true), (5, false), (30, false)] {
            let (root, dirs) = made_again(Checkpointed {
                high_watermark: Offset(50),
                log_start: Offset(log_start),
                ..FIFTY
            });
            let (index, mut log, _) = opened(&dirs, 2).unwrap();
            if noted {
                let offsets = Checkpointed {
                    recovery_point: log.recovery_point(),
                    high_watermark: Offset(10),
                    log_start: log.log_start_offset(),
                };
                dirs.note_offsets(index, life(2), &name(), offsets, log.has_recovery_floor());
            }
            let (saved, _) = dirs.write_checkpoints();
            saved.iter().for_each(|(_, at)| log.on_recovery_point_saved(*at));
            drop((log, dirs));
            for start in 0..2 {
                let (_, log, _) = opened(&open(&[root.path().join("a")]), 2).unwrap();
                let offsets = (log.log_start_offset(), log.log_end_offset());
                assert_eq!(offsets, (Offset(0), Offset(10)), "{log_start} {noted} {start}");
            }
        }
    }

    #[test]
    fn a_log_that_begins_at_0_again_leaves_no_start_behind() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a");
        let dirs = open(std::slice::from_ref(&path));
        let starts = |log_start| Checkpointed {
            log_start: Offset(log_start),
            ..FIFTY
        };
        checkpointed(&dirs, 1, starts(5));
        let written = || std::fs::read_to_string(path.join("log-start-offset-checkpoint")).unwrap();
        assert!(written().contains("t 0 5"));
        dirs.note_offsets(0, life(1), &name(), starts(0), false);
        dirs.write_checkpoints();
        assert_eq!(written(), "0\n0\n");
    }

    #[test]
    fn a_log_start_that_was_not_believed_is_not_kept() {
        let root = tempfile::tempdir().unwrap();
        let paths = [root.path().join("a")];
        let log_start = Offset(90);
        drop(checkpointed(
            &open(&paths),
            1,
            Checkpointed { log_start, ..FIFTY },
        ));
        let dirs = open(&paths);
        let (_, log, _) = opened(&dirs, 1).unwrap();
        assert_eq!(
            (log.log_start_offset(), log.log_end_offset()),
            (Offset(0), Offset(50))
        );
        dirs.write_checkpoints();
        let written = std::fs::read_to_string(paths[0].join("log-start-offset-checkpoint"));
        assert_eq!(written.unwrap(), "0\n0\n");
    }

    #[test]
    fn nor_when_the_crash_came_before_the_new_one_was_made() {
        let root = tempfile::tempdir().unwrap();
        let paths = [root.path().join("a")];
        {
            let dirs = open(&paths);
            let offsets = Checkpointed {
                high_watermark: Offset(50),
                log_start: Offset(30),
                ..FIFTY
            };
            let log = checkpointed(&dirs, 1, offsets);
            log.delete().unwrap().unwrap().run().unwrap();
        }
        let dirs = open(&paths);
        let Found::Log(_, mut log, high_watermark) = find(&dirs, 2, true) else {
            panic!("it lies nowhere")
        };
        assert_eq!((log.log_start_offset(), high_watermark), (Offset(0), Offset(0)));
        append(&mut log, 0, 10);
        log.flush().unwrap();
        drop((log, dirs));
        let (_, log, _) = opened(&open(&paths), 2).unwrap();
        assert_eq!(log.log_end_offset(), Offset(10));
    }

    #[test]
    fn the_recovery_point_of_a_log_that_is_gone_is_remembered_until_files_without_it_are_written() {
        let root = tempfile::tempdir().unwrap();
        let dirs = open(&[root.path().join("a")]);
        let stale = || {
            let config = Arc::new(LogConfig::default());
            dirs.empty_options(0, life(2), &name(), config)
                .unwrap()
                .stale_offset
        };
        dirs.note_offsets(0, life(1), &name(), FIFTY, false);
        // A write that began before may be under way.
        dirs.forget_partition(0, &name());
        assert_eq!(stale(), Offset(50));
        dirs.write_checkpoints();
        assert_eq!(stale(), Offset(0));
    }

    #[test]
    fn nor_does_it_of_one_that_was_opened_again_before_it_had_records() {
        let root = tempfile::tempdir().unwrap();
        let paths = [root.path().join("a")];
        {
            let dirs = open(&paths);
            checkpointed(&dirs, 1, FIFTY);
            // Another topic's log lies there: it is removed.
            let (_, log, _) = opened(&dirs, 2).unwrap();
            drop(log);
            let (_, mut log, _) = opened(&dirs, 2).unwrap();
            append(&mut log, 0, 10);
            log.flush().unwrap();
        }
        let (_, log, _) = opened(&open(&paths), 2).unwrap();
        assert_eq!(log.log_end_offset(), Offset(10));
    }

    #[test]
    fn a_copy_is_not_trusted_because_of_the_checkpoint_of_a_log_that_was_in_its_directory_once() {
        let root = tempfile::tempdir().unwrap();
        let paths = [root.path().join("a")];
        {
            let dirs = open(&paths);
            checkpointed(&dirs, 1, FIFTY);
            dirs.discard(&name());
            let config = Arc::new(LogConfig::default());
            let options = dirs.copy_options(0, life(2), &name(), config).unwrap();
            let (mut copy, _) = PartitionLog::open(options).unwrap();
            append(&mut copy, 0, 10);
            copy.rename_dir(&paths[0].join("t-0")).unwrap();
            copy.flush().unwrap();
        }
        let (_, log, _) = opened(&open(&paths), 2).unwrap();
        assert_eq!(log.log_end_offset(), Offset(10));
    }
}
