//! The APIs that this build serves and in which versions: the only source of what ApiVersions advertises.
//!
//! Never `kafka_protocol::messages::ApiKey::valid_versions`: it names versions that the library cannot decode.

/// One row a served API: its key, its name in Kafka, the versions served, the first flexible version (KIP-482).
macro_rules! apis {
    ($($name:ident = $key:literal, $min:literal..=$max:literal, flexible $flexible:expr;)*) => {
        /// An API that is served. Source: `org.apache.kafka.common.protocol.ApiKeys`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)]
        #[repr(i16)]
        pub enum ApiKey {
            $($name = $key,)*
        }

        impl ApiKey {
            /// Every served API, by ascending key.
            pub const ALL: &[ApiKey] = &[$(ApiKey::$name,)*];

            /// The API of a wire value; `None` when it is not served.
            #[must_use]
            pub fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($key => Some(ApiKey::$name),)*
                    _ => None,
                }
            }

            /// Kafka's name of it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(ApiKey::$name => stringify!($name),)*
                }
            }

            fn row(self) -> (i16, i16, i16) {
                match self {
                    $(ApiKey::$name => ($min, $max, $flexible),)*
                }
            }
        }
    };
}

/// For APIs that never became flexible.
const NEVER: i16 = i16::MAX;

apis! {
    Produce = 0, 3..=13, flexible 9;
    Fetch = 1, 4..=18, flexible 12;
    ListOffsets = 2, 1..=11, flexible 6;
    Metadata = 3, 0..=13, flexible 9;
    OffsetCommit = 8, 2..=9, flexible 8;
    OffsetFetch = 9, 1..=9, flexible 6;
    FindCoordinator = 10, 0..=6, flexible 3;
    JoinGroup = 11, 0..=9, flexible 6;
    Heartbeat = 12, 0..=4, flexible 4;
    LeaveGroup = 13, 0..=5, flexible 4;
    SyncGroup = 14, 0..=5, flexible 4;
    DescribeGroups = 15, 0..=6, flexible 5;
    ListGroups = 16, 0..=5, flexible 3;
    ApiVersions = 18, 0..=4, flexible 3;
    CreateTopics = 19, 2..=7, flexible 5;
    DeleteTopics = 20, 1..=6, flexible 4;
    DeleteRecords = 21, 0..=2, flexible 2;
    InitProducerId = 22, 0..=5, flexible 2;
    OffsetForLeaderEpoch = 23, 2..=4, flexible 4;
    DescribeConfigs = 32, 1..=4, flexible 4;
    AlterConfigs = 33, 0..=2, flexible 2;
    AlterReplicaLogDirs = 34, 1..=2, flexible 2;
    DescribeLogDirs = 35, 1..=5, flexible 2;
    CreatePartitions = 37, 0..=3, flexible 2;
    DeleteGroups = 42, 0..=2, flexible 2;
    ElectLeaders = 43, 0..=2, flexible 2;
    IncrementalAlterConfigs = 44, 0..=1, flexible 1;
    AlterPartitionReassignments = 45, 0..=1, flexible 0;
    ListPartitionReassignments = 46, 0..=0, flexible 0;
    OffsetDelete = 47, 0..=0, flexible NEVER;
    DescribeQuorum = 55, 0..=2, flexible 0;
    DescribeCluster = 60, 0..=2, flexible 0;
    UnregisterBroker = 64, 0..=0, flexible 0;
    ListConfigResources = 74, 0..=1, flexible 0;
    DescribeTopicPartitions = 75, 0..=0, flexible 0;
}

impl ApiKey {
    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> i16 {
        self as i16
    }

    /// The lowest version served.
    #[must_use]
    pub fn version_min(self) -> i16 {
        self.row().0
    }

    /// The highest version served.
    #[must_use]
    pub fn version_max(self) -> i16 {
        self.row().1
    }

    /// The lowest version that ApiVersions names. Produce names 0 although 0 to 2 are refused: older librdkafka
    /// otherwise believes that no codec is supported. Source: KAFKA-18659.
    #[must_use]
    pub fn version_min_advertised(self) -> i16 {
        if self == ApiKey::Produce {
            0
        } else {
            self.version_min()
        }
    }

    /// True when requests of this version are decoded and answered.
    #[must_use]
    pub fn serves(self, version: i16) -> bool {
        (self.version_min()..=self.version_max()).contains(&version)
    }

    /// True when this version has tagged fields and compact lengths (KIP-482).
    #[must_use]
    pub fn is_flexible(self, version: i16) -> bool {
        version >= self.row().2
    }
}

impl std::fmt::Display for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_ascend_and_translate_both_ways() {
        assert!(ApiKey::ALL.is_sorted());
        for api in ApiKey::ALL {
            assert_eq!(ApiKey::from_code(api.code()), Some(*api));
            assert!(api.version_min() <= api.version_max());
        }
        for unknown in [-1, 4, 17, 24, 28, 68, 9999] {
            assert_eq!(ApiKey::from_code(unknown), None);
        }
    }

    #[test]
    fn produce_advertises_zero_and_serves_three() {
        assert_eq!(ApiKey::Produce.version_min_advertised(), 0);
        assert!(!ApiKey::Produce.serves(2));
        assert!(ApiKey::Produce.serves(3) && ApiKey::Produce.serves(13) && !ApiKey::Produce.serves(14));
    }
}
