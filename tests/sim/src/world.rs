//! A whole cluster with its clients, and what happens to it: one run is a pure function of its seed and of the faults left out.

use crate::broker::{Broker, Death};
use crate::client::admin;
use crate::client::consumer::Consumer;
use crate::client::message::{Party, ProducerTimer};
use crate::client::producer::Producer;
use crate::controller::Controller;
use crate::coverage::Coverage;
use crate::cx::Cx;
use crate::event::{BrokerTimer, ControllerTimer, Event, Host};
use crate::faults::{self, Fault, Planned};
use crate::late;
use crate::network::call::{Reply, Sender};
use crate::network::stream::{self, End};
use crate::network::{Network, Place};
use crate::oracle::{Contract, Oracle, agreement};
use crate::random::Random;
use crate::say;
use crate::scheduler::Scheduler;
use crate::settings::{Settings, Swarm};
use crate::time::{MILLI, Micros, SECOND};
use crate::trace::Trace;
use milena_types::{AckDurability, Acks, BrokerId, PartitionIndex, TopicPartition};

/// Between two looks at all replicas.
const CHECK: Micros = 400 * MILLI;

/// A run.
#[derive(Debug)]
pub struct World {
    /// Time, chance, network, judges.
    pub cx: Cx,
    /// The controllers.
    pub controller: Controller,
    /// The brokers.
    pub brokers: Vec<Broker>,
    /// The producers.
    pub producers: Vec<Producer>,
    /// The consumers.
    pub consumers: Vec<Consumer>,
    /// The plan of what goes wrong.
    pub faults: Vec<Planned>,
    next_check: Micros,
}

impl World {
    /// The world of a seed. `kept`: the numbers of the faults that happen; `None`: all.
    #[must_use]
    pub fn new(seed: u64, swarm: Swarm, kept: Option<&[usize]>, verbose: bool) -> Self {
        let mut random = Random::new(seed);
        let usual = Settings::draw(&mut random);
        let (settings, faults) = match swarm {
            Swarm::Usual => {
                let faults = faults::plan(&usual, &mut random);
                (usual, faults)
            }
            Swarm::Late => {
                let settings = usual.late(&mut random);
                let faults = late::plan(&settings, &mut random);
                (settings, faults)
            }
        };
        let contract = Contract::new(settings.durability, settings.min_isr);
        let mut cx = Cx {
            now: SECOND,
            scheduler: Scheduler::default(),
            random,
            network: Network::default(),
            oracle: Oracle::new(contract),
            coverage: Coverage::default(),
            settings,
            trace: Trace::new(verbose),
            healed: false,
        };
        let settings = cx.settings.clone();
        say!(cx, "{settings:?}");
        let controller = Controller::new(&mut cx);
        let brokers: Vec<Broker> = (0..cx.settings.brokers)
            .map(|id| Broker::new(&mut cx, BrokerId(id), controller.defaults.clone()))
            .collect();
        for broker in &brokers {
            let starting = cx.random.between(0, 200) * MILLI;
            cx.after(starting, Event::Boot(broker.id));
        }
        cx.after(SECOND, Event::Admin);
        for (number, planned) in faults.iter().enumerate() {
            if kept.is_none_or(|kept| kept.contains(&number)) {
                cx.scheduler.at(planned.at, Event::Fault(number));
            }
        }
        let mut world = Self {
            cx,
            controller,
            brokers,
            producers: Vec::new(),
            consumers: Vec::new(),
            faults,
            next_check: 0,
        };
        world.make_clients();
        world
    }

    fn make_clients(&mut self) {
        let settings = &self.cx.settings;
        let topic = admin::topic();
        let names: Vec<TopicPartition> = (0..settings.partitions)
            .map(|index| TopicPartition {
                topic: topic.clone(),
                partition: PartitionIndex(index),
            })
            .collect();
        let (all, leader) = settings.producers;
        for number in 0..all + leader {
            let acks = if number < all { Acks::All } else { Acks::Leader };
            self.producers.push(Producer::new(number, acks, &names));
            for (after, timer) in [(1_500, ProducerTimer::Write), (1_600, ProducerTimer::Retry)] {
                self.cx.after(after * MILLI, Event::Producer(number, timer));
            }
        }
        for number in 0..2 {
            self.consumers.push(Consumer::new(number, &names));
            self.cx.after(2 * SECOND, Event::Consumer(number));
        }
    }

