//! R12 a leader whose session has ended acknowledges nothing alone: somebody else may lead (INV-R-12).

use crate::cx::Cx;
use crate::event::Host;
use milena_metadata::MetadataImage;
use milena_types::{BrokerEpoch, BrokerId, TopicIdPartition};
use std::collections::BTreeMap;

/// The brokers that were fenced because nothing was heard of them, with the registration that was.
#[derive(Debug, Default)]
pub struct Ended(BTreeMap<BrokerId, BrokerEpoch>);

impl Ended {
    /// A batch was committed.
    pub fn follow(&mut self, before: &MetadataImage, image: &MetadataImage) {
        self.0.retain(|id, epoch| {
            image
                .broker(*id)
                .is_some_and(|broker| broker.fenced && broker.epoch == *epoch)
        });
        for broker in image.brokers.values().filter(|broker| broker.fenced) {
            let had = before.broker(broker.id);
            let had = had.is_some_and(|had| !had.fenced && had.epoch == broker.epoch);
            if had && !broker.in_controlled_shutdown {
                self.0.insert(broker.id, broker.epoch);
            }
        }
    }
}

/// A process with that registration acknowledges what nobody else in sync has, or takes it for committed.
pub fn on_alone(cx: &mut Cx, host: Host, epoch: Option<BrokerEpoch>, id: TopicIdPartition) {
    cx.coverage.acted_alone += 1;
    let ended = cx.oracle.ended.0.get(&host.broker).copied();
    if ended.is_some() && ended == epoch {
        cx.oracle.fail(
            "R12",
            format!("{host:?} acknowledges {id} alone, although its session under {epoch:?} has ended"),
        );
    }
}
