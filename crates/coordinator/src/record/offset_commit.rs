//! The value of a committed offset.

use super::bytes_codec::{Reader, Writer};
use super::{DecodeError, EncodeError};
use bytes::Bytes;
use milena_types::{LeaderEpoch, Offset, Timestamp, TopicId, Uuid};

/// A committed offset. Written as version 3, or 1 when it has its own expiry (which then loses the leader epoch).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommitValue {
    /// The next offset to consume.
    pub offset: Offset,
    /// The epoch of the last record consumed; absent below version 3.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The client's text.
    pub metadata: String,
    /// When it was committed.
    pub commit_timestamp: Timestamp,
    /// When it expires, if the client said so (version 1).
    pub expire_timestamp: Option<Timestamp>,
    /// The topic it was committed for; absent below version 4.
    pub topic_id: Option<TopicId>,
}

impl OffsetCommitValue {
    pub(super) fn encode(&self) -> Result<Bytes, EncodeError> {
        let version = if self.expire_timestamp.is_some() { 1 } else { 3 };
        let mut out = Writer::new(version);
        out.i64(self.offset.0);
        if version == 3 {
            out.i32(self.leader_epoch.map_or(-1, |epoch| epoch.0));
        }
        out.string("offset metadata", &self.metadata)?;
        out.i64(self.commit_timestamp.0);
        if let Some(expire) = self.expire_timestamp {
            out.i64(expire.0);
        }
        Ok(out.finish())
    }

    pub(super) fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let version = input.i16()?;
        if !(0..=4).contains(&version) {
            return Err(DecodeError::UnknownVersion(version));
        }
        input.set_flexible(version >= 4);
        let offset = Offset(input.i64()?);
        let leader_epoch = if version >= 3 {
            Some(input.i32()?).filter(|e| *e >= 0).map(LeaderEpoch)
        } else {
            None
        };
        let metadata = input.string()?;
        let commit_timestamp = Timestamp(input.i64()?);
        let expire_timestamp = if version == 1 {
            Some(input.i64()?).filter(|t| *t != -1).map(Timestamp)
        } else {
            None
        };
        let mut topic_id = None;
        input.tagged_fields(|tag, value| {
            if let (0, Ok(id)) = (tag, <[u8; 16]>::try_from(value.as_ref())) {
                topic_id = Some(TopicId(Uuid(id))).filter(|id| !id.0.is_zero());
            }
        })?;
        Ok(Self {
            offset,
            leader_epoch,
            metadata,
            commit_timestamp,
            expire_timestamp,
            topic_id,
        })
    }
}
