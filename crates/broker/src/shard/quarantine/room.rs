//! Space for what is set aside.

use super::awaited::Awaited;
use crate::shard::space::has_room;
use milena_log::LogError;
use milena_log::quarantine::{Quarantine, TailWriter};
use rustix::io::Errno;
use std::io;
use std::path::Path;

/// Makes room for a copy of `bytes`, and tells what went for it. False: so much is never kept. Blocks.
///
/// # Errors
/// A file operation failed, or there is no space: a copy that is begun in spite of that would take it from the directory's
/// other logs, until it fails.
pub(super) fn make_room(quarantine: &Quarantine, bytes: u64, awaited: &Awaited) -> Result<bool, LogError> {
    let Some(removed) = quarantine.make_room(bytes, |path| awaited.contains(path))? else {
        return Ok(false);
    };
    for gone in removed {
        if awaited.tell_removed(&gone) {
            continue;
        }
        tracing::warn!(path = %gone.path.display(), bytes = gone.bytes, "a lost tail leaves the quarantine for a new one");
    }
    let dir = quarantine.log_dir();
    match has_room(dir, bytes) {
        Ok(true) => Ok(true),
        Ok(false) => Err(no_room(dir, Errno::NOSPC.into())),
        Err(error) => Err(no_room(dir, error)),
    }
}

fn no_room(dir: &Path, source: io::Error) -> LogError {
    LogError {
        operation: "make room in",
        path: dir.to_owned(),
        source,
    }
}

/// Gives the space of a copy back that is not completed; what cannot be removed now goes at the next start. Blocks.
pub(super) fn give_up(tail: TailWriter) {
    if let Err(error) = tail.abandon() {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "cannot remove what was set aside");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_log::Env;
    use milena_log::quarantine::QuarantineRules;

    #[test]
    fn a_copy_that_the_file_system_has_no_room_for_is_not_begun() {
        let dir = tempfile::tempdir().unwrap();
        let keeps_all = QuarantineRules {
            bytes_max: u64::MAX,
            age_max_ms: i64::MAX,
        };
        let quarantine = Quarantine::new(Env::real(), dir.path(), keeps_all);
        let awaited = Awaited::default();
        assert!(make_room(&quarantine, 1, &awaited).unwrap());
        let refused = make_room(&quarantine, u64::MAX / 2, &awaited).unwrap_err();
        assert!(
            refused.is_no_space(),
            "it is tried again, and no disk is bad: {refused}"
        );
    }
}
