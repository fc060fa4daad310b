//! What a data thread has for its followers: per stream the partitions with news, and the next frame made of them.
//!
//! A stream is read and written on the thread that accepted it, and fed by the owners of its partitions. An owner on the
//! same thread is asked when HTTP/2 has room; one on another thread sends its frames through a short queue.

use super::Lane;
use super::body::BodySignal;
use super::framing::{FramePart, encode_leader_message};
use super::throttle::{Pauses, queue_after};
use crate::shard::id::ShardId;
use crate::shard::mailbox::with_local;
use crate::shard::role::{Feed, Role};
use crate::shard::state::Shard;
use bytes::Bytes;
use milena_replication::AttachmentId;
use milena_rpc::proto::{FrameKind, PartitionFrame};
use milena_types::{BrokerEpoch, BrokerId, ErrorCode, TopicIdPartition};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// Most partitions in one frame.
const FRAME_PARTITIONS_MAX: usize = 1000;
/// What one partition may take of a frame before the next one has its turn.
const PARTITION_QUANTUM_BYTES: usize = 256 << 10;
/// How long a new high watermark waits for records to travel with.
const NEWS_DELAY: Duration = Duration::from_millis(10);

/// One stream, as all threads that feed it see it.
#[derive(Debug)]
pub(super) struct LinkShared {
    pub(super) stream: u64,
    pub(super) follower: BrokerId,
    pub(super) follower_epoch: BrokerEpoch,
    pub(super) lane: Lane,
    /// The thread that holds the connection.
    pub(super) home: ShardId,
    /// Bytes of records that may still be sent.
    pub(super) credit: AtomicI64,
    pub(super) signal: Arc<BodySignal>,
    /// Wakes the owners on other threads.
    remotes: Mutex<Vec<Arc<Notify>>>,
    /// Frames from owners on other threads.
    frames: mpsc::Sender<Vec<Bytes>>,
}

impl LinkShared {
    pub(super) fn new(
        stream: u64,
        follower: (BrokerId, BrokerEpoch),
        lane: Lane,
        home: ShardId,
        frames: mpsc::Sender<Vec<Bytes>>,
    ) -> Self {
        let (follower, follower_epoch) = follower;
        let (credit, signal) = (AtomicI64::new(0), Arc::default());
        Self {
            stream,
            follower,
            follower_epoch,
            lane,
            home,
            credit,
            signal,
            remotes: Mutex::default(),
            frames,
        }
    }

    /// The follower takes more: everybody who had to stop goes on.
    pub(super) fn grant(&self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let before = self.credit.fetch_add(bytes, Ordering::AcqRel);
        if before <= 0 {
            self.signal.wake();
            let remotes = self
                .remotes
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            remotes.iter().for_each(|remote| remote.notify_one());
        }
    }
}

/// The streams that this data thread feeds.
#[derive(Default)]
pub(crate) struct OutLinks {
    pub(super) links: HashMap<u64, OutLink>,
}

pub(super) struct OutLink {
    pub(super) shared: Arc<LinkShared>,
    /// Wakes the task that feeds a stream of another thread; `None`: it is a stream of this thread.
    remote: Option<Arc<Notify>>,
    pub(super) attached: HashMap<u64, TopicIdPartition>,
    /// Partitions with something to send.
    ready: VecDeque<TopicIdPartition>,
    /// Partitions with a new high watermark only.
    news: Vec<TopicIdPartition>,
    /// Answers to attaches.
    answers: Vec<PartitionFrame>,
    pub(super) pauses: Pauses,
}

impl OutLink {
    pub(super) fn wake(&self) {
        match &self.remote {
            Some(remote) => remote.notify_one(),
            None => self.shared.signal.wake(),
        }
    }

    /// The attachment has ended; whose it was.
    pub(super) fn forget(&mut self, attach: u64) -> Option<TopicIdPartition> {
        self.pauses.forget(attach);
        self.attached.remove(&attach)
    }

    pub(super) fn answer(&mut self, frame: PartitionFrame) {
        self.forget(frame.attach_id);
        self.answers.push(frame);
        self.wake();
    }
}

impl OutLinks {
    /// The partition has something for the follower of this stream.
    pub(crate) fn queue(&mut self, stream: u64, id: TopicIdPartition) {
        if let Some(link) = self.links.get_mut(&stream) {
            link.ready.push_back(id);
            link.wake();
        }
    }

    /// The partition has a new high watermark, which can wait a little for records to travel with.
    pub(crate) fn news_without_data(&mut self, stream: u64, id: TopicIdPartition) {
        let Some(link) = self.links.get_mut(&stream) else {
            return;
        };
        link.news.push(id);
        if link.news.len() == 1 {
            tokio::task::spawn_local(async move {
                tokio::time::sleep(NEWS_DELAY).await;
                with_local(|shard| shard.queue_news(stream));
            });
        }
    }

    /// Ends an attachment from the leader's side.
    pub(crate) fn refuse(&mut self, attachment: AttachmentId, error: ErrorCode) {
        if let Some(link) = self.links.get_mut(&attachment.stream) {
            link.answer(refused(attachment.attach, error));
        }
    }
}

pub(super) fn refused(attach_id: u64, error: ErrorCode) -> PartitionFrame {
    PartitionFrame {
        attach_id,
        kind: FrameKind::FrameRefused.into(),
        error: i32::from(error.code()),
        ..PartitionFrame::default()
    }
}

/// The attachment goes on in the other lane.
pub(super) fn other_lane(attach_id: u64) -> PartitionFrame {
    PartitionFrame {
        attach_id,
        kind: FrameKind::FrameOtherLane.into(),
        ..PartitionFrame::default()
    }
}

