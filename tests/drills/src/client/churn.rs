//! An administrator that creates, configures and deletes topics, one call after the other, and remembers what it was told.

use super::watch::metadata_of;
use crate::Outcome;
use crate::oracle::{Catalogue, Told};
use milena_cluster_tests::{Connection, admin};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaErrorCode as Code;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// One call waits so long.
const PATIENCE: Duration = Duration::from_secs(6);
/// The key that is set: every value is another one.
const KEY: &str = "retention.ms";
/// With topic ids.
const VERSION: i16 = 12;

type Admin = AdminClient<DefaultClientContext>;

/// Runs in a thread of its own.
pub struct Churn {
    catalogue: Arc<Mutex<Catalogue>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Churn {
    /// Starts to change topics.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub fn start(bootstrap: &str) -> Outcome<Self> {
        let client: Admin = admin::client(bootstrap)
            .set("socket.timeout.ms", "5000")
            .create()
            .map_err(|error| format!("an administrator: {error}"))?;
        let (catalogue, stop) = (
            Arc::new(Mutex::new(Catalogue::default())),
            Arc::new(AtomicBool::new(false)),
        );
        let (catalogue2, stop2) = (Arc::clone(&catalogue), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut number = 0;
            while !stop2.load(Ordering::Relaxed) {
                step(&client, &catalogue2, number);
                number += 1;
            }
        });
        Ok(Self {
            catalogue,
            stop,
            thread,
        })
    }

    /// Calls so far that were answered with success.
    #[must_use]
    pub fn succeeded(&self) -> usize {
        lock(&self.catalogue).succeeded()
    }

    /// Stops; what it was told.
    #[must_use]
    pub fn finish(self) -> Catalogue {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        lock(&self.catalogue).clone()
    }
}

fn lock(catalogue: &Mutex<Catalogue>) -> MutexGuard<'_, Catalogue> {
    catalogue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Names come again: each is created, configured and deleted in turn, so that a name has several lives.
fn step(client: &Admin, catalogue: &Mutex<Catalogue>, number: u64) {
    let (name, value) = (
        format!("churn-{}", number / 4 % 20),
        (1_000_000 + number).to_string(),
    );
    match number % 4 {
        0 => {
            let told = create(client, &name, &value);
            lock(catalogue).created(&name, &value, told);
        }
        3 if (number / 80).is_multiple_of(2) => {
            let told = delete(client, &name);
            lock(catalogue).deleted(&name, told);
        }
        _ => {
            let told = configure(client, &name, &value);
            lock(catalogue).configured(&name, &value, told);
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(PATIENCE))
        .operation_timeout(Some(PATIENCE))
}

fn create(client: &Admin, name: &str, value: &str) -> Told {
    let topic = NewTopic::new(name, 2, TopicReplication::Fixed(3)).set(KEY, value);
    let done = admin::block_on(client.create_topics([&topic], &options()));
    told(done, Code::TopicAlreadyExists)
}

fn delete(client: &Admin, name: &str) -> Told {
    let done = admin::block_on(client.delete_topics(&[name], &options()));
    told(done, Code::UnknownTopicOrPartition)
}

fn configure(client: &Admin, name: &str, value: &str) -> Told {
    let change = AlterConfig::new(ResourceSpecifier::Topic(name)).set(KEY, value);
    let done = admin::block_on(client.alter_configs([&change], &options()));
    told(done, Code::UnknownTopicOrPartition)
}

/// A call that timed out, or met a broker on its way out, may have been done.
fn told<T>(done: KafkaResult<Vec<Result<T, (T, Code)>>>, refusal: Code) -> Told {
    match done.ok().and_then(|results| results.into_iter().next()) {
        Some(Ok(_)) => Told::Done,
        Some(Err((_, code))) if code == refusal => Told::Refused,
        _ => Told::Unknown,
    }
}

/// The ids of topics, as a broker shows them; those that it does not have are left out.
///
/// # Errors
/// When it does not answer.
pub fn topic_ids(address: &str, names: &[String]) -> Outcome<BTreeMap<String, String>> {
    let request = metadata_of(names.iter().cloned());
    let answer = Connection::new(address, PATIENCE)?.call(VERSION, &request)?;
    let there = answer.topics.iter().filter(|topic| topic.error_code == 0);
    let named =
        there.filter_map(|topic| Some((topic.name.as_ref()?.to_string(), topic.topic_id.to_string())));
    Ok(named.collect())
}

/// What a topic has for the key that the administrator sets.
///
/// # Errors
/// When nobody answers, or the topic is not there.
pub fn configured(bootstrap: &str, name: &str) -> Outcome<String> {
    let told = |error: rdkafka::error::KafkaError| format!("describe {name}: {error}");
    let client: Admin = admin::client(bootstrap).create().map_err(told)?;
    let resource = ResourceSpecifier::Topic(name);
    let described = admin::block_on(client.describe_configs([&resource], &options())).map_err(told)?;
    let one = described.into_iter().next().ok_or("no answer")?;
    let one = one.map_err(|code| format!("describe {name}: {code}"))?;
    let entry = one.entries.into_iter().find(|entry| entry.name == KEY);
    Ok(entry.and_then(|entry| entry.value).unwrap_or_default())
}
