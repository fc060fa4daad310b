//! What the log directories hold at the start, and which of two logs of one name is the log.
//!
//! A move between directories may have been cut short at any point: see `milena_log`, `partition/relocate.rs`.
//!
//! Two logs of one name without a mark are not of Milena's making: Kafka leaves them when a directory fails while a copy takes its
//! place, or somebody has copied a directory. The one that knows more is used, the other one is not touched, and a line says so at
//! every start until somebody removes it. More is: a later leader epoch; then more that was on disk for certain; then more
//! records. That is how replicas are compared too, so that the choice loses nothing that an election could have kept; the log that
//! is used grows, and is chosen again. Kafka does not start (`LogManager.loadLog`, "Duplicate log directories"): all its other
//! partitions are away then, until somebody has deleted one of the two, and it does not say which.

use milena_log::checkpoint::{OffsetCheckpoint, parse_epochs};
use milena_log::format::{EPOCH_CHECKPOINT_FILE, FileKind, parse_file_name};
use milena_log::{LogDir, LogError, Removal};
use milena_types::{LeaderEpoch, Offset, TopicPartition};
use std::collections::BTreeMap;

/// Where each partition lies.
#[derive(Debug, Default)]
pub(super) struct FoundLogs {
    pub(super) homes: BTreeMap<TopicPartition, usize>,
    /// Moves that had not been completed, and where to: they begin again.
    pub(super) unfinished: BTreeMap<TopicPartition, usize>,
    /// What is out of use.
    pub(super) removals: Vec<Removal>,
}

impl FoundLogs {
    /// Looks through the directories that can be used; `None` stands for one that cannot.
    pub(super) fn settle(dirs: &[Option<(&LogDir, Vec<TopicPartition>)>]) -> Self {
        let mut found = Self::default();
        for (index, dir) in dirs.iter().enumerate() {
            let Some((_, names)) = dir else { continue };
            for name in names {
                match found.homes.get(name).copied() {
                    None => drop(found.homes.insert(name.clone(), index)),
                    Some(other) => found.choose(dirs, name, other, index),
                }
            }
        }
        let complete = dirs.iter().all(Option::is_some);
        for (index, dir) in dirs.iter().enumerate() {
            let Some((dir, _)) = dir else { continue };
            if let Err(error) = found.settle_copies(index, dir, complete) {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(path = %dir.path().display(), error, "copies of partitions that were being moved are left as they are");
            }
        }
        found
    }

