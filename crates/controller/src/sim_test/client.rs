//! Who uses the cluster: administrators, brokers that register and send heartbeats, and a subscriber. Each asks the same
//! thing again until it is answered, and judges what it is told.

use super::world::World;
use crate::cluster_test::{heartbeat, new_topic, registration};
use crate::running::Front;
use futures::StreamExt;
use milena_metadata::image::MetadataImage;
use milena_metadata::record::ConfigResource;
use milena_metadata::request::{
    AdminReply, AdminRequest, AlterConfig, ConfigOp, GrowTopic, RegisterBroker, RegisterBrokerReply, TopicRef,
};
use milena_rpc::ImageAssembly;
use milena_rpc::proto::controller_server::Controller;
use milena_rpc::proto::{self, subscribe_event::Event};
use milena_types::{BrokerEpoch, BrokerId, ErrorCode, IncarnationId, MetadataVersion, TopicName, Uuid};
use rand::Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tonic::{Request, Response, Status};

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_millis(800);

/// Somebody outside the quorum.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) world: World,
    /// Its name on the network.
    pub(super) name: u64,
}

impl Asker {
    fn target(&self) -> u64 {
        let active = self.world.active();
        let mut inner = self.world.lock();
        let all: Vec<u64> = inner.nodes.keys().copied().collect();
        let any = all[inner.rng.random_range(0..all.len())];
        let guess = inner.rng.random_bool(0.8);
        active.filter(|_| guess).unwrap_or(any)
    }

    /// One attempt: there, the work, and back.
    async fn attempt<T, F>(&self, ask: &impl Fn(Arc<Front>) -> F) -> Option<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let (world, to) = (&self.world, self.target());
        world.pass("ask", self.name, to, &[]).await.ok()?;
        let (front, life) = world.front(to)?;
        let answer = timeout(PATIENCE, ask(front)).await.ok()?.ok()?;
        world.judge();
        if world.life(to) != life {
            return None;
        }
        let unheard = {
            let mut inner = world.lock();
            inner.rng.random_range(0..1_000) < inner.weather.unheard
        };
        if world.pass("told", to, self.name, &[]).await.is_err() || unheard {
            world.count("lost answers to clients");
            return None;
        }
        Some(answer.into_inner())
    }

    /// The same request again and again; with how many attempts it took. `None` when the run is over.
    async fn ask<T, F>(&self, ask: impl Fn(Arc<Front>) -> F) -> Option<(T, u32)>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        for attempt in 1.. {
            if let Some(answer) = self.attempt(&ask).await {
                return Some((answer, attempt));
            }
            if self.world.failed() {
                return None;
            }
            tokio::time::sleep(self.world.millis(5..60)).await;
        }
        None
    }

    async fn admin(&self, request: &AdminRequest) -> Option<(AdminReply, MetadataVersion, u32)> {
        let message = proto::AdminRequest::from(request);
        let ask = |front: Arc<Front>| {
            let message = message.clone();
            async move { front.controller.admin(Request::new(message)).await }
        };
        let (answer, attempts) = self.ask(ask).await?;
        let version = MetadataVersion(answer.version);
        self.world.judge();
        Some((answer.try_into().unwrap(), version, attempts))
    }

    /// What was acknowledged is in the history that all nodes agree on.
    fn check(&self, version: MetadataVersion, what: &str, holds: impl FnOnce(&MetadataImage) -> bool) {
        let image = self.world.lock().oracle.image().clone();
        if image.version < version {
            self.world.fail(format!(
                "{what} was acknowledged in version {version}, the history ends at {}",
                image.version
            ));
        } else if !holds(&image) {
            self.world
                .fail(format!("{what} was acknowledged and is not there"));
        }
    }
}

/// A topic as its administrator knows it.
#[derive(Debug)]
pub(super) struct Mine {
    partitions: usize,
    retention: Option<u64>,
}

