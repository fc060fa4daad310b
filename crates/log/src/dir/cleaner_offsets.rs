//! `milena-cleaner-offsets`: which logs of the directory Kafka may have compacted.
//!
//! Kafka leaves segments that do not reach the next one, a follower's also where it was never compacted itself; Milena does not.
//! `cleaner-offset-checkpoint` does not say whose number it holds. So Milena notes before what it writes there, and which logs
//! were there when it came: when there was no such file, or Kafka closed the directory last. In the frame of a checkpoint,
//! one line `topic partition offset` each, several for a partition; -1: it was there. Milena's own, Kafka ignores it.

use crate::checkpoint::{parse_offset_line, text};
use crate::durable_file::replace_file;
use crate::env::{Env, read_small_file};
use crate::error::LogError;
use milena_types::{Offset, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const FILE: &str = "milena-cleaner-offsets";
const FILE_BYTES_MAX: usize = 64 << 20;
const WAS_THERE: Offset = Offset(-1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct CleanerOffsets {
    path: PathBuf,
    known: BTreeSet<(TopicPartition, Offset)>,
    /// What the checkpoint says, as far as it is known.
    written: BTreeMap<TopicPartition, Offset>,
}

impl CleanerOffsets {
    /// What the file says beside `checkpoint`. Where Milena was never here, or its word is damaged or `outdated`, all logs that are
    /// `there` may be Kafka's, which is noted.
    pub(super) fn open(
        env: &Env,
        dir: &Path,
        checkpoint: BTreeMap<TopicPartition, Offset>,
        outdated: bool,
        there: impl Iterator<Item = TopicPartition>,
    ) -> Result<Self, LogError> {
        let path = dir.join(FILE);
        let bytes = read_small_file(&*env.fs, &path, FILE_BYTES_MAX).map_err(LogError::new("read", &path))?;
        let parsed = match bytes
            .as_deref()
            .map(|bytes| text::parse(bytes, parse_offset_line))
        {
            Some(Ok(lines)) => Some(lines),
            Some(Err(error)) => {
                tracing::warn!(path = %path.display(), %error, "not known whose numbers the cleaner's checkpoint holds: its logs are taken for ones that Kafka has compacted");
                None
            }
            None => None,
        };
        let known = parsed.filter(|_| !outdated);
        let is_new = known.is_none();
        let known = match known {
            Some(lines) => lines.into_iter().collect(),
            None => there.map(|name| (name, WAS_THERE)).collect(),
        };
        let opened = Self {
            path,
            known,
            written: checkpoint,
        };
        if is_new {
            opened.write(env)?;
        }
        Ok(opened)
    }

    /// Whether the checkpoint names that log.
    pub(super) fn names(&self, name: &TopicPartition) -> bool {
        self.written.contains_key(name)
    }

    /// Whether Kafka may have compacted that log.
    pub(super) fn may_be_kafkas(&self, name: &TopicPartition) -> bool {
        let has = |offset: Offset| self.known.contains(&(name.clone(), offset));
        has(WAS_THERE) || self.written.get(name).is_some_and(|offset| !has(*offset))
    }

    /// Notes durably what the checkpoint is to say; of what it said, too, until it does.
    pub(super) fn announce(
        &mut self,
        env: &Env,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), LogError> {
        let ours: BTreeSet<_> = offsets
            .iter()
            // What Kafka has written does not become Milena's because it is written again.
            .filter(|(name, offset)| self.written.get(*name) != Some(*offset))
            .map(|(name, offset)| (name.clone(), *offset))
            .collect();
        if ours.is_subset(&self.known) {
            return Ok(());
        }
        let is_needed = |(name, offset): &&(TopicPartition, Offset)| {
            *offset == WAS_THERE || self.written.get(name) == Some(offset)
        };
        let mut known: BTreeSet<_> = self.known.iter().filter(is_needed).cloned().collect();
        known.extend(ours);
        self.known = known;
        self.write(env)
    }

    /// The checkpoint says that now.
    pub(super) fn on_written(&mut self, offsets: &BTreeMap<TopicPartition, Offset>) {
        self.written.clone_from(offsets);
    }

    fn write(&self, env: &Env) -> Result<(), LogError> {
        let lines = self.known.iter();
        let lines = lines.map(|(name, offset)| format!("{} {} {offset}", name.topic, name.partition));
        let text = text::encode(lines);
        replace_file(&*env.fs, &self.path, text.as_bytes()).map_err(LogError::new("write", &self.path))
    }
}
