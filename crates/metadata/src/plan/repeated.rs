//! What a request names more than once.

use std::collections::HashSet;
use std::hash::Hash;

/// The keys that occur more than once. Linear in their number.
pub fn repeated<K: Copy + Eq + Hash>(keys: impl Iterator<Item = K>) -> HashSet<K> {
    let mut seen = HashSet::new();
    keys.filter(|key| !seen.insert(*key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_occur_once_are_left_out() {
        let found = repeated(["a", "b", "c", "b", "a", "b"].into_iter());
        assert_eq!(found, HashSet::from(["a", "b"]));
    }
}