/// Makes, grows, configures and deletes topics of its own until the world closes. Returns the
/// topics that must be there.
pub(super) async fn administrator(asker: Asker) -> BTreeMap<String, Mine> {
    let mut topics: BTreeMap<String, Mine> = BTreeMap::new();
    let mut count = 0u64;
    while !asker.world.lock().closing && !asker.world.failed() {
        let chosen = (!topics.is_empty()).then(|| {
            let names: Vec<_> = topics.keys().cloned().collect();
            let at = asker.world.draw(0..names.len() as u64);
            names[usize::try_from(at).unwrap()].clone()
        });
        count += 1;
        let lot = asker.world.draw(0..10);
        let done = match (lot, chosen) {
            (4..=6, Some(name)) => configure(&asker, &name, topics.get_mut(&name).unwrap(), count).await,
            (7, Some(name)) => grow(&asker, &name, topics.get_mut(&name).unwrap()).await,
            (8, Some(name)) => {
                topics.remove(&name);
                delete(&asker, &name).await
            }
            _ => create(&asker, format!("t{}-{count}", asker.name), &mut topics).await,
        };
        if done.is_none() {
            break;
        }
        tokio::time::sleep(asker.world.millis(5..120)).await;
    }
    topics
}

async fn create(asker: &Asker, name: String, topics: &mut BTreeMap<String, Mine>) -> Option<()> {
    let (reply, version, attempts) = asker.admin(&new_topic(&name, 2, 1)).await?;
    let AdminReply::CreateTopics(results) = reply else {
        panic!("{reply:?}")
    };
    match results[0].outcome.error {
        // No broker is registered yet.
        ErrorCode::InvalidReplicationFactor => return Some(()),
        ErrorCode::None => {}
        // An attempt whose answer was lost.
        ErrorCode::TopicAlreadyExists if attempts > 1 => {}
        other => asker.world.fail(format!("topic {name} was refused: {other:?}")),
    }
    asker.check(version, &format!("topic {name}"), |image| {
        image.topic_by_name(&name).is_some()
    });
    let mine = Mine {
        partitions: 2,
        retention: None,
    };
    topics.insert(name, mine);
    Some(())
}

async fn configure(asker: &Asker, name: &str, mine: &mut Mine, value: u64) -> Option<()> {
    let resource = ConfigResource::Topic(TopicName::new(name).unwrap());
    let request = AdminRequest::AlterConfigs {
        resources: vec![AlterConfig {
            resource,
            changes: vec![("retention.ms".to_owned(), ConfigOp::Set, Some(value.to_string()))],
            replace_all: false,
        }],
        validate_only: false,
    };
    let (reply, version, _) = asker.admin(&request).await?;
    let AdminReply::AlterConfigs(results) = reply else {
        panic!("{reply:?}")
    };
    if results[0].outcome.error != ErrorCode::None {
        asker.world.fail(format!(
            "retention.ms={value} of {name} was refused: {:?}",
            results[0]
        ));
    }
    asker.check(version, &format!("retention.ms={value} of {name}"), |image| {
        retention(image, name) == Some(value)
    });
    mine.retention = Some(value);
    Some(())
}

fn retention(image: &MetadataImage, name: &str) -> Option<u64> {
    let resource = ConfigResource::Topic(TopicName::new(name).unwrap());
    image.configs.get(&resource)?.get("retention.ms")?.parse().ok()
}

async fn grow(asker: &Asker, name: &str, mine: &mut Mine) -> Option<()> {
    let count = mine.partitions + 1;
    let topic = GrowTopic {
        name: name.to_owned(),
        count: i32::try_from(count).unwrap(),
        assignments: None,
    };
    let request = AdminRequest::CreatePartitions {
        topics: vec![topic],
        validate_only: false,
    };
    let (reply, version, attempts) = asker.admin(&request).await?;
    let AdminReply::CreatePartitions(results) = reply else {
        panic!("{reply:?}")
    };
    match results[0].1.error {
        ErrorCode::InvalidReplicationFactor => return Some(()),
        ErrorCode::None => {}
        ErrorCode::InvalidPartitions if attempts > 1 => {}
        other => asker.world.fail(format!("{name} could not grow: {other:?}")),
    }
    asker.check(version, &format!("{count} partitions of {name}"), |image| {
        partitions(image, name) == Some(count)
    });
    mine.partitions = count;
    Some(())
}

