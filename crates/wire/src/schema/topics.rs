//! Topics and partitions: their creation, growth, removal, elections and description.

use super::Kind::{Fixed, Fixeds, Optional, Structs, Text, Texts};
use super::{MAX, Schema, field, nullable};
use kafka_protocol::messages;

pub(crate) static CREATE_TOPICS: Schema = Schema::request(
    5,
    &[
        field("topics", 2, MAX, Structs(&CREATABLE_TOPIC)),
        field("timeout_ms", 2, MAX, Fixed(4)),
        field("validate_only", 2, MAX, Fixed(1)),
    ],
);

static CREATABLE_REPLICA_ASSIGNMENT: Schema = Schema::new(
    5,
    size_of::<messages::create_topics_request::CreatableReplicaAssignment>(),
    &[
        field("partition_index", 2, MAX, Fixed(4)),
        field("broker_ids", 2, MAX, Fixeds(4)),
    ],
);

static CREATABLE_TOPIC: Schema = Schema::new(
    5,
    size_of::<messages::create_topics_request::CreatableTopic>(),
    &[
        field("name", 2, MAX, Text),
        field("num_partitions", 2, MAX, Fixed(4)),
        field("replication_factor", 2, MAX, Fixed(2)),
        field("assignments", 2, MAX, Structs(&CREATABLE_REPLICA_ASSIGNMENT)),
        field("configs", 2, MAX, Structs(&CREATABLE_TOPIC_CONFIG)),
    ],
);

static CREATABLE_TOPIC_CONFIG: Schema = Schema::new(
    5,
    size_of::<messages::create_topics_request::CreatableTopicConfig>(),
    &[field("name", 2, MAX, Text), nullable("value", 2, MAX, Text)],
);

pub(crate) static DELETE_TOPICS: Schema = Schema::request(
    4,
    &[
        field("topics", 6, MAX, Structs(&DELETE_TOPIC_STATE)),
        field("topic_names", 1, 5, Texts),
        field("timeout_ms", 1, MAX, Fixed(4)),
    ],
);

static DELETE_TOPIC_STATE: Schema = Schema::new(
    4,
    size_of::<messages::delete_topics_request::DeleteTopicState>(),
    &[
        nullable("name", 6, MAX, Text),
        field("topic_id", 6, MAX, Fixed(16)),
    ],
);

pub(crate) static CREATE_PARTITIONS: Schema = Schema::request(
    2,
    &[
        field("topics", 0, MAX, Structs(&CREATE_PARTITIONS_TOPIC)),
        field("timeout_ms", 0, MAX, Fixed(4)),
        field("validate_only", 0, MAX, Fixed(1)),
    ],
);

static CREATE_PARTITIONS_ASSIGNMENT: Schema = Schema::new(
    2,
    size_of::<messages::create_partitions_request::CreatePartitionsAssignment>(),
    &[field("broker_ids", 0, MAX, Fixeds(4))],
);

static CREATE_PARTITIONS_TOPIC: Schema = Schema::new(
    2,
    size_of::<messages::create_partitions_request::CreatePartitionsTopic>(),
    &[
        field("name", 0, MAX, Text),
        field("count", 0, MAX, Fixed(4)),
        nullable("assignments", 0, MAX, Structs(&CREATE_PARTITIONS_ASSIGNMENT)),
    ],
);

pub(crate) static ELECT_LEADERS: Schema = Schema::request(
    2,
    &[
        field("election_type", 1, MAX, Fixed(1)),
        nullable("topic_partitions", 0, MAX, Structs(&TOPIC_PARTITIONS)),
        field("timeout_ms", 0, MAX, Fixed(4)),
    ],
);

static TOPIC_PARTITIONS: Schema = Schema::new(
    2,
    size_of::<messages::elect_leaders_request::TopicPartitions>(),
    &[
        field("topic", 0, MAX, Text),
        field("partitions", 0, MAX, Fixeds(4)),
    ],
);

pub(crate) static DESCRIBE_TOPIC_PARTITIONS: Schema = Schema::request(
    0,
    &[
        field("topics", 0, MAX, Structs(&TOPIC_REQUEST)),
        field("response_partition_limit", 0, MAX, Fixed(4)),
        field("cursor", 0, MAX, Optional(&CURSOR)),
    ],
);

static CURSOR: Schema = Schema::new(
    0,
    size_of::<messages::describe_topic_partitions_request::Cursor>(),
    &[
        field("topic_name", 0, MAX, Text),
        field("partition_index", 0, MAX, Fixed(4)),
    ],
);

static TOPIC_REQUEST: Schema = Schema::new(
    0,
    size_of::<messages::describe_topic_partitions_request::TopicRequest>(),
    &[field("name", 0, MAX, Text)],
);

pub(crate) static METADATA: Schema = Schema::request(
    9,
    &[
        nullable("topics", 0, MAX, Structs(&METADATA_REQUEST_TOPIC)),
        field("allow_auto_topic_creation", 4, MAX, Fixed(1)),
        field("include_cluster_authorized_operations", 8, 10, Fixed(1)),
        field("include_topic_authorized_operations", 8, MAX, Fixed(1)),
    ],
);

static METADATA_REQUEST_TOPIC: Schema = Schema::new(
    9,
    size_of::<messages::metadata_request::MetadataRequestTopic>(),
    &[
        field("topic_id", 10, MAX, Fixed(16)),
        nullable("name", 0, MAX, Text),
    ],
);

pub(crate) static DELETE_RECORDS: Schema = Schema::request(
    2,
    &[
        field("topics", 0, MAX, Structs(&DELETE_RECORDS_TOPIC)),
        field("timeout_ms", 0, MAX, Fixed(4)),
    ],
);

static DELETE_RECORDS_PARTITION: Schema = Schema::new(
    2,
    size_of::<messages::delete_records_request::DeleteRecordsPartition>(),
    &[
        field("partition_index", 0, MAX, Fixed(4)),
        field("offset", 0, MAX, Fixed(8)),
    ],
);

static DELETE_RECORDS_TOPIC: Schema = Schema::new(
    2,
    size_of::<messages::delete_records_request::DeleteRecordsTopic>(),
    &[
        field("name", 0, MAX, Text),
        field("partitions", 0, MAX, Structs(&DELETE_RECORDS_PARTITION)),
    ],
);
