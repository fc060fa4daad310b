//! Files of partitions that nobody writes to are closed, and word is left of their logs for the next start.

use super::log_dirs::LogDirs;
use super::state::Shard;
use milena_log::PartitionLog;
use milena_types::TopicIdPartition;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Share of the process's descriptors that logs which are open for appends may take, all data threads together: one half.
const DESCRIPTORS_SHARE: u64 = 2;

/// From so many logs on, a shutdown forces the whole file system to the disk instead of one file after the other.
const TOGETHER_MIN: usize = 8;

/// The logs of a data thread whose files are open for appends, and when they were found written to last.
pub(crate) type OpenLogs = HashMap<TopicIdPartition, Instant>;

/// The encoded idle logs of one data thread, by directory.
pub(crate) type Word = BTreeMap<usize, Vec<u8>>;

/// What data threads have to say about the idle logs of one directory, until it is written.
#[derive(Debug, Default)]
pub(crate) struct DirWord {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By data thread.
    parts: BTreeMap<usize, Vec<u8>>,
    /// Checksum of what is in the file.
    written: Option<u32>,
}

impl DirWord {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the word of a data thread; it replaces an older one.
    pub(super) fn say(&self, shard: usize, encoded: Vec<u8>) {
        self.lock().parts.insert(shard, encoded);
    }

    /// The words of all `shards`, once they are complete and differ from what is in the file.
    pub(super) fn take_changed(&self, shards: usize) -> Option<Vec<Vec<u8>>> {
        let mut state = self.lock();
        if state.parts.len() < shards {
            return None;
        }
        let parts: Vec<Vec<u8>> = std::mem::take(&mut state.parts).into_values().collect();
        let checksum = parts.iter().fold(0, |sum: u32, part| {
            sum.rotate_left(1) ^ milena_record::crc32c(part)
        });
        (state.written.replace(checksum) != Some(checksum)).then_some(parts)
    }

    /// The words that there are, whatever is in the file.
    pub(super) fn take_last(&self, shards: usize) -> Vec<Vec<u8>> {
        let parts = std::mem::take(&mut self.lock().parts);
        if parts.len() == shards {
            parts.into_values().collect()
        } else {
            // A data thread that says nothing may have written since.
            Vec::new()
        }
    }
}

/// Adds a log to the word of its data thread, if it is idle.
pub(super) fn add_word(word: &mut Word, dir: usize, log: &PartitionLog) {
    if let Some(idle) = log.idle_log() {
        idle.encode_into(word.entry(dir).or_default());
    }
}

impl LogDirs {
    /// Forces the whole file system of a directory to the disk. False: what was written may be lost (INV-L-4: it is not tried
    /// again), so the shutdown is not a clean one.
    fn force_to_disk(&self, index: usize) -> bool {
        let Some((dir, _)) = self.checkpoints(index) else {
            return false;
        };
        let forced = dir.env().fs.sync_file_system(dir.path());
        if let Err(error) = &forced {
            tracing::error!(dir = index, %error, "cannot force the file system to the disk");
        }
        forced.is_ok()
    }

    /// Hands over the word of a data thread: of every directory, also of those where it has no idle log.
    pub(super) fn leave_word(&self, shard: usize, mut word: Word) {
        for index in 0..self.count() {
            if let Some(dir) = self.word(index) {
                dir.say(shard, word.remove(&index).unwrap_or_default());
            }
        }
    }

    /// Writes the words that are complete and new.
    pub(super) fn write_words(&self, shards: usize) {
        for index in (0..self.count()).filter(|index| self.is_online(*index)) {
            let parts = self.word(index).and_then(|word| word.take_changed(shards));
            if let Some(parts) = parts {
                self.write_word(index, &parts);
            }
        }
    }

    /// Writes the last words: what a clean shutdown leaves.
    pub(super) fn write_last_words(&self, shards: usize) {
        for index in (0..self.count()).filter(|index| self.is_online(*index)) {
            if let Some(word) = self.word(index) {
                self.write_word(index, &word.take_last(shards));
            }
        }
    }

    fn write_word(&self, index: usize, parts: &[Vec<u8>]) {
        let Some((dir, _)) = self.checkpoints(index) else {
            return;
        };
        if let Err(error) = dir.write_idle_logs(parts) {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(
                dir = index,
                error,
                "no word of idle logs is left; a start takes longer"
            );
        }
    }
}

