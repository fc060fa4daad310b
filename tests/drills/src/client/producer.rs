//! Idempotent acks=all producers at a steady rate.

use super::ledger::Ledger;
use crate::Outcome;
use crate::oracle::{End, Id};
use milena_cluster_tests::producer;
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode as Code;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// As long as a producer tries to deliver a record.
const PATIENCE: Duration = Duration::from_secs(120);

const PRODUCERS: u8 = 2;
/// Records a second of each, over all partitions in turn.
const RATE: u64 = 500;
/// Bytes of each value, about.
const VALUE_BYTES: usize = 100;

struct Context(Ledger);

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(Code::Fatal) {
            self.0.fatal(reason);
        }
    }

    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Id>;

    fn delivery(&self, result: &DeliveryResult<'_>, id: Box<Id>) {
        let end = match result {
            Ok(message) if message.offset() < 0 => End::Implied,
            Ok(message) => End::Ok(message.offset()),
            Err((error, _)) => given_up(error.rdkafka_error_code()),
        };
        self.0.end(*id, end);
    }
}

/// Only what says that nothing was written is a failure.
fn given_up(code: Option<Code>) -> End {
    let told = format!("{code:?}");
    match code {
        Some(
            Code::NotEnoughReplicas
            | Code::TopicAuthorizationFailed
            | Code::InvalidRequest
            | Code::UnsupportedVersion
            | Code::MessageSizeTooLarge
            | Code::UnknownPartition
            | Code::QueueFull,
        ) => End::Fail(told),
        _ => End::Info(told),
    }
}

/// Whether the producer was told UNKNOWN_SERVER_ERROR.
#[must_use]
pub fn is_unknown(end: &End) -> bool {
    *end == given_up(Some(Code::Unknown))
}

/// Running producers.
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Outcome<()>>>,
}

impl Load {
    /// Starts them.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub fn start(bootstrap: &str, topic: &str, partitions: i32, ledger: &Ledger) -> Outcome<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for number in 0..PRODUCERS {
            let client: ThreadedProducer<Context> = producer(bootstrap)
                .set("socket.timeout.ms", "5000")
                .create_with_context(Context(ledger.clone()))
                .map_err(|error| format!("a producer: {error}"))?;
            let sender = Sender {
                number,
                topic: topic.to_owned(),
                partitions,
                ledger: ledger.clone(),
                stop: Arc::clone(&stop),
            };
            threads.push(std::thread::spawn(move || {
                sender.run(&client);
                // After a fatal error nothing is acknowledged any more.
                let patience = if sender.ledger.why_fatal().is_some() {
                    Duration::ZERO
                } else {
                    PATIENCE
                };
                client.flush(patience).map_err(|error| format!("flush: {error}"))
            }));
        }
        Ok(Self { stop, threads })
    }

    /// Stops sending and waits until every record is acknowledged or given up.
    ///
    /// # Errors
    /// When a producer has not come to an end with all of its records within two minutes.
    pub fn finish(self) -> Outcome<()> {
        self.stop.store(true, Ordering::Relaxed);
        let join = |thread: JoinHandle<Outcome<()>>| {
            thread
                .join()
                .unwrap_or_else(|_| Err("a producer panicked".into()))
        };
        self.threads.into_iter().try_for_each(join)
    }
}

struct Sender {
    number: u8,
    topic: String,
    partitions: i32,
    ledger: Ledger,
    stop: Arc<AtomicBool>,
}

impl Sender {
    fn run(&self, client: &ThreadedProducer<Context>) {
        let (start, mut sequence) = (Instant::now(), 0_u64);
        let count = u64::try_from(self.partitions).unwrap_or(1);
        while !self.stop.load(Ordering::Relaxed) {
            let elapsed = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
            let due = elapsed * RATE / 1_000_000;
            while sequence < due {
                let id = Id {
                    producer: self.number,
                    sequence,
                };
                let partition = i32::try_from(sequence % count).unwrap_or(0);
                self.send(client, id, partition);
                sequence += 1;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn send(&self, client: &ThreadedProducer<Context>, id: Id, partition: i32) {
        let payload = format!("{id} {}", "x".repeat(VALUE_BYTES));
        let record: BaseRecord<'_, [u8], str, Box<Id>> =
            BaseRecord::with_opaque_to(&self.topic, Box::new(id))
                .partition(partition)
                .payload(&payload);
        self.ledger.invoke(id, partition);
        if let Err((error, _)) = client.send(record) {
            self.ledger.end(id, given_up(error.rdkafka_error_code()));
        }
    }
}
