//! Calls to the controller: attempts that time out, twins of them that come late, and a deadline.

use super::process::Process;
use crate::cx::Cx;
use crate::event::BrokerTimer;
use crate::network::call::{self, Body, Reply, Request, Sender};
use crate::time::{MILLI, Micros, SECOND};
use milena_metadata::request::{ReplicaState, ReplicaStateItem};
use milena_replication::ProposalId;
use milena_types::{ErrorCode, MetadataVersion, TopicIdPartition};

/// A call without an answer.
#[derive(Debug)]
pub(super) struct Pending {
    body: Body,
    purpose: Purpose,
    sent: Micros,
    deadline: Micros,
    /// When the next attempt is due.
    due: Micros,
}

/// What a call is for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// To be registered.
    Register,
    /// To be known as alive.
    Heartbeat,
    /// Another ISR.
    Isr(TopicIdPartition, ProposalId),
    /// How a replica is, and the metadata that was known.
    Report(ReplicaStateItem, MetadataVersion),
}

impl Purpose {
    /// How long one attempt may take, and the call.
    fn patience(&self) -> (Micros, Micros) {
        match self {
            Purpose::Register | Purpose::Heartbeat => (SECOND, 2 * SECOND),
            Purpose::Isr(..) => (2 * SECOND, 5 * SECOND),
            Purpose::Report(..) => (2 * SECOND, 5 * SECOND),
        }
    }
}

impl Process {
    pub(super) fn call(&mut self, cx: &mut Cx, body: Body, purpose: Purpose) {
        let number = cx.network.name_call();
        let (attempt, whole) = purpose.patience();
        let pending = Pending {
            body: body.clone(),
            purpose,
            sent: cx.now,
            deadline: cx.now + whole,
            due: cx.now + attempt,
        };
        self.calls.insert(number, pending);
        self.send_call(cx, number, body, attempt);
    }

    fn send_call(&self, cx: &mut Cx, number: u64, body: Body, attempt: Micros) {
        let request = Request {
            from: Sender::Broker(self.host),
            call: number,
            body,
        };
        call::send(cx, request);
        cx.timer(self.host, attempt, BrokerTimer::Attempt(number));
    }

    /// True while a call for that is under way.
    pub(super) fn is_calling(&self, wanted: impl Fn(&Purpose) -> bool) -> bool {
        self.calls.values().any(|pending| wanted(&pending.purpose))
    }

    /// An attempt was not answered in time.
    pub(super) fn on_attempt(&mut self, cx: &mut Cx, number: u64) {
        let Some(pending) = self
            .calls
            .get_mut(&number)
            .filter(|pending| pending.due <= cx.now)
        else {
            return;
        };
        if cx.now < pending.deadline {
            let (body, attempt) = (pending.body.clone(), pending.purpose.patience().0);
            pending.due = cx.now + attempt;
            self.send_call(cx, number, body, attempt);
        } else if let Some(pending) = self.calls.remove(&number) {
            self.on_failed(cx, pending.purpose);
        }
    }

    fn on_failed(&mut self, cx: &mut Cx, purpose: Purpose) {
        match purpose {
            Purpose::Register => cx.timer(self.host, 100 * MILLI, BrokerTimer::Register),
            Purpose::Heartbeat => self.beat_again(cx),
            Purpose::Isr(id, proposal) => {
                self.on_isr_answered(cx, id, proposal, ErrorCode::RequestTimedOut);
            }
            Purpose::Report(item, seen) => self.on_reported(cx, item, seen, ErrorCode::RequestTimedOut),
        }
    }

    pub(super) fn on_reply(&mut self, cx: &mut Cx, number: u64, reply: Reply) {
        if matches!(reply, Reply::Refused) {
            // Another controller is looked for soon; the attempt's time goes on.
            if let Some(pending) = self.calls.get_mut(&number) {
                let again = cx.random.between(20, 100) * MILLI;
                pending.due = cx.now + again;
                cx.timer(self.host, again, BrokerTimer::Attempt(number));
            }
            return;
        }
        let Some(pending) = self.calls.remove(&number) else {
            return;
        };
        match (pending.purpose, reply) {
            (Purpose::Register, Reply::Register(reply)) => self.on_registered(cx, &reply),
            (Purpose::Heartbeat, Reply::Heartbeat(reply)) => self.on_beat(cx, &reply, pending.sent),
            (Purpose::Isr(id, proposal), Reply::Alter(results)) => {
                let error = results.first().map_or(ErrorCode::RequestTimedOut, |r| r.error);
                self.on_isr_answered(cx, id, proposal, error);
            }
            (Purpose::Report(item, seen), Reply::Report(results)) => {
                let error = results.first().map_or(ErrorCode::RequestTimedOut, |r| r.error);
                self.on_reported(cx, item, seen, error);
            }
            _ => {}
        }
    }

    fn on_reported(&mut self, cx: &mut Cx, item: ReplicaStateItem, seen: MetadataVersion, error: ErrorCode) {
        let id = item.id;
        if error != ErrorCode::None {
            cx.timer(self.host, 500 * MILLI, BrokerTimer::Settle(id));
            return;
        }
        self.reporting.remove(&id);
        if matches!(item.state, ReplicaState::Refill | ReplicaState::Cut) {
            self.refill(cx, id);
        } else if self.image.version > seen {
            self.settle_replica(cx, id);
        }
    }
}
