//! Produce: from the call to the append, and to the answer that its acks rule allows.

use super::api::{ProduceCall, ProducePartition, ProduceResult};
use super::context::{Context, wall_clock};
use super::dir_state::DirState;
use super::gather::{Gather, Slot, Turns};
use super::line::{Asked, Next};
use super::parked::Waiting;
use super::partition::Partition;
use super::role::Role;
use super::router::{Router, send_error_code};
use super::state::Shard;
use bytes::BytesMut;
use milena_log::{AppendContext, AppendError, AppendOrigin, Appended, ClientBatch, Step, Work};
use milena_record::{BatchHeader, Compression};
use milena_replication::AckOutcome;
use milena_types::{Acks, ErrorCode, Offset, Timestamp, TopicIdPartition};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The shortest time after which it is looked again whether an append still waits for its turn.
const HELD_LOOK: Duration = Duration::from_millis(100);

impl Router {
    /// Appends to every partition of the call, in call order, and answers when the acks rule holds for each.
    ///
    /// The appends have begun (on this thread: are done) when this returns; the future only waits. Batches of one partition are
    /// appended in the order of the calls, also when one of them is prepared on another thread (`heavy`). Partitions that are not
    /// answered in time answer REQUEST_TIMED_OUT; their data stays. The time does not end before the batches are in the log: as in
    /// Kafka it is given to the acknowledgements.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the answers, not the appends.
    pub fn produce(&self, call: ProduceCall) -> impl Future<Output = Vec<ProduceResult>> + Send + use<> {
        let ids: Vec<TopicIdPartition> = call.partitions.iter().map(|partition| partition.id).collect();
        let (gather, done) = Gather::new(ids.len());
        let (acks, zstd_allowed, timeout) = (call.acks, call.zstd_allowed, call.timeout);
        let mut by_owner: Vec<Vec<(ProducePartition, Slot<ProduceResult>)>> = Vec::new();
        by_owner.resize_with(self.mailboxes.len(), Vec::new);
        for (index, partition) in call.partitions.into_iter().enumerate() {
            let owner = self.mailboxes.owner_of(partition.id);
            if let Some(items) = by_owner.get_mut(owner.0) {
                items.push((partition, gather.slot(index)));
            }
        }
        let mut refused = ErrorCode::RequestTimedOut;
        for (owner, items) in self.mailboxes.shards().zip(by_owner) {
            if items.is_empty() {
                continue;
            }
            let sent = self
                .mailboxes
                .run(owner, move |shard| shard.produce(items, acks, zstd_allowed));
            if let Err(error) = sent {
                refused = send_error_code(error);
            }
        }
        async move {
            wait(done, timeout, || gather.turns()).await;
            let results = gather.take().into_iter().zip(ids);
            results
                .map(|(result, id)| result.unwrap_or_else(|| ProduceResult::failed(id, refused)))
                .collect()
        }
    }
}

/// Waits until all slots are filled or dropped, at most `timeout` from now, or from when the last append that had to wait has
/// had its turn.
async fn wait(mut done: oneshot::Receiver<()>, timeout: Duration, turns: impl Fn() -> Turns) {
    match done.try_recv() {
        // Either way there is nothing to wait for any more.
        Ok(()) | Err(oneshot::error::TryRecvError::Closed) => {}
        Err(oneshot::error::TryRecvError::Empty) => {
            let asked = Instant::now();
            let mut until = asked + timeout;
            while tokio::time::timeout_at(until, &mut done).await.is_err() {
                let (now, turns) = (Instant::now(), turns());
                until = match turns.held {
                    0 => turns.released_at.unwrap_or(asked) + timeout,
                    _ => now + timeout.max(HELD_LOOK),
                };
                if until <= now {
                    return;
                }
            }
        }
    }
}

impl Shard {
    fn produce(
        &mut self,
        items: Vec<(ProducePartition, Slot<ProduceResult>)>,
        acks: Acks,
        zstd_allowed: bool,
    ) {
        for (item, slot) in items {
            match self.partition(item.id) {
                Ok((partition, cx)) => {
                    let asked = Asked {
                        acks,
                        zstd_allowed,
                        slot,
                    };
                    partition.produce(cx, item.batch, asked);
                }
                Err(error) => {
                    let current_leader = self.cx.current_leader(item.id);
                    slot.set(ProduceResult {
                        current_leader,
                        ..ProduceResult::failed(item.id, error)
                    });
                }
            }
        }
    }
}

