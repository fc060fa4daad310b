//! The history of one topic: what was sent, what came of it, what consumers saw meanwhile, and what is there in the end.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Which record: the producer that sent it and its number there. Its value begins with `producer:sequence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Number of the producer.
    pub producer: u8,
    /// Counts from 0, over all partitions.
    pub sequence: u64,
}

impl Id {
    /// Reads it from a value; `None` for one that no producer of a drill has sent.
    #[must_use]
    pub fn of(value: &str) -> Option<Self> {
        let (producer, sequence) = value.split(' ').next()?.split_once(':')?;
        Some(Self {
            producer: producer.parse().ok()?,
            sequence: sequence.parse().ok()?,
        })
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.producer, self.sequence)
    }
}

/// What a producer was told of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Acknowledged, at this offset.
    Ok(i64),
    /// Acknowledged, without an offset: the client made it out of a later acknowledgement.
    Implied,
    /// Refused with an error that says that nothing was written.
    Fail(String),
    /// Anything else: it may be there, now or later, or never.
    Info(String),
}

impl End {
    /// Whether the record was acknowledged.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok(_) | Self::Implied)
    }
}

/// One record that was handed to a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// Which record.
    pub id: Id,
    /// Its partition.
    pub partition: i32,
    /// When it was handed over.
    pub invoked: Duration,
    /// When the producer was told what; `None` when it never was.
    pub end: Option<(Duration, End)>,
}

/// One record that a consumer was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Which record; `None` for a value that nobody has sent.
    pub id: Option<Id>,
}

/// Everything about one topic.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// In the order of each producer's calls.
    pub ops: Vec<Op>,
    /// What consumers were given during the run.
    pub polled: Vec<Seen>,
    /// What a new consumer reads from offset 0 to the end, after the run, by partition in the order of the log.
    pub in_the_end: BTreeMap<i32, Vec<Seen>>,
    /// By partition and offset: the producer id and epoch in the batch.
    pub written_under: HashMap<(i32, i64), (i64, i16)>,
}

impl History {
    /// Records that nobody said anything about: how many of each producer in each partition, and the first of them.
    #[must_use]
    pub fn pending(&self) -> BTreeMap<(u8, i32), (usize, Id)> {
        let mut pending: BTreeMap<(u8, i32), (usize, Id)> = BTreeMap::new();
        for op in self.ops.iter().filter(|op| op.end.is_none()) {
            let entry = pending
                .entry((op.id.producer, op.partition))
                .or_insert((0, op.id));
            entry.0 += 1;
        }
        pending
    }

    /// When acknowledgements of this partition came.
    pub fn acknowledged_at(&self, partition: i32) -> impl Iterator<Item = Duration> {
        let of = self.ops.iter().filter(move |op| op.partition == partition);
        of.filter_map(|op| match &op.end {
            Some((at, end)) if end.is_ok() => Some(*at),
            _ => None,
        })
    }
}
