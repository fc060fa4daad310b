//! Single records sent to a broker that may not lead any more: what it says to each, and when.

use super::each::{Each, Line};
use crate::clock::Clock;
use milena_record::BatchBuilder;
use milena_types::{Offset, Timestamp};
use milena_wire::StrBytes;
use milena_wire::messages::ProduceRequest;
use milena_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Without topic ids.
const VERSION: i16 = 8;
const PATIENCE: Duration = Duration::from_millis(2500);

/// One record, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Who was asked.
    pub broker: i32,
    /// When it was sent.
    pub sent: Duration,
    /// When the answer came, or nobody waited any more.
    pub answered: Duration,
    /// The offset, or Kafka's error code; an error in words when there was no answer.
    pub answer: Result<Result<i64, i16>, String>,
}

impl Said {
    /// It was acknowledged.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self.answer, Ok(Ok(_)))
    }

    /// The error code of a refusal.
    #[must_use]
    pub fn code(&self) -> Option<i16> {
        match self.answer {
            Ok(Err(code)) => Some(code),
            _ => None,
        }
    }
}

/// Brokers that are sent records for partition 0 of a topic all the time.
pub struct Probe {
    said: Arc<Mutex<Vec<Said>>>,
    _threads: Each,
}

impl Probe {
    /// Starts to send with these acks, ten times a second.
    #[must_use]
    pub fn start(brokers: &[(i32, String)], topic: &str, acks: i16, clock: Clock) -> Self {
        let said = Arc::<Mutex<Vec<Said>>>::default();
        let (noted, topic) = (Arc::clone(&said), topic.to_owned());
        let threads = Each::start(brokers, PATIENCE, move |broker, line| {
            let sent = clock.now();
            let answer = send(line, &topic, acks);
            let one = Said {
                broker,
                sent,
                answered: clock.now(),
                answer,
            };
            noted.lock().unwrap_or_else(PoisonError::into_inner).push(one);
        });
        Self {
            said,
            _threads: threads,
        }
    }

    /// Everything so far, in the order of the answers.
    #[must_use]
    pub fn said(&self) -> Vec<Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn send(line: &mut Line, topic: &str, acks: i16) -> Result<Result<i64, i16>, String> {
    let answer = line.call(VERSION, &request(topic, acks))?;
    let partition = answer
        .responses
        .first()
        .and_then(|topic| topic.partition_responses.first());
    let partition = partition.ok_or_else(|| "an answer without a partition".to_owned())?;
    Ok(match partition.error_code {
        0 => Ok(partition.base_offset),
        code => Err(code),
    })
}

fn request(topic: &str, acks: i16) -> ProduceRequest {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp(i64::try_from(now.as_millis()).unwrap_or(0));
    let mut batch = BatchBuilder::plain(Offset(0));
    batch.append(now, None, Some(b"probe"), &[]);
    let partition = PartitionProduceData::default()
        .with_index(0)
        .with_records(Some(batch.build().freeze()));
    let topic = TopicProduceData::default()
        .with_name(StrBytes::from_string(topic.to_owned()).into())
        .with_partition_data(vec![partition]);
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(2000)
        .with_topic_data(vec![topic])
}
