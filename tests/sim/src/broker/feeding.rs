//! Frames for the followers: records from where each one is, and news.

use super::process::Process;
use crate::cx::Cx;
use crate::network::stream::{self, End, Frame, Message};
use bytes::Bytes;
use milena_types::{ErrorCode, TopicIdPartition};

impl Process {
    /// Sends every attached follower what it has not been sent.
    pub(super) fn feed(&mut self, cx: &mut Cx) {
        for id in std::mem::take(&mut self.to_feed) {
            let count = self
                .partitions
                .get_mut(&id)
                .and_then(|p| p.leading())
                .map_or(0, |role| role.feeds.len());
            for at in 0..count {
                while self.feed_one(cx, id, at) {}
            }
        }
    }

    /// Sends one frame. True: there is more.
    fn feed_one(&mut self, cx: &mut Cx, id: TopicIdPartition, at: usize) -> bool {
        let frame_bytes = cx.settings.frame_bytes;
        let Some(partition) = self.partitions.get_mut(&id) else {
            return false;
        };
        let (log_start, log_end) = (partition.log.log_start_offset(), partition.log.log_end_offset());
        let super::partition::Role::Leader(role) = &mut partition.role else {
            return false;
        };
        let high_watermark = role.leader.high_watermark();
        let Some(feed) = role.feeds.get_mut(at) else {
            return false;
        };
        let has_records = feed.next < log_end;
        if !has_records && feed.sent == Some((high_watermark, log_start)) {
            return false;
        }
        let attachment = feed.attachment;
        let mut records = Bytes::new();
        if has_records {
            match partition.log.read(feed.next, frame_bytes, log_end, true) {
                Ok(read) => {
                    records = read.records;
                    feed.next = read.next_offset;
                }
                Err(milena_log::ReadError::Log(error)) => {
                    self.storage_failed(&error);
                    return false;
                }
                Err(error) => {
                    if matches!(error, milena_log::ReadError::Corrupt { .. }) {
                        cx.oracle.fail("LOG", format!("{id}: {error}"));
                    }
                    self.refuse_feed(cx, attachment, ErrorCode::OffsetOutOfRange);
                    return false;
                }
            }
        }
        feed.sent = Some((high_watermark, log_start));
        let more = feed.next < log_end;
        let frame = Frame::Data {
            records,
            high_watermark,
            log_start,
        };
        stream::send(
            cx,
            attachment.stream,
            End::Leader,
            Message::Frame(attachment.attach, frame),
        );
        more
    }
}