    /// Lets everything happen that happens until `end`. False: something must not have.
    pub fn run_until(&mut self, end: Micros) -> bool {
        while self.cx.oracle.violation.is_none() {
            let Some((at, event)) = self.cx.scheduler.pop(end) else {
                self.cx.now = self.cx.now.max(end);
                return true;
            };
            self.cx.now = at;
            self.cx.trace.note(&[at]);
            if let Some(broker) = self.step(event) {
                self.settle(broker);
            }
            if !self.cx.oracle.stirred.is_empty() {
                agreement::check_stirred(&mut self.cx, &self.controller.image, &self.brokers);
            }
            if at >= self.next_check {
                self.next_check = at + CHECK;
                self.check();
            }
        }
        false
    }

    /// Looks at everything that can be looked at.
    pub fn check(&mut self) {
        agreement::check(&mut self.cx, &self.controller.image, &self.brokers);
        self.note_recovered();
    }

    /// A broker that lost something counts again once it is in sync everywhere, under a registration made since.
    fn note_recovered(&mut self) {
        let image = &self.controller.image;
        for broker in self.cx.oracle.contract.lossy() {
            let Some(process) = self
                .brokers
                .iter()
                .find_map(|b| b.process.as_ref().filter(|_| b.id == broker))
            else {
                continue;
            };
            let knows_itself = process.cache().broker(broker) == image.broker(broker);
            let in_sync = image
                .partitions()
                .all(|(_, _, state)| !state.replicas.contains(&broker) || state.isr.contains(&broker));
            if in_sync && knows_itself && image.is_active(broker) && process.is_settled() {
                self.cx.oracle.contract.recovered(broker);
            }
        }
    }

    fn settle(&mut self, id: BrokerId) {
        let Some(broker) = self.brokers.iter_mut().find(|broker| broker.id == id) else {
            return;
        };
        let ran = broker.process.is_some();
        broker.settle(&mut self.cx);
        if ran && broker.process.is_none() {
            self.start_again(id, None);
        }
    }

    /// A process that has ended starts again after `away`, or as long as such things take.
    fn start_again(&mut self, id: BrokerId, away: Option<Micros>) {
        let away = away.unwrap_or_else(|| self.cx.random.between(20, 3_000) * MILLI);
        let away = if self.cx.healed { 50 * MILLI } else { away };
        self.cx.after(away, Event::Boot(id));
    }

    fn broker(&mut self, id: BrokerId) -> Option<&mut Broker> {
        self.brokers.iter_mut().find(|broker| broker.id == id)
    }

    /// One event; gives the broker that it touched.
    fn step(&mut self, event: Event) -> Option<BrokerId> {
        if let Some(broker) = self.whom(&event)
            && self.cx.network.paused.contains(&broker)
        {
            self.broker(broker)?.hold(event);
            return None;
        }
        match event {
            Event::Broker(host, timer) => return self.at(host, |b, cx| b.on_timer(cx, host, timer)),
            Event::News(host, version) => {
                let committed = &self.controller.committed;
                let broker = self.brokers.iter_mut().find(|b| b.id == host.broker)?;
                let process = broker.process.as_mut().filter(|process| process.host == host)?;
                process.on_news(&mut self.cx, committed, version);
                return Some(host.broker);
            }
            Event::Message(number, end, message) => {
                let host = self.stream_host(number, end)?;
                return self.at(host, |b, cx| b.on_message(cx, number, host, end, *message));
            }
            Event::Broken(number, end) => {
                let host = self.stream_host(number, end)?;
                if self
                    .broker(host.broker)?
                    .process
                    .as_ref()
                    .is_none_or(|p| p.host != host)
                {
                    stream::close(&mut self.cx, number, end);
                }
                return self.at(host, |b, cx| b.on_broken(cx, number, host, end));
            }
            Event::KeepAlive(number, end, _) => {
                let host = self.stream_host(number, end)?;
                if self.is_silent(number) {
                    return self.at(host, |b, cx| b.on_broken(cx, number, host, end));
                }
            }
            Event::ToLeader(host, request) => {
                let broker = self.brokers.iter_mut().find(|b| b.id == host.broker)?;
                let process = broker.process.as_mut().filter(|process| process.host == host)?;
                process.on_client(&mut self.cx, request);
                return Some(host.broker);
            }
            Event::Reply(Sender::Broker(host), call, reply) => {
                return self.at(host, |b, cx| b.on_reply(cx, host, call, *reply));
            }
            other => return self.step_elsewhere(other),
        }
        None
    }

