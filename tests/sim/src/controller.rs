//! The controllers, seen as one: the product's own `plan` and `apply` behind a log that is linearizable by definition, with
//! fail-overs that lose what waits, and the answers to what was committed.

use crate::cx::Cx;
use crate::deposed::Deposed;
use crate::event::{ControllerTimer, Event, Host};
use crate::network::call::{self, Body, Reply, Request, Sender};
use crate::network::{Held, Place, stream};
use crate::say;
use crate::settings::Class;
use crate::time::MILLI;
use milena_metadata::config::BrokerDefaults;
use milena_metadata::liveness::Liveness;
use milena_metadata::plan::{self, PlanContext, Planned};
use milena_metadata::request::{Heartbeat, HeartbeatReply};
use milena_metadata::{MetadataBatch, MetadataImage};
use milena_types::{BrokerEpoch, BrokerId};
use std::collections::{BTreeMap, VecDeque};

/// Between two looks at the sessions.
const TICK: u64 = 100 * MILLI;
/// Most leaders that one round of periodic elections moves.
const ELECTIONS_MAX: usize = 1_000;

/// One committed batch and what came of it.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The batch.
    pub batch: MetadataBatch,
    /// The image with it.
    pub image: MetadataImage,
}

/// What is to be planned.
#[derive(Debug)]
enum Job {
    Asked(Box<Request>),
    Fence(BrokerId, Option<BrokerEpoch>),
    ElectUnclean,
    ElectPreferred,
}

/// A batch that is being committed, and what is to be done then.
#[derive(Debug)]
struct InFlight {
    batch: MetadataBatch,
    after: After,
}

/// What follows a job.
#[derive(Debug)]
struct After {
    reply: Option<(Sender, u64, Class, Reply)>,
    heartbeat: Option<Heartbeat>,
    registered: Option<(BrokerId, BrokerEpoch)>,
}

/// The controllers.
#[derive(Debug)]
pub struct Controller {
    /// Everything that was committed, by version from 1.
    pub committed: Vec<Committed>,
    /// The newest image.
    pub image: MetadataImage,
    /// The defaults of topics.
    pub defaults: BrokerDefaults,
    liveness: Liveness,
    active: bool,
    term: u64,
    queue: VecDeque<Job>,
    in_flight: Option<InFlight>,
    subscribed: BTreeMap<BrokerId, Host>,
    ticks: u64,
    /// It is to be gone while the next batch is in flight.
    doomed: bool,
    /// One that was active before, in its own eyes still.
    deposed: Option<Deposed>,
}

impl Controller {
    /// A controller of a new cluster, active.
    #[must_use]
    pub fn new(cx: &mut Cx) -> Self {
        let min_isr = cx.settings.min_isr.to_string();
        let properties = [("min.insync.replicas".to_owned(), min_isr)];
        let session_ms = i64::try_from(cx.settings.session / MILLI).unwrap_or(i64::MAX);
        let mut new = Self {
            committed: Vec::new(),
            image: MetadataImage::default(),
            defaults: BrokerDefaults::new(None, properties),
            liveness: Liveness::new(session_ms),
            active: true,
            term: 1,
            queue: VecDeque::new(),
            in_flight: None,
            subscribed: BTreeMap::new(),
            ticks: 0,
            doomed: false,
            deposed: None,
        };
        let genesis = new.plan(cx, |image, ctx| {
            plan::bootstrap(image, &crate::disk::cluster(), ctx)
        });
        let batch = genesis.batch(&new.image);
        new.apply(cx, batch);
        cx.after(TICK, Event::Controller(ControllerTimer::Tick));
        new
    }

