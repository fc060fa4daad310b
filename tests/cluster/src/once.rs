//! A single record, and whether it was acknowledged.

use crate::admin;
use rdkafka::ClientContext;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// After so long the client gives the record up.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone, Default)]
struct Told(Arc<AtomicBool>);

impl ClientContext for Told {}

impl ProducerContext for Told {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.0.store(result.is_ok(), Ordering::Relaxed);
    }
}

/// Sends one record to partition 0; false when it is not acknowledged within two seconds.
///
/// # Panics
/// When the client cannot be made.
#[must_use]
pub fn is_acknowledged(bootstrap: &str, topic: &str, acks: &str) -> bool {
    let told = Told::default();
    let producer: BaseProducer<Told> = admin::client(bootstrap)
        .set("acks", acks)
        .set("message.timeout.ms", PATIENCE.as_millis().to_string())
        .create_with_context(told.clone())
        .expect("a producer");
    let record = BaseRecord::<(), str>::to(topic).payload("x").partition(0);
    let queued = producer.send(record).is_ok() && producer.flush(PATIENCE * 3).is_ok();
    queued && told.0.load(Ordering::Relaxed)
}
