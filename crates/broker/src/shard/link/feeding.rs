//! A led partition's part of the frames of one stream.
//!
//! ```text
//! live      tail ring only; what has left it goes on in the catch-up lane
//! catch-up  closed segments, read ahead on another thread; the active segment, read here; then back to the live lane
//! ```

use super::Lane;
use super::framing::FramePart;
use super::out_links::{LinkShared, Turn, other_lane, refused};
use crate::shard::context::Context;
use crate::shard::mailbox::with_local;
use crate::shard::partition::Partition;
use crate::shard::role::{Feed, LeaderRole, Role};
use crate::shard::state::Shard;
use bytes::Bytes;
use milena_log::{PartitionLog, ReadError, ReadResult};
use milena_replication::AttachmentId;
use milena_rpc::proto::PartitionFrame;
use milena_types::{Offset, TopicIdPartition};

/// How much is read ahead of a follower that is behind the tail.
const READ_AHEAD_BYTES: usize = 1 << 20;

/// A read of a closed segment for a follower.
#[derive(Debug)]
pub(crate) enum ReadAhead {
    /// On its way.
    Running,
    /// Done.
    Ready(ReadyRead),
}

/// A read that is done.
#[derive(Debug)]
pub(crate) struct ReadyRead {
    from: Offset,
    records: Bytes,
    next: Offset,
}

/// What there is to send.
enum Next {
    /// These records, and where to go on.
    Records(Vec<Bytes>, Offset),
    /// A read is on its way.
    Later,
    /// The feed cannot go on: the last word on the attachment, and what is wrong with the log if anything is.
    End(PartitionFrame, Option<ReadError>),
}

impl Partition {
    /// The partition's part of a frame for one stream.
    pub(super) fn feed(
        &mut self,
        cx: &mut Context,
        shared: &LinkShared,
        has_credit: bool,
        quantum: usize,
    ) -> Turn {
        let (log_start, log_end) = (self.log.log_start_offset(), self.log.log_end_offset());
        let replicated = self.replicated_offset();
        let Role::Leader(role) = &mut self.role else {
            return Turn::Nothing;
        };
        let high_watermark = role.leader.high_watermark();
        let Some(at) = role
            .feeds
            .iter()
            .position(|feed| feed.attachment.stream == shared.stream)
        else {
            return Turn::Nothing;
        };
        let feed = &mut role.feeds[at];
        let (has_records, from, attach) = (feed.next < log_end, feed.next, feed.attachment.attach);
        let attachment = feed.attachment;
        if has_records && !has_credit {
            return Turn::NoCredit;
        }
        feed.queued = false;
        let news = (high_watermark, log_start, replicated);
        if !has_records && feed.has_sent() == news {
            return Turn::Nothing;
        }
        let mut records = Vec::new();
        if has_records {
            match next_records(role, at, &self.log, self.id, shared.lane, quantum) {
                Next::Records(found, next) => {
                    records = found;
                    role.feeds[at].next = next;
                }
                Next::Later => return Turn::Nothing,
                Next::End(last, error) => {
                    role.end_feed(shared.follower, attachment);
                    if let Some(error) = error {
                        self.read_error(cx, &error);
                    }
                    return Turn::Ended { part: None, last };
                }
            }
        }
        let feed = &mut role.feeds[at];
        feed.note_sent(news);
        let head = PartitionFrame {
            attach_id: attach,
            high_watermark: high_watermark.0,
            log_start_offset: log_start.0,
            from_offset: from.0,
            replicated_offset: replicated.0,
            ..PartitionFrame::default()
        };
        let part = FramePart { head, records };
        let (next, again) = (feed.next, feed.next < log_end);
        feed.queued = again;
        if shared.lane == Lane::CatchUp && (!again || role.ring.covers(next)) {
            role.end_feed(shared.follower, attachment);
            self.advance_high_watermark(cx);
            return Turn::Ended {
                part: Some(part),
                last: other_lane(attach),
            };
        }
        Turn::Sent { part, again }
    }
}

fn next_records(
    role: &mut LeaderRole,
    at: usize,
    log: &PartitionLog,
    id: TopicIdPartition,
    lane: Lane,
    quantum: usize,
) -> Next {
    let feed = &mut role.feeds[at];
    let (from, mut records) = (feed.next, Vec::new());
    if let Some((_, next)) = role.ring.read_parts(from, quantum, |batch| records.push(batch)) {
        return Next::Records(records, next);
    }
    let attach = feed.attachment.attach;
    if lane == Lane::Live {
        return Next::End(other_lane(attach), None);
    }
    if let Some(ReadAhead::Running) = feed.read_ahead.as_deref() {
        return Next::Later;
    }
    match feed.read_ahead.take().map(|read| *read) {
        Some(ReadAhead::Ready(ready))
            if ready.from == from && ready.next > from && !ready.records.is_empty() =>
        {
            // The disk works on while this is being sent.
            read_ahead(feed, ready.next, log, id);
            Next::Records(vec![ready.records], ready.next)
        }
        None if read_ahead(feed, from, log, id) => Next::Later,
        // Of the active segment, or a place that the read-ahead could not get past.
        _ => match log.read(from, quantum, log.log_end_offset(), true) {
            Ok(read) => Next::Records(vec![read.records], read.next_offset),
            Err(error) => Next::End(refused(attach, error.code()), Some(error)),
        },
    }
}

/// Starts to read a closed segment on another thread. False: there is none at that offset.
fn read_ahead(feed: &mut Feed, from: Offset, log: &PartitionLog, id: TopicIdPartition) -> bool {
    if log.active_base_offset().is_none_or(|active| from >= active) {
        return false;
    }
    let Ok(Some(plan)) = log.plan_read(from, READ_AHEAD_BYTES, log.log_end_offset(), true) else {
        return false;
    };
    feed.read_ahead = Some(Box::new(ReadAhead::Running));
    let attachment = feed.attachment;
    tokio::task::spawn_local(async move {
        // A runtime that is stopping feeds nobody.
        if let Ok(read) = tokio::task::spawn_blocking(move || plan.run()).await {
            with_local(|shard| shard.on_read_ahead(id, attachment, from, read));
        }
    });
    true
}

impl Shard {
    fn on_read_ahead(
        &mut self,
        id: TopicIdPartition,
        attachment: AttachmentId,
        from: Offset,
        read: Result<ReadResult, ReadError>,
    ) {
        let Ok((partition, cx)) = self.partition(id) else {
            return;
        };
        let Role::Leader(role) = &mut partition.role else {
            return;
        };
        let Some(feed) = role.feeds.iter_mut().find(|feed| feed.attachment == attachment) else {
            return;
        };
        let (records, next) = match read {
            Ok(read) => (read.records, read.next_offset),
            // Read again on the owner, which tells the follower what is wrong.
            Err(_) => (Bytes::new(), from),
        };
        feed.read_ahead = Some(Box::new(ReadAhead::Ready(ReadyRead { from, records, next })));
        if !feed.queued {
            feed.queued = true;
            cx.links_out.queue(attachment.stream, id);
        }
    }
}
