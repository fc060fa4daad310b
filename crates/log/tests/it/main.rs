//! Properties of the log through its public interface, on the faulty in-memory file system and on the real one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod appends;
mod compaction;
mod compaction_crash;
mod compaction_ended;
mod compaction_keeps;
mod compaction_no_space;
mod compaction_sums;
mod counting_fs;
mod damage;
mod damage_served;
mod damaged_tail;
mod dirs;
mod doubt;
mod epoch_file;
mod failed_calls;
mod first_segments;
mod heavy;
mod idle;
mod kafka_made;
mod model;
mod names;
mod no_space;
mod observed;
mod parted;
mod producers;
mod quarantine;
mod reads;
mod recovery;
mod refusal;
mod retention;
mod rolling;
mod sample;
mod shortage;
mod support;
mod transactions;
mod truncation;
mod windows;
mod wrong_epoch;