    fn plan<R>(
        &self,
        cx: &mut Cx,
        plan: impl FnOnce(&MetadataImage, &PlanContext<'_>) -> Planned<R>,
    ) -> Planned<R> {
        let ctx = PlanContext {
            now: cx.timestamp(),
            seed: cx.random.next_u64(),
            defaults: &self.defaults,
        };
        plan(&self.image, &ctx)
    }

    /// A request arrives.
    pub fn on_request(&mut self, cx: &mut Cx, request: Request) {
        if let Some(deposed) = &mut self.deposed
            && call::is_beside(&cx.network, request.from)
        {
            deposed.on_request(cx, &request, &self.defaults);
            return;
        }
        if !self.active {
            let class = call::class_of(&request.body);
            call::answer(cx, request.from, request.call, class, Reply::Refused);
            return;
        }
        self.push(cx, Job::Asked(Box::new(request)));
    }

    /// A broker wants everything from its version on.
    pub fn on_subscribe(&mut self, cx: &mut Cx, host: Host) {
        self.subscribed.insert(host.broker, host);
        let version = self.image.version.0;
        self.tell(cx, host, version);
    }

    /// Something is due.
    pub fn on_timer(&mut self, cx: &mut Cx, timer: ControllerTimer, is_gone: bool) {
        match timer {
            ControllerTimer::Committed(term) if term == self.term && self.active => {
                if let Some(done) = self.in_flight.take() {
                    self.apply(cx, done.batch);
                    self.finish(cx, done.after);
                }
                self.pump(cx);
            }
            ControllerTimer::Committed(_) => {}
            ControllerTimer::Tick => {
                cx.after(TICK, Event::Controller(ControllerTimer::Tick));
                if self.active {
                    self.tick(cx);
                }
            }
            ControllerTimer::Fail => self.fail(cx),
            ControllerTimer::Elected => self.take_over(cx),
            ControllerTimer::Undeceived => self.undeceive(cx),
            ControllerTimer::Probe(host) => self.probe(cx, host, is_gone),
        }
    }

    fn tick(&mut self, cx: &mut Cx) {
        self.ticks += 1;
        self.liveness.forget_unregistered(&self.image);
        if self.in_flight.is_none()
            && self.queue.is_empty()
            && let Some(broker) = self.liveness.expired(&self.image, cx.timestamp())
        {
            say!(cx, "controller: session of {broker} has ended");
            self.push(cx, Job::Fence(broker, None));
        }
        if self.ticks.is_multiple_of(20) {
            self.push(cx, Job::ElectUnclean);
        }
        if self.ticks.is_multiple_of(50) {
            self.push(cx, Job::ElectPreferred);
        }
    }

    /// The stream of metadata to a process broke: if nobody listens there any more, it is dead.
    fn probe(&mut self, cx: &mut Cx, host: Host, is_gone: bool) {
        let reached = cx.network.is_open(Place::Controller, Place::Broker(host.broker))
            && cx.network.is_open(Place::Broker(host.broker), Place::Controller);
        let Some(registered) = self.image.broker(host.broker) else {
            return;
        };
        if self.active && reached && is_gone {
            let epoch = registered.epoch;
            self.push(cx, Job::Fence(host.broker, Some(epoch)));
        }
    }

    fn push(&mut self, cx: &mut Cx, job: Job) {
        self.queue.push_back(job);
        self.pump(cx);
    }

    fn pump(&mut self, cx: &mut Cx) {
        while self.active && self.in_flight.is_none() {
            let Some(job) = self.queue.pop_front() else {
                return;
            };
            self.begin(cx, &job);
        }
    }

    fn begin(&mut self, cx: &mut Cx, job: &Job) {
        let live = self.liveness.clone();
        let quiet = |planned: Planned<()>| (planned.records, After::nothing());
        let (records, after) = match job {
            Job::Fence(broker, epoch) => quiet(
                self.plan(cx, |image, ctx| plan::fence_broker(image, *broker, *epoch, ctx))
                    .map(drop),
            ),
            Job::ElectUnclean => quiet(
                self.plan(cx, |image, ctx| {
                    plan::elect_unclean_leaders(image, ELECTIONS_MAX, ctx)
                })
                .map(drop),
            ),
            Job::ElectPreferred => quiet(
                self.plan(cx, |image, ctx| {
                    plan::elect_preferred_leaders(image, ELECTIONS_MAX, ctx)
                })
                .map(drop),
            ),
            Job::Asked(request) => {
                // Nobody but the active one has the log.
                let planned = self.plan(cx, |image, ctx| answer(image, &request.body, &live, 0, ctx));
                let after = After::of(request, planned.reply);
                (planned.records, after)
            }
        };
        if records.is_empty() {
            self.finish(cx, after);
            return;
        }
        let expected_version = self.image.version;
        self.in_flight = Some(InFlight {
            batch: MetadataBatch {
                expected_version,
                records,
            },
            after,
        });
        let slow = if cx.random.one_in(50) { 60 } else { 1 };
        let takes = cx.random.between(300, 4_000) * slow;
        if std::mem::take(&mut self.doomed) && !cx.healed {
            let soon = cx.random.below(takes);
            cx.after(soon, Event::Controller(ControllerTimer::Fail));
        }
        cx.after(takes, Event::Controller(ControllerTimer::Committed(self.term)));
    }

    fn apply(&mut self, cx: &mut Cx, batch: MetadataBatch) {
        let before = self.image.clone();
        if let Err(conflict) = self.image.apply(&batch) {
            cx.oracle.fail("I33", format!("{conflict}"));
            return;
        }
        let image = self.image.clone();
        let changed = batch.records.len() as u64;
        cx.trace.note(&[0xc0, image.version.0, changed]);
        self.committed.push(Committed { batch, image });
        crate::oracle::metadata::on_committed(cx, &before, self.committed.last(), &self.defaults);
        let version = self.image.version.0;
        for host in self.subscribed.values().copied().collect::<Vec<_>>() {
            self.tell(cx, host, version);
        }
    }

    fn tell(&self, cx: &mut Cx, host: Host, version: u64) {
        if cx.network.is_open(Place::Controller, Place::Broker(host.broker)) {
            let usual = cx.now + cx.settings.latency(Class::Metadata, &mut cx.random);
            let at = cx.network.arrives(Held::Metadata(host.broker), usual);
            cx.scheduler.at(at, Event::News(host, version));
        }
    }

    fn finish(&mut self, cx: &mut Cx, after: After) {
        let now = cx.timestamp();
        if let Some(heartbeat) = &after.heartbeat {
            self.liveness.on_heartbeat(&self.image, heartbeat, now);
        }
        if let Some((broker, epoch)) = after.registered {
            self.liveness.on_registered(broker, epoch, now);
        }
        if let Some((to, number, class, reply)) = after.reply {
            call::answer(cx, to, number, class, reply);
        }
    }

    /// The active controller will be gone while the next batch is being committed.
    pub fn doom(&mut self) {
        self.doomed = true;
    }

    /// The active controller is gone: what waits is lost; what is in flight is committed, or lost too.
    pub fn fail(&mut self, cx: &mut Cx) {
        if !self.active {
            return;
        }
        self.active = false;
        self.queue.clear();
        if let Some(lost) = self.in_flight.take() {
            if cx.random.one_in(2) {
                cx.coverage.reply_lost_after_commit += 1;
                self.apply(cx, lost.batch);
            } else {
                cx.coverage.commit_lost += 1;
            }
        }
        say!(cx, "controller: gone");
        let takes = cx.random.between(200, 3_000) * MILLI;
        cx.after(takes, Event::Controller(ControllerTimer::Elected));
    }

    /// The active controller, on that broker's machine, is cut off from all others, and leads on in its own eyes.
    pub fn depose(&mut self, cx: &mut Cx, beside: BrokerId) {
        if !self.active || self.deposed.is_some() {
            return;
        }
        cx.coverage.controller_deposed += 1;
        self.deposed = Some(Deposed::new(cx.now, &self.image, &self.liveness));
        cx.network.beside = Some(beside);
        let (here, others) = (Place::Broker(beside), Place::Controller);
        cx.network.cut(here, others);
        cx.network.cut(others, here);
        let lease = cx.random.between(500, 5_000) * MILLI;
        cx.after(lease, Event::Controller(ControllerTimer::Undeceived));
        self.fail(cx);
    }

    /// It gives up: its broker looks for the others, and finds them.
    pub fn undeceive(&mut self, cx: &mut Cx) {
        self.deposed = None;
        let Some(beside) = cx.network.beside.take() else {
            return;
        };
        say!(
            cx,
            "controller: the one beside {beside} knows that it was deposed"
        );
        let (here, others) = (Place::Broker(beside), Place::Controller);
        cx.network.mend(here, others);
        cx.network.mend(others, here);
        stream::resume(cx);
    }

    fn take_over(&mut self, cx: &mut Cx) {
        if self.active {
            return;
        }
        (self.active, self.term) = (true, self.term + 1);
        self.liveness.activate(&self.image, cx.timestamp());
        cx.coverage.controller_failed_over += 1;
        say!(cx, "controller: another one is active, term {}", self.term);
    }

    /// True when it has answered, or will answer, everything.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.active && self.in_flight.is_none() && self.queue.is_empty()
    }
}