    /// Two directories have a log of that name.
    fn choose(
        &mut self,
        dirs: &[Option<(&LogDir, Vec<TopicPartition>)>],
        name: &TopicPartition,
        first: usize,
        second: usize,
    ) {
        let (Some(Some((a, _))), Some(Some((b, _)))) = (dirs.get(first), dirs.get(second)) else {
            return;
        };
        let moved_in = |dir: &LogDir| dir.has_moved_in(&dir.partition_path(name)).unwrap_or(false);
        let (newer, older, kept) = match (moved_in(a), moved_in(b)) {
            (true, false) => (a, b, first),
            (false, true) => (b, a, second),
            _ => {
                let (of_a, of_b) = (Extent::of(a, name), Extent::of(b, name));
                let (used, unused, kept) = match of_b > of_a {
                    true => ((b, of_b), (a, of_a), second),
                    false => ((a, of_a), (b, of_b), first),
                };
                tracing::error!(partition = %name, used = %used.0.path().display(), unused = %unused.0.path().display(),
                    used_extent = ?used.1, unused_extent = ?unused.1,
                    "two log directories hold this partition, and nothing says which is newer; remove the one that is not used");
                self.homes.insert(name.clone(), kept);
                return;
            }
        };
        tracing::info!(partition = %name, from = %older.path().display(), to = %newer.path().display(), "completes a move between log directories");
        match older.retire_dir(name, &older.partition_path(name)) {
            Ok(removal) => self.removals.push(removal),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(partition = %name, error, "the former log stays for now");
            }
        }
        self.homes.insert(name.clone(), kept);
    }

    fn settle_copies(&mut self, index: usize, dir: &LogDir, complete: bool) -> Result<(), LogError> {
        for (name, path) in dir.futures()? {
            let known = self.homes.contains_key(&name);
            if !known && dir.has_moved_in(&path)? {
                tracing::info!(partition = %name, path = %path.display(), "completes a move between log directories");
                dir.promote_future(&name, &path)?;
                self.homes.insert(name, index);
                continue;
            }
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

/// How much a log knows, as far as its files tell without being opened: greater is more.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Extent {
    /// The latest leader epoch in its history.
    epoch: Option<LeaderEpoch>,
    /// What was on disk for certain.
    recovery_point: Option<Offset>,
    /// The last segment's first offset, and its bytes.
    last_segment: Option<(Offset, u64)>,
}

impl Extent {
    /// What cannot be read counts as nothing.
    fn of(dir: &LogDir, name: &TopicPartition) -> Self {
        let path = dir.partition_path(name);
        let epochs = std::fs::read(path.join(EPOCH_CHECKPOINT_FILE)).ok();
        let epochs = epochs.and_then(|bytes| parse_epochs(&bytes).ok());
        let recovery_points = dir.read_checkpoint(OffsetCheckpoint::RecoveryPoint).ok();
        let files = std::fs::read_dir(&path).into_iter().flatten().flatten();
        let segments = files.filter_map(|file| {
            let (base, kind) = parse_file_name(file.file_name().to_str()?)?;
            (kind == FileKind::Log).then_some((base, file.metadata().ok()?.len()))
        });
        Self {
            epoch: epochs.and_then(|epochs| Some(epochs.last()?.0)),
            recovery_point: recovery_points.and_then(|points| points.get(name).copied()),
            last_segment: segments.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_log::checkpoint::encode_epochs;
    use milena_log::format::{MOVED_IN_FILE, parse_partition_dir_name};
    use milena_types::{BrokerId, ClusterId};
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

    /// The epochs of a log, its recovery point, and its last segment's first offset and bytes.
    type Known<'a> = (&'a [(i32, i64)], i64, (i64, usize));

    /// Which of two directories with a log of the same name is used.
    fn used_of(logs: [Known<'_>; 2]) -> usize {
        let root = tempfile::tempdir().unwrap();
        let name = parse_partition_dir_name("t-0").unwrap();
        let dirs = [open(&root.path().join("a")), open(&root.path().join("b"))];
        for (dir, (epochs, recovery_point, (base, bytes))) in dirs.iter().zip(logs) {
            let path = dir.partition_path(&name);
            make(&path, false);
            let epochs: Vec<_> = epochs
                .iter()
                .map(|(epoch, start)| (LeaderEpoch(*epoch), Offset(*start)))
                .collect();
            std::fs::write(path.join(EPOCH_CHECKPOINT_FILE), encode_epochs(&epochs)).unwrap();
            std::fs::write(path.join(format!("{base:020}.log")), vec![0; bytes]).unwrap();
            let points = BTreeMap::from([(name.clone(), Offset(recovery_point))]);
            dir.write_checkpoint(OffsetCheckpoint::RecoveryPoint, &points)
                .unwrap();
        }
        let usable = |dir| Some((dir, LogDir::partitions(dir).unwrap()));
        let found = FoundLogs::settle(&[usable(&dirs[0]), usable(&dirs[1])]);
        assert!(found.removals.is_empty());
        assert!(dirs.iter().all(|dir| dir.partition_path(&name).exists()));
        found.homes[&name]
    }

    #[test]
    fn of_two_logs_without_a_mark_the_one_that_knows_more_is_used_and_both_are_kept() {
        let (old, new): (&[_], &[_]) = (&[(1, 0)], &[(1, 0), (3, 40)]);
        for (more, less) in [
            // An epoch that the other has never seen, though its log is longer.
            ((new, 50, (0, 10)), (old, 90, (80, 99))),
            // More of it is on disk for certain.
            ((new, 60, (0, 10)), (new, 50, (80, 99))),
            // More records.
            ((new, 50, (80, 1)), (new, 50, (40, 99))),
            ((new, 50, (80, 9)), (new, 50, (80, 8))),
        ] {
            assert_eq!(used_of([more, less]), 0, "{more:?} and {less:?}");
            assert_eq!(used_of([less, more]), 1, "{less:?} and {more:?}");
        }
        let same = (new, 50, (80, 9));
        assert_eq!(used_of([same, same]), 0);
    }
}
