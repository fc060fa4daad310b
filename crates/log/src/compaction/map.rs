//! From keys to the last offset that has them, in bounded memory.
//!
//! ```text
//! slot, 24 bytes: 128-bit keyed hash of the key | i64 offset, -1 for an empty slot     open addressing, linear probing
//! ```
//! Keys are not kept: two keys with equal hashes would count as one, as in Kafka. The hash is keyed with secrets of this
//! process, so that nobody can choose such keys; by chance it takes 2^64 of them. Source: `SkimpyOffsetMap.java`.

use milena_types::Offset;
use std::hash::{BuildHasher, Hasher, RandomState};

/// Bytes of one slot.
const SLOT_BYTES: usize = 24;
/// Slots of a map that holds nothing yet.
const SLOTS_MIN: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: [u64; 2],
    offset: i64,
}

const EMPTY: Slot = Slot {
    hash: [0; 2],
    offset: -1,
};

/// The map of one compaction; see the module's documentation.
#[derive(Debug)]
pub struct OffsetMap {
    slots: Vec<Slot>,
    len: usize,
    slots_max: usize,
    load_factor: f64,
    hashers: [RandomState; 2],
    latest: Option<Offset>,
}

impl OffsetMap {
    /// A map of at most `bytes_max` bytes (`log.cleaner.dedupe.buffer.size` per thread), never filled beyond `load_factor`
    /// (`log.cleaner.io.buffer.load.factor`, 0 to 1). It grows as it is filled.
    #[must_use]
    pub fn new(bytes_max: usize, load_factor: f64) -> Self {
        let slots_max = (bytes_max / SLOT_BYTES).max(2);
        Self {
            slots: vec![EMPTY; SLOTS_MIN.min(slots_max)],
            len: 0,
            slots_max,
            load_factor: load_factor.clamp(0.1, 0.95),
            hashers: [RandomState::new(), RandomState::new()],
            latest: None,
        }
    }

    /// Forgets everything and gives the memory back.
    pub fn clear(&mut self) {
        *self = Self {
            slots: vec![EMPTY; SLOTS_MIN.min(self.slots_max)],
            len: 0,
            latest: None,
            hashers: self.hashers.clone(),
            ..*self
        };
    }

    /// How many keys it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when it holds no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Share of the slots it may have that hold a key, 0 to 1. Source: `OffsetMap.utilization`.
    #[must_use]
    pub fn utilization(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "slots are far below 2^53")]
        let utilization = self.len as f64 / self.slots_max as f64;
        utilization
    }

    /// Everything up to this offset is in the map, as far as it has a key.
    #[must_use]
    pub fn latest(&self) -> Option<Offset> {
        self.latest
    }

    /// Notes that everything up to `offset` is in the map.
    pub fn set_latest(&mut self, offset: Offset) {
        self.latest = self.latest.max(Some(offset));
    }

    /// Notes the key's offset. False: the map is full, and nothing was noted.
    #[must_use]
    pub fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hash(key);
        let mut at = self.find(hash);
        if self.slots[at].offset < 0 {
            if self.len >= limit(self.slots_max, self.load_factor) {
                return false;
            }
            if self.len >= limit(self.slots.len(), self.load_factor) {
                self.grow();
                at = self.find(hash);
            }
            self.len += 1;
        }
        self.slots[at] = Slot {
            hash,
            offset: offset.0,
        };
        self.set_latest(offset);
        true
    }

    /// The last offset that was noted for the key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Offset> {
        let slot = self.slots[self.find(self.hash(key))];
        (slot.offset >= 0).then_some(Offset(slot.offset))
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        [0, 1].map(|at: usize| {
            let mut hasher = self.hashers[at].build_hasher();
            hasher.write(key);
            hasher.finish()
        })
    }

    /// The slot that has the hash, or the empty one where it belongs; there is always an empty one.
    fn find(&self, hash: [u64; 2]) -> usize {
        let count = self.slots.len();
        let mut at = usize::try_from(hash[0] % count as u64).unwrap_or_default();
        loop {
            let slot = &self.slots[at];
            if slot.offset < 0 || slot.hash == hash {
                return at;
            }
            at = if at + 1 == count { 0 } else { at + 1 };
        }
    }

    fn grow(&mut self) {
        let larger = (self.slots.len() * 2).min(self.slots_max);
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; larger]);
        for slot in old.into_iter().filter(|slot| slot.offset >= 0) {
            let at = self.find(slot.hash);
            self.slots[at] = slot;
        }
    }
}

/// How many keys so many slots may hold: at least one, and one slot stays empty.
fn limit(slots: usize, load_factor: f64) -> usize {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "slots are far below 2^53, the factor lies between 0 and 1"
    )]
    let limit = (slots as f64 * load_factor) as usize;
    limit.clamp(1, slots - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_of_each_key_counts() {
        let mut map = OffsetMap::new(1 << 20, 0.9);
        for i in 0..20_000_i64 {
            assert!(map.put(format!("key {}", i % 7000).as_bytes(), Offset(i)));
        }
        assert_eq!((map.len(), map.latest()), (7000, Some(Offset(19_999))));
        for key in 0..7000_i64 {
            let last = if key < 6000 { 14_000 + key } else { 7000 + key };
            assert_eq!(map.get(format!("key {key}").as_bytes()), Some(Offset(last)));
        }
        assert_eq!(map.get(b"another"), None);
        map.clear();
        assert_eq!(
            (map.get(b"key 1"), map.latest(), map.is_empty()),
            (None, None, true)
        );
    }

    #[test]
    fn a_full_map_takes_known_keys_only() {
        let mut map = OffsetMap::new(100 * SLOT_BYTES, 0.9);
        let taken = (0..200_i64)
            .take_while(|i| map.put(&i.to_be_bytes(), Offset(*i)))
            .count();
        assert_eq!((taken, map.latest()), (90, Some(Offset(89))));
        assert!((map.utilization() - 0.9).abs() < 1e-9, "of what it may grow to");
        assert!(map.put(&5_i64.to_be_bytes(), Offset(500)));
        assert_eq!(map.get(&5_i64.to_be_bytes()), Some(Offset(500)));
        let mut tiny = OffsetMap::new(0, 0.9);
        assert!(tiny.put(b"a", Offset(1)) && !tiny.put(b"b", Offset(2)) && tiny.get(b"b").is_none());
    }
}
