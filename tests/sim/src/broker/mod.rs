//! A broker: a disk that stays, and one process after the other.
//!
//! The process is the shell of the real one above the same decisions: the replication's `Leader` and follower rules, the real
//! `PartitionLog`, the real metadata. What is written anew here is transport: streams, the queue of flushes, opening logs.

mod attaching;
mod attachments;
mod calls;
mod checkpoints;
mod feeding;
mod flush;
mod following;
mod health;
mod isr;
mod life;
mod metadata;
mod partition;
mod process;
mod produce;
pub(crate) mod roles;
mod storage;

pub use partition::{Partition, Role};
pub use process::Process;

use crate::cx::Cx;
use crate::disk::Disk;
use crate::event::{BrokerTimer, Event, Host};
use crate::network::call::Reply;
use crate::network::stream::{self, End, Message};
use crate::say;
use crate::time::MILLI;
use milena_metadata::config::BrokerDefaults;
use milena_types::{BrokerId, TopicIdPartition};

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Killed; the machine goes on.
    Killed,
    /// The machine lost its power.
    PowerLost,
    /// It has stopped by itself, in order.
    Stopped,
}

/// A broker.
#[derive(Debug)]
pub struct Broker {
    /// `node.id`.
    pub id: BrokerId,
    /// Its disk.
    pub disk: Disk,
    /// The process that runs, if one does.
    pub process: Option<Process>,
    /// What happens to it while it stands still.
    held: Vec<Event>,
    run: u32,
    defaults: BrokerDefaults,
}

impl Broker {
    /// A broker that has never run.
    #[must_use]
    pub fn new(cx: &mut Cx, id: BrokerId, defaults: BrokerDefaults) -> Self {
        Self {
            id,
            disk: Disk::new(id, &mut cx.random),
            process: None,
            held: Vec::new(),
            run: 0,
            defaults,
        }
    }

    /// The process that runs, if it is that one.
    fn at(&mut self, host: Host) -> Option<&mut Process> {
        self.process.as_mut().filter(|process| process.host == host)
    }

    /// The run that goes on, or the last one.
    #[must_use]
    pub fn host(&self) -> Host {
        Host {
            broker: self.id,
            run: self.run,
        }
    }

    /// Starts a process.
    pub fn boot(&mut self, cx: &mut Cx) {
        if self.process.is_some() {
            return;
        }
        self.run += 1;
        let host = self.host();
        match Process::start(cx, host, &self.disk, self.defaults.clone()) {
            Ok(process) => {
                say!(cx, "{}: run {} starts", self.id, self.run);
                self.process = Some(process);
            }
            Err(error) => cx.oracle.fail("BOOT", format!("{host:?}: {error}")),
        }
    }

    /// Ends the process.
    pub fn die(&mut self, cx: &mut Cx, death: Death) {
        let Some(process) = self.process.take() else {
            return;
        };
        say!(cx, "{}: run {} ends: {death:?}", self.id, self.run);
        let host = process.host;
        drop(process);
        self.held.clear();
        let power = death == Death::PowerLost;
        self.disk.crash(power, &mut cx.random);
        stream::drop_host(cx, host, power);
        if !power {
            // The controller's connection is reset, and it looks.
            let soon = cx.random.between(5, 60) * MILLI;
            cx.after(
                soon,
                Event::Controller(crate::event::ControllerTimer::Probe(host)),
            );
        }
        crate::oracle::durability::on_death(cx, host, death);
    }

    /// While it stands still, everything waits.
    pub fn hold(&mut self, event: Event) {
        self.held.push(event);
    }

    /// It goes on: what has waited, in its order.
    pub fn release(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.held)
    }

    /// Something of a process is due.
    pub fn on_timer(&mut self, cx: &mut Cx, host: Host, timer: BrokerTimer) {
        if timer == BrokerTimer::Die {
            if self.at(host).is_some() {
                self.die(cx, Death::Killed);
            }
            return;
        }
        if let Some(process) = self.at(host) {
            process.on_timer(cx, timer);
        }
    }

    /// The controller's answer.
    pub fn on_reply(&mut self, cx: &mut Cx, host: Host, call: u64, reply: Reply) {
        if let Some(process) = self.at(host) {
            process.on_reply(cx, call, reply);
        }
    }

    /// A message by a stream.
    pub fn on_message(&mut self, cx: &mut Cx, number: u64, host: Host, end: End, message: Message) {
        if let Some(process) = self.at(host) {
            process.on_message(cx, number, end, message);
        }
    }

    /// A stream is broken.
    pub fn on_broken(&mut self, cx: &mut Cx, number: u64, host: Host, end: End) {
        if let Some(process) = self.at(host) {
            process.on_broken(cx, number, end);
        }
    }

    /// The replica that it has open.
    #[must_use]
    pub fn replica(&self, id: TopicIdPartition) -> Option<&Partition> {
        self.process.as_ref()?.partitions.get(&id)
    }

    /// After each step: a process that met the end of its disk is dead, one that has stopped is gone, others go on with
    /// what the step has left to do.
    pub fn settle(&mut self, cx: &mut Cx) {
        if self.disk.fs().is_dead() && self.process.is_some() {
            cx.coverage.killed_amid_write += 1;
            let death = match cx.random.one_in(3) && cx.oracle.contract.may_lose_power(self.id) {
                true => Death::PowerLost,
                false => Death::Killed,
            };
            self.die(cx, death);
            return;
        }
        let Some(process) = &mut self.process else { return };
        process.work(cx);
        if process.has_failed() && !self.disk.fs().is_dead() {
            let why = process.failure().unwrap_or_default();
            cx.oracle.fail("LOG", format!("{}: {why}", self.id));
        }
        if process.has_stopped() {
            cx.coverage.stopped_cleanly += 1;
            self.die(cx, Death::Stopped);
        }
    }
}