impl Partition {
    fn produce(&mut self, cx: &mut Context, batch: BytesMut, asked: Asked) {
        if let Role::Leader(role) = &mut self.role {
            role.first_ack.on_asked(|| (cx.now(), age(&batch)));
        }
        let Err(next) = cx.lines.push(self.id, Next { batch, asked }) else {
            return;
        };
        if let Some((work, asked)) = self.append_asked(cx, ClientBatch::new(next.batch), next.asked) {
            self.send_away(cx, work, asked, VecDeque::new());
        }
    }

    /// Checks, appends and answers; or gives the work that has to be done first, and the caller back.
    pub(super) fn append_asked(
        &mut self,
        cx: &mut Context,
        batch: ClientBatch,
        asked: Asked,
    ) -> Option<(Work, Asked)> {
        let checked = self.check_produce(cx, asked.acks);
        if let Err(error) = checked.and_then(|()| check_codec(&batch, asked.zstd_allowed)) {
            asked.slot.set(self.refusal(cx, error));
            return None;
        }
        let appended = match self.append_client(cx, batch) {
            Ok(Step::Appended(appended)) => appended,
            Ok(Step::Work(work)) => return Some((work, asked)),
            Err(error) => {
                asked.slot.set(self.append_refusal(cx, &error));
                return None;
            }
        };
        let result = ProduceResult {
            base_offset: Some(appended.range.from),
            log_append_time: appended.log_append_time,
            log_start_offset: appended.log_start_offset,
            ..ProduceResult::failed(self.id, ErrorCode::None)
        };
        self.note_first_ack(cx, asked.acks, appended.range.to);
        match asked.acks {
            Acks::None | Acks::Leader => asked.slot.set(result),
            Acks::All => self.park(appended.range.to, Waiting::Produce(Box::new(result), asked.slot)),
        }
        None
    }

    /// A batch that ends at `end` is in the log: it may be the first one of this leadership to be acknowledged.
    fn note_first_ack(&mut self, cx: &Context, acks: Acks, end: Offset) {
        let Role::Leader(role) = &mut self.role else {
            return;
        };
        let took = match acks {
            Acks::None | Acks::Leader => role.first_ack.on_acknowledged(|| cx.now()),
            Acks::All => {
                role.first_ack.on_appended(end);
                role.first_ack
                    .on_committed(role.leader.high_watermark(), || cx.now())
            }
        };
        if let Some(took) = took {
            cx.background.availability.first_ack.observe(took);
        }
    }

    /// May this broker append now, for such acknowledgements?
    pub(super) fn check_produce(&self, cx: &Context, acks: Acks) -> Result<(), ErrorCode> {
        let role = self.leader()?;
        self.check_space(cx)?;
        role.leader
            .check_produce(acks, || cx.control.in_contact(cx.image.version))
    }

    /// KAFKA_STORAGE_ERROR while the directory is full: the client looks for another leader and tries again.
    pub(super) fn check_space(&self, cx: &Context) -> Result<(), ErrorCode> {
        match cx.dirs.state(self.dir) {
            DirState::Online => Ok(()),
            DirState::Full | DirState::Offline => Err(ErrorCode::KafkaStorageError),
        }
    }

    /// Appends as the leader and lets followers, flusher and consumers know.
    pub(super) fn append(
        &mut self,
        cx: &mut Context,
        batch: BytesMut,
        origin: AppendOrigin,
    ) -> Result<Appended, AppendError> {
        let append = self.append_context(origin);
        let appended = self.log.append_as_leader(batch, &append)?;
        self.on_appended(cx, &appended);
        Ok(appended)
    }

    /// Likewise, a client's batch, unless it is heavy.
    fn append_client(&mut self, cx: &mut Context, batch: ClientBatch) -> Result<Step, AppendError> {
        let append = self.append_context(AppendOrigin::Client);
        let step = self.log.append_client(batch, &append)?;
        if let Step::Appended(appended) = &step {
            self.on_appended(cx, appended);
        }
        Ok(step)
    }

    fn append_context(&self, origin: AppendOrigin) -> AppendContext {
        AppendContext {
            epoch: self.leader_epoch,
            now: wall_clock(),
            origin,
        }
    }

