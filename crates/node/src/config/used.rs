//! The keys that take effect. Every other known key is accepted and named in a warning when it is given.
//!
//! A test builds the configuration of every role and compares: a key is in this list exactly when it is read.

/// Sorted by name.
#[rustfmt::skip]
pub const USED_KEYS: &[&str] = &[
];

/// True when the key takes effect.
pub(super) fn is_used(key: &str) -> bool {
    USED_KEYS.binary_search(&key).is_ok()
}
