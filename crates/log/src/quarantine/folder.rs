//! What the quarantine of one log directory holds, and what goes when it is full or old.

use super::tail::TailWriter;
use crate::env::{Env, FileSystem, read_small_file};
use crate::error::LogError;
use crate::format::{DELETED_DIR_SUFFIX, STRAY_DIR_SUFFIX, deleted_dir_name, stray_dir_name};
use milena_types::{Timestamp, TopicId, TopicPartition};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Says what was lost, in JSON; makes a `-stray` directory one of the quarantine.
pub const LOSS_FILE: &str = "loss.json";

/// A `loss.json` above this size is not ours.
const LOSS_BYTES_MAX: usize = 64 << 10;

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuarantineRules {
    /// Bytes of each log directory's quarantine, at most; 0: nothing is kept.
    pub bytes_max: u64,
    /// What is older goes; counted from the moment it was set aside.
    pub age_max_ms: i64,
}

/// A tail that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Its directory.
    pub path: PathBuf,
    /// Bytes of its files.
    pub bytes: u64,
    /// When it was set aside, in milliseconds since the Unix epoch.
    pub since: Timestamp,
}

/// The quarantine of one log directory. It has no memory: what is there is looked up. One user at a time, or the limit of
/// bytes may be passed.
#[derive(Clone, Debug)]
pub struct Quarantine {
    env: Arc<Env>,
    dir: PathBuf,
    rules: QuarantineRules,
}

impl Quarantine {
    /// Of the log directory `dir`.
    #[must_use]
    pub fn new(env: Arc<Env>, dir: &Path, rules: QuarantineRules) -> Self {
        let dir = dir.to_owned();
        Self { env, dir, rules }
    }

    /// The log directory.
    #[must_use]
    pub fn log_dir(&self) -> &Path {
        &self.dir
    }

    /// What it holds, the oldest first.
    ///
    /// # Errors
    /// The directory could not be listed.
    pub fn list(&self) -> Result<Vec<Quarantined>, LogError> {
        let names = self.env.fs.read_dir(&self.dir);
        let mut found = Vec::new();
        for (name, is_dir) in names.map_err(LogError::new("list", &self.dir))? {
            if !is_dir || !name.ends_with(STRAY_DIR_SUFFIX) {
                continue;
            }
            let path = self.dir.join(name);
            match look(&*self.env.fs, &path) {
                Ok(kept) => found.extend(kept),
                // Somebody removes it just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(LogError::new("list", path)(error)),
            }
        }
        found.sort_by(|a, b| (a.since, &a.path).cmp(&(b.since, &b.path)));
        Ok(found)
    }

    /// Makes room for `bytes`: the oldest go, as many as have to, and those that are `awaited` only when no others are left. `None`: so
    /// much is never kept, and nothing went.
    ///
    /// # Errors
    /// A file operation failed.
    pub fn make_room(
        &self,
        bytes: u64,
        awaited: impl Fn(&Path) -> bool,
    ) -> Result<Option<Vec<Quarantined>>, LogError> {
        if bytes > self.rules.bytes_max {
            return Ok(None);
        }
        let mut kept = self.list()?;
        kept.sort_by_key(|kept| awaited(&kept.path));
        let mut total = kept
            .iter()
            .fold(bytes, |total, kept| total.saturating_add(kept.bytes));
        let mut removed = Vec::new();
        for oldest in kept {
            if total <= self.rules.bytes_max {
                break;
            }
            total = total.saturating_sub(oldest.bytes);
            self.remove(&oldest.path)?;
            removed.push(oldest);
        }
        Ok(Some(removed))
    }

    /// Removes what is too old, and then the oldest while there is more than may be kept: the rules may have changed.
    ///
    /// # Errors
    /// A file operation failed.
    pub fn sweep(&self, now: Timestamp) -> Result<Vec<Quarantined>, LogError> {
        let kept = self.list()?;
        let mut total = kept
            .iter()
            .fold(0_u64, |total, kept| total.saturating_add(kept.bytes));
        let mut removed = Vec::new();
        for oldest in kept {
            let age_ms = now.0.saturating_sub(oldest.since.0);
            if age_ms <= self.rules.age_max_ms && total <= self.rules.bytes_max {
                break;
            }
            total = total.saturating_sub(oldest.bytes);
            self.remove(&oldest.path)?;
            removed.push(oldest);
        }
        Ok(removed)
    }

    /// Begins to set a tail aside.
    ///
    /// # Errors
    /// The directory could not be made.
    pub fn begin(&self, partition: &TopicPartition, topic: TopicId) -> Result<TailWriter, LogError> {
        let unique = self.env.unique();
        let written = self.dir.join(deleted_dir_name(partition, &unique));
        let kept = self.dir.join(stray_dir_name(partition, &unique));
        TailWriter::begin(Arc::clone(&self.env.fs), written, kept, topic)
    }

    /// A tail that turns out not to be lost, or not yet, is kept no longer.
    ///
    /// # Errors
    /// A file operation failed.
    pub fn release(&self, kept: &Quarantined) -> Result<(), LogError> {
        self.remove(&kept.path)
    }

    /// By way of another name: a crash in the middle leaves nothing that looks like a whole one.
    fn remove(&self, path: &Path) -> Result<(), LogError> {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let name = name.strip_suffix(STRAY_DIR_SUFFIX).unwrap_or(name);
        let doomed = self.dir.join(format!("{name}{DELETED_DIR_SUFFIX}"));
        let fs = &self.env.fs;
        match fs.rename(path, &doomed) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed.map_err(LogError::new("rename", path))?,
        }
        fs.remove_dir_all(&doomed)
            .map_err(LogError::new("remove", &doomed))
    }
}

/// What a `loss.json` says of its time.
fn set_aside_at(loss: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(loss).ok()?;
    let (_, value) = text.split_once("\"at_ms\":")?;
    let value = value.trim_start();
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    value[..digits].parse().ok().map(Timestamp)
}

/// A stray directory, if it is one of the quarantine.
fn look(fs: &dyn FileSystem, path: &Path) -> io::Result<Option<Quarantined>> {
    let loss = path.join(LOSS_FILE);
    let Some(said) = read_small_file(fs, &loss, LOSS_BYTES_MAX)? else {
        return Ok(None);
    };
    let since = match set_aside_at(&said) {
        Some(at) => at,
        None => Timestamp(fs.modified(&loss)?),
    };
    let mut bytes = 0_u64;
    for (name, is_dir) in fs.read_dir(path)? {
        if !is_dir {
            bytes = bytes.saturating_add(fs.file_len(&path.join(name))?.unwrap_or(0));
        }
    }
    let path = path.to_owned();
    Ok(Some(Quarantined { path, bytes, since }))
}
