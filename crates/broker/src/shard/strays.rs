//! Logs that belong to no partition of this broker: its topic was deleted, or the replica was moved to other brokers, while this
//! broker was away, or their log directory was.
//!
//! They are renamed to `<topic>-<p>.<uuid>-stray`, durably, and kept until an operator removes them: never served, opened or
//! described. That is judged once, by the first image that the data threads follow, before any log is opened. That image holds the
//! registration of this very process (INV-START-1), so it is newer than all that former processes of this broker have followed: no
//! older image, in which living partitions are not there yet, is judged by.
//!
//! It is judged by names ([`milena_metadata::stray`]): of the log of a partition that stays no file is touched (INV-L-14). A log of
//! another topic of the same name is met when the partition is opened, and is set aside then. Source: `LogManager.loadLog`,
//! `LogManager.isStrayReplica`, `BrokerMetadataPublisher.initializeManagers`.

use super::log_dirs::LogDirs;
use super::storage_error::{Consequence, consequence};
use milena_log::{LogDir, LogError};
use milena_metadata::MetadataImage;
use milena_metadata::stray::{Stray, stray};
use milena_types::{BrokerId, TopicPartition};
use std::path::Path;

impl LogDirs {
    /// Sets aside what no partition of this broker has any more. Only the first call does something; the others wait for it.
    /// Blocks: one renaming per stray, one flush per directory with strays.
    pub(super) fn set_strays_aside(&self, image: &MetadataImage, node: BrokerId) {
        self.judged.call_once(|| {
            let (names, mut count) = (self.names_found(), 0);
            for (name, why) in names
                .iter()
                .filter_map(|name| Some((name, stray(image, node, name)?)))
            {
                let mut gone = true;
                for index in 0..self.count() {
                    match self.set_name_aside(index, name, why) {
                        Ok(strays) => count += usize::from(strays),
                        Err(error) => {
                            self.cannot_set_aside(index, name, &error);
                            gone = false;
                        }
                    }
                }
                if gone {
                    self.forget_found(name);
                }
            }
            count += self.set_copies_aside(image, node);
            if count == 0 {
                return;
            }
            for index in 0..self.count() {
                self.sync_names(index);
            }
            tracing::warn!(strays = count, "logs that belong to no partition of this broker were set aside; remove their directories when nobody needs them");
        });
    }

    /// True when the directory had a log of that name.
    fn set_name_aside(&self, index: usize, name: &TopicPartition, why: Stray) -> Result<bool, LogError> {
        let Some((dir, checkpoints)) = self.checkpoints(index) else {
            return Ok(false);
        };
        let found = set_aside(dir, name, &dir.partition_path(name), &format!("{why:?}"))?;
        checkpoints.forget(name);
        if found {
            self.has_one_less(index);
        }
        Ok(found)
    }

    /// Copies are there still only while a directory is offline: see `found_logs`.
    fn set_copies_aside(&self, image: &MetadataImage, node: BrokerId) -> usize {
        if self.all_online() {
            return 0;
        }
        let mut count = 0;
        for index in 0..self.count() {
            let Some((dir, _)) = self.checkpoints(index) else {
                continue;
            };
            let copies = dir.futures().unwrap_or_else(|error| {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(path = %dir.path().display(), error, "cannot look for copies of partitions");
                Vec::new()
            });
            for (name, path) in copies {
                let Some(why) = stray(image, node, &name) else {
                    continue;
                };
                match set_aside(dir, &name, &path, &format!("{why:?}")) {
                    Ok(found) => count += usize::from(found),
                    Err(error) => self.cannot_set_aside(index, &name, &error),
                }
            }
        }
        count
    }

    fn cannot_set_aside(&self, index: usize, name: &TopicPartition, error: &LogError) {
        let cause: &dyn std::error::Error = error;
        tracing::error!(partition = %name, error = cause, "cannot set the log aside; tried again at the next start");
        self.startup_failed(index, error);
    }

    fn sync_names(&self, index: usize) {
        let Some((dir, _)) = self.checkpoints(index) else {
            return;
        };
        if let Err(error) = dir.sync_names() {
            let cause: &dyn std::error::Error = &error;
            tracing::error!(path = %dir.path().display(), error = cause, "names of logs that were set aside may be lost");
            self.startup_failed(index, &error);
        }
    }

    /// No partition is open yet: whoever comes finds the directory offline.
    fn startup_failed(&self, index: usize, error: &LogError) {
        if consequence(error, false) == Consequence::Offline && self.take_offline(index).is_some() {
            tracing::error!(path = ?self.path(index), "log directory is offline");
        }
    }
}