    fn on_appended(&mut self, cx: &mut Context, appended: &Appended) {
        let Role::Leader(role) = &mut self.role else {
            return;
        };
        if appended.duplicate {
            return;
        }
        role.ring.push(appended.range, appended.bytes.clone());
        cx.ring.charge(self.id, appended.range.from, appended.bytes.len());
        role.leader.on_append(appended.range.to, cx.now());
        self.feed_followers(cx);
        self.after_append(cx);
        self.on_advertised(cx);
    }

    /// Waits for the high watermark to reach `end`, if it has not already.
    pub(super) fn park(&mut self, end: Offset, waiting: Waiting) {
        match &mut self.role {
            Role::Leader(role) => match role.leader.ack_outcome(end) {
                AckOutcome::Done(error) => waiting.finish(error),
                AckOutcome::Waiting => role.parked.push(end, waiting),
            },
            Role::Follower(_) | Role::Idle => waiting.finish(ErrorCode::NotLeaderOrFollower),
        }
    }

    pub(super) fn refusal(&self, cx: &Context, error: ErrorCode) -> ProduceResult {
        let current_leader = if error == ErrorCode::NotLeaderOrFollower {
            cx.current_leader(self.id)
        } else {
            None
        };
        let refusal = ProduceResult {
            current_leader,
            ..ProduceResult::failed(self.id, error)
        };
        match error {
            // Source: `ReplicaManager.appendToLocalLog`.
            ErrorCode::NotLeaderOrFollower
            | ErrorCode::MessageTooLarge
            | ErrorCode::RecordListTooLarge
            | ErrorCode::CorruptMessage
            | ErrorCode::KafkaStorageError
            | ErrorCode::UnsupportedCompressionType => refusal,
            _ => ProduceResult {
                log_start_offset: self.log.log_start_offset(),
                ..refusal
            },
        }
    }

    pub(super) fn append_refusal(&mut self, cx: &mut Context, error: &AppendError) -> ProduceResult {
        if let AppendError::Log(error) = error {
            self.storage_failed(cx, error);
        }
        ProduceResult {
            record_errors: error.record_errors().to_vec(),
            message: Some(error.to_string()),
            ..self.refusal(cx, error.code())
        }
    }
}

/// How long ago the producer made the batch's first record, by its clock; of what has no timestamp nothing is known.
fn age(batch: &[u8]) -> Duration {
    let made = BatchHeader::parse(batch).map(|header| header.base_timestamp);
    let known = made.ok().filter(|made| *made > Timestamp::NONE);
    known.map_or(Duration::MAX, |made| {
        let ms = wall_clock().0.saturating_sub(made.0);
        Duration::from_millis(u64::try_from(ms).unwrap_or(0))
    })
}

/// Does the version of the request know the codec of this batch?
fn check_codec(batch: &ClientBatch, zstd_allowed: bool) -> Result<(), ErrorCode> {
    if let Some(bytes) = batch.unchecked().filter(|_| !zstd_allowed) {
        let header = BatchHeader::parse(bytes).map_err(|_| ErrorCode::CorruptMessage)?;
        if header.compression() == Ok(Compression::Zstd) {
            return Err(ErrorCode::UnsupportedCompressionType);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many seconds a request with 10 s for its answer is waited for that never comes; some append waits for its turn in
    /// these seconds.
    async fn waited(held: &[(u64, u64)]) -> u64 {
        let (_answer, done) = oneshot::channel();
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        wait(done, Duration::from_secs(10), || {
            let now = Instant::now();
            let begun = held.iter().filter(|turn| at(turn.0) <= now);
            let (over, open): (Vec<&(u64, u64)>, Vec<_>) = begun.partition(|turn| at(turn.1) <= now);
            Turns {
                held: open.len(),
                released_at: over.iter().map(|turn| at(turn.1)).max(),
            }
        })
        .await;
        begin.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_begins_when_the_last_append_has_had_its_turn() {
        assert_eq!(waited(&[]).await, 10, "there was nothing to wait for");
        assert_eq!(waited(&[(0, 3)]).await, 13, "it came between two looks");
        assert_eq!(waited(&[(0, 25)]).await, 35);
        assert_eq!(waited(&[(0, 3), (0, 25), (0, 7)]).await, 35);
    }
}