    /// Events of the controllers, of clients, and faults.
    fn step_elsewhere(&mut self, event: Event) -> Option<BrokerId> {
        match event {
            Event::Request(request) => self.controller.on_request(&mut self.cx, *request),
            Event::Subscribe(host) => {
                let here = Place::Broker(host.broker);
                let comes_through = self.cx.network.is_open(here, Place::Controller);
                self.subscribe(host, comes_through);
            }
            Event::Controller(timer) => {
                let is_gone = match timer {
                    ControllerTimer::Probe(host) => self.is_gone(host),
                    _ => false,
                };
                self.controller.on_timer(&mut self.cx, timer, is_gone);
            }
            Event::Boot(id) => {
                let broker = self.brokers.iter_mut().find(|broker| broker.id == id)?;
                broker.boot(&mut self.cx);
                let host = broker.host();
                self.cx.oracle.set_listening(id, Some(host));
                return Some(id);
            }
            Event::Answer(answer) => match answer.to {
                Party::Producer(at) => {
                    if let Some(producer) = self.producers.get_mut(at) {
                        producer.on_answer(&mut self.cx, &answer);
                    }
                }
                Party::Admin => {}
                Party::Consumer(at) => {
                    if let Some(consumer) = self.consumers.get_mut(at) {
                        consumer.on_answer(&mut self.cx, &answer);
                    }
                }
            },
            Event::Producer(at, timer) => {
                if let Some(producer) = self.producers.get_mut(at) {
                    producer.on_timer(&mut self.cx, &self.brokers, timer);
                }
            }
            Event::Consumer(at) => {
                if let Some(consumer) = self.consumers.get_mut(at) {
                    consumer.poll(&mut self.cx, &self.brokers);
                }
            }
            Event::Admin => admin::act(&mut self.cx, &self.controller.image, &self.brokers),
            Event::Reply(Sender::Admin, _, reply) => {
                if let Reply::Admin(reply) = *reply {
                    admin::on_reply(&mut self.cx.coverage, &reply);
                }
            }
            Event::Fault(number) => return self.begin(number),
            Event::FaultEnds(number) => self.end(number),
            _ => {}
        }
        None
    }

    fn subscribe(&mut self, host: Host, comes_through: bool) {
        if comes_through {
            self.controller.on_subscribe(&mut self.cx, host);
        }
    }

    fn at(&mut self, host: Host, act: impl FnOnce(&mut Broker, &mut Cx)) -> Option<BrokerId> {
        let broker = self.brokers.iter_mut().find(|broker| broker.id == host.broker)?;
        act(broker, &mut self.cx);
        Some(host.broker)
    }

    /// Whose process an event needs, that may stand still.
    fn whom(&self, event: &Event) -> Option<BrokerId> {
        match event {
            Event::Broker(_, BrokerTimer::Die) => None,
            Event::Broker(host, _) | Event::News(host, _) | Event::ToLeader(host, _) => Some(host.broker),
            Event::Reply(Sender::Broker(host), _, _) => Some(host.broker),
            Event::Message(number, end, _)
            | Event::Broken(number, end)
            | Event::KeepAlive(number, end, _) => self.stream_host(*number, *end).map(|host| host.broker),
            _ => None,
        }
    }

