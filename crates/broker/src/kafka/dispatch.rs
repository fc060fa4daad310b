//! From a frame to the handler of its API. Only dispatches: each API's rules are in `handler/<api>.rs`.

use super::connection::Peer;
use super::handler;
use super::pending::{Answer, Begun};
use bytes::{Bytes, BytesMut};
use milena_wire::{ApiKey, DecodeError, HeaderStart, Request, RequestHeader};
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A request that closes its connection: nothing was applied.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("malformed request header: {0}")]
    Header(DecodeError),
    #[error("unknown api key {0}")]
    UnknownApi(i16),
    #[error("{api} version {version} is not served (versions {min} to {max} are)")]
    Version {
        api: ApiKey,
        version: i16,
        min: i16,
        max: i16,
    },
    #[error("malformed {api} request, version {version}, client '{client}': {error}")]
    Body {
        api: ApiKey,
        version: i16,
        client: String,
        error: DecodeError,
    },
}

/// One request, as handlers see it.
pub(super) struct Call {
    pub(super) peer: Rc<Peer>,
    pub(super) api: ApiKey,
    pub(super) version: i16,
    pub(super) correlation_id: i32,
    pub(super) client_id: Option<String>,
}

impl Call {
    /// The client id; empty when the client has none.
    pub(super) fn client_id(&self) -> &str {
        self.client_id.as_deref().unwrap_or_default()
    }
}

/// Begins the request in a frame. When this returns, Produce requests have been appended.
pub(super) fn begin(peer: &Rc<Peer>, mut frame: BytesMut) -> Result<Begun, Refusal> {
    let start = HeaderStart::parse(&frame).map_err(Refusal::Header)?;
    let api = ApiKey::from_code(start.api_key).ok_or(Refusal::UnknownApi(start.api_key))?;
    if !api.serves(start.api_version) {
        if api == ApiKey::ApiVersions {
            return Ok(handler::api_versions::unsupported(start.correlation_id));
        }
        let (min, max) = (api.version_min(), api.version_max());
        return Err(Refusal::Version {
            api,
            version: start.api_version,
            min,
            max,
        });
    }
    let header = RequestHeader::parse(api, &frame).map_err(Refusal::Header)?;
    let body = frame.split_off(header.size_bytes);
    let call = Call {
        peer: Rc::clone(peer),
        api,
        version: header.version,
        correlation_id: header.correlation_id,
        client_id: header.client_id,
    };
    let (version, client) = (call.version, call.client_id().escape_debug().take(200).collect());
    route(call, body).map_err(|error| Refusal::Body {
        api,
        version,
        client,
        error,
    })
}

