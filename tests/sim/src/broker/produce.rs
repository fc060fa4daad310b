//! What clients ask of a leader: to append, to read, to say where the end is.

use super::partition::Partition;
use super::process::Process;
use crate::client::message::{self, Ask, ToLeader};
use crate::cx::Cx;
use bytes::{Bytes, BytesMut};
use milena_log::{AppendContext, AppendError, AppendOrigin};
use milena_replication::{AckOutcome, Leader};
use milena_types::{Acks, ErrorCode, Offset, TopicIdPartition};

impl Process {
    /// A client's request.
    pub fn on_client(&mut self, cx: &mut Cx, asked: Box<ToLeader>) {
        let id = asked.id;
        match &asked.ask {
            Ask::Produce(batch, acks) => {
                let (batch, acks) = (BytesMut::from(&batch[..]), *acks);
                self.produce(cx, id, batch, acks, asked);
            }
            Ask::Fetch(offset) => {
                let offset = *offset;
                self.fetch(cx, id, offset, &asked);
            }
            Ask::Latest => self.latest(cx, id, &asked),
            Ask::Earliest => self.earliest(cx, id, &asked),
            Ask::DeleteRecords(permille) => self.delete_records(cx, id, *permille),
        }
    }

    fn produce(
        &mut self,
        cx: &mut Cx,
        id: TopicIdPartition,
        batch: BytesMut,
        acks: Acks,
        asked: Box<ToLeader>,
    ) {
        let (host, in_contact, now) = (self.host, self.in_contact(cx), cx.moment());
        let found = self.partitions.get_mut(&id);
        let Some(partition) = found.filter(|partition| partition.leader().is_some()) else {
            return message::refuse(cx, host, &asked, ErrorCode::NotLeaderOrFollower);
        };
        let checked = partition
            .leader()
            .map_or(Ok(()), |leader| leader.check_produce(acks, || in_contact));
        if let Err(error) = checked {
            cx.coverage.not_enough_replicas += u64::from(error == ErrorCode::NotEnoughReplicas);
            return message::refuse(cx, host, &asked, error);
        }
        let append = AppendContext {
            epoch: partition.leader_epoch,
            now: cx.timestamp(),
            origin: AppendOrigin::Client,
        };
        let appended = match partition.log.append_as_leader(batch, &append) {
            Ok(appended) => appended,
            Err(error) => {
                if let AppendError::Log(error) = &error {
                    self.storage_failed(error);
                }
                return message::refuse(cx, host, &asked, error.code());
            }
        };
        let range = appended.range;
        if appended.duplicate {
            cx.coverage.duplicate_append += 1;
        } else {
            crate::oracle::leadership::on_appended(cx, host, partition, &appended.bytes);
            if let Some(role) = partition.leading() {
                role.leader.on_append(range.to, now);
            }
            self.to_feed.insert(id);
            self.after_append(id);
            self.on_advertised(cx, id);
        }
        if acks == Acks::All {
            self.park(cx, id, range.to, range.from, asked);
        } else {
            cx.coverage.acked_by_leader += 1;
            crate::oracle::contact::on_alone(cx, host, self.life.epoch, id);
            message::acknowledge(cx, host, &asked, range.from, ErrorCode::None);
        }
    }

    /// Waits for the high watermark to reach `end`, if it has not already.
    fn park(&mut self, cx: &mut Cx, id: TopicIdPartition, end: Offset, base: Offset, asked: Box<ToLeader>) {
        let host = self.host;
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        let Some(role) = partition.leading() else {
            return message::refuse(cx, host, &asked, ErrorCode::NotLeaderOrFollower);
        };
        match role.leader.ack_outcome(end) {
            AckOutcome::Waiting => role.parked.push_back((end, base, asked)),
            AckOutcome::Done(error) => {
                if error == ErrorCode::None {
                    crate::oracle::durability::on_acked(cx, host, partition, &asked, base);
                }
                message::acknowledge(cx, host, &asked, base, error);
            }
        }
    }