    fn stream_host(&self, number: u64, end: End) -> Option<Host> {
        let streams = &self.cx.network.streams;
        let stream = streams.get(&number)?;
        stream::takes(&self.cx.network, number, end).then(|| stream.host(end))
    }

    /// One end hears nothing of the other: a link is cut, or a process stands still.
    fn is_silent(&self, number: u64) -> bool {
        let network = &self.cx.network;
        network.streams.get(&number).is_some_and(|stream| {
            let (one, other) = (stream.follower.broker, stream.leader.broker);
            let stands = |broker| network.paused.contains(&broker);
            !network.is_sound(one, other) || stands(one) || stands(other)
        })
    }

    fn is_gone(&self, host: Host) -> bool {
        let broker = self.brokers.iter().find(|broker| broker.id == host.broker);
        broker.is_some_and(|broker| broker.process.is_none())
    }

    fn begin(&mut self, number: usize) -> Option<BrokerId> {
        if self.cx.healed {
            return None;
        }
        let fault = self.faults.get(number)?.fault;
        say!(self.cx, "fault {number}: {fault:?}");
        match fault {
            Fault::Kill(id, away) => self.kill(id, Death::Killed, away),
            Fault::LosePower(id, away) if self.may_lose_power(id) => {
                self.kill(id, Death::PowerLost, away);
            }
            Fault::LosePower(id, away) => self.kill(id, Death::Killed, away),
            Fault::LosePowerEverywhere(away) => self.lose_power_everywhere(away),
            Fault::ExchangeDisk(id, away) => self.exchange(id, away),
            Fault::KillAmidWrite(id, _, budget) => {
                let broker = self.broker(id)?;
                let host = broker.process.as_ref()?.host;
                broker.disk.fs().die_after(budget);
                self.cx.timer(host, SECOND, BrokerTimer::Die);
                return Some(id);
            }
            Fault::Pause(id, lasts) => self.pause(number, id, lasts),
            Fault::Cut {
                from,
                to,
                both,
                lasts,
            } => self.cut(number, from, to, both, lasts),
            Fault::Stop(id, _) => {
                let broker = self.brokers.iter_mut().find(|broker| broker.id == id)?;
                broker.process.as_mut()?.want_stop(&mut self.cx, 5 * SECOND);
                return Some(id);
            }
            Fault::FailController => self.fail_controller(),
            Fault::Hold(what, lasts) => self.cx.network.hold(what, self.cx.now + lasts),
        }
        None
    }

    /// The active controller is gone, at once or amid a commit, or cut off together with a broker.
    fn fail_controller(&mut self) {
        match self.cx.random.below(6) {
            0 | 1 => self.controller.fail(&mut self.cx),
            2 => {
                let brokers = u64::from(self.cx.settings.brokers.unsigned_abs());
                let beside = i32::try_from(self.cx.random.below(brokers)).unwrap_or(0);
                self.controller.depose(&mut self.cx, BrokerId(beside));
            }
            _ => self.controller.doom(),
        }
    }

    fn kill(&mut self, id: BrokerId, death: Death, away: Micros) {
        let Some(broker) = self.brokers.iter_mut().find(|broker| broker.id == id) else {
            return;
        };
        if broker.process.is_none() {
            return;
        }
        match death {
            Death::PowerLost => self.cx.coverage.power_lost += 1,
            Death::Killed | Death::Stopped => self.cx.coverage.killed += 1,
        }
        broker.die(&mut self.cx, death);
        self.cx.network.pause(id, false);
        self.start_again(id, Some(away));
    }

    fn may_lose_power(&self, id: BrokerId) -> bool {
        let contract = &self.cx.oracle.contract;
        let keeps_it = contract.durability() == AckDurability::Flushed;
        contract.may_lose_power(id) && (keeps_it || self.others_hold_everything(id))
    }

    /// Somebody else has everything of each of its partitions. A topic may have been made while too few brokers were there for
    /// anything to be acknowledged.
    fn others_hold_everything(&self, id: BrokerId) -> bool {
        let lossy = self.cx.oracle.contract.lossy();
        let mut led = self
            .controller
            .image
            .partitions()
            .filter(|(_, _, state)| state.replicas.contains(&id));
        led.all(|(_, _, state)| {
            let mut holders = state.isr.iter().chain(&state.elr);
            holders.any(|holder| *holder != id && !lossy.contains(holder))
        })
    }

