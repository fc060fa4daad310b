//! Consumer groups: membership and listing.

use super::Kind::{Blob, Fixed, Structs, Text, Texts};
use super::{MAX, Schema, field, nullable};
use kafka_protocol::messages;

pub(crate) static FIND_COORDINATOR: Schema = Schema::request(
    3,
    &[
        field("key", 0, 3, Text),
        field("key_type", 1, MAX, Fixed(1)),
        field("coordinator_keys", 4, MAX, Texts),
    ],
);

pub(crate) static JOIN_GROUP: Schema = Schema::request(
    6,
    &[
        field("group_id", 0, MAX, Text),
        field("session_timeout_ms", 0, MAX, Fixed(4)),
        field("rebalance_timeout_ms", 1, MAX, Fixed(4)),
        field("member_id", 0, MAX, Text),
        nullable("group_instance_id", 5, MAX, Text),
        field("protocol_type", 0, MAX, Text),
        field("protocols", 0, MAX, Structs(&JOIN_GROUP_REQUEST_PROTOCOL)),
        nullable("reason", 8, MAX, Text),
    ],
);

static JOIN_GROUP_REQUEST_PROTOCOL: Schema = Schema::new(
    6,
    size_of::<messages::join_group_request::JoinGroupRequestProtocol>(),
    &[field("name", 0, MAX, Text), field("metadata", 0, MAX, Blob)],
);

pub(crate) static SYNC_GROUP: Schema = Schema::request(
    4,
    &[
        field("group_id", 0, MAX, Text),
        field("generation_id", 0, MAX, Fixed(4)),
        field("member_id", 0, MAX, Text),
        nullable("group_instance_id", 3, MAX, Text),
        nullable("protocol_type", 5, MAX, Text),
        nullable("protocol_name", 5, MAX, Text),
        field("assignments", 0, MAX, Structs(&SYNC_GROUP_REQUEST_ASSIGNMENT)),
    ],
);

static SYNC_GROUP_REQUEST_ASSIGNMENT: Schema = Schema::new(
    4,
    size_of::<messages::sync_group_request::SyncGroupRequestAssignment>(),
    &[
        field("member_id", 0, MAX, Text),
        field("assignment", 0, MAX, Blob),
    ],
);

pub(crate) static HEARTBEAT: Schema = Schema::request(
    4,
    &[
        field("group_id", 0, MAX, Text),
        field("generation_id", 0, MAX, Fixed(4)),
        field("member_id", 0, MAX, Text),
        nullable("group_instance_id", 3, MAX, Text),
    ],
);

pub(crate) static LEAVE_GROUP: Schema = Schema::request(
    4,
    &[
        field("group_id", 0, MAX, Text),
        field("member_id", 0, 2, Text),
        field("members", 3, MAX, Structs(&MEMBER_IDENTITY)),
    ],
);

static MEMBER_IDENTITY: Schema = Schema::new(
    4,
    size_of::<messages::leave_group_request::MemberIdentity>(),
    &[
        field("member_id", 3, MAX, Text),
        nullable("group_instance_id", 3, MAX, Text),
        nullable("reason", 5, MAX, Text),
    ],
);

pub(crate) static LIST_GROUPS: Schema = Schema::request(
    3,
    &[
        field("states_filter", 4, MAX, Texts),
        field("types_filter", 5, MAX, Texts),
    ],
);

pub(crate) static DESCRIBE_GROUPS: Schema = Schema::request(
    5,
    &[
        field("groups", 0, MAX, Texts),
        field("include_authorized_operations", 3, MAX, Fixed(1)),
    ],
);

pub(crate) static DELETE_GROUPS: Schema = Schema::request(2, &[field("groups_names", 0, MAX, Texts)]);
