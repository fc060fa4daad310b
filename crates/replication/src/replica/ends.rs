//! What a replica says of its log's end, and when it has to flush for that.

use crate::LogEnds;
use milena_types::mutants::{Mutant, on};
use milena_types::{AckDurability, Offset};

impl LogEnds {
    /// The ends of a log that reaches `log_end` and is on disk up to `flushed`, as `ack.durability` lets it advertise them
    /// (INV-R-8).
    #[must_use]
    pub fn of_log(durability: AckDurability, log_end: Offset, flushed: Offset) -> Self {
        let advertised = match durability {
            AckDurability::Flushed if !on(Mutant::AckBeforeFsync) => flushed.min(log_end),
            AckDurability::Flushed | AckDurability::Replicated => log_end,
        };
        Self { log_end, advertised }
    }
}

/// True when a log is to be flushed after an append at once: nothing counts before that, or `flush_messages` records (the
/// topic's `flush.messages`) are not on disk.
#[must_use]
pub fn flush_is_due(durability: AckDurability, unflushed: i64, flush_messages: i64) -> bool {
    match durability {
        AckDurability::Flushed => true,
        AckDurability::Replicated => unflushed >= flush_messages,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AckDurability::{Flushed, Replicated};

    #[test]
    fn only_what_is_on_disk_is_advertised_in_flushed_mode() {
        let ends = |durability, flushed| LogEnds::of_log(durability, Offset(10), Offset(flushed));
        assert_eq!(ends(Flushed, 4).advertised, Offset(4));
        assert_eq!(ends(Replicated, 4).advertised, Offset(10));
        // A flush that was begun before a truncation.
        assert_eq!(ends(Flushed, 12).advertised, Offset(10));
        assert_eq!(ends(Flushed, 12).log_end, Offset(10));
    }

    #[test]
    fn a_flush_is_due_at_once_or_after_so_many_records() {
        assert!(flush_is_due(Flushed, 1, 100));
        assert!(!flush_is_due(Replicated, 99, 100));
        assert!(flush_is_due(Replicated, 100, 100));
    }
}