/// Sets one directory aside, and says so; not durable yet. True when it was there.
pub(super) fn set_aside(
    dir: &LogDir,
    name: &TopicPartition,
    path: &Path,
    why: &str,
) -> Result<bool, LogError> {
    let Some(stray) = dir.set_aside(name, path)? else {
        return Ok(false);
    };
    tracing::warn!(partition = %name, why, path = %path.display(), renamed = %stray.display(),
        "a log belongs to no partition of this broker: it is set aside, and not used any more");
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_log::Env;
    use milena_log::env::{FaultyFileSystem, FileSystem, OpenMode, Survival};
    use milena_metadata::record::{MetadataBatch, MetadataRecord, PartitionRegistration};
    use milena_types::{ClusterId, PartitionIndex, TopicId, TopicIdPartition, TopicName};
    use std::path::PathBuf;
    use std::sync::Arc;

    fn image(replicas: &[i32]) -> MetadataImage {
        let id = TopicId::random();
        let topic = MetadataRecord::Topic {
            id,
            name: TopicName::new("t").unwrap(),
        };
        let replicas: Vec<_> = replicas.iter().copied().map(BrokerId).collect();
        let state = PartitionRegistration::new(replicas.clone(), replicas);
        let partition = MetadataRecord::Partition {
            id: TopicIdPartition {
                topic: id,
                partition: PartitionIndex(0),
            },
            state,
        };
        let mut image = MetadataImage::default();
        let batch = MetadataBatch {
            expected_version: image.version,
            records: vec![topic, partition],
        };
        image.apply(&batch).unwrap();
        image
    }

    const COPY: &str = "t-0.0123456789abcdef0123456789abcdef-future";

    fn strays(dir: &Path) -> usize {
        let names = std::fs::read_dir(dir).unwrap().flatten();
        let names = names.map(|entry| entry.file_name().into_string().unwrap());
        names
            .filter(|name| name.starts_with("t-0.") && name.ends_with("-stray"))
            .count()
    }

    fn make(path: &Path) {
        std::fs::create_dir_all(path).unwrap();
        std::fs::write(path.join("00000000000000000000.log"), b"x").unwrap();
    }

    #[test]
    fn every_log_of_a_stray_name_is_set_aside_and_none_of_one_that_stays() {
        for (image, expected) in [(image(&[2, 3]), 1), (image(&[1, 2]), 0)] {
            let root = tempfile::tempdir().unwrap();
            let paths = [root.path().join("a"), root.path().join("b")];
            let cluster = ClusterId("c".to_owned());
            // Formats them.
            drop(LogDirs::open(&paths, BrokerId(1), &cluster).unwrap());
            paths.iter().for_each(|path| make(&path.join("t-0")));
            let dirs = LogDirs::open(&paths, BrokerId(1), &cluster).unwrap();
            dirs.set_strays_aside(&image, BrokerId(1));
            for path in &paths {
                assert_eq!(strays(path), expected);
                assert_eq!(path.join("t-0").exists(), expected == 0);
            }
            assert_eq!(dirs.names_found().len(), 1 - expected);
        }
    }

    #[test]
    fn so_is_a_copy_of_a_partition_that_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let paths = [root.path().join("a"), root.path().join("b")];
        let cluster = ClusterId("c".to_owned());
        drop(LogDirs::open(&paths, BrokerId(1), &cluster).unwrap());
        // Not a directory: it cannot be opened, and may hold the original.
        std::fs::remove_dir_all(&paths[0]).unwrap();
        std::fs::write(&paths[0], b"").unwrap();
        make(&paths[1].join(COPY));
        let living = LogDirs::open(&paths, BrokerId(1), &cluster).unwrap();
        living.set_strays_aside(&image(&[1]), BrokerId(1));
        assert!(paths[1].join(COPY).exists());
        drop(living);
        let gone = LogDirs::open(&paths, BrokerId(1), &cluster).unwrap();
        gone.set_strays_aside(&image(&[2]), BrokerId(1));
        assert!(!paths[1].join(COPY).exists());
        assert_eq!(strays(&paths[1]), 1);
    }

    #[test]
    fn a_stray_is_still_one_after_a_power_cut() {
        let (fs, path) = (FaultyFileSystem::default(), PathBuf::from("/d"));
        let open = |fs: &FaultyFileSystem| {
            let env = Env::with(Arc::new(fs.clone()), 10);
            let cluster = ClusterId("c".to_owned());
            LogDirs::open_in(&env, std::slice::from_ref(&path), BrokerId(1), &cluster).unwrap()
        };
        drop(open(&fs));
        fs.sync_dir(Path::new("/")).unwrap();
        fs.create_dir_all(Path::new("/d/t-0")).unwrap();
        let log = Path::new("/d/t-0/00000000000000000000.log");
        let file = fs.open(log, OpenMode::Write).unwrap();
        file.write_all_at(b"x", 0).unwrap();
        file.sync_data().unwrap();
        fs.sync_dir(Path::new("/d/t-0")).unwrap();
        fs.sync_dir(&path).unwrap();
        open(&fs).set_strays_aside(&image(&[2]), BrokerId(1));
        let after = fs.after_crash(Survival::NothingUnsynced);
        assert!(open(&after).names_found().is_empty());
        let left = after.read_dir(&path).unwrap();
        assert!(left.iter().any(|(name, _)| name.ends_with("-stray")), "{left:?}");
    }
}