fn partitions(image: &MetadataImage, name: &str) -> Option<usize> {
    Some(image.topic_by_name(name)?.partitions.len())
}

async fn delete(asker: &Asker, name: &str) -> Option<()> {
    let request = AdminRequest::DeleteTopics(vec![TopicRef::Name(name.to_owned())]);
    let (reply, version, attempts) = asker.admin(&request).await?;
    let AdminReply::DeleteTopics(results) = reply else {
        panic!("{reply:?}")
    };
    match results[0].outcome.error {
        ErrorCode::None => {}
        ErrorCode::UnknownTopicOrPartition if attempts > 1 => {}
        other => asker
            .world
            .fail(format!("{name} could not be deleted: {other:?}")),
    }
    asker.check(version, &format!("the end of {name}"), |image| {
        image.topic_by_name(name).is_none()
    });
    Some(())
}

/// Everything that was acknowledged is there.
pub(super) fn check_topics(world: &World, who: &str, image: &MetadataImage, all: &BTreeMap<String, Mine>) {
    for (name, mine) in all {
        let found = partitions(image, name);
        if found != Some(mine.partitions) {
            world.fail(format!(
                "{who} has {found:?} partitions of {name}, acknowledged were {}",
                mine.partitions
            ));
        }
        if mine.retention.is_some() && retention(image, name) != mine.retention {
            world.fail(format!("{who} has another configuration of {name}"));
        }
    }
}

/// What brokers were told, over all of them.
#[derive(Debug, Default)]
pub(super) struct Told {
    epochs: BTreeMap<i64, i32>,
    blocks: BTreeMap<i64, i32>,
}

/// Registers, sends heartbeats, takes producer ids, and restarts now and then.
pub(super) async fn broker(asker: Asker, id: i32, told: Arc<std::sync::Mutex<Told>>) {
    let mut life = 0u8;
    let mut epoch: Option<BrokerEpoch> = None;
    while !asker.world.lock().closing && !asker.world.failed() {
        let Some(current) = epoch else {
            life = life.wrapping_add(1);
            epoch = register(&asker, id, life, &told).await;
            continue;
        };
        if asker.world.draw(0..40) == 0 {
            epoch = None;
            continue;
        }
        if asker.world.draw(0..10) == 0 && take_ids(&asker, id, current, &told).await.is_none() {
            return;
        }
        let heartbeat = heartbeat(id, current);
        let ask =
            |front: Arc<Front>| async move { front.controller.heartbeat(Request::new(heartbeat)).await };
        let Some((answer, _)) = asker.ask(ask).await else {
            return;
        };
        if answer.outcome.is_some_and(|outcome| outcome.error != 0) {
            asker
                .world
                .fail(format!("broker {id} is not known under {current}"));
        }
        tokio::time::sleep(asker.world.millis(200..600)).await;
    }
}

async fn register(asker: &Asker, id: i32, life: u8, told: &std::sync::Mutex<Told>) -> Option<BrokerEpoch> {
    let mark = u8::try_from(id).unwrap();
    let request = proto::RegisterBrokerRequest::from(&RegisterBroker {
        incarnation: IncarnationId(Uuid([mark, life, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])),
        // Nobody dials it.
        endpoints: vec![],
        ..registration(id, 0)
    });
    let ask = |front: Arc<Front>| {
        let request = request.clone();
        async move { front.controller.register(Request::new(request)).await }
    };
    let (answer, _) = asker.ask(ask).await?;
    let reply: RegisterBrokerReply = answer.try_into().unwrap();
    if reply.outcome.error == ErrorCode::DuplicateBrokerRegistration {
        // The one before has not been fenced yet.
        tokio::time::sleep(Duration::from_millis(300)).await;
        return None;
    }
    if reply.outcome.error != ErrorCode::None {
        asker
            .world
            .fail(format!("broker {id} was refused: {:?}", reply.outcome));
        return None;
    }
    asker.world.judge();
    let epoch = reply.epoch;
    if let Some(other) = told
        .lock()
        .unwrap()
        .epochs
        .insert(epoch.0, id)
        .filter(|other| *other != id)
    {
        asker
            .world
            .fail(format!("brokers {id} and {other} both have {epoch}"));
    }
    asker.check(MetadataVersion(0), &format!("{epoch} of broker {id}"), |image| {
        image
            .broker(BrokerId(id))
            .is_some_and(|found| found.epoch == epoch)
    });
    Some(epoch)
}

