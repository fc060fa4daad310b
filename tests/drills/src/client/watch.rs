//! What each broker shows of the topic, asked of each broker itself, all the time.

use super::each::Each;
use crate::clock::Clock;
use milena_wire::StrBytes;
use milena_wire::messages::metadata_request::MetadataRequestTopic;
use milena_wire::messages::{MetadataRequest, MetadataResponse};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Leader epochs are in it, topic ids are not needed.
const VERSION: i16 = 7;
const PATIENCE: Duration = Duration::from_millis(700);

/// A partition as a broker showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// When it was first shown like this.
    pub at: Duration,
    /// Who showed it.
    pub by: i32,
    /// Its number.
    pub partition: i32,
    /// Its leader, -1 for none.
    pub leader: i32,
    /// Its leader epoch.
    pub epoch: i32,
    /// Its in-sync replicas.
    pub isr: Vec<i32>,
}

#[derive(Default)]
struct Book {
    /// Every change, in the order of time.
    changes: Vec<Shown>,
    /// By (broker, partition): the last one.
    last: BTreeMap<(i32, i32), Shown>,
}

/// Brokers that are asked all the time.
pub struct Watch {
    book: Arc<Mutex<Book>>,
    _threads: Each,
}

impl Watch {
    /// Starts to ask these brokers.
    #[must_use]
    pub fn start(brokers: &[(i32, String)], topic: &str, clock: Clock) -> Self {
        let book = Arc::<Mutex<Book>>::default();
        let (noted, request) = (Arc::clone(&book), metadata_of([topic.to_owned()]));
        let threads = Each::start(brokers, PATIENCE, move |id, line| {
            if let Ok(answer) = line.call(VERSION, &request) {
                let mut book = noted.lock().unwrap_or_else(PoisonError::into_inner);
                note(&mut book, id, &answer, clock.now());
            }
        });
        Self {
            book,
            _threads: threads,
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest that anybody has shown of a partition: of the highest epoch, and of those the latest change.
    #[must_use]
    pub fn newest(&self, partition: i32) -> Option<Shown> {
        let book = self.book();
        let of = book.last.values().filter(|shown| shown.partition == partition);
        of.max_by_key(|shown| (shown.epoch, shown.at)).cloned()
    }

    /// What one broker has shown last of a partition.
    #[must_use]
    pub fn shown_by(&self, broker: i32, partition: i32) -> Option<Shown> {
        self.book().last.get(&(broker, partition)).cloned()
    }

    /// Every change so far.
    #[must_use]
    pub fn changes(&self) -> Vec<Shown> {
        self.book().changes.clone()
    }

    /// How many leaders were elected that were not there at first.
    #[must_use]
    pub fn elections(&self) -> usize {
        let leaders = self.leaders();
        let partitions: BTreeSet<i32> = leaders.keys().map(|(partition, _)| *partition).collect();
        leaders.len().saturating_sub(partitions.len())
    }

    /// How many epochs of a partition had another leader than the one before.
    #[must_use]
    pub fn failovers(&self) -> usize {
        let leaders = self.leaders();
        let mut last: BTreeMap<i32, &BTreeSet<i32>> = BTreeMap::new();
        let mut count = 0;
        for ((partition, _), who) in &leaders {
            if last.insert(*partition, who).is_some_and(|before| before != who) {
                count += 1;
            }
        }
        count
    }

    /// By partition and epoch: who was shown as its leader. More than one is a violation.
    #[must_use]
    pub fn leaders(&self) -> BTreeMap<(i32, i32), BTreeSet<i32>> {
        let mut leaders: BTreeMap<(i32, i32), BTreeSet<i32>> = BTreeMap::new();
        for shown in self.book().changes.iter().filter(|shown| shown.leader >= 0) {
            leaders
                .entry((shown.partition, shown.epoch))
                .or_default()
                .insert(shown.leader);
        }
        leaders
    }
}

/// Asks for these topics, and makes none.
pub(super) fn metadata_of(names: impl IntoIterator<Item = String>) -> MetadataRequest {
    let topic =
        |name: String| MetadataRequestTopic::default().with_name(Some(StrBytes::from_string(name).into()));
    MetadataRequest::default()
        .with_topics(Some(names.into_iter().map(topic).collect()))
        .with_allow_auto_topic_creation(false)
}

fn note(book: &mut Book, by: i32, answer: &MetadataResponse, at: Duration) {
    for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
        let shown = Shown {
            at,
            by,
            partition: partition.partition_index,
            leader: partition.leader_id.0,
            epoch: partition.leader_epoch,
            isr: partition.isr_nodes.iter().map(|id| id.0).collect(),
        };
        let key = (by, shown.partition);
        let same =
            |last: &Shown| (last.leader, last.epoch, &last.isr) == (shown.leader, shown.epoch, &shown.isr);
        if !book.last.get(&key).is_some_and(same) {
            book.changes.push(shown.clone());
            book.last.insert(key, shown);
        }
    }
}
