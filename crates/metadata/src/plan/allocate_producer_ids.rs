//! AllocateProducerIds (67): a broker gets a block of producer ids that nobody else will ever hand out.
//!
//! Source: `ProducerIdControlManager`.

use super::context::{PlanContext, Planned};
use super::draft::Draft;
use super::heartbeat::check_epoch;
use crate::image::MetadataImage;
use crate::record::MetadataRecord;
use crate::request::Outcome;
use milena_types::{BrokerEpoch, BrokerId, ErrorCode};

/// How many ids a block has. Source: `ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`.
pub const PRODUCER_ID_BLOCK: i32 = 1000;

/// Plans a block: the reply is the outcome and the first id; [`PRODUCER_ID_BLOCK`] ids follow it.
#[must_use]
pub fn allocate_producer_ids(
    image: &MetadataImage,
    broker: BrokerId,
    epoch: BrokerEpoch,
    ctx: &PlanContext<'_>,
) -> Planned<(Outcome, i64)> {
    if let Err(outcome) = check_epoch(image, broker, epoch) {
        return Planned::reply((outcome, -1));
    }
    let first = image.next_producer_id;
    let Some(next) = first.checked_add(i64::from(PRODUCER_ID_BLOCK)) else {
        let message =
            "Exhausted all producerIds as the next block's end producerId has exceeded the int64 type limit";
        return Planned::reply((Outcome::failed(ErrorCode::UnknownServerError, message), -1));
    };
    let mut draft = Draft::new(image, ctx);
    draft.push(MetadataRecord::ProducerIds { next });
    draft.reply((Outcome::OK, first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::Cluster;

    #[test]
    fn blocks_never_overlap() {
        let mut cluster = Cluster::with_brokers(2);
        let mut firsts = Vec::new();
        for broker in [0, 1, 0] {
            let epoch = cluster.epoch(broker);
            let (outcome, first) =
                cluster.plan(|image, ctx| allocate_producer_ids(image, BrokerId(broker), epoch, ctx));
            assert!(outcome.error.is_none());
            firsts.push(first);
        }
        assert_eq!(firsts, [0, 1000, 2000]);
        let stale = allocate_producer_ids(&cluster.image, BrokerId(0), BrokerEpoch(99), &cluster.ctx());
        assert_eq!(
            (stale.reply.0.error, stale.records.len()),
            (ErrorCode::StaleBrokerEpoch, 0)
        );
    }
}
