//! Units and small enums that settings and protocols share.

/// Milliseconds since the Unix epoch, as Kafka stamps records. `-1` (no timestamp) is `Timestamp::NONE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Kafka's "no timestamp".
    pub const NONE: Timestamp = Timestamp(-1);
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a producer waits for. Source: `ProduceRequest.acks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Acks {
    /// No answer at all (acks=0).
    None,
    /// The leader's append (acks=1).
    Leader,
    /// The high watermark has passed the last record (acks=-1).
    All,
}

impl Acks {
    /// Reads the wire value; anything but -1, 0, 1 is `None` and means INVALID_REQUIRED_ACKS.
    #[must_use]
    pub fn from_wire(value: i16) -> Option<Self> {
        match value {
            0 => Some(Acks::None),
            1 => Some(Acks::Leader),
            -1 => Some(Acks::All),
            _ => None,
        }
    }
}

/// When a replica may advertise an offset towards acks=all (`ack.durability`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AckDurability {
    /// Only once the offset is on disk (group-committed fdatasync).
    #[default]
    Flushed,
    /// Once the offset is in the page cache: Kafka's contract.
    Replicated,
}

impl AckDurability {
    /// The value as written in configurations.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AckDurability::Flushed => "flushed",
            AckDurability::Replicated => "replicated",
        }
    }

    /// Parses `flushed` or `replicated`.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        match value {
            "flushed" => Some(AckDurability::Flushed),
            "replicated" => Some(AckDurability::Replicated),
            _ => None,
        }
    }
}
