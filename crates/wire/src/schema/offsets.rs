//! Offsets: looked up, committed, fetched, deleted.

#[cfg(test)]
use super::Kind::Fixeds;
use super::Kind::{Fixed, Structs, Text};
use super::{MAX, NEVER, Schema, field, nullable};
use kafka_protocol::messages;

pub(crate) static LIST_OFFSETS: Schema = Schema::request(
    6,
    &[
        field("replica_id", 1, MAX, Fixed(4)),
        field("isolation_level", 2, MAX, Fixed(1)),
        field("topics", 1, MAX, Structs(&LIST_OFFSETS_TOPIC)),
        field("timeout_ms", 10, MAX, Fixed(4)),
    ],
);

static LIST_OFFSETS_PARTITION: Schema = Schema::new(
    6,
    size_of::<messages::list_offsets_request::ListOffsetsPartition>(),
    &[
        field("partition_index", 1, MAX, Fixed(4)),
        field("current_leader_epoch", 4, MAX, Fixed(4)),
        field("timestamp", 1, MAX, Fixed(8)),
    ],
);

static LIST_OFFSETS_TOPIC: Schema = Schema::new(
    6,
    size_of::<messages::list_offsets_request::ListOffsetsTopic>(),
    &[
        field("name", 1, MAX, Text),
        field("partitions", 1, MAX, Structs(&LIST_OFFSETS_PARTITION)),
    ],
);

pub(crate) static OFFSET_FOR_LEADER_EPOCH: Schema = Schema::request(
    4,
    &[
        field("replica_id", 3, MAX, Fixed(4)),
        field("topics", 2, MAX, Structs(&OFFSET_FOR_LEADER_TOPIC)),
    ],
);

static OFFSET_FOR_LEADER_PARTITION: Schema = Schema::new(
    4,
    size_of::<messages::offset_for_leader_epoch_request::OffsetForLeaderPartition>(),
    &[
        field("partition", 2, MAX, Fixed(4)),
        field("current_leader_epoch", 2, MAX, Fixed(4)),
        field("leader_epoch", 2, MAX, Fixed(4)),
    ],
);

static OFFSET_FOR_LEADER_TOPIC: Schema = Schema::new(
    4,
    size_of::<messages::offset_for_leader_epoch_request::OffsetForLeaderTopic>(),
    &[
        field("topic", 2, MAX, Text),
        field("partitions", 2, MAX, Structs(&OFFSET_FOR_LEADER_PARTITION)),
    ],
);

pub(crate) static OFFSET_COMMIT: Schema = Schema::request(
    8,
    &[
        field("group_id", 2, MAX, Text),
        field("generation_id_or_member_epoch", 2, MAX, Fixed(4)),
        field("member_id", 2, MAX, Text),
        nullable("group_instance_id", 7, MAX, Text),
        field("retention_time_ms", 2, 4, Fixed(8)),
        field("topics", 2, MAX, Structs(&OFFSET_COMMIT_REQUEST_TOPIC)),
    ],
);

static OFFSET_COMMIT_REQUEST_PARTITION: Schema = Schema::new(
    8,
    size_of::<messages::offset_commit_request::OffsetCommitRequestPartition>(),
    &[
        field("partition_index", 2, MAX, Fixed(4)),
        field("committed_offset", 2, MAX, Fixed(8)),
        field("committed_leader_epoch", 6, MAX, Fixed(4)),
        nullable("committed_metadata", 2, MAX, Text),
    ],
);

static OFFSET_COMMIT_REQUEST_TOPIC: Schema = Schema::new(
    8,
    size_of::<messages::offset_commit_request::OffsetCommitRequestTopic>(),
    &[
        field("name", 2, MAX, Text),
        field("partitions", 2, MAX, Structs(&OFFSET_COMMIT_REQUEST_PARTITION)),
    ],
);

/// Makes valid bodies; requests are read by `offset_fetch`.
#[cfg(test)]
pub(crate) static OFFSET_FETCH: Schema = Schema::request(
    6,
    &[
        field("group_id", 1, 7, Text),
        nullable("topics", 1, 7, Structs(&OFFSET_FETCH_REQUEST_TOPIC)),
        field("groups", 8, MAX, Structs(&OFFSET_FETCH_REQUEST_GROUP)),
        field("require_stable", 7, MAX, Fixed(1)),
    ],
);

#[cfg(test)]
static OFFSET_FETCH_REQUEST_GROUP: Schema = Schema::new(
    6,
    size_of::<messages::offset_fetch_request::OffsetFetchRequestGroup>(),
    &[
        field("group_id", 8, MAX, Text),
        nullable("member_id", 9, MAX, Text),
        field("member_epoch", 9, MAX, Fixed(4)),
        nullable("topics", 8, MAX, Structs(&OFFSET_FETCH_REQUEST_TOPICS)),
    ],
);

#[cfg(test)]
static OFFSET_FETCH_REQUEST_TOPIC: Schema = Schema::new(
    6,
    size_of::<messages::offset_fetch_request::OffsetFetchRequestTopic>(),
    &[
        field("name", 1, 7, Text),
        field("partition_indexes", 1, 7, Fixeds(4)),
    ],
);

#[cfg(test)]
static OFFSET_FETCH_REQUEST_TOPICS: Schema = Schema::new(
    6,
    size_of::<messages::offset_fetch_request::OffsetFetchRequestTopics>(),
    &[
        field("name", 8, MAX, Text),
        field("partition_indexes", 8, MAX, Fixeds(4)),
    ],
);

pub(crate) static OFFSET_DELETE: Schema = Schema::request(
    NEVER,
    &[
        field("group_id", 0, MAX, Text),
        field("topics", 0, MAX, Structs(&OFFSET_DELETE_REQUEST_TOPIC)),
    ],
);

static OFFSET_DELETE_REQUEST_PARTITION: Schema = Schema::new(
    NEVER,
    size_of::<messages::offset_delete_request::OffsetDeleteRequestPartition>(),
    &[field("partition_index", 0, MAX, Fixed(4))],
);

static OFFSET_DELETE_REQUEST_TOPIC: Schema = Schema::new(
    NEVER,
    size_of::<messages::offset_delete_request::OffsetDeleteRequestTopic>(),
    &[
        field("name", 0, MAX, Text),
        field("partitions", 0, MAX, Structs(&OFFSET_DELETE_REQUEST_PARTITION)),
    ],
);
