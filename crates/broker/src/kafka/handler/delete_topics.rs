//! DeleteTopics (20): by name, or by id since version 6. Source: `ControllerApis.deleteTopics`.

use super::text::{owned, text, topic_name};
use crate::kafka::dispatch::Call;
use crate::kafka::error_map::{code_and_message, controller_failed};
use milena_metadata::request::{AdminReply, AdminRequest, DeleteTopicResult, Outcome, TopicRef};
use milena_types::{ErrorCode, TopicId};
use milena_wire::messages::delete_topics_response::DeletableTopicResult;
use milena_wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use milena_wire::{topic_id, uuid};

pub(in crate::kafka) async fn handle(call: &Call, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let ctx = &call.peer.ctx;
    let named = request
        .topic_names
        .iter()
        .map(|name| TopicRef::Name(owned(&name.0)));
    let states = request.topics.iter().map(|topic| match &topic.name {
        Some(name) => TopicRef::Name(owned(&name.0)),
        None => TopicRef::Id(topic_id(topic.topic_id)),
    });
    let refs: Vec<_> = named.chain(states).collect();
    let results = if ctx.config.delete_topic {
        match ctx.cluster.admin(AdminRequest::DeleteTopics(refs.clone())).await {
            Ok(AdminReply::DeleteTopics(results)) => results,
            Ok(_) => failed(refs, &controller_failed(ErrorCode::None)),
            Err(error) => failed(refs, &controller_failed(error)),
        }
    } else {
        // Clients below version 3 do not know TOPIC_DELETION_DISABLED.
        let code = if call.version < 3 {
            ErrorCode::InvalidRequest
        } else {
            ErrorCode::TopicDeletionDisabled
        };
        failed(refs, &Outcome::failed(code, "delete.topic.enable is false"))
    };
    DeleteTopicsResponse::default()
        .with_responses(results.into_iter().map(|r| row(r, call.version)).collect())
}

fn failed(refs: Vec<TopicRef>, outcome: &Outcome) -> Vec<DeleteTopicResult> {
    let failed = |topic| {
        let (name, id) = match topic {
            TopicRef::Name(name) => (Some(name), TopicId::default()),
            TopicRef::Id(id) => (None, id),
        };
        DeleteTopicResult {
            name,
            id,
            outcome: outcome.clone(),
        }
    };
    refs.into_iter().map(failed).collect()
}

fn row(result: DeleteTopicResult, version: i16) -> DeletableTopicResult {
    let (code, message) = code_and_message(result.outcome);
    // Null names exist since version 6.
    let name = result
        .name
        .or_else(|| (version < 6).then(String::new))
        .map(topic_name);
    DeletableTopicResult::default()
        .with_name(name)
        .with_topic_id(uuid(result.id))
        .with_error_code(code)
        .with_error_message(
            message.or_else(|| (code != 0).then(|| text(ErrorCode::from_code(code).to_string()))),
        )
}
