//! The shapes of requests, as far as a guard needs them: where lengths and counts are.
//!
//! The message library decodes whatever counts the network sends, allocating first and reading afterwards. So every
//! body is walked along its schema before ([`Schema::check`]), and only a body that passes is decoded.
//! One table a struct, in the library's own field order; the tests decode everything in every version to compare.

mod cluster;
mod groups;
mod offsets;
mod reassignments;
#[cfg(test)]
mod sample;
mod topics;
mod walk;

pub(crate) use walk::{Budget, memory_budget};

pub(crate) use cluster::{
    ALTER_CONFIGS, ALTER_REPLICA_LOG_DIRS, API_VERSIONS, DESCRIBE_CLUSTER, DESCRIBE_CONFIGS,
    DESCRIBE_LOG_DIRS, DESCRIBE_QUORUM, INCREMENTAL_ALTER_CONFIGS, INIT_PRODUCER_ID, LIST_CONFIG_RESOURCES,
    UNREGISTER_BROKER,
};
pub(crate) use groups::{
    DELETE_GROUPS, DESCRIBE_GROUPS, FIND_COORDINATOR, HEARTBEAT, JOIN_GROUP, LEAVE_GROUP, LIST_GROUPS,
    SYNC_GROUP,
};
#[cfg(test)]
pub(crate) use offsets::OFFSET_FETCH;
pub(crate) use offsets::{LIST_OFFSETS, OFFSET_COMMIT, OFFSET_DELETE, OFFSET_FOR_LEADER_EPOCH};
pub(crate) use reassignments::{ALTER_PARTITION_REASSIGNMENTS, LIST_PARTITION_REASSIGNMENTS};
pub(crate) use topics::{
    CREATE_PARTITIONS, CREATE_TOPICS, DELETE_RECORDS, DELETE_TOPICS, DESCRIBE_TOPIC_PARTITIONS,
    ELECT_LEADERS, METADATA,
};

/// A version bound that is never reached.
const MAX: i16 = i16::MAX;
/// For structs of APIs that never became flexible.
const NEVER: i16 = i16::MAX;

/// One struct of a request.
pub(crate) struct Schema {
    /// From this version on lengths are varints and tagged fields follow.
    flexible_from: i16,
    /// What one element takes in memory once decoded, in bytes.
    memory: usize,
    fields: &'static [Field],
}

/// One field of a struct, present in versions `from..=to`.
struct Field {
    name: &'static str,
    from: i16,
    to: i16,
    nullable: bool,
    kind: Kind,
}

/// What a field holds.
enum Kind {
    /// So many bytes.
    Fixed(usize),
    /// A string.
    Text,
    /// Bytes.
    Blob,
    /// An array of values of so many bytes.
    Fixeds(usize),
    /// An array of strings.
    Texts,
    /// An array of structs.
    Structs(&'static Schema),
    /// A struct after a byte: 1 when it is there, -1 when it is null.
    Optional(&'static Schema),
}

impl Schema {
    const fn new(flexible_from: i16, memory: usize, fields: &'static [Field]) -> Self {
        Self {
            flexible_from,
            memory,
            fields,
        }
    }

    /// The struct at the top: decoded in place, not on the heap.
    const fn request(flexible_from: i16, fields: &'static [Field]) -> Self {
        Self::new(flexible_from, 0, fields)
    }
}

const fn field(name: &'static str, from: i16, to: i16, kind: Kind) -> Field {
    Field {
        name,
        from,
        to,
        nullable: false,
        kind,
    }
}

const fn nullable(name: &'static str, from: i16, to: i16, kind: Kind) -> Field {
    Field {
        name,
        from,
        to,
        nullable: true,
        kind,
    }
}
