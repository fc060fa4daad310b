//! Decoding of requests: the guard first, then the message library.

use crate::error::DecodeError;
use crate::frame::{LENGTH_BYTES, ResponseFrame};
use crate::header::put_response_header;
#[cfg(test)]
use crate::offset_fetch::OffsetFetchRequest;
use crate::schema;
use crate::versions::ApiKey;
use crate::{EncodeError, messages, quirk, split};
use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable};

/// A request that is served by way of the message library, with its response.
///
/// The table below is the whole list. Produce and Fetch have codecs of their own, OffsetFetch a decoder.
pub trait Request: Sized {
    /// Which API this is.
    const API: ApiKey;
    /// What answers it.
    type Response: Encodable;

    /// The highest version that the library knows; later ones that differ in meaning only are mapped to it.
    const LIBRARY_VERSION_MAX: i16 = i16::MAX;

    /// Decodes a body (the frame after its header). What the result holds are slices of it.
    ///
    /// # Errors
    /// [`DecodeError`]; at most four times the body plus 64 KiB is allocated, whatever it says.
    fn decode_body(version: i16, body: Bytes) -> Result<Self, DecodeError>;

    /// Writes the whole response frame.
    ///
    /// # Errors
    /// [`EncodeError`] when a field is set that this version does not have.
    fn encode_response(
        version: i16,
        correlation_id: i32,
        response: &Self::Response,
    ) -> Result<ResponseFrame, EncodeError> {
        let library_version = version.min(Self::LIBRARY_VERSION_MAX);
        encode(Self::API, version, library_version, correlation_id, response)
    }
}

pub(crate) fn check_version(api: ApiKey, version: i16) -> Result<(), DecodeError> {
    match api.serves(version) {
        true => Ok(()),
        false => Err(DecodeError::Version {
            api: api.name(),
            version,
        }),
    }
}

/// Decodes with the library what the guard has let through.
fn decode_all<T: Decodable>(version: i16, mut body: Bytes) -> Result<T, DecodeError> {
    let value = T::decode(&mut body, version).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    match body.len() {
        0 => Ok(value),
        left => Err(DecodeError::Trailing(left)),
    }
}

pub(crate) fn encode<R: Encodable>(
    api: ApiKey,
    version: i16,
    library_version: i16,
    correlation_id: i32,
    response: &R,
) -> Result<ResponseFrame, EncodeError> {
    let failed = |reason: String| EncodeError {
        api: api.name(),
        version,
        reason,
    };
    let size = response
        .compute_size(library_version)
        .map_err(|error| failed(error.to_string()))?;
    let mut out = BytesMut::with_capacity(LENGTH_BYTES + 5 + size);
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    put_response_header(&mut out, api, version, correlation_id);
    response
        .encode(&mut out, library_version)
        .map_err(|error| failed(error.to_string()))?;
    Ok(ResponseFrame::from_buffer(out))
}

