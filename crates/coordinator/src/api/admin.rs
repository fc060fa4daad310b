//! ListGroups (16), DescribeGroups (15) and DeleteGroups (42).

use bytes::Bytes;
use milena_types::ErrorCode;

/// A ListGroups request. Source: `ListGroupsRequest.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// State names, compared without case; empty for all.
    pub states: Vec<String>,
    /// Group types, compared without case; empty for all.
    pub types: Vec<String>,
}

/// One group of a [`ListResponse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group.
    pub group_id: String,
    /// Empty for a group that only stores offsets.
    pub protocol_type: String,
    /// For example `Stable`.
    pub state: &'static str,
    /// `classic`.
    pub group_type: &'static str,
}

/// The answer to [`ListRequest`]: the groups that this broker coordinates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListResponse {
    /// COORDINATOR_LOAD_IN_PROGRESS while any of this broker's partitions is loading.
    pub error: ErrorCode,
    /// Empty on error.
    pub groups: Vec<ListedGroup>,
}

/// A DescribeGroups request. Source: `DescribeGroupsRequest.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribeRequest {
    /// From version 6 an absent group is GROUP_ID_NOT_FOUND, before it is a dead group without error.
    pub api_version: i16,
    /// The groups.
    pub group_ids: Vec<String>,
}

/// One member of a [`DescribedGroup`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    /// Its id.
    pub member_id: String,
    /// Its instance id, when static.
    pub group_instance_id: Option<String>,
    /// The client id it joined with.
    pub client_id: String,
    /// The address it joined from.
    pub client_host: String,
    /// Its metadata for the selected protocol, in the Stable state only.
    pub metadata: Bytes,
    /// Its assignment.
    pub assignment: Bytes,
}

/// The answer for one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    /// What became of it.
    pub error: ErrorCode,
    /// For people (version 6 and above).
    pub message: Option<String>,
    /// The group.
    pub group_id: String,
    /// For example `Stable`; empty on error other than GROUP_ID_NOT_FOUND.
    pub state: &'static str,
    /// The protocol type; empty when there is none.
    pub protocol_type: String,
    /// The selected protocol, in the Stable state only.
    pub protocol_name: String,
    /// The members.
    pub members: Vec<DescribedMember>,
}

impl DescribedGroup {
    /// A refusal.
    #[must_use]
    pub fn failed(group_id: &str, error: ErrorCode) -> Self {
        Self {
            error,
            message: None,
            group_id: group_id.to_owned(),
            state: "",
            protocol_type: String::new(),
            protocol_name: String::new(),
            members: Vec::new(),
        }
    }
}

/// The answer for one group of a DeleteGroups request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedGroup {
    /// As asked.
    pub group_id: String,
    /// None, NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND, …
    pub error: ErrorCode,
}
