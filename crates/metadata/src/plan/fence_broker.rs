//! Fencing: a broker is taken for dead, leaves every ISR, and its leaderships move.
//!
//! A wrong suspicion is harmless: the broker's leader epochs are old, its AlterPartition is refused, and its next
//! heartbeat unfences it. Source: `ReplicationControlManager.handleBrokerFenced`.

use super::broker_gone;
use super::context::{PlanContext, Planned};
use super::draft::Draft;
use crate::image::MetadataImage;
use crate::record::{BrokerRegistration, MetadataRecord};
use milena_types::{BrokerEpoch, BrokerId};

/// Fences the broker if it is unfenced and registered under `epoch` (`None`: under any). The reply says whether it is
/// fenced by this plan.
#[must_use]
pub fn fence_broker(
    image: &MetadataImage,
    broker: BrokerId,
    epoch: Option<BrokerEpoch>,
    ctx: &PlanContext<'_>,
) -> Planned<bool> {
    let due = image
        .broker(broker)
        .filter(|b| !b.fenced && epoch.is_none_or(|e| e == b.epoch));
    let Some(registration) = due else {
        return Planned::reply(false);
    };
    let mut draft = Draft::new(image, ctx);
    fence(&mut draft, registration);
    draft.reply(true)
}

pub(super) fn fence(draft: &mut Draft<'_>, registration: &BrokerRegistration) {
    broker_gone::leave_isrs(draft, registration.id);
    draft.push(MetadataRecord::Broker(BrokerRegistration {
        fenced: true,
        ..registration.clone()
    }));
}