macro_rules! requests {
    (
        whole { $($request:ident => $response:ident, $api:ident, $schema:ident;)* }
        split { $($split:ident . $field:ident => $split_response:ident, $split_api:ident, $split_schema:ident, library $max:expr $(, encode $encode:path)?;)* }
    ) => {
        $(
            impl Request for messages::$request {
                const API: ApiKey = ApiKey::$api;
                type Response = messages::$response;

                fn decode_body(version: i16, body: Bytes) -> Result<Self, DecodeError> {
                    check_version(Self::API, version)?;
                    schema::$schema.check(version, &body)?;
                    decode_all(version, body)
                }
            }
        )*
        $(
            impl Request for split::$split {
                const API: ApiKey = ApiKey::$split_api;
                type Response = messages::$split_response;
                const LIBRARY_VERSION_MAX: i16 = $max;

                fn decode_body(version: i16, body: Bytes) -> Result<Self, DecodeError> {
                    check_version(Self::API, version)?;
                    let library_version = version.min(Self::LIBRARY_VERSION_MAX);
                    let body = quirk::repaired(Self::API, version, body);
                    Self::decode(&schema::$split_schema, stringify!($field), version, library_version, &body)
                }

                $(fn encode_response(
                    version: i16,
                    correlation_id: i32,
                    response: &Self::Response,
                ) -> Result<ResponseFrame, EncodeError> {
                    $encode(version, correlation_id, response)
                })?
            }
        )*

        /// Decodes a body and encodes it again, to compare; by API. Not Produce and Fetch.
        #[cfg(test)]
        pub(crate) fn recode(api: ApiKey, version: i16, body: Bytes) -> Result<Bytes, DecodeError> {
            let mut out = BytesMut::new();
            match api {
                $(ApiKey::$api => {
                    let request = messages::$request::decode_body(version, body)?;
                    request.encode(&mut out, version).expect("what was decoded can be encoded");
                })*
                $(ApiKey::$split_api => {
                    let request = split::$split::decode_body(version, body)?;
                    let version = version.min(split::$split::LIBRARY_VERSION_MAX);
                    let elements = request.elements.as_ref().map(|elements| elements.iter().collect());
                    let mut head = request.head;
                    head.$field = crate::tests::sample::Array::of(elements);
                    head.encode(&mut out, version).expect("what was decoded can be encoded");
                })*
                ApiKey::OffsetFetch => {
                    let request = OffsetFetchRequest::decode_body(version, body)?;
                    request.to_library().encode(&mut out, version).expect("what was decoded can be encoded");
                }
                ApiKey::Produce | ApiKey::Fetch => unreachable!("have codecs of their own"),
            }
            Ok(out.freeze())
        }

        /// Decodes a body, reads every element, and drops it; true when it was accepted.
        #[cfg(test)]
        pub(crate) fn decode_only(api: ApiKey, version: i16, body: Bytes) -> bool {
            match api {
                $(ApiKey::$api => messages::$request::decode_body(version, body).is_ok(),)*
                $(ApiKey::$split_api => {
                    let request = split::$split::decode_body(version, body);
                    request.is_ok_and(|request| request.iter().count() == request.len())
                })*
                ApiKey::OffsetFetch => {
                    let request = OffsetFetchRequest::decode_body(version, body);
                    request.is_ok_and(|request| {
                        request.groups().all(|group| group.topics.is_none_or(|t| t.iter().count() == t.len()))
                    })
                }
                ApiKey::Produce | ApiKey::Fetch => unreachable!("have codecs of their own"),
            }
        }

        /// The schema by API.
        #[cfg(test)]
        pub(crate) fn schema_of(api: ApiKey) -> Option<&'static schema::Schema> {
            match api {
                $(ApiKey::$api => Some(&schema::$schema),)*
                $(ApiKey::$split_api => Some(&schema::$split_schema),)*
                ApiKey::OffsetFetch => Some(&schema::OFFSET_FETCH),
                ApiKey::Produce | ApiKey::Fetch => None,
            }
        }
    };
}

