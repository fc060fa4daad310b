//! Appending as the leader: validate, judge the producer, stamp in place, write.
//!
//! Source: `UnifiedLog.appendAsLeader`.

use super::{PartitionLog, producers, recompress, validate};
use crate::error::{AppendError, LogError};
use crate::producer::{BatchMetadata, BatchOrigin, DataCheck};
use bytes::{Bytes, BytesMut};
use milena_record::{
    BatchError, BatchHeader, TimestampType, batches, stamp, stamp_log_append_time, stamp_max_timestamp,
};
use milena_types::{LeaderEpoch, Offset, OffsetRange, Timestamp};

/// Who appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer: exactly one batch, every rule holds.
    Client,
    /// A coordinator of this broker: any number of batches, control batches among them.
    Coordinator {
        /// Markers must carry a higher epoch than the producer's (transaction version 2, KIP-890).
        marker_epoch_must_grow: bool,
    },
}

/// The circumstances of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendContext {
    /// The epoch in which this replica leads.
    pub epoch: LeaderEpoch,
    /// The clock.
    pub now: Timestamp,
    /// Who appends.
    pub origin: AppendOrigin,
}

/// A batch that is in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its offsets; those of the original when it is a duplicate.
    pub range: OffsetRange,
    /// The time that was stamped, in topics with `LogAppendTime`; of a duplicate, the original's timestamp.
    pub log_append_time: Option<Timestamp>,
    /// First offset that may be read.
    pub log_start_offset: Offset,
    /// The batches as stored, to replicate; empty for a duplicate.
    pub bytes: Bytes,
    /// Nothing was written: the log has this batch already.
    pub duplicate: bool,
    /// The epoch that was stamped.
    pub leader_epoch: LeaderEpoch,
}

impl PartitionLog {
    /// Appends a batch at the log end, stamping offset and epoch into its bytes; it is in the page cache afterwards.
    ///
    /// The bytes are neither copied nor decompressed unless a rule of the topic needs it. Flush tickets make it durable.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was written then.
    pub fn append_as_leader(
        &mut self,
        mut batch: BytesMut,
        ctx: &AppendContext,
    ) -> Result<Appended, AppendError> {
        self.refuse_if_failed()?;
        if ctx.origin == AppendOrigin::Client {
            let header = BatchHeader::parse(&batch)?;
            if header.size_bytes() != batch.len() {
                return Err(one_batch_error(&header, batch.len()));
            }
            let stats = validate::validate(&header, &batch, &self.config, ctx, &self.partition)?;
            if let DataCheck::Duplicate(original) = self.producers.check_data(&header, BatchOrigin::Client)? {
                return Ok(self.duplicate(&original, ctx));
            }
            if let Some(codec) = recompress::target_codec(&header, stats.as_ref(), &self.config)? {
                batch = recompress::rewrite(batch, codec, &self.config)?;
            } else if let Some(stats) = stats {
                stamp_max_timestamp(&mut batch, stats.max_timestamp);
            }
        } else {
            self.check_coordinator_batches(&batch, ctx)?;
        }
        self.check_append_size(batch.len())?;
        let range = self.stamp_all(&mut batch, ctx);
        let bytes = batch.freeze();
        self.write_batches(&bytes, ctx.now)?;
        let append_time = self.config.message_timestamp_type == TimestampType::LogAppendTime;
        Ok(Appended {
            range,
            log_append_time: append_time.then_some(ctx.now),
            log_start_offset: self.log_start,
            bytes,
            duplicate: false,
            leader_epoch: ctx.epoch,
        })
    }

    pub(super) fn refuse_if_failed(&self) -> Result<(), LogError> {
        if self.failed {
            let source = std::io::Error::other("an earlier write failed; the log must be opened again");
            return Err(LogError {
                operation: "append to",
                path: self.dir(),
                source,
            });
        }
        Ok(())
    }

    fn duplicate(&self, original: &BatchMetadata, ctx: &AppendContext) -> Appended {
        Appended {
            range: OffsetRange {
                from: original.first_offset(),
                to: original.last_offset.plus(1),
            },
            log_append_time: Some(original.timestamp),
            log_start_offset: self.log_start,
            bytes: Bytes::new(),
            duplicate: true,
            leader_epoch: ctx.epoch,
        }
    }

    fn check_coordinator_batches(&self, bytes: &[u8], ctx: &AppendContext) -> Result<(), AppendError> {
        let AppendOrigin::Coordinator {
            marker_epoch_must_grow,
        } = ctx.origin
        else {
            return Ok(());
        };
        let origin = BatchOrigin::Coordinator {
            marker_epoch_must_grow,
        };
        if bytes.is_empty() {
            return Err(AppendError::InvalidRecord(
                "an append must hold at least one batch",
            ));
        }
        for batch in batches(bytes) {
            let (header, batch) = batch?;
            validate::validate(&header, batch, &self.config, ctx, &self.partition)?;
            if header.is_control() {
                if let Some((_, coordinator_epoch)) = producers::marker_of(batch) {
                    self.producers.check_marker(&header, coordinator_epoch, origin)?;
                }
            } else {
                self.producers.check_data(&header, origin)?;
            }
        }
        Ok(())
    }

    fn check_append_size(&self, size: usize) -> Result<(), AppendError> {
        if size as u64 > self.config.segment_bytes {
            return Err(AppendError::RecordListTooLarge {
                size,
                limit: self.config.segment_bytes,
            });
        }
        Ok(())
    }

    /// Writes offsets, epoch and append time into every batch.
    fn stamp_all(&self, bytes: &mut [u8], ctx: &AppendContext) -> OffsetRange {
        let append_time = self.config.message_timestamp_type == TimestampType::LogAppendTime;
        let from = self.log_end;
        let mut to = from;
        let mut rest = bytes;
        while let Ok(header) = BatchHeader::parse(rest) {
            let Some((batch, after)) = rest.split_at_mut_checked(header.size_bytes()) else {
                break;
            };
            stamp(batch, to, ctx.epoch);
            if append_time {
                stamp_log_append_time(batch, ctx.now);
            }
            to = to.plus(i64::from(header.last_offset_delta) + 1);
            rest = after;
        }
        OffsetRange { from, to }
    }
}

/// More, or less, than one batch where exactly one must be.
fn one_batch_error(header: &BatchHeader, available: usize) -> AppendError {
    let needed = header.size_bytes();
    if needed > available {
        BatchError::Truncated { needed, available }.into()
    } else {
        AppendError::InvalidRecord("produce requests must carry exactly one batch per partition")
    }
}
