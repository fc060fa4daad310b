//! What the partition owners need from the control thread, as a trait, so that tests can play the controller.

use futures_util::future::BoxFuture;
use milena_metadata::request::{AlterPartitionItem, ReplicaStateItem};
use milena_types::{BrokerEpoch, BrokerId, ErrorCode, MetadataVersion};

/// The control side of a broker. Called from data threads: nothing may block.
pub trait ControlPlane: Send + Sync + 'static {
    /// The broker's registration, once it has one.
    fn broker_epoch(&self) -> Option<BrokerEpoch>;

    /// True while the controller's session for this broker cannot have ended, for who has `followed` the metadata so far. Asked for
    /// each request that a leader would acknowledge alone.
    fn in_contact(&self, followed: MetadataVersion) -> bool;

    /// Asks the controller for another ISR. Resolves with the item's error code; a request that could not be sent or was
    /// not answered resolves with REQUEST_TIMED_OUT. The truth arrives with the metadata.
    fn alter_partition(&self, item: AlterPartitionItem) -> BoxFuture<'static, ErrorCode>;

    /// Tells the controller how a replica is. Resolves with its answer for it; REQUEST_TIMED_OUT when there is none.
    fn report_replica(&self, item: ReplicaStateItem) -> BoxFuture<'static, ErrorCode>;

    /// A replication stream to or from this broker broke: look whether it still lives.
    fn peer_lost(&self, broker: BrokerId);
}
