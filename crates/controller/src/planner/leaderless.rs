//! What an operator is told of partitions that a batch leaves without a leader.
//!
//! A partition without a leader serves nobody, and only brokers that come back, or an operator, can change that: one line
//! per batch says how many there are, and for a few of them what each waits for. Pure but for [`Leaderless::log`].

use milena_metadata::image::MetadataImage;
use milena_metadata::record::PartitionRegistration;
use milena_types::{BrokerId, TopicIdPartition};
use std::collections::BTreeMap;

/// Partitions that a line names; the others are counted.
const NAMED_MAX: usize = 5;

/// What a batch does to leaderships, in so far as an operator should know.
#[derive(Debug, Default)]
pub(super) struct Leaderless {
    /// They have no leader now, and what they wait for is news.
    waiting: Partitions,
}

/// Some partitions by name, all by number.
#[derive(Debug, Default)]
struct Partitions {
    count: usize,
    named: Vec<String>,
}

impl Partitions {
    fn add(&mut self, text: impl FnOnce() -> String) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(text());
        }
    }

    fn names(&self) -> String {
        let more = match self.count - self.named.len() {
            0 => "",
            _ => ", …",
        };
        format!("{}{more}", self.named.join(", "))
    }
}

impl Leaderless {
    /// Compares each partition's last state in a batch with the one in `base`, on which the batch was planned.
    pub(super) fn of(
        base: &MetadataImage,
        states: &BTreeMap<TopicIdPartition, &PartitionRegistration>,
    ) -> Self {
        let mut found = Self::default();
        for (id, after) in states {
            let before = base.partition(*id);
            let name = || match base.topics.get(&id.topic) {
                Some(topic) => format!("{}-{}", topic.name, id.partition),
                None => id.to_string(),
            };
            let is_news = before.is_none_or(|b| b.leader.is_some() || holders(b) != holders(after));
            if after.leader.is_none() && is_news {
                found.waiting.add(|| format!("{} ({})", name(), wait(after)));
            }
        }
        found
    }

    /// One line, if there is something to say.
    pub(super) fn log(&self) {
        if self.waiting.count > 0 {
            let count = self.waiting.count;
            tracing::warn!(count, "partitions without a leader: {}", self.waiting.names());
        }
    }
}

/// Who may lead a partition that has no leader: ISR, ELR, and the first of the last known.
fn holders(state: &PartitionRegistration) -> (&[BrokerId], &[BrokerId], Option<BrokerId>) {
    (&state.isr, &state.elr, state.last_known_elr.first().copied())
}

/// What a partition without a leader waits for.
fn wait(state: &PartitionRegistration) -> String {
    let list = |brokers: &[BrokerId]| {
        let ids: Vec<_> = brokers.iter().map(ToString::to_string).collect();
        ids.join(" or ")
    };
    match holders(state) {
        ([], [], None) => {
            "no replica is known to hold the data: kafka-leader-election --election-type unclean takes any"
                .to_owned()
        }
        ([], [], Some(last)) => format!("waits for broker {last}, the last known leader"),
        (isr, elr, _) => format!("waits for broker {}", list(&[isr, elr].concat())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_metadata::record::{MetadataBatch, MetadataRecord};
    use milena_types::{MetadataVersion, PartitionIndex, TopicId, TopicName, Uuid};

    fn state(leader: Option<i32>, elr: &[i32], last: &[i32]) -> PartitionRegistration {
        let ids = |list: &[i32]| list.iter().map(|b| BrokerId(*b)).collect::<Vec<_>>();
        PartitionRegistration {
            elr: ids(elr),
            last_known_elr: ids(last),
            ..PartitionRegistration::new(ids(&[1, 2, 3]), leader.into_iter().map(BrokerId).collect())
        }
    }

    fn batch(states: &[PartitionRegistration]) -> Vec<MetadataRecord> {
        let partition = |index: usize| TopicIdPartition {
            topic: TopicId(Uuid([1; 16])),
            partition: PartitionIndex(i32::try_from(index).unwrap()),
        };
        let numbered = states.iter().enumerate();
        numbered
            .map(|(at, state)| MetadataRecord::Partition {
                id: partition(at),
                state: state.clone(),
            })
            .collect()
    }

    fn found(before: &[PartitionRegistration], after: &[PartitionRegistration]) -> String {
        let mut records = vec![MetadataRecord::Topic {
            id: TopicId(Uuid([1; 16])),
            name: TopicName::new("t").unwrap(),
        }];
        records.extend(batch(before));
        let mut base = MetadataImage::default();
        let first = MetadataBatch {
            expected_version: MetadataVersion(0),
            records,
        };
        base.apply(&first).unwrap();
        let next = MetadataBatch {
            expected_version: base.version,
            records: batch(after),
        };
        Leaderless::of(&base, &next.last_states()).waiting.names()
    }

    #[test]
    fn says_what_a_partition_waits_for() {
        let led = state(Some(1), &[], &[]);
        let cases = [
            (state(None, &[2, 3], &[1]), "t-0 (waits for broker 2 or 3)"),
            (
                state(None, &[], &[3, 2]),
                "t-0 (waits for broker 3, the last known leader)",
            ),
            (
                state(None, &[], &[]),
                "t-0 (no replica is known to hold the data: kafka-leader-election --election-type unclean takes any)",
            ),
            (state(Some(2), &[], &[]), ""),
        ];
        for (after, text) in cases {
            assert_eq!(found(std::slice::from_ref(&led), &[after]), text);
        }
    }

    #[test]
    fn says_it_once_and_then_what_is_new() {
        let (waits, other) = (state(None, &[2], &[]), state(None, &[], &[2]));
        assert_eq!(
            found(std::slice::from_ref(&waits), std::slice::from_ref(&waits)),
            ""
        );
        assert!(found(&[waits], &[other]).contains("last known"));
    }

    #[test]
    fn names_a_few_and_counts_all() {
        let led = vec![state(Some(1), &[], &[]); 7];
        let lost = vec![state(None, &[2], &[]); 7];
        let waiting = found(&led, &lost);
        assert!(waiting.ends_with(", …") && waiting.matches("broker 2").count() == NAMED_MAX);
    }
}
