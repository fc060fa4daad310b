//! The directories that logs lie in, each kept once, however many logs lie in it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The parents of all logs of a process: the log directories.
#[derive(Debug, Default)]
pub(crate) struct Parents(Mutex<Vec<Weak<PathBuf>>>);

impl Parents {
    /// The path, shared with whoever has it already.
    pub(crate) fn share(&self, parent: &Path) -> Arc<PathBuf> {
        // Nothing can panic under the lock and leave the list half-changed.
        let mut parents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = parents
            .iter()
            .filter_map(Weak::upgrade)
            .find(|known| known.as_os_str() == parent.as_os_str())
        {
            return known;
        }
        parents.retain(|known| known.strong_count() > 0);
        let new = Arc::new(parent.to_owned());
        parents.push(Arc::downgrade(&new));
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_kept_once_and_while_somebody_has_it() {
        let parents = Parents::default();
        let (a, b) = (parents.share(Path::new("/a")), parents.share(Path::new("/b")));
        assert!(Arc::ptr_eq(&a, &parents.share(Path::new("/a"))));
        assert_eq!((a.as_path(), b.as_path()), (Path::new("/a"), Path::new("/b")));
        assert_ne!(parents.share(Path::new("/a/")).as_os_str(), a.as_os_str());
        drop(a);
        parents.share(Path::new("/c"));
        let left = parents.0.lock().unwrap().len();
        assert_eq!(left, 2);
    }
}
