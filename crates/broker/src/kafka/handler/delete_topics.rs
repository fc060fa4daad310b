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
    let (refs, refused) = asked(&request);
    let answer = if !ctx.config.delete_topic {
        // Clients below version 3 do not know TOPIC_DELETION_DISABLED.
        let code = if call.version < 3 {
            ErrorCode::InvalidRequest
        } else {
            ErrorCode::TopicDeletionDisabled
        };
        Err(Outcome::failed(code, "delete.topic.enable is false"))
    } else if refs.is_empty() {
        Ok(Vec::new())
    } else {
        match ctx.cluster.admin(AdminRequest::DeleteTopics(refs.clone())).await {
            Ok(AdminReply::DeleteTopics(results)) => Ok(results),
            Ok(_) => Err(controller_failed(ErrorCode::None)),
            Err(error) => Err(controller_failed(error)),
        }
    };
    let results = match answer {
        Ok(results) => refused.into_iter().chain(results).collect(),
        Err(outcome) => failed(refused, refs, &outcome),
    };
    DeleteTopicsResponse::default()
        .with_responses(results.into_iter().map(|r| row(r, call.version)).collect())
}

/// What the controller is asked for, and the answers for topics that are named and given an id as well.
fn asked(request: &DeleteTopicsRequest) -> (Vec<TopicRef>, Vec<DeleteTopicResult>) {
    let named = request.topic_names.iter();
    let mut refs: Vec<_> = named.map(|name| TopicRef::Name(owned(&name.0))).collect();
    let mut refused = Vec::new();
    for topic in &request.topics {
        let id = topic_id(topic.topic_id);
        match &topic.name {
            Some(name) if !topic.topic_id.is_nil() => refused.push(DeleteTopicResult {
                name: Some(owned(&name.0)),
                id,
                outcome: Outcome::failed(
                    ErrorCode::InvalidRequest,
                    "You may not specify both topic name and topic id.",
                ),
            }),
            Some(name) => refs.push(TopicRef::Name(owned(&name.0))),
            None => refs.push(TopicRef::Id(id)),
        }
    }
    (refs, refused)
}

/// Nothing is deleted: all have this outcome.
fn failed(
    mut refused: Vec<DeleteTopicResult>,
    refs: Vec<TopicRef>,
    outcome: &Outcome,
) -> Vec<DeleteTopicResult> {
    for result in &mut refused {
        result.outcome = outcome.clone();
    }
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
    refused.into_iter().chain(refs.into_iter().map(failed)).collect()
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
