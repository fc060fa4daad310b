//! A steady load: one idempotent acks=all producer that remembers every acknowledgement.

use crate::admin::client;
use crate::gap_in;
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The configuration of an idempotent acks=all producer that tries for two minutes, and learns of a new leader fast.
#[must_use]
pub fn producer(bootstrap: &str) -> ClientConfig {
    let mut config = client(bootstrap);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "2")
        .set("message.timeout.ms", "120000")
        .set("topic.metadata.refresh.fast.interval.ms", "50")
        .set("retry.backoff.ms", "20")
        .set("retry.backoff.max.ms", "100")
        .set("queue.buffering.max.messages", "1000000");
    config
}

/// One acknowledged record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acked {
    /// Its partition.
    pub partition: i32,
    /// The offset that the producer was told.
    pub offset: i64,
    /// The number it was sent under; the value begins with it.
    pub sequence: u64,
    /// When the acknowledgement came, since the start of the load.
    pub at: Duration,
}

#[derive(Default)]
struct Shared {
    acked: Mutex<Vec<Acked>>,
    failed: Mutex<Vec<(u64, RDKafkaErrorCode)>>,
}

struct Context {
    shared: Arc<Shared>,
    start: Instant,
}

impl ClientContext for Context {
    fn error(&self, _error: KafkaError, _reason: &str) {}
    fn log(&self, _level: rdkafka::config::RDKafkaLogLevel, _fac: &str, _message: &str) {}
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, sequence: Box<u64>) {
        match result {
            Ok(message) => {
                let acked = Acked {
                    partition: message.partition(),
                    offset: message.offset(),
                    sequence: *sequence,
                    at: self.start.elapsed(),
                };
                self.shared.acked.lock().expect("acked").push(acked);
            }
            Err((error, _)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                self.shared.failed.lock().expect("failed").push((*sequence, code));
            }
        }
    }
}

/// A running load.
pub struct Load {
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    start: Instant,
    thread: JoinHandle<()>,
}

/// What a finished load did.
pub struct LoadReport {
    /// Everything acknowledged, in order of acknowledgement.
    pub acked: Vec<Acked>,
    /// Everything that the client gave up, with the reason.
    pub failed: Vec<(u64, RDKafkaErrorCode)>,
    /// How many records were handed to the client.
    pub sent: u64,
}

impl Load {
    /// Starts to produce `rate` records a second over all partitions of `topic`.
    ///
    /// # Panics
    /// When the client cannot be made.
    #[must_use]
    pub fn start(bootstrap: &str, topic: &str, partitions: i32, rate: u64) -> Self {
        Self::start_from(bootstrap, topic, partitions, rate, 0)
    }

    /// Likewise, with numbers from `first` on, which tell its records from those of another load.
    ///
    /// # Panics
    /// When the client cannot be made.
    #[must_use]
    pub fn start_from(bootstrap: &str, topic: &str, partitions: i32, rate: u64, first: u64) -> Self {
        let shared = Arc::new(Shared::default());
        let start = Instant::now();
        let producer: ThreadedProducer<Context> = producer(bootstrap)
            .create_with_context(Context {
                shared: Arc::clone(&shared),
                start,
            })
            .expect("producer");
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stop2, sent2, topic) = (Arc::clone(&stop), Arc::clone(&sent), topic.to_owned());
        let thread = std::thread::spawn(move || {
            send_until(&producer, &topic, partitions, rate, first, (&stop2, &sent2));
            producer.flush(Duration::from_secs(120)).expect("flush");
        });
        Self {
            shared,
            stop,
            sent,
            start,
            thread,
        }
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// How many acknowledgements came so far.
    #[must_use]
    pub fn acked(&self) -> usize {
        self.shared.acked.lock().expect("acked").len()
    }

    /// How many acknowledgements came after `since`.
    #[must_use]
    pub fn acked_since(&self, since: Duration) -> usize {
        let acked = self.shared.acked.lock().expect("acked");
        acked.iter().rev().take_while(|a| a.at > since).count()
    }

    /// The longest time in `[from, to]` without an acknowledgement, over all partitions together.
    #[must_use]
    pub fn longest_gap(&self, from: Duration, to: Duration) -> Duration {
        let acked = self.shared.acked.lock().expect("acked");
        gap_in(acked.iter().map(|one| one.at), from, to)
    }

    /// The longest time in `[from, to]` without an acknowledgement on any one partition of `partitions`.
    #[must_use]
    pub fn longest_gap_per_partition(&self, partitions: &[i32], from: Duration, to: Duration) -> Duration {
        let acked = self.shared.acked.lock().expect("acked");
        let of = |p: i32| acked.iter().filter(move |one| one.partition == p);
        let gaps = partitions
            .iter()
            .map(|p| gap_in(of(*p).map(|one| one.at), from, to));
        gaps.max().unwrap_or_default()
    }

    /// Stops sending, waits until everything sent is acknowledged or given up, and tells.
    ///
    /// # Panics
    /// When the client does not finish within two minutes.
    #[must_use]
    pub fn finish(self) -> LoadReport {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the producer's thread");
        let acked = std::mem::take(&mut *self.shared.acked.lock().expect("acked"));
        let failed = std::mem::take(&mut *self.shared.failed.lock().expect("failed"));
        LoadReport {
            acked,
            failed,
            sent: self.sent.load(Ordering::Relaxed),
        }
    }
}

fn send_until(
    producer: &ThreadedProducer<Context>,
    topic: &str,
    partitions: i32,
    rate: u64,
    first: u64,
    (stop, sent): (&AtomicBool, &AtomicU64),
) {
    let start = Instant::now();
    let mut sequence = first;
    while !stop.load(Ordering::Relaxed) {
        let due = first + u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX) * rate / 1_000_000;
        while sequence < due {
            let partition = i32::try_from(sequence % u64::try_from(partitions).unwrap_or(1)).unwrap_or(0);
            let payload = format!("{sequence} {}", "x".repeat(100));
            let record: BaseRecord<'_, [u8], str, Box<u64>> =
                BaseRecord::with_opaque_to(topic, Box::new(sequence))
                    .partition(partition)
                    .payload(&payload);
            if producer.send(record).is_err() {
                break;
            }
            sequence += 1;
            sent.store(sequence, Ordering::Relaxed);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
