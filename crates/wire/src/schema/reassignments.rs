//! Requests about partitions that move to other replicas.

use super::Kind::{Fixed, Fixeds, Structs, Text};
use super::{MAX, Schema, field, nullable};
use crate::messages;

pub(crate) static ALTER_PARTITION_REASSIGNMENTS: Schema = Schema::request(
    0,
    &[
        field("timeout_ms", 0, MAX, Fixed(4)),
        field("allow_replication_factor_change", 1, MAX, Fixed(1)),
        field("topics", 0, MAX, Structs(&REASSIGNABLE_TOPIC)),
    ],
);

static REASSIGNABLE_TOPIC: Schema = Schema::new(
    0,
    size_of::<messages::alter_partition_reassignments_request::ReassignableTopic>(),
    &[
        field("name", 0, MAX, Text),
        field("partitions", 0, MAX, Structs(&REASSIGNABLE_PARTITION)),
    ],
);

static REASSIGNABLE_PARTITION: Schema = Schema::new(
    0,
    size_of::<messages::alter_partition_reassignments_request::ReassignablePartition>(),
    &[
        field("partition_index", 0, MAX, Fixed(4)),
        nullable("replicas", 0, MAX, Fixeds(4)),
    ],
);

pub(crate) static LIST_PARTITION_REASSIGNMENTS: Schema = Schema::request(
    0,
    &[
        field("timeout_ms", 0, MAX, Fixed(4)),
        nullable("topics", 0, MAX, Structs(&LIST_PARTITION_REASSIGNMENTS_TOPICS)),
    ],
);

static LIST_PARTITION_REASSIGNMENTS_TOPICS: Schema = Schema::new(
    0,
    size_of::<messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics>(),
    &[
        field("name", 0, MAX, Text),
        field("partition_indexes", 0, MAX, Fixeds(4)),
    ],
);
