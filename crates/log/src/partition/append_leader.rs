//! Appending as the leader: validate, judge the producer, stamp in place, write.
//!
//! A client's batch that takes long to look into is given back on its way: see [`super::incoming`].
//!
//! Source: `UnifiedLog.appendAsLeader`.

use super::incoming::{self, Checked, ClientBatch, Step, Work};
use super::{PartitionLog, producers};
use crate::error::{AppendError, LogError};
use crate::producer::{BatchMetadata, BatchOrigin, DataCheck};
use bytes::{Bytes, BytesMut};
use milena_record::{
    BatchError, BatchHeader, Compression, TimestampType, batches, stamp, stamp_log_append_time,
    stamp_max_timestamp,
};
use milena_types::{LeaderEpoch, Offset, OffsetRange, Timestamp};
use std::sync::Arc;

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
    /// Takes as long as the batch needs: where others wait, clients' batches go through [`PartitionLog::append_client`].
    ///
    /// # Errors
    /// [`AppendError`]; nothing was written then.
    pub fn append_as_leader(
        &mut self,
        batch: BytesMut,
        ctx: &AppendContext,
    ) -> Result<Appended, AppendError> {
        if ctx.origin == AppendOrigin::Client {
            let mut batch = ClientBatch::new(batch);
            loop {
                match self.append_client(batch, ctx)? {
                    Step::Appended(appended) => return Ok(appended),
                    Step::Work(work) => batch = work.run()?,
                }
            }
        }
        self.refuse_if_failed()?;
        self.check_coordinator_batches(&batch, ctx)?;
        self.append_checked(batch, ctx, self.config.message_timestamp_type)
    }

    /// Appends a client's batch if that is little work, or gives the work that is to be done first, on any thread; nothing was
    /// written then, and its result is to be given to this again. Each batch is given back at most twice.
    ///
    /// Else as [`PartitionLog::append_as_leader`]. What is given back has been judged by the log as it was: everything that
    /// may change meanwhile is judged again.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was written then.
    pub fn append_client(&mut self, batch: ClientBatch, ctx: &AppendContext) -> Result<Step, AppendError> {
        self.refuse_if_failed()?;
        let ClientBatch { mut bytes, checked } = batch;
        let checked = match checked {
            Some(checked) => checked,
            None => match self.check_client(&bytes, ctx)? {
                Some(checked) => checked,
                None => return Ok(self.work(bytes, None, None, ctx)),
            },
        };
        if let DataCheck::Duplicate(original) =
            self.producers.check_data(&checked.header, BatchOrigin::Client)?
        {
            return Ok(Step::Appended(self.duplicate(&original, ctx)));
        }
        if !checked.rewritten {
            let (stats, config) = (&checked.stats, &checked.config);
            if let Some(codec) = incoming::target_codec(&checked.header, stats, config)? {
                if incoming::is_heavy_rewrite(stats.uncompressed_bytes) {
                    return Ok(self.work(bytes, Some(checked), Some(codec), ctx));
                }
                bytes = incoming::rewrite(bytes, codec, config)?;
            } else {
                stamp_max_timestamp(&mut bytes, stats.max_timestamp);
            }
        }
        self.append_checked(bytes, ctx, checked.config.message_timestamp_type)
            .map(Step::Appended)
    }

    /// Checks a client's batch; `None`: that is too much work.
    fn check_client(&self, batch: &[u8], ctx: &AppendContext) -> Result<Option<Checked>, AppendError> {
        let header = BatchHeader::parse(batch)?;
        if header.size_bytes() != batch.len() {
            return Err(one_batch_error(&header, batch.len()));
        }
        let config = &self.config;
        let all = config.decompressed_bytes_max;
        // An unknown codec is refused below, when it is its turn.
        let codec = header.compression().unwrap_or(Compression::None);
        let Some(limit) = incoming::walk_limit(codec, (batch.len(), header.records_count), all) else {
            return Ok(None);
        };
        match incoming::of_client(&header, batch, (config, limit), ctx, &self.partition) {
            Err(AppendError::Batch(BatchError::TooLarge { .. })) if limit < all => Ok(None),
            Err(error) => Err(error),
            Ok(stats) => Ok(Some(Checked {
                header,
                stats,
                config: Arc::clone(config),
                rewritten: false,
            })),
        }
    }

    fn work(
        &self,
        bytes: BytesMut,
        checked: Option<Checked>,
        rewrite: Option<Compression>,
        ctx: &AppendContext,
    ) -> Step {
        let config = checked.as_ref().map_or(&self.config, |checked| &checked.config);
        Step::Work(Work {
            config: Arc::clone(config),
            batch: ClientBatch { bytes, checked },
            ctx: *ctx,
            partition: self.partition.clone(),
            rewrite,
        })
    }

    /// Stamps and writes what may enter the log.
    fn append_checked(
        &mut self,
        mut batch: BytesMut,
        ctx: &AppendContext,
        timestamps: TimestampType,
    ) -> Result<Appended, AppendError> {
        self.check_append_size(batch.len())?;
        let append_time = timestamps == TimestampType::LogAppendTime;
        let range = self.stamp_all(&mut batch, ctx, append_time);
        let bytes = batch.freeze();
        self.write_batches(&bytes, ctx.now)?;
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
            incoming::of_coordinator(&header, batch, &self.config)?;
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
    fn stamp_all(&self, bytes: &mut [u8], ctx: &AppendContext, append_time: bool) -> OffsetRange {
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
