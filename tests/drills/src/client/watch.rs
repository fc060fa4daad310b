//! What each broker shows of the topic, asked of each broker itself, all the time.

use super::raw::Connection;
use crate::clock::Clock;
use milena_wire::StrBytes;
use milena_wire::messages::metadata_request::MetadataRequestTopic;
use milena_wire::messages::{MetadataRequest, MetadataResponse};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// Leader epochs are in it, topic ids are not needed.
const VERSION: i16 = 7;
const PATIENCE: Duration = Duration::from_millis(700);
const PAUSE: Duration = Duration::from_millis(100);

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

/// Threads that ask, one a broker.
pub struct Watch {
    book: Arc<Mutex<Book>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Starts to ask these brokers.
    #[must_use]
    pub fn start(brokers: &[(i32, String)], topic: &str, clock: Clock) -> Self {
        let (book, stop) = (
            Arc::new(Mutex::new(Book::default())),
            Arc::new(AtomicBool::new(false)),
        );
        let mut threads = Vec::new();
        for (id, address) in brokers.iter().cloned() {
            let (book, stop, topic) = (Arc::clone(&book), Arc::clone(&stop), topic.to_owned());
            threads.push(std::thread::spawn(move || {
                let mut connection = None;
                while !stop.load(Ordering::Relaxed) {
                    if let Some(answer) = ask(&mut connection, &address, &topic) {
                        let mut book = book.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        note(&mut book, id, &answer, clock.now());
                    }
                    std::thread::sleep(PAUSE);
                }
            }));
        }
        Self { book, stop, threads }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
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

    /// The partitions that this broker leads, as far as anybody knows.
    #[must_use]
    pub fn led_by(&self, broker: i32, partitions: i32) -> Vec<i32> {
        let leads = |partition: &i32| {
            self.newest(*partition)
                .is_some_and(|shown| shown.leader == broker)
        };
        (0..partitions).filter(leads).collect()
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

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn ask(connection: &mut Option<Connection>, address: &str, topic: &str) -> Option<MetadataResponse> {
    if connection.is_none() {
        *connection = Connection::new(address, PATIENCE).ok();
    }
    let name = StrBytes::from_string(topic.to_owned());
    let wanted = MetadataRequestTopic::default().with_name(Some(name.into()));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![wanted]))
        .with_allow_auto_topic_creation(false);
    let answer = connection.as_mut()?.call(VERSION, &request).ok();
    if answer.is_none() {
        *connection = None;
    }
    answer
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
