//! A sorted map that is cheap to clone and cheap to change while clones live.
//!
//! The image is cloned for every plan and published after every batch, so both must not depend on how much the
//! cluster holds. Entries sit in sorted chunks behind `Arc`; a change copies one chunk and the list of chunks
//! (about `len / CHUNK_ENTRIES_MAX` pointers), a clone copies one pointer.
//!
//! Invariants: no chunk is empty; keys grow strictly within and across chunks; `len` counts all entries.
//! Plain data: no interior mutability, no IO.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A chunk that would grow past this is split.
const CHUNK_ENTRIES_MAX: usize = 64;

type Chunk<K, V> = Arc<Vec<(K, V)>>;

/// A persistent sorted map. Lookup is `O(log n)`, clone `O(1)`, a change `O(n / 64 + 64)`.
pub struct ChunkMap<K, V> {
    chunks: Arc<Vec<Chunk<K, V>>>,
    len: usize,
}

impl<K, V> ChunkMap<K, V> {
    /// An empty map.
    #[must_use]
    pub fn new() -> Self {
        Self {
            chunks: Arc::new(Vec::new()),
            len: 0,
        }
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries in key order.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter {
            chunks: self.chunks.iter(),
            current: [].iter(),
            left: self.len,
        }
    }

    /// All keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(k, _)| k)
    }

    /// All values in key order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, v)| v)
    }

    /// The entry with the smallest key.
    #[must_use]
    pub fn first_key_value(&self) -> Option<(&K, &V)> {
        self.chunks.first()?.first().map(|(k, v)| (k, v))
    }

    /// The entry with the greatest key.
    #[must_use]
    pub fn last_key_value(&self) -> Option<(&K, &V)> {
        self.chunks.last()?.last().map(|(k, v)| (k, v))
    }

    /// True when both are clones of one map that has not changed since: a cheap, sufficient test of equality.
    #[must_use]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chunks, &other.chunks)
    }
}

impl<K: Ord, V> ChunkMap<K, V> {
    /// The chunk that holds `key` if any does.
    fn chunk_of<Q: Ord + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        let after = self
            .chunks
            .partition_point(|c| c.first().is_some_and(|(k, _)| k.borrow() <= key));
        after.checked_sub(1)
    }

    /// The value of `key`.
    #[must_use]
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let chunk = self.chunks.get(self.chunk_of(key)?)?;
        let at = chunk.binary_search_by(|(k, _)| k.borrow().cmp(key)).ok()?;
        chunk.get(at).map(|(_, v)| v)
    }

    /// True when `key` has a value.
    #[must_use]
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// The entries whose keys are `from` or greater, in key order.
    pub fn iter_from<'a, Q: Ord + ?Sized>(&'a self, from: &Q) -> Iter<'a, K, V>
    where
        K: Borrow<Q>,
    {
        let start = self.chunk_of(from).unwrap_or(0);
        let Some(chunk) = self.chunks.get(start) else {
            return self.iter();
        };
        let at = chunk.partition_point(|(k, _)| k.borrow() < from);
        let before = self.chunks.iter().take(start).map(|c| c.len()).sum::<usize>() + at;
        Iter {
            chunks: self.chunks[start + 1..].iter(),
            current: chunk[at..].iter(),
            left: self.len - before,
        }
    }
}

impl<K: Ord + Clone, V: Clone> ChunkMap<K, V> {
    /// Sets the value of `key`; the answer is the value that it replaces.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let Some(index) = self
            .chunk_of(&key)
            .or(if self.is_empty() { None } else { Some(0) })
        else {
            self.chunks = Arc::new(vec![Arc::new(vec![(key, value)])]);
            self.len = 1;
            return None;
        };
        let chunks = Arc::make_mut(&mut self.chunks);
        let last = index + 1 == chunks.len();
        let chunk = Arc::make_mut(&mut chunks[index]);
        match chunk.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(at) => Some(std::mem::replace(&mut chunk[at].1, value)),
            Err(at) => {
                self.len += 1;
                if chunk.len() < CHUNK_ENTRIES_MAX {
                    chunk.insert(at, (key, value));
                } else if last && at == chunk.len() {
                    // Growing at the end (partitions of one topic) leaves full chunks behind.
                    chunks.push(Arc::new(vec![(key, value)]));
                } else {
                    chunk.insert(at, (key, value));
                    let upper = chunk.split_off(chunk.len() / 2);
                    chunks.insert(index + 1, Arc::new(upper));
                }
                None
            }
        }
    }

    /// Removes `key`; the answer is its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let index = self.chunk_of(key)?;
        let at = self
            .chunks
            .get(index)?
            .binary_search_by(|(k, _)| k.borrow().cmp(key))
            .ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(&mut chunks[index]);
        let (_, value) = chunk.remove(at);
        self.len -= 1;
        if chunk.is_empty() {
            chunks.remove(index);
        } else if index > 0 && chunks[index - 1].len() + chunks[index].len() <= CHUNK_ENTRIES_MAX / 2 {
            let upper = chunks.remove(index);
            Arc::make_mut(&mut chunks[index - 1]).extend(upper.iter().cloned());
        }
        Some(value)
    }

    /// The value of `key`, to be changed in place (its chunk is copied when shared).
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let index = self.chunk_of(key)?;
        let at = self
            .chunks
            .get(index)?
            .binary_search_by(|(k, _)| k.borrow().cmp(key))
            .ok()?;
        let chunk = Arc::make_mut(&mut Arc::make_mut(&mut self.chunks)[index]);
        chunk.get_mut(at).map(|(_, v)| v)
    }
}

