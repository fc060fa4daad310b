//! The administrator: creates the first topic; more to come.

use crate::cx::Cx;
use crate::network::call::{self, Body, Request, Sender};
use crate::settings::Settings;
use milena_metadata::request::{AdminRequest, CreateTopic, CreateTopics};

/// The topic that a run begins with.
pub const TOPIC: &str = "t";

/// Asks the controller for something.
pub fn ask(cx: &mut Cx, request: AdminRequest) {
    let number = cx.network.name_call();
    let request = Request {
        from: Sender::Admin,
        call: number,
        body: Body::Admin(request),
    };
    call::send(cx, request);
}

/// The creation of the topic.
#[must_use]
pub fn creation(settings: &Settings) -> AdminRequest {
    let configs = [
        ("ack.durability", settings.durability.as_str().to_owned()),
        ("min.insync.replicas", settings.min_isr.to_string()),
    ];
    let topic = CreateTopic {
        name: TOPIC.to_owned(),
        partitions: Some(settings.partitions),
        replication_factor: Some(settings.factor),
        assignments: Vec::new(),
        configs: configs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), Some(value)))
            .collect(),
    };
    AdminRequest::CreateTopics(CreateTopics {
        topics: vec![topic],
        validate_only: false,
        default_partitions: 1,
        default_replication_factor: 1,
    })
}
