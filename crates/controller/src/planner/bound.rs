//! How large a batch may be. One that no other voter and no broker takes would be appended and never committed, nor anything after
//! it: nothing is proposed whose size has not been judged here. Pure.

use milena_metadata::record::MetadataRecord;
use milena_rpc::channel::MESSAGE_BYTES_MAX;

/// The most bytes of records that a client's request may cause, and that several jobs share a batch for.
/// Source: `KafkaRaftClient.MAX_BATCH_SIZE_BYTES`.
pub(crate) const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The most that the coming and going of a broker may cause. All of it is one step (INV-META-4), and refused it would leave dead
/// leaders: the only bound is what a message takes, with room for what is around the records. That is some 600,000 partitions of one broker.
const LIFE_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 4 * 3;

/// What a job is called in the log, and how its records go together with those of others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(super) what: &'static str,
    /// It is the coming and going of a broker, or the controller's own, and does not wait for what clients ask.
    pub(super) is_life: bool,
    /// It must be the last of its batch: its records carry the batch's version.
    pub(super) alone: bool,
}

impl Terms {
    /// Of what a client asks.
    pub(crate) const fn request(what: &'static str) -> Self {
        Self {
            what,
            is_life: false,
            alone: false,
        }
    }

    /// Of what brokers and the controller do by themselves.
    pub(crate) const fn life(what: &'static str) -> Self {
        Self {
            what,
            is_life: true,
            alone: false,
        }
    }

    /// In a batch of its own: for records that carry the version at which they come to be, as registrations do, of which
    /// no two may be the same.
    pub(crate) const fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    /// The most bytes of records that it may cause.
    pub(super) const fn bytes_max(self) -> usize {
        if self.is_life {
            LIFE_BYTES_MAX
        } else {
            BATCH_BYTES_MAX
        }
    }

    /// Where so many bytes of the job's records go, when the batch has so many already.
    pub(super) fn place(self, bytes: usize, before: usize) -> Place {
        if bytes > self.bytes_max() {
            Place::Nowhere
        } else if before > 0 && before + bytes > BATCH_BYTES_MAX {
            Place::NextBatch
        } else {
            Place::ThisBatch
        }
    }
}

/// Where a job's records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    ThisBatch,
    /// They are decided again for the next one.
    NextBatch,
    /// They are too many for any.
    Nowhere,
}

/// What the records take in a batch.
pub(super) fn bytes_of(records: &[MetadataRecord]) -> usize {
    records.iter().map(milena_rpc::record_bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_bounded_and_shares_a_batch_within_the_bound() {
        let request = Terms::request("r");
        assert_eq!(request.place(BATCH_BYTES_MAX, 0), Place::ThisBatch);
        assert_eq!(request.place(1, BATCH_BYTES_MAX - 1), Place::ThisBatch);
        assert_eq!(request.place(2, BATCH_BYTES_MAX - 1), Place::NextBatch);
        assert_eq!(request.place(BATCH_BYTES_MAX + 1, 0), Place::Nowhere);
        assert_eq!(request.place(BATCH_BYTES_MAX + 1, 1), Place::Nowhere);
    }

    #[test]
    fn what_brokers_do_is_bounded_by_the_message_alone() {
        let life = Terms::life("l");
        assert_eq!(life.place(BATCH_BYTES_MAX + 1, 0), Place::ThisBatch);
        assert_eq!(life.place(BATCH_BYTES_MAX + 1, 1), Place::NextBatch);
        assert_eq!(life.place(LIFE_BYTES_MAX + 1, 0), Place::Nowhere);
        let around = 1024 * 1024;
        assert!(LIFE_BYTES_MAX + around < MESSAGE_BYTES_MAX);
    }
}
