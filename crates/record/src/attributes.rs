//! The 16 attribute bits of a batch.
//!
//! ```text
//! bits  0-2      3               4              5        6               7-15
//!       codec    timestamp type  transactional  control  delete horizon  unused
//! ```
//!
//! Source: `DefaultRecordBatch.java`, KIP-534 for the delete horizon.

use crate::BatchError;

/// The attribute bits of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes(pub i16);

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Codec 1.
    Gzip,
    /// Codec 2; written in xerial framing, read in xerial framing and raw.
    Snappy,
    /// Codec 3: the LZ4 frame format.
    Lz4,
    /// Codec 4 (KIP-110).
    Zstd,
}

/// Who set the timestamps of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer.
    #[default]
    CreateTime,
    /// The leader, at append: every record has the batch's maximum timestamp.
    LogAppendTime,
}

impl Attributes {
    const CODEC: i16 = 0b111;
    const LOG_APPEND_TIME: i16 = 1 << 3;
    const TRANSACTIONAL: i16 = 1 << 4;
    const CONTROL: i16 = 1 << 5;
    const DELETE_HORIZON: i16 = 1 << 6;

    /// Puts attributes together.
    #[must_use]
    pub fn new(codec: Compression, timestamps: TimestampType, transactional: bool, control: bool) -> Self {
        let mut bits = codec.id();
        if timestamps == TimestampType::LogAppendTime {
            bits |= Self::LOG_APPEND_TIME;
        }
        if transactional {
            bits |= Self::TRANSACTIONAL;
        }
        if control {
            bits |= Self::CONTROL;
        }
        Self(bits)
    }

    /// The codec.
    ///
    /// # Errors
    /// [`BatchError::UnknownCodec`] for 5, 6 and 7.
    pub fn compression(self) -> Result<Compression, BatchError> {
        Compression::from_id(self.0 & Self::CODEC).ok_or(BatchError::UnknownCodec(self.0 & Self::CODEC))
    }

    /// Who set the timestamps.
    #[must_use]
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME != 0 {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    /// These attributes with another codec.
    #[must_use]
    pub fn with_compression(self, codec: Compression) -> Self {
        Self((self.0 & !Self::CODEC) | codec.id())
    }

    /// These attributes with the timestamp bit set to [`TimestampType::LogAppendTime`].
    #[must_use]
    pub fn with_log_append_time(self) -> Self {
        Self(self.0 | Self::LOG_APPEND_TIME)
    }

    /// These attributes with the delete horizon bit set: the base timestamp is one.
    #[must_use]
    pub fn with_delete_horizon(self) -> Self {
        Self(self.0 | Self::DELETE_HORIZON)
    }

    /// These attributes with the timestamp bit set to [`TimestampType::CreateTime`].
    #[must_use]
    pub fn with_create_time(self) -> Self {
        Self(self.0 & !Self::LOG_APPEND_TIME)
    }

    /// These attributes without the bits that mean nothing.
    #[must_use]
    pub fn without_unused(self) -> Self {
        const USED: i16 = Attributes::CODEC
            | Attributes::LOG_APPEND_TIME
            | Attributes::TRANSACTIONAL
            | Attributes::CONTROL
            | Attributes::DELETE_HORIZON;
        Self(self.0 & USED)
    }

    /// It belongs to a transaction.
    #[must_use]
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// It holds control records, which consumers never see.
    #[must_use]
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Its base timestamp is the time at which the cleaner may drop its tombstones (KIP-534).
    #[must_use]
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }
}

impl Compression {
    /// Every codec, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The number in the attributes.
    #[must_use]
    pub fn id(self) -> i16 {
        match self {
            Compression::None => 0,
            Compression::Gzip => 1,
            Compression::Snappy => 2,
            Compression::Lz4 => 3,
            Compression::Zstd => 4,
        }
    }

    /// The codec of a number, if there is one.
    #[must_use]
    pub fn from_id(id: i16) -> Option<Self> {
        let at = usize::try_from(id).ok()?;
        Self::ALL.get(at).copied()
    }

    /// The codec's name in `compression.type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_where_kafka_has_them() {
        let all = Attributes::new(Compression::Zstd, TimestampType::LogAppendTime, true, true);
        assert_eq!(all.0, 4 | 8 | 16 | 32);
        assert_eq!(all.compression(), Ok(Compression::Zstd));
        assert_eq!(all.timestamp_type(), TimestampType::LogAppendTime);
        assert!(all.is_transactional() && all.is_control() && !all.has_delete_horizon());
        assert_eq!(all.with_compression(Compression::None).0, 8 | 16 | 32);
        for id in 5..8 {
            assert_eq!(Attributes(id).compression(), Err(BatchError::UnknownCodec(id)));
        }
    }
}
