//! The damaged end of a log is set aside before it is cut: all of it, and not only the batch that is bad. What is good of it
//! may be nowhere else, should the leader turn out to be damaged too.

use super::awaited::{Awaited, Contents, Waiting};
use super::refill::Refill;
use super::{Gates, give_up, make_room, quarantine};
use crate::shard::context::{Context, wall_clock};
use milena_log::quarantine::{Quarantine, Quarantined};
use milena_log::{DamagedTail, LogError, TailKeeper};
use milena_replication::CutTail;
use milena_types::{BrokerId, LeaderEpoch, OffsetRange, Timestamp, TopicIdPartition, TopicPartition};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// So many leader epochs are told, the newest ones.
const EPOCHS_TOLD_MAX: usize = 64;

/// Whose log it is.
#[derive(Clone, Debug)]
pub(in crate::shard) struct DamagedLog {
    pub(in crate::shard) id: TopicIdPartition,
    pub(in crate::shard) name: TopicPartition,
    /// The replica.
    pub(in crate::shard) broker: BrokerId,
    pub(in crate::shard) leader_epoch: LeaderEpoch,
}

/// Where a copy lies.
#[derive(Debug)]
pub(in crate::shard) struct Copy {
    pub(super) quarantine: Quarantine,
    pub(super) kept: Quarantined,
    pub(super) waiting: Waiting,
}

/// What has become of an end that was to be set aside.
#[derive(Debug)]
pub(super) enum SetAside {
    Kept(Copy),
    /// So much is not kept: why.
    TooLarge(String),
}

impl DamagedLog {
    /// The content of `loss.json`.
    fn json(&self, tail: &DamagedTail, now: Timestamp) -> String {
        let OffsetRange { from, to } = tail.range;
        let told = tail.epochs.len().saturating_sub(EPOCHS_TOLD_MAX);
        let epochs: Vec<_> = tail.epochs[told..]
            .iter()
            .map(|(epoch, start)| format!("[{}, {}]", epoch.0, start.0))
            .collect();
        format!(
            "{{\"version\": 1, \"why\": \"damage\", \"topic\": \"{}\", \"partition\": {}, \"topic_id\": \"{}\", \"broker\": {}, \
             \"leader_epoch\": {}, \"epochs\": [{}], \"lost_from\": {}, \"committed_to\": {}, \"lost_to\": {}, \
             \"at_least\": {}, \"damage\": \"{}\", \"at_ms\": {}}}\n",
            self.name.topic,
            self.name.partition,
            self.id.topic,
            self.broker.0,
            self.leader_epoch.0,
            epochs.join(", "),
            from.0,
            tail.committed_to.0,
            to.0,
            !tail.is_end_known,
            json_text(&tail.damage),
            now.0,
        )
    }

    /// Copies the end of the log. Blocks.
    ///
    /// # Errors
    /// A file operation failed; nothing is kept.
    pub(super) fn set_aside(
        &self,
        tail: &DamagedTail,
        quarantine: Quarantine,
        awaited: &Arc<Awaited>,
    ) -> Result<SetAside, LogError> {
        let bytes = tail.bytes();
        if !make_room(&quarantine, bytes, awaited)? {
            let why = format!("it has {bytes} bytes, more than milena.quarantine.max.bytes");
            return Ok(SetAside::TooLarge(why));
        }
        let mut writer = quarantine.begin(&self.name, self.id.topic)?;
        if let Err(error) = writer.append_damaged(tail) {
            give_up(writer);
            return Err(error);
        }
        let now = wall_clock();
        let kept = writer.finish(self.json(tail, now).as_bytes(), now)?;
        let contents = Contents {
            name: self.name.clone(),
            range: tail.range,
            is_end_known: tail.is_end_known,
        };
        let waiting = Waiting::new(awaited, &kept.path, contents);
        Ok(SetAside::Kept(Copy {
            quarantine,
            kept,
            waiting,
        }))
    }

