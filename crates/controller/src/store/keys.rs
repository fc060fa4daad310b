//! Every column family and key of the controller's store, in one place.
//!
//! | column family | key | value |
//! |---|---|---|
//! | `log` | index, 8 bytes big-endian | entry ([`codec`](crate::raft::codec)) |
//! | `state` | [`StateKey`], 1 byte | see there |
//! | `snapshot` | generation and chunk, 8 + 4 bytes big-endian | up to [`SNAPSHOT_CHUNK`] bytes of an encoded image |

/// The column families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Raft's log.
    Log,
    /// Raft's small state.
    State,
    /// The content of the last snapshot.
    Snapshot,
}

impl Family {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::State => "state",
            Self::Snapshot => "snapshot",
        }
    }
}

/// How many bytes of a snapshot one value holds.
pub(super) const SNAPSHOT_CHUNK: usize = 1024 * 1024;

/// The keys of `state`.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum StateKey {
    /// The vote: synced before raft goes on.
    Vote = 1,
    /// The last committed log id: not synced, a hint for the restart.
    Committed = 2,
    /// The last purged log id.
    Purged = 3,
    /// The last snapshot: generation, chunk count and raft's meta.
    Snapshot = 4,
    /// 1 while this voter's log is empty or being restored, 2 since it is not; absent where a log was there before.
    Joining = 5,
}

impl StateKey {
    pub(super) fn bytes(self) -> [u8; 1] {
        [self as u8]
    }
}

pub(super) fn log_key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

/// The index of a log key; `None` for bytes that are none.
pub(super) fn log_index(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.try_into().ok()?))
}

pub(super) fn snapshot_key(generation: u64, chunk: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&generation.to_be_bytes());
    key[8..].copy_from_slice(&chunk.to_be_bytes());
    key
}
