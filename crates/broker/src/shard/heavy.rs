//! Heavy batches of clients: they are prepared on another thread, and appended, with all that came behind them, when they are back.
//!
//! Everything that a produce request is checked for is checked again then, as if it had just come; the topic's settings are those
//! under which the batch was checked, as in Kafka.

use super::api::ProduceResult;
use super::context::Context;
use super::line::{Asked, Next, Waiting, WorkId};
use super::mailbox::with_local;
use super::partition::Partition;
use super::preparers::Lane;
use super::state::Shard;
use milena_log::{AppendError, ClientBatch, Work};
use milena_types::{ErrorCode, TopicIdPartition, TopicPartition};
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

/// Work that took longer is told of: the topic's settings, or a client, cost the broker that much.
const SLOW: Duration = Duration::from_secs(1);
/// Batches that are appended in one turn, before other partitions have theirs.
const TURN_MAX: usize = 32;

/// What has come back.
pub(super) enum Prepared {
    /// The batch, or why it is refused.
    Batch(Result<ClientBatch, AppendError>),
    /// The work has panicked.
    Lost,
    /// Nothing was away, but others had their turn.
    Turn,
}

impl Shard {
    /// A thread has done its work for a batch of this partition.
    pub(super) fn on_prepared(&mut self, id: TopicIdPartition, work: WorkId, prepared: Prepared) {
        // Who waited has been answered when the role ended.
        let Some(waiting) = self.cx.lines.came_back(id, work) else {
            return;
        };
        match self.partition(id) {
            Ok((partition, cx)) => partition.go_on(cx, waiting, prepared),
            Err(error) => {
                for asked in self.cx.lines.everybody(waiting) {
                    asked.slot.set(ProduceResult::failed(id, error));
                }
            }
        }
    }
}

impl Partition {
    /// Appends what is back, and what waited behind it until something has to go away again.
    fn go_on(&mut self, cx: &mut Context, waiting: Waiting, prepared: Prepared) {
        let Waiting {
            asked, mut behind, ..
        } = waiting;
        let mut away = match (prepared, asked) {
            (Prepared::Batch(Ok(batch)), Some(asked)) => self.append_asked(cx, batch, asked),
            (Prepared::Batch(Err(error)), Some(asked)) => {
                let refused = match self.check_produce(cx, asked.acks) {
                    Ok(()) => self.append_refusal(cx, &error),
                    Err(error) => self.refusal(cx, error),
                };
                asked.slot.set(refused);
                None
            }
            (Prepared::Lost | Prepared::Turn, Some(asked)) => {
                asked.slot.set(self.refusal(cx, ErrorCode::UnknownServerError));
                None
            }
            (_, None) => None,
        };
        for _ in 0..TURN_MAX {
            if away.is_some() {
                break;
            }
            let Some(next) = cx.lines.next(&mut behind) else {
                return;
            };
            away = self.append_asked(cx, ClientBatch::new(next.batch), next.asked);
        }
        match away {
            Some((work, asked)) => self.send_away(cx, work, asked, behind),
            None if behind.is_empty() => {}
            None => self.wait_for_turn(cx, behind),
        }
    }

    /// Lets others have their turn.
    fn wait_for_turn(&self, cx: &mut Context, behind: VecDeque<Next>) {
        let (work, _) = cx.lines.begin(self.id, None, behind);
        let id = self.id;
        tokio::task::spawn_local(async move {
            tokio::task::yield_now().await;
            with_local(|shard| shard.on_prepared(id, work, Prepared::Turn));
        });
    }

    /// Has `work` done elsewhere; what is `behind` it waits, and what comes from now on.
    pub(super) fn send_away(&self, cx: &mut Context, work: Work, asked: Asked, behind: VecDeque<Next>) {
        let lane = if work.is_rewrite() {
            Lane::Rewrite
        } else {
            Lane::Walk
        };
        let (number, wanted) = cx.lines.begin(self.id, Some(asked), behind);
        let (id, name, owner, mailboxes) = (self.id, self.name.clone(), cx.shard, cx.mailboxes.clone());
        let job = move || {
            if wanted.strong_count() > 0 {
                let prepared = run(work, &name);
                // A thread that has stopped has answered everybody.
                mailboxes.run_control(owner, move |shard| shard.on_prepared(id, number, prepared));
            }
        };
        if let Err(error) = cx.background.preparers.submit(lane, self.id.topic, Box::new(job)) {
            tracing::error!(partition = %self.name, %error, "no thread to prepare a batch with");
            self.give_up_line(cx, ErrorCode::KafkaStorageError);
        }
    }

    /// Answers everybody who waits in the line.
    pub(super) fn give_up_line(&self, cx: &mut Context, error: ErrorCode) {
        for asked in cx.lines.give_up(self.id) {
            asked.slot.set(self.refusal(cx, error));
        }
    }
}

/// Does the work, and tells of it when it took long.
fn run(work: Work, partition: &TopicPartition) -> Prepared {
    let (bytes, codec, target) = (work.size_bytes(), work.codec(), work.target());
    let started = Instant::now();
    // The line must go on, whatever happens.
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| work.run()));
    let took = started.elapsed();
    if took > SLOW {
        let ms = took.as_millis();
        let (stored_as, level) = target.unzip();
        tracing::warn!(%partition, bytes, ?codec, ?stored_as, level = ?level.flatten(), ms,
            "it took long to prepare a batch; what came behind it waited");
    }
    result.map_or(Prepared::Lost, Prepared::Batch)
}