async fn take_ids(asker: &Asker, id: i32, epoch: BrokerEpoch, told: &std::sync::Mutex<Told>) -> Option<()> {
    let request = AdminRequest::AllocateProducerIds {
        broker: BrokerId(id),
        epoch,
    };
    let (reply, _, _) = asker.admin(&request).await?;
    let AdminReply::AllocateProducerIds { outcome, first, .. } = reply else {
        panic!("{reply:?}")
    };
    if outcome.error != ErrorCode::None {
        asker
            .world
            .fail(format!("broker {id} got no producer ids: {outcome:?}"));
    } else if let Some(other) = told.lock().unwrap().blocks.insert(first, id) {
        asker.world.fail(format!(
            "brokers {id} and {other} both have the producer ids from {first}"
        ));
    }
    Some(())
}

/// Follows the metadata as a broker does: it never goes back, and never sees another history.
pub(super) async fn subscriber(asker: Asker) {
    let mut image = MetadataImage::default();
    while !asker.world.lock().closing && !asker.world.failed() {
        let request = proto::SubscribeRequest {
            subscriber: -1,
            from_version: image.version.0,
            cluster: image.cluster.clone().map(|id| id.0),
        };
        let to = asker.target();
        let life = asker.world.life(to);
        let stream = match asker.world.front(to) {
            Some((front, _)) => front.controller.subscribe(Request::new(request)).await,
            None => Err(Status::unavailable("nobody listens")),
        };
        let Ok(stream) = stream else {
            tokio::time::sleep(asker.world.millis(10..60)).await;
            continue;
        };
        let (mut events, mut assembly) = (stream.into_inner(), ImageAssembly::default());
        while let Ok(Some(Ok(event))) = timeout(Duration::from_secs(3), events.next()).await {
            let arrived = asker.world.pass("event", to, asker.name, &[]).await.is_ok();
            if !arrived
                || asker.world.lock().closing
                || asker.world.life(to) != life
                || asker.world.draw(0..60) == 0
            {
                break;
            }
            take(&asker.world, &mut assembly, &mut image, event.event);
        }
    }
}

fn take(world: &World, assembly: &mut ImageAssembly, image: &mut MetadataImage, event: Option<Event>) {
    let before = image.version;
    if assembly.is_begun() && !matches!(event, Some(Event::Snapshot(_))) {
        return world.fail(format!("an image to the subscriber at {before} was broken off"));
    }
    match event {
        Some(Event::Batch(batch)) => {
            let batch = milena_rpc::decode_batch(&batch).unwrap();
            if let Err(error) = image.apply(&batch) {
                return world.fail(format!(
                    "the subscriber at {before} got a batch that does not apply: {error:?}"
                ));
            }
        }
        Some(Event::Snapshot(piece)) => match assembly.take(&piece).unwrap() {
            Some(whole) => {
                world.count("images to subscribers");
                *image = whole;
            }
            None => return,
        },
        Some(Event::Keepalive(_)) | None => return,
    }
    if image.version < before {
        world.fail(format!(
            "the subscriber went from {before} back to {}",
            image.version
        ));
    }
    world.judge();
    world.lock().oracle.compare("the subscriber", image);
}