    /// The log is cut now, or is going to be: what goes, and where it is.
    pub(super) fn tell_cut(&self, tail: &DamagedTail, result: &SetAside) {
        let OffsetRange { from, to } = tail.range;
        let (from, to, damage) = (from.0, to.0, &tail.damage);
        let these = these_records(tail.is_end_known);
        match result {
            SetAside::Kept(copy) => {
                tracing::warn!(partition = %self.name, from, to, damage, path = %copy.kept.path.display(),
                "the damaged log is cut: a copy of {these} is in quarantine until its leader has filled them in again")
            }
            SetAside::TooLarge(why) => tracing::error!(partition = %self.name, from, to, damage,
                "the damaged log is cut, and this replica's copy of {these} is not kept, {why}"),
        }
    }

    /// Nothing is cut for want of space or files.
    pub(super) fn tell_put_off(&self, tail: &DamagedTail, error: &LogError) {
        let OffsetRange { from, to } = tail.range;
        let (from, to) = (from.0, to.0);
        let error: &dyn std::error::Error = error;
        tracing::error!(partition = %self.name, error, from, to,
            "the damaged end of the log cannot be set aside: the log is not cut, and not used, until it can");
    }

    /// What is awaited from the leader after the cut.
    pub(super) fn refill(&self, tail: &DamagedTail, result: SetAside) -> Refill {
        let cut = CutTail {
            range: tail.range,
            committed_to: tail.committed_to,
            is_end_known: tail.is_end_known,
            last_epoch: tail.last_epoch,
        };
        let copies = match result {
            SetAside::Kept(copy) => vec![copy],
            SetAside::TooLarge(_) => Vec::new(),
        };
        Refill::new(self.name.clone(), cut, copies)
    }
}

/// Sets the ends of logs aside that are cut while they are opened.
#[derive(Debug)]
pub(in crate::shard) struct Keeper {
    log: DamagedLog,
    dir: usize,
    gates: Arc<Gates>,
    /// `None`: the directory is offline.
    quarantine: Option<Quarantine>,
    cut: Mutex<Option<Refill>>,
}

impl Keeper {
    /// For the log of a partition in directory number `dir`.
    pub(in crate::shard) fn new(cx: &Context, log: DamagedLog, dir: usize) -> Arc<Self> {
        Arc::new(Self {
            log,
            dir,
            gates: Arc::clone(&cx.background.gates),
            quarantine: quarantine(&cx.dirs, dir, cx.config.replica.quarantine),
            cut: Mutex::default(),
        })
    }

    /// What was cut while the log was opened.
    pub(in crate::shard) fn take_cut(&self) -> Option<Refill> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl TailKeeper for Keeper {
    fn keep(&self, tail: &DamagedTail) -> Result<(), LogError> {
        let Some(quarantine) = self.quarantine.clone() else {
            return Err(LogError {
                operation: "set aside the end of",
                path: self.log.name.to_string().into(),
                source: io::Error::other("its log directory is offline"),
            });
        };
        let gate = self.gates.of(self.dir);
        let result = {
            let _alone = gate.blocking_lock();
            self.log.set_aside(tail, quarantine, &self.gates.awaited())
        };
        let result = result.inspect_err(|error| self.log.tell_put_off(tail, error))?;
        self.log.tell_cut(tail, &result);
        let more = self.log.refill(tail, result);
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        *cut = Some(match cut.take() {
            Some(first) => first.and(more),
            None => more,
        });
        Ok(())
    }
}

/// How a line speaks of a range.
pub(super) fn these_records(is_end_known: bool) -> &'static str {
    match is_end_known {
        true => "these records",
        false => "at least these records",
    }
}

