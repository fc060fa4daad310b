//! The control side of a broker whose metadata only the test changes.

use super::control_plane::ControlPlane;
use futures_util::future::BoxFuture;
use milena_metadata::request::{AlterPartitionItem, ReplicaStateItem};
use milena_types::{BrokerEpoch, BrokerId, ErrorCode, MetadataVersion};

/// Proposes to nobody: ISR changes time out.
pub(crate) struct NoControl;

impl ControlPlane for NoControl {
    fn broker_epoch(&self) -> Option<BrokerEpoch> {
        Some(BrokerEpoch(1))
    }

    fn in_contact(&self, _followed: MetadataVersion) -> bool {
        true
    }

    fn alter_partition(&self, _item: AlterPartitionItem) -> BoxFuture<'static, ErrorCode> {
        Box::pin(std::future::ready(ErrorCode::RequestTimedOut))
    }

    fn report_replica(&self, _item: ReplicaStateItem) -> BoxFuture<'static, ErrorCode> {
        Box::pin(std::future::ready(ErrorCode::None))
    }

    fn peer_lost(&self, _broker: BrokerId) {}
}
