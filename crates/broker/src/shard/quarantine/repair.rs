//! An open log is cut where reads have met damage, once its end is set aside.
//!
//! ```text
//! the controller agrees ─► nothing behind the damage ─► cut
//!                          too much, or nothing is to be kept ─► an error line, cut
//!                          copy of the files' bytes, off the data thread
//!                              kept, and the same would be cut now ─► cut; the leader fills it again: see `refill`
//!                              more damage, retention, nobody leads ─► what was kept goes again, from the beginning
//!                              no space, no files ─► not cut; tried again half a minute later
//! ```

use super::damage::{DamagedLog, SetAside};
use super::job::RETRY_PAUSE;
use super::quarantine;
use crate::shard::context::Context;
use crate::shard::mailbox::with_local;
use crate::shard::partition::Partition;
use crate::shard::state::Shard;
use milena_log::quarantine::Quarantine;
use milena_log::{DamagedTail, LogError};
use milena_types::TopicIdPartition;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;

/// The pause before files are copied again that were not there any more, or not as they were.
const CHANGED_PAUSE: Duration = Duration::from_millis(200);

/// The end of one log on its way into the quarantine.
#[derive(Debug)]
struct Repair {
    /// Tells it from earlier and later ones.
    number: u64,
    dir: usize,
    log: DamagedLog,
    tail: Arc<DamagedTail>,
}

impl Repair {
    async fn run(self, quarantine: Quarantine) {
        let found = with_local(|shard| {
            let gates = &shard.cx.background.gates;
            (gates.of(self.dir), gates.awaited())
        });
        let Some((gate, awaited)) = found else {
            return;
        };
        let alone = gate.lock_owned().await;
        let (log, tail) = (self.log.clone(), Arc::clone(&self.tail));
        let copy = spawn_blocking(move || {
            let _alone = alone;
            log.set_aside(&tail, quarantine, &awaited)
        });
        // A panic there would be a defect, or the broker stops: nothing is cut.
        if let Ok(result) = copy.await {
            with_local(|shard| shard.on_damage_set_aside(&self, result));
        }
    }
}

impl Shard {
    /// The controller agrees that the damaged log counts no more: it is cut, once what goes is kept elsewhere, or cannot be.
    pub(in crate::shard) fn cut_damaged(&mut self, id: TopicIdPartition) {
        let rules = self.cx.config.replica.quarantine;
        if self.cx.quarantining.contains_key(&id) || !self.is_led_elsewhere(id) {
            return;
        }
        let Some((partition, cx)) = self.damaged(id) else {
            return;
        };
        let tail = match partition.tail_to_cut() {
            Ok(tail) => tail,
            Err(error) => {
                partition.storage_failed(cx, &error);
                return;
            }
        };
        let Some(tail) = tail else {
            partition.cut_damage(cx);
            self.apply_partition(id);
            return;
        };
        let Some(quarantine) = quarantine(&cx.dirs, partition.dir, rules) else {
            return;
        };
        let number = cx.begin_quarantine(id);
        let log = DamagedLog {
            id,
            name: partition.name.clone(),
            broker: cx.node,
            leader_epoch: partition.leader_epoch,
        };
        let repair = Repair {
            number,
            dir: partition.dir,
            log,
            tail: Arc::new(tail),
        };
        tokio::task::spawn_local(repair.run(quarantine));
    }

    fn on_damage_set_aside(&mut self, repair: &Repair, result: Result<SetAside, LogError>) {
        let id = repair.log.id;
        let is_newest = self.cx.end_quarantine(id, repair.number);
        let current = is_newest && self.is_led_elsewhere(id) && self.would_cut(repair);
        match result {
            Ok(set_aside) if current => self.cut_set_aside(repair, set_aside),
            Ok(SetAside::Kept(copy)) => {
                // The log is as it was.
                spawn_blocking(move || copy.quarantine.release(&copy.kept));
                self.repair_later(id, CHANGED_PAUSE);
            }
            Ok(SetAside::TooLarge(_)) => self.repair_later(id, CHANGED_PAUSE),
            Err(error) => self.not_set_aside(repair, &error, is_newest),
        }
    }

    /// Somebody else can fill the log: else there is no reason to cut what may be the only copy. Once somebody leads, the controller
    /// is asked again.
    fn is_led_elsewhere(&self, id: TopicIdPartition) -> bool {
        let state = self.cx.image.partition(id);
        let leader = state.and_then(|state| state.leader);
        leader.is_some_and(|leader| leader != self.cx.node)
    }

    /// A damaged replica whose directory is in use.
    fn damaged(&mut self, id: TopicIdPartition) -> Option<(&mut Partition, &mut Context)> {
        let partition = self.partitions.get_mut(&id)?;
        let in_use = partition.damaged.is_some() && self.cx.dirs.is_online(partition.dir);
        in_use.then_some((&mut **partition, &mut self.cx))
    }

    /// True while the same would be cut as was copied.
    fn would_cut(&self, repair: &Repair) -> bool {
        let same = |partition: &Partition| {
            let tail = partition.tail_to_cut();
            partition.dir == repair.dir && matches!(tail, Ok(Some(tail)) if tail == *repair.tail)
        };
        self.partitions
            .get(&repair.log.id)
            .is_some_and(|partition| same(partition))
    }

    fn cut_set_aside(&mut self, repair: &Repair, set_aside: SetAside) {
        let id = repair.log.id;
        let Some((partition, cx)) = self.damaged(id) else {
            return;
        };
        // Where that fails, it may be cut half-way: what is kept stays.
        repair.log.tell_cut(&repair.tail, &set_aside);
        if partition.cut_damage(cx) {
            cx.await_refill(id, repair.log.refill(&repair.tail, set_aside));
        }
        self.apply_partition(id);
    }

    fn not_set_aside(&mut self, repair: &Repair, error: &LogError, is_newest: bool) {
        let id = repair.log.id;
        let changed = matches!(
            error.source.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
        );
        let pause = match changed {
            true => CHANGED_PAUSE,
            false => RETRY_PAUSE,
        };
        if is_newest && let Some((partition, cx)) = self.damaged(id) {
            if error.is_no_space() || error.is_shortage() {
                repair.log.tell_put_off(&repair.tail, error);
            } else if !changed || matches!(partition.tail_to_cut(), Ok(Some(tail)) if tail == *repair.tail) {
                // The disk is bad, as any write would have found, or the files are not what this process knows.
                partition.storage_failed(cx, error);
            }
        }
        self.repair_later(id, pause);
    }

    /// If it is still damaged then, the controller is asked again.
    fn repair_later(&self, id: TopicIdPartition, pause: Duration) {
        tokio::task::spawn_local(async move {
            tokio::time::sleep(pause).await;
            with_local(|shard| shard.settle_replica(id));
        });
    }
}

impl Partition {
    /// What goes when the log is cut where it is damaged.
    ///
    /// # Errors
    /// The log could not be read.
    fn tail_to_cut(&self) -> Result<Option<DamagedTail>, LogError> {
        match &self.damaged {
            Some(damage) => {
                let committed = self.high_watermark.get();
                self.log.damaged_tail(damage.offset, committed, &damage.error)
            }
            None => Ok(None),
        }
    }
}