/// Without what JSON would want escaped.
fn json_text(text: &str) -> String {
    let plain = |c: char| match c {
        '"' => '\'',
        '\\' => '/',
        c if c.is_control() => ' ',
        c => c,
    };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_log::env::StdFileSystem;
    use milena_log::quarantine::QuarantineRules;
    use milena_log::{Env, TailPiece};
    use milena_types::{Offset, PartitionIndex, TopicId, TopicName, Uuid};

    fn log() -> DamagedLog {
        DamagedLog {
            id: TopicIdPartition {
                topic: TopicId(Uuid([1; 16])),
                partition: PartitionIndex(3),
            },
            name: TopicPartition {
                topic: TopicName::new("a.b-c_D").unwrap(),
                partition: PartitionIndex(3),
            },
            broker: BrokerId(1),
            leader_epoch: LeaderEpoch(9),
        }
    }

    fn tail() -> DamagedTail {
        DamagedTail {
            range: OffsetRange {
                from: Offset(80),
                to: Offset(300),
            },
            is_end_known: true,
            committed_to: Offset(290),
            last_epoch: Some(LeaderEpoch(7)),
            epochs: vec![(LeaderEpoch(4), Offset(80)), (LeaderEpoch(7), Offset(200))],
            damage: "\"C:\\x\"\nis bad".to_owned(),
            pieces: Vec::new(),
        }
    }

    /// A tail of so many bytes in a directory of its own.
    fn on_disk(bytes: usize) -> (DamagedTail, tempfile::TempDir) {
        let root = tempfile::tempdir().unwrap();
        let segment = root.path().join("00000000000000000080.log");
        std::fs::write(&segment, vec![7; bytes]).unwrap();
        let piece = TailPiece {
            path: segment,
            offset: Offset(80),
            position: 0,
            bytes: bytes as u64,
        };
        let tail = DamagedTail {
            pieces: vec![piece],
            ..tail()
        };
        (tail, root)
    }

    fn quarantine_of(root: &tempfile::TempDir, bytes_max: u64) -> Quarantine {
        let rules = QuarantineRules {
            bytes_max,
            age_max_ms: 1_000_000,
        };
        Quarantine::new(Env::with(Arc::new(StdFileSystem), 4), root.path(), rules)
    }

    /// However soon a copy would go again.
    #[test]
    fn so_much_as_is_not_to_be_kept_is_not_even_begun() {
        let (tail, root) = on_disk(100);
        let within = |bytes_max| {
            let quarantine = quarantine_of(&root, bytes_max);
            let result = log()
                .set_aside(&tail, quarantine.clone(), &Arc::default())
                .unwrap();
            let kept = quarantine.list().unwrap().len();
            (matches!(result, SetAside::Kept(_)), kept)
        };
        assert_eq!(within(99), (false, 0));
        assert_eq!(within(100_000), (true, 1));
    }

    /// The second one needs the room of one of the others.
    #[test]
    fn what_nobody_waits_for_goes_first_and_what_is_gone_is_not_named() {
        let (tail, root) = on_disk(5000);
        let quarantine = quarantine_of(&root, 12_000);
        let awaited = Arc::default();
        let keep = || match log().set_aside(&tail, quarantine.clone(), &awaited) {
            Ok(SetAside::Kept(copy)) => copy,
            other => panic!("{other:?}"),
        };
        let first = keep();
        let forsaken = keep();
        let lone = forsaken.kept.path.clone();
        drop(forsaken.waiting);
        let second = keep();
        assert!(!lone.exists(), "it is not the oldest");
        assert!(first.waiting.is_there() && first.kept.path.exists());
        let third = keep();
        assert!(!first.kept.path.exists(), "the oldest");
        assert_eq!(
            [first, second, third].map(|copy| copy.waiting.is_there()),
            [false, true, true]
        );
        assert!(awaited.is_empty(), "nobody waits any more");
    }

    #[test]
    fn the_word_of_a_damaged_end_is_json() {
        let (log, tail) = (log(), tail());
        assert_eq!(
            log.json(&tail, Timestamp(7)),
            "{\"version\": 1, \"why\": \"damage\", \"topic\": \"a.b-c_D\", \"partition\": 3, \
             \"topic_id\": \"AQEBAQEBAQEBAQEBAQEBAQ\", \"broker\": 1, \"leader_epoch\": 9, \
             \"epochs\": [[4, 80], [7, 200]], \"lost_from\": 80, \"committed_to\": 290, \"lost_to\": 300, \
             \"at_least\": false, \"damage\": \"'C:/x' is bad\", \"at_ms\": 7}\n"
        );
        let epochs = (0..100).map(|number| (LeaderEpoch(number), Offset(80 + i64::from(number))));
        let many = DamagedTail {
            epochs: epochs.collect(),
            ..tail
        };
        let told = log.json(&many, Timestamp(7));
        assert!(
            told.contains("\"epochs\": [[36, 116], ") && told.contains("[99, 179]]"),
            "only the newest: {told}"
        );
        let unknown = DamagedTail {
            is_end_known: false,
            ..many
        };
        assert!(log.json(&unknown, Timestamp(7)).contains("\"at_least\": true"));
    }
}