    fn fetch(&mut self, cx: &mut Cx, id: TopicIdPartition, offset: Offset, asked: &ToLeader) {
        let host = self.host;
        let found = self.partitions.get(&id);
        let Some(partition) = found.filter(|partition| partition.leader().is_some()) else {
            return message::refuse(cx, host, asked, ErrorCode::NotLeaderOrFollower);
        };
        let (start, end) = (partition.log.log_start_offset(), partition.log.log_end_offset());
        if offset < start || offset > end {
            return message::refuse(cx, host, asked, ErrorCode::OffsetOutOfRange);
        }
        let upper = partition.high_watermark();
        match read(partition, offset, upper) {
            Ok((records, next)) => {
                crate::oracle::watermark::on_read(cx, host, partition, offset, next, &records);
                message::records(cx, host, asked, records, next, upper);
            }
            Err(error) => {
                cx.oracle.fail("LOG", format!("{host:?} {id}: {error}"));
            }
        }
    }

    /// ListOffsets with "earliest".
    fn earliest(&mut self, cx: &mut Cx, id: TopicIdPartition, asked: &ToLeader) {
        let found = self.partitions.get(&id).filter(|p| p.leader().is_some());
        let Some(partition) = found else {
            return message::refuse(cx, self.host, asked, ErrorCode::NotLeaderOrFollower);
        };
        let start = partition.log.log_start_offset();
        message::records(cx, self.host, asked, Bytes::new(), start, start);
    }

    /// DeleteRecords.
    fn delete_records(&mut self, cx: &mut Cx, id: TopicIdPartition, permille: i64) {
        let host = self.host;
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        let Some(high_watermark) = partition.leader().map(Leader::high_watermark) else {
            return;
        };
        let target = Offset(high_watermark.0 * permille / 1000);
        let before = partition.log.log_start_offset();
        crate::oracle::watermark::on_delete(cx, host, partition, target);
        if partition.log.set_log_start_offset(target) > before {
            cx.coverage.records_deleted += 1;
            self.checkpoint_dirty.insert(id);
            self.to_feed.insert(id);
        }
    }

    /// Old segments go.
    pub(super) fn apply_retention(&mut self, cx: &mut Cx) {
        let now = cx.timestamp();
        let mut failure = None;
        for partition in self.partitions.values_mut() {
            let high_watermark = partition.high_watermark();
            let deleted = partition.log.delete_old_segments(now, high_watermark);
            for removal in partition.log.take_removals(now) {
                // What is left is removed at the next start.
                let _ = removal.run();
            }
            match deleted {
                Ok(deleted) => cx.coverage.segment_deleted += deleted.len() as u64,
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            self.storage_failed(&error);
        }
    }

    /// ListOffsets with "latest".
    fn latest(&mut self, cx: &mut Cx, id: TopicIdPartition, asked: &ToLeader) {
        let host = self.host;
        let found = self.partitions.get(&id).and_then(|p| Some((p, p.leader()?)));
        let Some((partition, leader)) = found else {
            return message::refuse(cx, host, asked, ErrorCode::NotLeaderOrFollower);
        };
        if leader.high_watermark() < leader.epoch_start() {
            return message::refuse(cx, host, asked, ErrorCode::OffsetNotAvailable);
        }
        crate::oracle::watermark::on_latest(cx, host, partition);
        let end = leader.high_watermark();
        message::records(cx, host, asked, Bytes::new(), end, end);
    }
}

fn read(
    partition: &Partition,
    offset: Offset,
    upper: Offset,
) -> Result<(Bytes, Offset), milena_log::ReadError> {
    if offset >= upper {
        return Ok((Bytes::new(), offset));
    }
    let read = partition.log.read(offset, 4_096, upper, true)?;
    Ok((read.records, read.next_offset))
}
