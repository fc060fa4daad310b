//! The bounded set of sealed segments that are open, over all logs of a process.
//!
//! An idle partition holds nothing here: entries are opened by reads and evicted, least recently used first. The lock
//! is held for a lookup, never over IO, and every call takes logarithmic time: retention asks for every log now and then.

use crate::segment::SealedSegment;
use milena_types::Offset;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Names a segment of a log of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PoolKey {
    pub(crate) log_id: u64,
    pub(crate) base: Offset,
}

#[derive(Debug, Default)]
struct Inner {
    /// By log, with the tick of the last use.
    segments: BTreeMap<PoolKey, (Arc<SealedSegment>, u64)>,
    /// By last use; holds exactly the ticks of `segments`.
    uses: BTreeMap<u64, PoolKey>,
    tick: u64,
}

impl Inner {
    fn next_tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    fn remove(&mut self, key: PoolKey) -> Option<Arc<SealedSegment>> {
        let (segment, used) = self.segments.remove(&key)?;
        self.uses.remove(&used);
        Some(segment)
    }
}

/// The pool.
#[derive(Debug)]
pub(crate) struct SealedPool {
    open_max: usize,
    next_log_id: AtomicU64,
    inner: Mutex<Inner>,
}

impl SealedPool {
    pub(crate) fn new(open_max: usize) -> Self {
        Self {
            open_max: open_max.max(1),
            next_log_id: AtomicU64::new(0),
            inner: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many segments are open.
    pub(crate) fn len(&self) -> usize {
        self.lock().segments.len()
    }

    pub(crate) fn next_log_id(&self) -> u64 {
        self.next_log_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn get(&self, key: PoolKey) -> Option<Arc<SealedSegment>> {
        let mut inner = self.lock();
        let tick = inner.next_tick();
        let (segment, used) = inner.segments.get_mut(&key)?;
        let (segment, before) = (segment.clone(), std::mem::replace(used, tick));
        inner.uses.remove(&before);
        inner.uses.insert(tick, key);
        Some(segment)
    }

    pub(crate) fn insert(&self, key: PoolKey, segment: Arc<SealedSegment>) {
        let mut inner = self.lock();
        let replaced = inner.remove(key);
        let mut evicted = None;
        if inner.segments.len() >= self.open_max
            && let Some(oldest) = inner.uses.first_key_value().map(|(_, key)| *key)
        {
            evicted = inner.remove(oldest);
        }
        let tick = inner.next_tick();
        inner.segments.insert(key, (segment, tick));
        inner.uses.insert(tick, key);
        drop(inner);
        // Closes and unmaps outside the lock.
        drop((replaced, evicted));
    }

    /// Closes the half that was used least recently: the process is short of descriptors or memory.
    pub(crate) fn give_way(&self) {
        let mut inner = self.lock();
        let half = inner.segments.len().div_ceil(2);
        let oldest: Vec<PoolKey> = inner.uses.values().take(half).copied().collect();
        let removed: Vec<_> = oldest.into_iter().filter_map(|key| inner.remove(key)).collect();
        drop(inner);
        drop(removed);
    }

    pub(crate) fn remove(&self, key: PoolKey) {
        let removed = self.lock().remove(key);
        drop(removed);
    }

    pub(crate) fn remove_log(&self, log_id: u64) {
        let mut removed = Vec::new();
        let mut inner = self.lock();
        let from = PoolKey {
            log_id,
            base: Offset(i64::MIN),
        };
        while let Some(key) = inner.segments.range(from..).next().map(|(key, _)| *key)
            && key.log_id == log_id
        {
            removed.extend(inner.remove(key));
        }
        drop(inner);
        drop(removed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{FaultyFileSystem, FileSystem, OpenMode};
    use crate::format::{FileKind, file_path};
    use std::path::Path;

    #[test]
    fn the_least_recently_used_segment_is_closed() {
        let (fs, dir) = (FaultyFileSystem::default(), Path::new("/d"));
        fs.create_dir_all(dir).unwrap();
        let open = || {
            fs.open(&file_path(dir, Offset(0), FileKind::Log), OpenMode::Write)
                .unwrap();
            Arc::new(SealedSegment::open(&fs, dir, Offset(0), 0, 4096).unwrap())
        };
        let key = |base| PoolKey {
            log_id: 1,
            base: Offset(base),
        };
        let pool = SealedPool::new(2);
        pool.insert(key(1), open());
        pool.insert(key(2), open());
        assert!(pool.get(key(1)).is_some());
        pool.insert(key(3), open());
        assert_eq!(
            [1, 2, 3].map(|base| pool.get(key(base)).is_some()),
            [true, false, true]
        );
        pool.remove_log(1);
        assert!(pool.get(key(3)).is_none());
    }
}
