//! A client's batch on its way into the log, and the work that it needs before.
//!
//! The work needs no log: a batch, the topic's settings when it came, and the clock. Kafka does all of this under the lock of the
//! partition, on a thread that has nothing else to do: `Partition.appendRecordsToLeader`.

use super::{recompress, validate};
use crate::config::LogConfig;
use crate::error::AppendError;
use crate::partition::append_leader::{AppendContext, Appended};
use bytes::BytesMut;
use milena_record::{BatchHeader, Compression, RecordStats};
use milena_types::TopicPartition;
use std::sync::Arc;

/// Exactly one batch of a producer.
#[derive(Debug)]
pub struct ClientBatch {
    pub(in crate::partition) bytes: BytesMut,
    pub(in crate::partition) checked: Option<Checked>,
}

/// A batch that may enter the topic, as it was when it was checked.
#[derive(Debug)]
pub(in crate::partition) struct Checked {
    pub(in crate::partition) header: BatchHeader,
    pub(in crate::partition) stats: RecordStats,
    /// The settings that hold for this batch: those of the beginning, as in Kafka.
    pub(in crate::partition) config: Arc<LogConfig>,
    /// It has been written anew.
    pub(in crate::partition) rewritten: bool,
}

/// How far an append has come.
#[derive(Debug)]
pub enum Step {
    /// The batch is in the log.
    Appended(Appended),
    /// Nothing is: this is to be done first, and its result to be appended.
    Work(Work),
}

/// What a batch needs before it can be appended. Pure: no file, no lock, no log.
#[derive(Debug)]
pub struct Work {
    pub(in crate::partition) batch: ClientBatch,
    pub(in crate::partition) ctx: AppendContext,
    pub(in crate::partition) config: Arc<LogConfig>,
    pub(in crate::partition) partition: TopicPartition,
    /// The codec that its records are written anew with; `None`: they are walked.
    pub(in crate::partition) rewrite: Option<Compression>,
}

impl ClientBatch {
    /// A batch as it came.
    #[must_use]
    pub fn new(bytes: BytesMut) -> Self {
        Self { bytes, checked: None }
    }

    /// Its bytes, while nothing of it was looked at.
    #[must_use]
    pub fn unchecked(&self) -> Option<&[u8]> {
        self.checked.is_none().then_some(&*self.bytes)
    }
}

impl Work {
    /// Does it. Takes as long as it takes, and for a rewrite the records twice in memory.
    ///
    /// # Errors
    /// [`AppendError`]: why the batch is refused.
    pub fn run(self) -> Result<ClientBatch, AppendError> {
        let (bytes, config) = (self.batch.bytes, self.config);
        let (Some(codec), Some(checked)) = (self.rewrite, self.batch.checked) else {
            let header = BatchHeader::parse(&bytes)?;
            let limit = config.decompressed_bytes_max;
            let stats = validate::of_client(&header, &bytes, (&config, limit), &self.ctx, &self.partition)?;
            let checked = Checked {
                header,
                stats,
                config,
                rewritten: false,
            };
            return Ok(ClientBatch {
                bytes,
                checked: Some(checked),
            });
        };
        Ok(ClientBatch {
            bytes: recompress::rewrite(bytes, codec, &config)?,
            checked: Some(Checked {
                rewritten: true,
                ..checked
            }),
        })
    }

    /// True when records are compressed anew; false when they are walked.
    #[must_use]
    pub fn is_rewrite(&self) -> bool {
        self.rewrite.is_some()
    }

    /// Bytes of the batch.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.batch.bytes.len()
    }

    /// The codec it came with; `None` if the header does not say.
    #[must_use]
    pub fn codec(&self) -> Option<Compression> {
        BatchHeader::parse(&self.batch.bytes).ok()?.compression().ok()
    }

    /// The codec that it gets, and that codec's level if the topic says one.
    #[must_use]
    pub fn target(&self) -> Option<(Compression, Option<i32>)> {
        Some((self.rewrite?, self.config.compression_level))
    }
}
