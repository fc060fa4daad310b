//! UnregisterBroker (64): a broker leaves the cluster for good; its replicas stay assigned until they are moved.
//!
//! Source: `ReplicationControlManager.unregisterBroker`. Unlike there, the broker also leaves every ELR: whoever
//! registers under the id later need not have the data.

use super::broker_gone;
use super::context::{PlanContext, Planned};
use super::draft::Draft;
use crate::image::MetadataImage;
use crate::record::MetadataRecord;
use crate::request::Outcome;
use milena_types::{BrokerId, ErrorCode};

/// Plans the removal of a registration: BROKER_ID_NOT_REGISTERED when there is none.
#[must_use]
pub fn unregister_broker(image: &MetadataImage, broker: BrokerId, ctx: &PlanContext<'_>) -> Planned<Outcome> {
    if image.broker(broker).is_none() {
        let message = format!("Broker ID {broker} is not currently registered");
        return Planned::reply(Outcome::failed(ErrorCode::BrokerIdNotRegistered, message));
    }
    let mut draft = Draft::new(image, ctx);
    broker_gone::leave_isrs_and_elrs(&mut draft, broker);
    draft.push(MetadataRecord::BrokerRemoved(broker));
    draft.reply(Outcome::OK)
}
