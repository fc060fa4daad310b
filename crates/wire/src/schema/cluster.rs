//! The cluster, its configurations, producers.

use super::Kind::{Fixed, Fixeds, Structs, Text, Texts};
use super::{MAX, Schema, field, nullable};
use kafka_protocol::messages;

pub(crate) static API_VERSIONS: Schema = Schema::request(
    3,
    &[
        field("client_software_name", 3, MAX, Text),
        field("client_software_version", 3, MAX, Text),
    ],
);

pub(crate) static DESCRIBE_CLUSTER: Schema = Schema::request(
    0,
    &[
        field("include_cluster_authorized_operations", 0, MAX, Fixed(1)),
        field("endpoint_type", 1, MAX, Fixed(1)),
        field("include_fenced_brokers", 2, MAX, Fixed(1)),
    ],
);

pub(crate) static DESCRIBE_QUORUM: Schema =
    Schema::request(0, &[field("topics", 0, MAX, Structs(&DESCRIBE_QUORUM_TOPIC))]);

static DESCRIBE_QUORUM_TOPIC: Schema = Schema::new(
    0,
    size_of::<messages::describe_quorum_request::TopicData>(),
    &[
        field("topic_name", 0, MAX, Text),
        field("partitions", 0, MAX, Structs(&DESCRIBE_QUORUM_PARTITION)),
    ],
);

static DESCRIBE_QUORUM_PARTITION: Schema = Schema::new(
    0,
    size_of::<messages::describe_quorum_request::PartitionData>(),
    &[field("partition_index", 0, MAX, Fixed(4))],
);

pub(crate) static DESCRIBE_CONFIGS: Schema = Schema::request(
    4,
    &[
        field("resources", 1, MAX, Structs(&DESCRIBE_CONFIGS_RESOURCE)),
        field("include_synonyms", 1, MAX, Fixed(1)),
        field("include_documentation", 3, MAX, Fixed(1)),
    ],
);

static DESCRIBE_CONFIGS_RESOURCE: Schema = Schema::new(
    4,
    size_of::<messages::describe_configs_request::DescribeConfigsResource>(),
    &[
        field("resource_type", 1, MAX, Fixed(1)),
        field("resource_name", 1, MAX, Text),
        nullable("configuration_keys", 1, MAX, Texts),
    ],
);

pub(crate) static ALTER_CONFIGS: Schema = Schema::request(
    2,
    &[
        field("resources", 0, MAX, Structs(&ALTER_CONFIGS_RESOURCE)),
        field("validate_only", 0, MAX, Fixed(1)),
    ],
);

static ALTER_CONFIGS_RESOURCE: Schema = Schema::new(
    2,
    size_of::<messages::alter_configs_request::AlterConfigsResource>(),
    &[
        field("resource_type", 0, MAX, Fixed(1)),
        field("resource_name", 0, MAX, Text),
        field("configs", 0, MAX, Structs(&ALTERABLE_CONFIG)),
    ],
);

static ALTERABLE_CONFIG: Schema = Schema::new(
    2,
    size_of::<messages::alter_configs_request::AlterableConfig>(),
    &[field("name", 0, MAX, Text), nullable("value", 0, MAX, Text)],
);

pub(crate) static INCREMENTAL_ALTER_CONFIGS: Schema = Schema::request(
    1,
    &[
        field("resources", 0, MAX, Structs(&INCREMENTAL_ALTER_CONFIGS_RESOURCE)),
        field("validate_only", 0, MAX, Fixed(1)),
    ],
);

static INCREMENTAL_ALTER_CONFIGS_RESOURCE: Schema = Schema::new(
    1,
    size_of::<messages::incremental_alter_configs_request::AlterConfigsResource>(),
    &[
        field("resource_type", 0, MAX, Fixed(1)),
        field("resource_name", 0, MAX, Text),
        field("configs", 0, MAX, Structs(&INCREMENTAL_ALTERABLE_CONFIG)),
    ],
);

static INCREMENTAL_ALTERABLE_CONFIG: Schema = Schema::new(
    1,
    size_of::<messages::incremental_alter_configs_request::AlterableConfig>(),
    &[
        field("name", 0, MAX, Text),
        field("config_operation", 0, MAX, Fixed(1)),
        nullable("value", 0, MAX, Text),
    ],
);

pub(crate) static UNREGISTER_BROKER: Schema = Schema::request(0, &[field("broker_id", 0, MAX, Fixed(4))]);

pub(crate) static ALTER_REPLICA_LOG_DIRS: Schema =
    Schema::request(2, &[field("dirs", 1, MAX, Structs(&ALTER_REPLICA_LOG_DIR))]);

static ALTER_REPLICA_LOG_DIR: Schema = Schema::new(
    2,
    size_of::<messages::alter_replica_log_dirs_request::AlterReplicaLogDir>(),
    &[
        field("path", 1, MAX, Text),
        field("topics", 1, MAX, Structs(&ALTER_REPLICA_LOG_DIR_TOPIC)),
    ],
);

static ALTER_REPLICA_LOG_DIR_TOPIC: Schema = Schema::new(
    2,
    size_of::<messages::alter_replica_log_dirs_request::AlterReplicaLogDirTopic>(),
    &[
        field("name", 1, MAX, Text),
        field("partitions", 1, MAX, Fixeds(4)),
    ],
);

pub(crate) static DESCRIBE_LOG_DIRS: Schema = Schema::request(
    2,
    &[nullable("topics", 1, MAX, Structs(&DESCRIBABLE_LOG_DIR_TOPIC))],
);

static DESCRIBABLE_LOG_DIR_TOPIC: Schema = Schema::new(
    2,
    size_of::<messages::describe_log_dirs_request::DescribableLogDirTopic>(),
    &[
        field("topic", 1, MAX, Text),
        field("partitions", 1, MAX, Fixeds(4)),
    ],
);

pub(crate) static INIT_PRODUCER_ID: Schema = Schema::request(
    2,
    &[
        nullable("transactional_id", 0, MAX, Text),
        field("transaction_timeout_ms", 0, MAX, Fixed(4)),
        field("producer_id", 3, MAX, Fixed(8)),
        field("producer_epoch", 3, MAX, Fixed(2)),
    ],
);

pub(crate) static LIST_CONFIG_RESOURCES: Schema =
    Schema::request(0, &[field("resource_types", 1, MAX, Fixeds(1))]);
