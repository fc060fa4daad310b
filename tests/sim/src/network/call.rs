//! Requests to the controller: unary calls that may be lost, doubled and late, as may their answers.

use super::{Held, Network, Place};
use crate::cx::Cx;
use crate::event::{Event, Host};
use crate::settings::Class;
use crate::time::Micros;
use milena_metadata::request::{
    AdminReply, AdminRequest, AlterPartition, AlterPartitionResult, Heartbeat, HeartbeatReply,
    RegisterBroker, RegisterBrokerReply, ReplicaStates,
};

/// How long a call takes inside of a process.
const BESIDE: Micros = 50;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A broker's process.
    Broker(Host),
    /// The administrator, by some broker.
    Admin,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Body {
    /// A registration.
    Register(RegisterBroker),
    /// A heartbeat.
    Heartbeat(Heartbeat),
    /// Another ISR.
    Alter(AlterPartition),
    /// How replicas are.
    Report(ReplicaStates),
    /// Administration.
    Admin(AdminRequest),
}

impl Body {
    fn class(&self) -> Class {
        match self {
            Body::Register(_) | Body::Heartbeat(_) => Class::Life,
            Body::Alter(_) | Body::Report(_) => Class::Alter,
            Body::Admin(_) => Class::Client,
        }
    }
}

/// A request on its way.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks.
    pub from: Sender,
    /// Which call of theirs.
    pub call: u64,
    /// What.
    pub body: Body,
}

/// An answer.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Nobody is the active controller.
    Refused,
    /// To a registration.
    Register(RegisterBrokerReply),
    /// To a heartbeat.
    Heartbeat(HeartbeatReply),
    /// To AlterPartition.
    Alter(Vec<AlterPartitionResult>),
    /// To a report.
    Report(Vec<AlterPartitionResult>),
    /// To administration.
    Admin(AdminReply),
}

fn place(sender: Sender) -> Option<Place> {
    match sender {
        Sender::Broker(host) => Some(Place::Broker(host.broker)),
        Sender::Admin => None,
    }
}

/// True when the controller that it asks is in its own process.
#[must_use]
pub fn is_beside(network: &Network, sender: Sender) -> bool {
    matches!(sender, Sender::Broker(host) if network.beside == Some(host.broker))
}

/// Sends a request on its way.
pub fn send(cx: &mut Cx, request: Request) {
    if is_beside(&cx.network, request.from) {
        cx.after(BESIDE, Event::Request(Box::new(request)));
        return;
    }
    let open = place(request.from).is_none_or(|from| cx.network.is_open(from, Place::Controller));
    if !open || (!cx.healed && cx.random.chance(cx.settings.lost)) {
        cx.coverage.request_lost += 1;
        return;
    }
    let class = request.body.class();
    let held = match (class, request.from) {
        (Class::Alter, Sender::Broker(host)) => cx.network.arrives(Held::Alter(host.broker), cx.now),
        _ => cx.now,
    };
    if !cx.healed && cx.random.chance(cx.settings.doubled) {
        cx.coverage.request_doubled += 1;
        // A twin that was stuck somewhere comes much later.
        let late = cx.settings.latency(class, &mut cx.random) * cx.random.between(1, 400);
        cx.scheduler
            .at(held + late, Event::Request(Box::new(request.clone())));
    }
    let at = held + cx.settings.latency(class, &mut cx.random);
    cx.scheduler.at(at, Event::Request(Box::new(request)));
}

/// Sends an answer on its way.
pub fn answer(cx: &mut Cx, to: Sender, call: u64, class: Class, reply: Reply) {
    if is_beside(&cx.network, to) {
        cx.after(BESIDE, Event::Reply(to, call, Box::new(reply)));
        return;
    }
    let open = place(to).is_none_or(|to| cx.network.is_open(Place::Controller, to));
    if !open || (!cx.healed && cx.random.chance(cx.settings.lost)) {
        cx.coverage.reply_lost += 1;
        return;
    }
    let latency = cx.settings.latency(class, &mut cx.random);
    cx.after(latency, Event::Reply(to, call, Box::new(reply)));
}

/// The class of traffic that a request is.
#[must_use]
pub fn class_of(body: &Body) -> Class {
    body.class()
}