requests! {
    whole {
    FindCoordinatorRequest => FindCoordinatorResponse, FindCoordinator, FIND_COORDINATOR;
    JoinGroupRequest => JoinGroupResponse, JoinGroup, JOIN_GROUP;
    HeartbeatRequest => HeartbeatResponse, Heartbeat, HEARTBEAT;
    LeaveGroupRequest => LeaveGroupResponse, LeaveGroup, LEAVE_GROUP;
    SyncGroupRequest => SyncGroupResponse, SyncGroup, SYNC_GROUP;
    DescribeGroupsRequest => DescribeGroupsResponse, DescribeGroups, DESCRIBE_GROUPS;
    ListGroupsRequest => ListGroupsResponse, ListGroups, LIST_GROUPS;
    ApiVersionsRequest => ApiVersionsResponse, ApiVersions, API_VERSIONS;
    DeleteTopicsRequest => DeleteTopicsResponse, DeleteTopics, DELETE_TOPICS;
    DeleteRecordsRequest => DeleteRecordsResponse, DeleteRecords, DELETE_RECORDS;
    InitProducerIdRequest => InitProducerIdResponse, InitProducerId, INIT_PRODUCER_ID;
    OffsetForLeaderEpochRequest => OffsetForLeaderEpochResponse, OffsetForLeaderEpoch, OFFSET_FOR_LEADER_EPOCH;
    AlterConfigsRequest => AlterConfigsResponse, AlterConfigs, ALTER_CONFIGS;
    AlterReplicaLogDirsRequest => AlterReplicaLogDirsResponse, AlterReplicaLogDirs, ALTER_REPLICA_LOG_DIRS;
    CreatePartitionsRequest => CreatePartitionsResponse, CreatePartitions, CREATE_PARTITIONS;
    DeleteGroupsRequest => DeleteGroupsResponse, DeleteGroups, DELETE_GROUPS;
    ElectLeadersRequest => ElectLeadersResponse, ElectLeaders, ELECT_LEADERS;
    IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse, IncrementalAlterConfigs, INCREMENTAL_ALTER_CONFIGS;
    AlterPartitionReassignmentsRequest => AlterPartitionReassignmentsResponse, AlterPartitionReassignments, ALTER_PARTITION_REASSIGNMENTS;
    ListPartitionReassignmentsRequest => ListPartitionReassignmentsResponse, ListPartitionReassignments, LIST_PARTITION_REASSIGNMENTS;
    OffsetDeleteRequest => OffsetDeleteResponse, OffsetDelete, OFFSET_DELETE;
    DescribeQuorumRequest => DescribeQuorumResponse, DescribeQuorum, DESCRIBE_QUORUM;
    DescribeClusterRequest => DescribeClusterResponse, DescribeCluster, DESCRIBE_CLUSTER;
    ListConfigResourcesRequest => ListConfigResourcesResponse, ListConfigResources, LIST_CONFIG_RESOURCES;
    UnregisterBrokerRequest => UnregisterBrokerResponse, UnregisterBroker, UNREGISTER_BROKER;
    DescribeTopicPartitionsRequest => DescribeTopicPartitionsResponse, DescribeTopicPartitions, DESCRIBE_TOPIC_PARTITIONS;
    }
    split {
    // Version 5 changes only the response, which has an encoder of its own.
    DescribeLogDirsRequest.topics => DescribeLogDirsResponse, DescribeLogDirs, DESCRIBE_LOG_DIRS, library 4, encode crate::log_dirs::encode;
    // Version 11 gives the timestamp -6 a meaning and changes no byte (KIP-1023).
    ListOffsetsRequest.topics => ListOffsetsResponse, ListOffsets, LIST_OFFSETS, library 10;
    MetadataRequest.topics => MetadataResponse, Metadata, METADATA, library i16::MAX;
    OffsetCommitRequest.topics => OffsetCommitResponse, OffsetCommit, OFFSET_COMMIT, library i16::MAX;
    CreateTopicsRequest.topics => CreateTopicsResponse, CreateTopics, CREATE_TOPICS, library i16::MAX;
    DescribeConfigsRequest.resources => DescribeConfigsResponse, DescribeConfigs, DESCRIBE_CONFIGS, library i16::MAX;
    }
}

/// The answer to ApiVersions in a version that is not served: version 0, UNSUPPORTED_VERSION, and every API that is,
/// so that the client can ask again. Source: `ApiVersionsRequest.getErrorResponse`, KIP-511.
///
/// # Errors
/// None that can occur; the type is the encoder's.
pub fn encode_unsupported_api_versions(
    correlation_id: i32,
    response: &messages::ApiVersionsResponse,
) -> Result<ResponseFrame, EncodeError> {
    encode(ApiKey::ApiVersions, 0, 0, correlation_id, response)
}