fn route(call: Call, body: BytesMut) -> Result<Begun, DecodeError> {
    match call.api {
        ApiKey::Produce => handler::produce::begin(call, body),
        ApiKey::Fetch => handler::fetch::begin(call, body.freeze()),
        ApiKey::ListOffsets => reply(call, body, handler::list_offsets::handle),
        ApiKey::Metadata => reply(call, body, handler::metadata::handle),
        ApiKey::OffsetCommit => reply(call, body, handler::offset_commit::handle),
        ApiKey::OffsetFetch => reply(call, body, handler::offset_fetch::handle),
        ApiKey::FindCoordinator => reply(call, body, handler::find_coordinator::handle),
        ApiKey::JoinGroup => reply(call, body, handler::join_group::handle),
        ApiKey::Heartbeat => reply(call, body, handler::heartbeat::handle),
        ApiKey::LeaveGroup => reply(call, body, handler::leave_group::handle),
        ApiKey::SyncGroup => reply(call, body, handler::sync_group::handle),
        ApiKey::DescribeGroups => reply(call, body, handler::describe_groups::handle),
        ApiKey::ListGroups => reply(call, body, handler::list_groups::handle),
        ApiKey::ApiVersions => reply(call, body, handler::api_versions::handle),
        ApiKey::CreateTopics => reply(call, body, handler::create_topics::handle),
        ApiKey::DeleteTopics => reply(call, body, handler::delete_topics::handle),
        ApiKey::DeleteRecords => reply(call, body, handler::delete_records::handle),
        ApiKey::InitProducerId => reply(call, body, handler::init_producer_id::handle),
        ApiKey::OffsetForLeaderEpoch => reply(call, body, handler::offset_for_leader_epoch::handle),
        ApiKey::DescribeConfigs => reply(call, body, handler::describe_configs::handle),
        ApiKey::AlterConfigs => reply(call, body, handler::alter_configs::handle),
        ApiKey::AlterReplicaLogDirs => reply(call, body, handler::alter_replica_log_dirs::handle),
        ApiKey::DescribeLogDirs => reply(call, body, handler::describe_log_dirs::handle),
        ApiKey::CreatePartitions => reply(call, body, handler::create_partitions::handle),
        ApiKey::DeleteGroups => reply(call, body, handler::delete_groups::handle),
        ApiKey::ElectLeaders => reply(call, body, handler::elect_leaders::handle),
        ApiKey::IncrementalAlterConfigs => reply(call, body, handler::incremental_alter_configs::handle),
        ApiKey::AlterPartitionReassignments => {
            reply(call, body, handler::alter_partition_reassignments::handle)
        }
        ApiKey::ListPartitionReassignments => {
            reply(call, body, handler::list_partition_reassignments::handle)
        }
        ApiKey::OffsetDelete => reply(call, body, handler::offset_delete::handle),
        ApiKey::DescribeQuorum => reply(call, body, handler::describe_quorum::handle),
        ApiKey::DescribeCluster => reply(call, body, handler::describe_cluster::handle),
        ApiKey::UnregisterBroker => reply(call, body, handler::unregister_broker::handle),
        ApiKey::ListConfigResources => reply(call, body, handler::list_config_resources::handle),
        ApiKey::DescribeTopicPartitions => reply(call, body, handler::describe_topic_partitions::handle),
    }
}

/// Decodes with the message library, runs the handler, encodes its response.
fn reply<R>(
    call: Call,
    body: BytesMut,
    handle: impl AsyncFnOnce(&Call, R) -> R::Response + 'static,
) -> Result<Begun, DecodeError>
where
    R: Request + 'static,
{
    let request = R::decode_body(call.version, Bytes::from(body))?;
    let answer = async move {
        let response = handle(&call, request).await;
        match R::encode_response(call.version, call.correlation_id, &response) {
            Ok(frame) => Answer::Frame(frame),
            Err(error) => {
                tracing::error!(%error, "a response could not be encoded");
                Answer::Close(error.to_string())
            }
        }
    };
    Ok(Begun {
        answer: Box::pin(answer),
        pipelined: false,
    })
}

/// Refusals that each thread logs in a second; the rest is counted.
const REFUSALS_PER_SECOND: u32 = 10;

thread_local! {
    static REFUSALS: Cell<(Option<Instant>, u32)> = const { Cell::new((None, 0)) };
}

/// Logs why a client was turned away; a flood of them becomes a count.
pub(super) fn log_refusal(client: SocketAddr, reason: &dyn std::fmt::Display) {
    let now = Instant::now();
    let (since, count) = REFUSALS.get();
    let fresh = since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1));
    if fresh && count > REFUSALS_PER_SECOND {
        tracing::warn!(
            suppressed = count - REFUSALS_PER_SECOND,
            "connections refused without a line of their own"
        );
    }
    let (since, count) = if fresh {
        (Some(now), 1)
    } else {
        (since, count.saturating_add(1))
    };
    REFUSALS.set((since, count));
    if count <= REFUSALS_PER_SECOND {
        tracing::warn!(%client, reason = %reason, "connection closed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_what_was_sent_and_what_is_served() {
        let cases = [
            (Refusal::UnknownApi(9999), "unknown api key 9999"),
            (
                Refusal::Version {
                    api: ApiKey::Fetch,
                    version: 99,
                    min: 4,
                    max: 18,
                },
                "Fetch version 99 is not served (versions 4 to 18 are)",
            ),
        ];
        for (refusal, text) in cases {
            assert_eq!(refusal.to_string(), text);
        }
    }
}
