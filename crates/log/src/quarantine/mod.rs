//! The quarantine: the ends of logs that were cut because an unclean election chose a leader without them.
//!
//! ```text
//! <log dir>/<topic>-<p>.<uuid>-delete   being written; what a crash leaves of it goes at the next start
//!    files and names are on disk
//! <log dir>/<topic>-<p>.<uuid>-stray    renamed, the name is on disk: only now is the log cut
//!              /<first offset>.log      the batches, unchanged; kafka-dump-log reads them
//!              /partition.metadata      the topic's id
//!              /loss.json               which records, lost by which election
//! ```
//!
//! It is no folder of its own: Kafka refuses a log directory with a directory in it that is no partition's. `-stray` is its
//! own name for logs that are set aside (`UnifiedLog.logStrayDirName`), which it leaves alone. Those without `loss.json` (of
//! deleted topics, for example) are not of the quarantine: they count for nothing here, and are never removed by it.

mod folder;
mod tail;

pub use folder::{LOSS_FILE, Quarantine, QuarantineRules, Quarantined};
pub use tail::TailWriter;