/// What a controller answers that a majority followed `quorum_age_ms` ago.
pub(crate) fn answer(
    image: &MetadataImage,
    body: &Body,
    live: &Liveness,
    quorum_age_ms: u64,
    ctx: &PlanContext<'_>,
) -> Planned<Reply> {
    match body {
        Body::Register(request) => plan::register_broker(image, request, live, ctx).map(Reply::Register),
        Body::Heartbeat(request) => plan::heartbeat(image, request, live, ctx).map(|reply| {
            Reply::Heartbeat(HeartbeatReply {
                quorum_age_ms,
                ..reply
            })
        }),
        Body::Alter(request) => plan::alter_partition(image, request, ctx).map(Reply::Alter),
        Body::Report(request) => plan::replica_states(image, request, ctx).map(Reply::Report),
        Body::Admin(request) => plan::admin(image, request, ctx).map(Reply::Admin),
    }
}

impl After {
    fn nothing() -> Self {
        Self {
            reply: None,
            heartbeat: None,
            registered: None,
        }
    }

    fn of(request: &Request, reply: Reply) -> Self {
        let heartbeat = match &request.body {
            Body::Heartbeat(heartbeat) => Some(heartbeat.clone()),
            _ => None,
        };
        let registered = match (&request.body, &reply) {
            (Body::Register(asked), Reply::Register(reply)) if reply.outcome.error.is_none() => {
                Some((asked.broker, reply.epoch))
            }
            _ => None,
        };
        let class = call::class_of(&request.body);
        Self {
            reply: Some((request.from, request.call, class, reply)),
            heartbeat,
            registered,
        }
    }
}