/// Feeds a stream of another thread from this one, for as long as that lasts.
async fn feed_remote(shared: Arc<LinkShared>, wake: Arc<Notify>) {
    loop {
        wake.notified().await;
        loop {
            let Ok(permit) = shared.frames.reserve().await else {
                return;
            };
            let next = with_local(|shard| {
                let feeds = shard.cx.links_out.links.contains_key(&shared.stream);
                feeds.then(|| shard.next_leader_message(shared.stream))
            });
            match next.flatten() {
                Some(Some(message)) => permit.send(message),
                Some(None) => break,
                None => return,
            }
            shared.signal.wake();
        }
    }
}

/// What a partition made of its turn in a frame.
pub(super) enum Turn {
    /// It has nothing for this stream.
    Nothing,
    /// It has records, but the follower takes none at the moment.
    NoCredit,
    /// It has to wait for so long.
    Throttled(Duration),
    /// Its part of the frame; `again`: there is more.
    Sent { part: FramePart, again: bool },
    /// The attachment ends after this part, with this answer.
    Ended {
        part: Option<FramePart>,
        last: PartitionFrame,
    },
}

impl Shard {
    pub(super) fn link(&mut self, shared: &Arc<LinkShared>) -> &mut OutLink {
        let here = self.cx.shard;
        self.cx.links_out.links.entry(shared.stream).or_insert_with(|| {
            let remote = (shared.home != here).then(|| {
                let wake = Arc::new(Notify::new());
                let mut remotes = shared
                    .remotes
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                remotes.push(Arc::clone(&wake));
                tokio::task::spawn_local(feed_remote(Arc::clone(shared), Arc::clone(&wake)));
                wake
            });
            OutLink {
                shared: Arc::clone(shared),
                remote,
                attached: HashMap::new(),
                ready: VecDeque::new(),
                news: Vec::new(),
                answers: Vec::new(),
                pauses: Pauses::default(),
            }
        })
    }

    fn queue_news(&mut self, stream: u64) {
        let Some(link) = self.cx.links_out.links.get_mut(&stream) else {
            return;
        };
        for id in std::mem::take(&mut link.news) {
            let Some(partition) = self.partitions.get_mut(&id) else {
                continue;
            };
            let news = (partition.high_watermark(), partition.replicated_offset());
            let Role::Leader(role) = &mut partition.role else {
                continue;
            };
            let feed = role
                .feeds
                .iter_mut()
                .find(|feed| feed.attachment.stream == stream);
            let is_news = |feed: &Feed| {
                !feed.queued && (feed.sent_high_watermark < news.0 || feed.sent_replicated != news.1)
            };
            if let Some(feed) = feed.filter(|feed| is_news(feed)) {
                feed.queued = true;
                link.ready.push_back(id);
            }
        }
        if !link.ready.is_empty() {
            link.wake();
        }
    }

    /// The next frame of a stream, made of whatever is ready and as much as credit allows.
    pub(super) fn next_leader_message(&mut self, stream: u64) -> Option<Vec<Bytes>> {
        let frame_bytes_max = self.cx.config.replica.frame_bytes_max;
        let link = self.cx.links_out.links.get_mut(&stream)?;
        let answers = std::mem::take(&mut link.answers);
        let mut parts: Vec<FramePart> = answers
            .into_iter()
            .map(|head| FramePart {
                head,
                records: Vec::new(),
            })
            .collect();
        let shared = Arc::clone(&link.shared);
        let (mut bytes, mut turns) = (0, 0);
        while bytes < frame_bytes_max && turns < FRAME_PARTITIONS_MAX {
            turns += 1;
            let Some(link) = self.cx.links_out.links.get_mut(&stream) else {
                break;
            };
            let Some(id) = link.ready.pop_front() else { break };
            let has_credit = shared.credit.load(Ordering::Acquire) > bytes as i64;
            let turn = self.take_turn(
                &shared,
                id,
                has_credit,
                PARTITION_QUANTUM_BYTES.min(frame_bytes_max),
            );
            let Some(link) = self.cx.links_out.links.get_mut(&stream) else {
                break;
            };
            match turn {
                Turn::Nothing => {}
                Turn::Throttled(wait) => queue_after(stream, id, wait),
                Turn::NoCredit => {
                    link.ready.push_front(id);
                    break;
                }
                Turn::Sent { part, again } => {
                    bytes += part.records.iter().map(Bytes::len).sum::<usize>();
                    parts.push(part);
                    if again {
                        link.ready.push_back(id);
                    }
                }
                Turn::Ended { part, last } => {
                    bytes += part
                        .as_ref()
                        .map_or(0, |part| part.records.iter().map(Bytes::len).sum());
                    parts.extend(part);
                    link.forget(last.attach_id);
                    parts.push(FramePart {
                        head: last,
                        records: Vec::new(),
                    });
                }
            }
        }
        shared.credit.fetch_sub(bytes as i64, Ordering::AcqRel);
        (!parts.is_empty()).then(|| encode_leader_message(parts))
    }

    fn take_turn(
        &mut self,
        shared: &LinkShared,
        id: TopicIdPartition,
        has_credit: bool,
        quantum: usize,
    ) -> Turn {
        match self.partition(id) {
            Ok((partition, cx)) => {
                if let Some(wait) = partition.throttle(cx, shared) {
                    return Turn::Throttled(wait);
                }
                let turn = partition.feed(cx, shared, has_credit, quantum);
                partition.book_sent(cx, &turn);
                turn
            }
            Err(_) => Turn::Nothing,
        }
    }
}
