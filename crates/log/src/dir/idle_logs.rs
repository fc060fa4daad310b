//! `milena-idle-logs`: what the idle logs of a directory know of themselves, so that a start need not open them.
//!
//! ```text
//! 16 bytes "MILENA-IDLE-LOGS" | u32 version = 2 | 16 bytes id | entries as IdleLog::encode_into writes them | u32 CRC-32C
//! ```
//! Written now and then and at a clean shutdown, whose file then names the id. A hint, Milena's own: a file that is
//! missing, damaged or of another shutdown means that logs are opened one by one.

use crate::durable_file::replace_file;
use crate::env::{Env, read_small_file};
use crate::error::LogError;
use crate::format::be_bytes;
use crate::partition::IdleLog;
use milena_record::crc32c;
use milena_types::{TopicPartition, Uuid};
use std::collections::HashMap;
use std::io;
use std::path::Path;

const FILE: &str = "milena-idle-logs";
const MAGIC: &[u8; 16] = b"MILENA-IDLE-LOGS";
const VERSION: u32 = 2;
const HEAD_BYTES: usize = 36;
const CRC_BYTES: usize = 4;
/// A million logs with a few producers each.
const FILE_BYTES_MAX: usize = 512 << 20;

/// How far the file may be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// It was written by the clean shutdown that names this id: the files are as it says.
    Clean(Uuid),
    /// The process died later: what it says holds for logs whose files have not changed.
    Unchanged,
}

/// What the last run left word of, and what this one wrote.
#[derive(Debug, Default)]
pub(super) struct IdleLogs {
    found: Option<(Trust, HashMap<TopicPartition, IdleLog>)>,
    written: Option<Uuid>,
}

impl IdleLogs {
    /// Reads the file, if it may be believed at all.
    pub(super) fn read(env: &Env, dir: &Path, trust: Option<Trust>) -> Result<Self, LogError> {
        let Some(trust) = trust else {
            return Ok(Self::default());
        };
        let path = dir.join(FILE);
        let bytes = match read_small_file(&*env.fs, &path, FILE_BYTES_MAX) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Vec::new(),
            Err(error) => return Err(LogError::new("read", &path)(error)),
        };
        let found = decode(&bytes, trust);
        if found.is_none() && !bytes.is_empty() {
            tracing::warn!(path = %path.display(), "the file of idle logs is damaged or of another shutdown; opening every log");
        }
        Ok(Self {
            found: found.map(|logs| (trust, logs)),
            written: None,
        })
    }

    pub(super) fn take(&mut self, partition: &TopicPartition) -> Option<(Trust, IdleLog)> {
        let (trust, logs) = self.found.as_mut()?;
        let taken = logs.remove(partition).map(|log| (*trust, log));
        if logs.is_empty() {
            self.found = None;
        }
        taken
    }

    pub(super) fn is_clean(&self, partition: &TopicPartition) -> bool {
        matches!(&self.found, Some((Trust::Clean(_), logs)) if logs.contains_key(partition))
    }

    pub(super) fn forget_written(&mut self) {
        self.written = None;
    }

    pub(super) fn set_written(&mut self, id: Uuid) {
        self.written = Some(id);
    }

    /// The id of the file that is on disk.
    pub(super) fn written(&self) -> Option<Uuid> {
        self.written
    }
}

/// Replaces the file; gives its id.
pub(super) fn write(env: &Env, dir: &Path, encoded: &[Vec<u8>]) -> Result<Uuid, LogError> {
    let path = dir.join(FILE);
    let id = env.names.next();
    let mut bytes = Vec::with_capacity(HEAD_BYTES + encoded.iter().map(Vec::len).sum::<usize>() + CRC_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&id.0);
    for part in encoded {
        bytes.extend_from_slice(part);
    }
    let crc = crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_be_bytes());
    replace_file(&*env.fs, &path, &bytes).map_err(LogError::new("write", &path))?;
    Ok(id)
}

fn decode(bytes: &[u8], trust: Trust) -> Option<HashMap<TopicPartition, IdleLog>> {
    let (body, crc) = bytes.split_at_checked(bytes.len().checked_sub(CRC_BYTES)?)?;
    let head_is_ours = body.get(..16)? == MAGIC && u32::from_be_bytes(be_bytes(body, 16)?) == VERSION;
    let id = Uuid(be_bytes(body, 20)?);
    let wanted = match trust {
        Trust::Clean(wanted) => wanted == id,
        Trust::Unchanged => true,
    };
    if !head_is_ours || !wanted || crc32c(body) != u32::from_be_bytes(be_bytes(crc, 0)?) {
        return None;
    }
    let mut entries = body.get(HEAD_BYTES..)?;
    let mut logs = HashMap::new();
    while !entries.is_empty() {
        let log = IdleLog::decode(&mut entries)?;
        logs.insert(log.partition().clone(), log);
    }
    Some(logs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{FaultyFileSystem, FileSystem};
    use std::sync::Arc;

    #[test]
    fn damage_and_other_shutdowns_mean_nothing_was_found() {
        let fs = FaultyFileSystem::default();
        let dir = Path::new("/d");
        fs.create_dir_all(dir).unwrap();
        let env = Env::with(Arc::new(fs.clone()), 1);
        let id = write(&env, dir, &[]).unwrap();
        let found = |trust| IdleLogs::read(&env, dir, trust).unwrap().found.is_some();
        assert!(found(Some(Trust::Clean(id))));
        assert!(found(Some(Trust::Unchanged)));
        assert!(!found(Some(Trust::Clean(Uuid::random()))));
        assert!(!found(None));
        let good = fs.content(&dir.join(FILE)).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs.overwrite(&dir.join(FILE), &bad);
            assert!(!found(Some(Trust::Unchanged)), "byte {at}");
        }
    }
}