/// How many logs a data thread may keep open for appends, when it is one of `shards`.
pub(super) fn open_logs_max(shards: usize) -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let share = limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit / DESCRIPTORS_SHARE).unwrap_or(usize::MAX)
    });
    (share / shards.max(1)).max(1)
}

impl Shard {
    /// Takes note of a log that was flushed, and so is open.
    pub(super) fn note_open_log(&mut self, id: TopicIdPartition, now: Instant) {
        self.cx.open_logs.entry(id).or_insert(now);
    }

    /// When too many logs are open: closes those that were opened first, of those that have nothing to flush, down to three
    /// quarters of what is allowed.
    pub(super) fn close_surplus_logs(&mut self) {
        if self.cx.open_logs.len() <= self.cx.open_logs_max {
            return;
        }
        let mut oldest: Vec<_> = self
            .cx
            .open_logs
            .iter()
            .map(|(id, since)| (*since, *id))
            .collect();
        oldest.sort_unstable_by_key(|(since, _)| *since);
        let surplus = oldest.len() - self.cx.open_logs_max / 4 * 3;
        for (_, id) in oldest.into_iter().take(surplus) {
            let Ok((partition, cx)) = self.partition(id) else {
                self.cx.open_logs.remove(&id);
                continue;
            };
            match partition.release_idle() {
                Ok(true) => drop(cx.open_logs.remove(&id)),
                Ok(false) => {}
                Err(error) => {
                    partition.storage_failed(cx, &error);
                }
            }
        }
    }

    /// Closes every log of a directory. True when all went well, and the directory is good.
    ///
    /// Many logs are written first and forced to the disk together: each alone waits for the disk half a dozen times.
    pub(super) fn close_logs(&mut self, dir: usize) -> bool {
        let mut of_dir: Vec<_> = self
            .partitions
            .values_mut()
            .filter(|partition| partition.dir == dir)
            .collect();
        if !self.cx.dirs.is_online(dir) {
            return of_dir.is_empty();
        }
        of_dir.retain(|partition| partition.log.is_unclosed());
        let together = of_dir.len() >= TOGETHER_MIN;
        let close = if together {
            PartitionLog::begin_close
        } else {
            PartitionLog::close
        };
        let mut clean = true;
        for partition in &mut of_dir {
            if let Err(error) = close(&mut partition.log) {
                let error: &dyn std::error::Error = &error;
                tracing::error!(partition = %partition.name, error, "cannot close the log cleanly");
                clean = false;
            }
        }
        if together && clean {
            clean = self.cx.dirs.force_to_disk(dir);
            if clean {
                of_dir
                    .iter_mut()
                    .for_each(|partition| partition.log.finish_close());
            }
        }
        clean
    }

    /// Closes the logs that were not written to for a while. `written`: those that were, since the last time.
    pub(super) fn close_idle_logs(&mut self, written: &[TopicIdPartition]) {
        let now = Instant::now();
        for id in written {
            if self.partitions.get(id).is_some_and(|p| p.log.is_open()) {
                self.cx.open_logs.insert(*id, now);
            }
        }
        let (mut failed, close_after) = (Vec::new(), self.cx.config.log_work.close_after);
        let partitions = &mut self.partitions;
        self.cx.open_logs.retain(|id, since| {
            let Some(partition) = partitions.get_mut(id) else {
                return false;
            };
            if now.duration_since(*since) < close_after {
                return true;
            }
            match partition.release_idle() {
                Ok(released) => !released,
                Err(error) => {
                    let again = error.is_shortage();
                    failed.push((*id, error));
                    again
                }
            }
        });
        for (id, error) in failed {
            if let Ok((partition, cx)) = self.partition(id) {
                partition.storage_failed(cx, &error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_written_when_they_are_complete_and_new() {
        let word = DirWord::default();
        word.say(0, vec![1]);
        assert_eq!(word.take_changed(2), None, "a data thread is missing");
        word.say(1, vec![2]);
        word.say(0, vec![3]);
        assert_eq!(word.take_changed(2), Some(vec![vec![3], vec![2]]));
        word.say(1, vec![2]);
        word.say(0, vec![3]);
        assert_eq!(word.take_changed(2), None, "nothing is new");
        word.say(1, vec![2]);
        assert_eq!(word.take_last(2), Vec::<Vec<u8>>::new());
        word.say(0, vec![3]);
        word.say(1, vec![2]);
        assert_eq!(word.take_last(2).len(), 2);
    }
}
