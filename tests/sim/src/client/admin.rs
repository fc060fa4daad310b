//! The administrator: creates the topic of a run, and then moves, deletes, makes again, configures and elects, as far as the run's
//! mix has that.

use super::look_up;
use super::message::{self, Ask, Party, ToLeader};
use crate::broker::Broker;
use crate::coverage::Coverage;
use crate::cx::Cx;
use crate::event::Event;
use crate::network::call::{self, Body, Request, Sender};
use crate::say;
use crate::settings::{Churn, Settings};
use crate::time::SECOND;
use milena_metadata::MetadataImage;
use milena_metadata::record::ConfigResource;
use milena_metadata::request::{
    AdminReply, AdminRequest, AlterConfig, ConfigOp, CreateTopic, CreateTopics, ElectionType, Reassign,
    TopicRef,
};
use milena_types::{BrokerId, PartitionIndex, TopicName, TopicPartition};

/// The topic of a run.
pub const TOPIC: &str = "t";

/// Does the next thing.
pub fn act(cx: &mut Cx, image: &MetadataImage, brokers: &[Broker]) {
    if image.topic_by_name(TOPIC).is_none() {
        let request = creation(&cx.settings);
        ask(cx, request);
        cx.after(SECOND / 2, Event::Admin);
        return;
    }
    let churn = cx.settings.churn;
    let pause = cx.random.between(churn.pause / 4, churn.pause);
    cx.after(pause, Event::Admin);
    if cx.healed {
        return;
    }
    match draw(cx, churn) {
        Some(Act::Ask(request)) => {
            say!(cx, "administrator: {request:?}");
            ask(cx, request);
        }
        Some(Act::DeleteRecords(partition, permille)) => delete_records(cx, brokers, partition, permille),
        None => {}
    }
}

/// What is done next.
enum Act {
    Ask(AdminRequest),
    DeleteRecords(PartitionIndex, i64),
}

fn draw(cx: &mut Cx, churn: Churn) -> Option<Act> {
    let partitions = u64::from(cx.settings.partitions.unsigned_abs());
    let partition = i32::try_from(cx.random.below(partitions)).ok()?;
    Some(match cx.random.below(8) {
        0 | 1 if churn.moves => Act::Ask(reassignment(cx, partition)),
        2 if churn.moves => Act::Ask(AdminRequest::AlterPartitionReassignments {
            partitions: vec![Reassign {
                topic: TOPIC.to_owned(),
                partition,
                replicas: None,
            }],
            allow_replication_factor_change: true,
        }),
        3 if churn.deletes && cx.random.one_in(2) => {
            Act::Ask(AdminRequest::DeleteTopics(vec![TopicRef::Name(TOPIC.to_owned())]))
        }
        4 if churn.configures => Act::Ask(configuration(cx, churn)),
        5 if churn.elects => {
            let election = match churn.unclean {
                true if cx.random.one_in(2) => ElectionType::Unclean,
                _ => ElectionType::Preferred,
            };
            cx.oracle.operator_elects |= election == ElectionType::Unclean;
            Act::Ask(AdminRequest::ElectLeaders {
                election,
                partitions: None,
            })
        }
        6 | 7 if churn.shortens => {
            let permille = [0, 300, 900, 1_000];
            Act::DeleteRecords(PartitionIndex(partition), cx.random.pick(&permille)?)
        }
        _ => return None,
    })
}

/// Other replicas for a partition: never fewer than have to be in sync.
fn reassignment(cx: &mut Cx, partition: i32) -> AdminRequest {
    let mut all: Vec<BrokerId> = (0..cx.settings.brokers).map(BrokerId).collect();
    for at in (1..all.len()).rev() {
        let with = usize::try_from(cx.random.below(at as u64 + 1)).unwrap_or(0);
        all.swap(at, with);
    }
    let least = cx.settings.min_isr.max(2);
    let most = all.len();
    let spread = u64::try_from(most.saturating_sub(least)).unwrap_or(0) + 1;
    let factor = least + usize::try_from(cx.random.below(spread)).unwrap_or(0);
    all.truncate(factor);
    AdminRequest::AlterPartitionReassignments {
        partitions: vec![Reassign {
            topic: TOPIC.to_owned(),
            partition,
            replicas: Some(all),
        }],
        allow_replication_factor_change: true,
    }
}

/// Another value of something that elections and acknowledgements depend on.
fn configuration(cx: &mut Cx, churn: Churn) -> AdminRequest {
    let (key, value) = if churn.unclean && cx.random.one_in(2) {
        ("unclean.leader.election.enable", cx.random.one_in(2).to_string())
    } else {
        // Not below what the run's contract counts on.
        let more = cx.random.below(2);
        let wanted = cx.settings.min_isr + usize::try_from(more).unwrap_or(0);
        let most = usize::try_from(cx.settings.factor).unwrap_or(1);
        ("min.insync.replicas", wanted.min(most).to_string())
    };
    AdminRequest::AlterConfigs {
        resources: vec![AlterConfig {
            resource: ConfigResource::Topic(topic()),
            changes: vec![(key.to_owned(), ConfigOp::Set, Some(value))],
            replace_all: false,
        }],
        validate_only: false,
    }
}

fn delete_records(cx: &mut Cx, brokers: &[Broker], partition: PartitionIndex, permille: i64) {
    let name = TopicPartition {
        topic: topic(),
        partition,
    };
    if let Some((id, Some(leader))) = look_up(cx, brokers, &name) {
        let request = ToLeader {
            from: Party::Admin,
            number: 0,
            id,
            ask: Ask::DeleteRecords(permille),
        };
        message::ask(cx, leader, request);
    }
}

/// The name of the run's topic.
#[must_use]
pub fn topic() -> TopicName {
    TopicName::new(TOPIC).expect("the name is valid")
}

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

/// The controller has answered.
pub fn on_reply(coverage: &mut Coverage, reply: &AdminReply) {
    match reply {
        AdminReply::CreateTopics(topics) => {
            coverage.topic_made += topics
                .iter()
                .filter(|topic| topic.outcome.error.is_none())
                .count() as u64;
        }
        AdminReply::DeleteTopics(topics) => {
            coverage.topic_deleted += topics
                .iter()
                .filter(|topic| topic.outcome.error.is_none())
                .count() as u64;
        }
        AdminReply::AlterConfigs(results) => {
            coverage.config_changed += results.iter().filter(|r| r.outcome.error.is_none()).count() as u64;
        }
        _ => {}
    }
}

/// The creation of the topic.
fn creation(settings: &Settings) -> AdminRequest {
    let unclean = settings.churn.unclean && settings.churn.moves;
    let configs = [
        ("ack.durability", settings.durability.as_str().to_owned()),
        ("min.insync.replicas", settings.min_isr.to_string()),
        ("unclean.leader.election.enable", unclean.to_string()),
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