    fn lose_power_everywhere(&mut self, away: Micros) {
        let all: Vec<BrokerId> = self.brokers.iter().map(|broker| broker.id).collect();
        if all.iter().any(|id| !self.cx.oracle.contract.may_lose_power(*id))
            || self.cx.oracle.contract.durability() == AckDurability::Replicated
        {
            return;
        }
        self.cx.coverage.power_lost_everywhere += 1;
        for id in all {
            let away = away + self.cx.random.between(0, 800) * MILLI;
            self.kill(id, Death::PowerLost, away);
        }
    }

    fn exchange(&mut self, id: BrokerId, away: Micros) {
        if !self.cx.oracle.contract.may_lose_disk(id) || !self.others_hold_everything(id) {
            return;
        }
        let Some(broker) = self.brokers.iter_mut().find(|broker| broker.id == id) else {
            return;
        };
        let ran = broker.process.is_some();
        broker.die(&mut self.cx, Death::Killed);
        broker.disk.exchange(&mut self.cx.random);
        self.cx.coverage.disk_exchanged += 1;
        self.cx.oracle.contract.lost(id);
        self.cx.network.pause(id, false);
        if ran {
            self.start_again(id, Some(away));
        }
    }

    fn pause(&mut self, number: usize, id: BrokerId, lasts: Micros) {
        if self.cx.network.paused.contains(&id) || self.broker(id).is_none_or(|b| b.process.is_none()) {
            return;
        }
        self.cx.coverage.paused += 1;
        self.cx.coverage.paused_beyond_session += u64::from(lasts > self.cx.settings.session);
        self.cx.network.pause(id, true);
        stream::watch(&mut self.cx, 0, |s| {
            s.follower.broker == id || s.leader.broker == id
        });
        self.cx.after(lasts, Event::FaultEnds(number));
    }

    fn cut(&mut self, number: usize, from: Place, to: Place, both: bool, lasts: Micros) {
        let coverage = &mut self.cx.coverage;
        coverage.cut_both_ways += u64::from(both);
        coverage.cut_one_way += u64::from(!both);
        coverage.cut_from_controller += u64::from(from == Place::Controller || to == Place::Controller);
        let disturbance = self.cx.network.cut(from, to);
        if both {
            self.cx.network.cut(to, from);
        }
        let touched = |place, host: Host| place == Place::Broker(host.broker);
        stream::watch(&mut self.cx, disturbance, |s| {
            (touched(from, s.follower) && touched(to, s.leader))
                || (touched(to, s.follower) && touched(from, s.leader))
        });
        self.cx.after(lasts, Event::FaultEnds(number));
    }

    fn end(&mut self, number: usize) {
        match self.faults.get(number).map(|planned| planned.fault) {
            Some(Fault::Pause(id, _)) => self.resume(id),
            Some(Fault::Cut { from, to, .. }) => {
                self.cx.network.mend(from, to);
                self.cx.network.mend(to, from);
                stream::resume(&mut self.cx);
            }
            _ => {}
        }
    }

    fn resume(&mut self, id: BrokerId) {
        self.cx.network.pause(id, false);
        let Some(broker) = self.broker(id) else { return };
        for event in broker.release() {
            self.cx.after(0, event);
        }
    }

    /// Nothing goes wrong any more, and what has is mended.
    pub fn heal(&mut self) {
        say!(self.cx, "everything is mended");
        self.cx.healed = true;
        self.cx.settings.heal();
        self.cx.network.release();
        self.controller.undeceive(&mut self.cx);
        for number in 0..self.faults.len() {
            self.end(number);
        }
        for id in self.brokers.iter().map(|broker| broker.id).collect::<Vec<_>>() {
            self.resume(id);
            self.cx.after(100 * MILLI, Event::Boot(id));
        }
    }
}