/// Iterates over a [`ChunkMap`] in key order.
pub struct Iter<'a, K, V> {
    chunks: std::slice::Iter<'a, Chunk<K, V>>,
    current: std::slice::Iter<'a, (K, V)>,
    left: usize,
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((k, v)) = self.current.next() {
                self.left = self.left.saturating_sub(1);
                return Some((k, v));
            }
            self.current = self.chunks.next()?.iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}

impl<'a, K, V> IntoIterator for &'a ChunkMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K, V> Clone for ChunkMap<K, V> {
    fn clone(&self) -> Self {
        Self {
            chunks: Arc::clone(&self.chunks),
            len: self.len,
        }
    }
}

impl<K, V> Default for ChunkMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for ChunkMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.ptr_eq(other) || (self.len == other.len && self.iter().eq(other.iter()))
    }
}

impl<K: Eq, V: Eq> Eq for ChunkMap<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for ChunkMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for ChunkMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

impl<K: Ord + Clone, V: Clone> From<std::collections::BTreeMap<K, V>> for ChunkMap<K, V> {
    fn from(entries: std::collections::BTreeMap<K, V>) -> Self {
        entries.into_iter().collect()
    }
}

impl<K: Ord + Clone, V: Clone, const N: usize> From<[(K, V); N]> for ChunkMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K: Ord + Borrow<Q>, Q: Ord + ?Sized, V> std::ops::Index<&Q> for ChunkMap<K, V> {
    type Output = V;

    /// Panics when the key is absent, as `BTreeMap` does.
    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("the key is in the map")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn check(map: &ChunkMap<u16, u32>) {
        assert!(
            map.chunks
                .iter()
                .all(|c| !c.is_empty() && c.len() <= CHUNK_ENTRIES_MAX)
        );
        let keys: Vec<_> = map.keys().copied().collect();
        assert!(keys.windows(2).all(|w| w[0] < w[1]), "{keys:?}");
        assert_eq!(keys.len(), map.len());
    }

    proptest! {
        #[test]
        fn behaves_as_a_btree_map_and_clones_do_not_change(
            steps in proptest::collection::vec((0u16..600, any::<u32>(), 0u8..4), 0..1500)
        ) {
            let (mut map, mut model) = (ChunkMap::new(), BTreeMap::new());
            let mut kept = Vec::new();
            for (at, (key, value, op)) in steps.into_iter().enumerate() {
                match op {
                    0 => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                    1 => {
                        if let Some(v) = map.get_mut(&key) {
                            *v = value;
                            model.insert(key, value);
                        }
                    }
                    _ => prop_assert_eq!(map.insert(key, value), model.insert(key, value)),
                }
                prop_assert_eq!(map.get(&key), model.get(&key));
                if at % 100 == 0 {
                    check(&map);
                    kept.push((map.clone(), model.clone()));
                    let from: Vec<_> = map.iter_from(&key).collect();
                    prop_assert_eq!(from, model.range(key..).collect::<Vec<_>>());
                    prop_assert_eq!(map.iter_from(&key).len(), model.range(key..).count());
                }
            }
            check(&map);
            for (map, model) in kept {
                prop_assert_eq!(map.iter().collect::<Vec<_>>(), model.iter().collect::<Vec<_>>());
            }
            prop_assert_eq!(map.first_key_value(), model.first_key_value());
            prop_assert_eq!(map.last_key_value(), model.last_key_value());
        }
    }

    #[test]
    fn growing_at_the_end_fills_chunks() {
        let map: ChunkMap<u16, u32> = (0..1000).map(|i| (i, u32::from(i))).collect();
        assert_eq!(map.chunks.len(), 1000_usize.div_ceil(CHUNK_ENTRIES_MAX));
    }
}
