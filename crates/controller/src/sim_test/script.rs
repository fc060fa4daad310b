//! One life of a cluster: what befalls it, drawn from the seed; then everything is healed, and it must go on by itself.

use super::client::{Asker, Told, administrator, broker, check_topics, subscriber};
use super::net::{SimConnect, Weather, host};
use super::world::{Alive, Inner, Node, World};
use crate::config::{ControllerConfig, Voter};
use crate::planner::Seeds;
use crate::raft::test_runtime::seed_thread;
use crate::raft::types::Raft;
use crate::running::{Outside, Running};
use crate::service::Quorum;
use crate::store::Store;
use crate::store::memory::{Flaw, MemoryDisk};
use milena_metadata::config::BrokerDefaults;
use milena_metadata::image::MetadataImage;
use milena_metadata::plan::SeedRng;
use milena_types::{BrokerId, ClusterId};
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use openraft::impls::BasicNode;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long things go wrong.
const CHAOS: Duration = Duration::from_secs(25);
/// How long the healed cluster may take for anything.
const HEALED: Duration = Duration::from_secs(40);

/// How a run ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) seed: u64,
    pub(super) hash: u64,
    pub(super) elections: usize,
    pub(super) counts: BTreeMap<&'static str, u64>,
    pub(super) failure: Option<String>,
    pub(super) lines: Vec<String>,
}

/// What will be mended, and when.
#[derive(Clone, Debug)]
enum Mend {
    Start(u64),
    Uncut(Vec<(u64, u64)>),
    Calm,
}

/// See the module.
pub(super) struct Script {
    pub(super) world: World,
    rng: StdRng,
    flaw: Flaw,
    voters: Vec<Voter>,
    size: usize,
    snapshot_entries: u64,
    mends: Vec<(Instant, Mend)>,
    change: Option<tokio::task::JoinHandle<()>>,
    removed: Arc<Mutex<BTreeSet<u64>>>,
}

/// Runs one seed from its beginning to its end, on this thread.
pub(super) fn run(seed: u64, flaw: Flaw, print: bool) -> Outcome {
    on_seed(seed, async {
        let world = World::new(seed, print);
        Script::new(seed, flaw, &world).live().await;
        let inner = world.lock();
        Outcome {
            seed,
            hash: inner.trace.hash,
            elections: inner.oracle.elections(),
            counts: inner.trace.counts.clone(),
            failure: inner.oracle.failure().map(str::to_owned),
            lines: inner.trace.lines(),
        }
    })
}

/// Runs a life on this thread, with the seed's lots and a clock that jumps.
pub(super) fn on_seed<T>(seed: u64, life: impl Future<Output = T>) -> T {
    seed_thread(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(life)
}

fn voter(id: u64) -> Voter {
    Voter {
        id: BrokerId(i32::try_from(id).unwrap()),
        host: host(id),
        port: 9093,
    }
}

impl Script {
    fn new(seed: u64, flaw: Flaw, world: &World) -> Self {
        let size = if seed % 10 < 7 { 3 } else { 5 };
        Self::with(seed, size, flaw, world)
    }

    /// Voters that are not started yet.
    pub(super) fn with(seed: u64, size: usize, flaw: Flaw, world: &World) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x5c21_97f0);
        Self {
            world: world.clone(),
            flaw,
            voters: (1..=size).map(|id| voter(id as u64)).collect(),
            size,
            snapshot_entries: rng.random_range(15..60),
            mends: Vec::new(),
            change: None,
            removed: Arc::default(),
            rng,
        }
    }

    async fn live(mut self) {
        self.world.tell(&format!(
            "{} voters, a snapshot every {} entries",
            self.size, self.snapshot_entries
        ));
        self.calm();
        for id in 1..=self.size as u64 {
            self.start(id).await;
        }
        let asker = |name| Asker {
            world: self.world.clone(),
            name,
        };
        let told = Arc::new(Mutex::new(Told::default()));
        let administrators: Vec<_> = (0..3)
            .map(|number| tokio::spawn(administrator(asker(1_000 + number))))
            .collect();
        let mut others: Vec<_> = (1..=3)
            .map(|id| {
                tokio::spawn(broker(
                    asker(2_000 + id),
                    i32::try_from(id).unwrap(),
                    Arc::clone(&told),
                ))
            })
            .collect();
        others.push(tokio::spawn(subscriber(asker(3_000))));
        if self.rng.random_bool(0.7) {
            // The others show that a founding that is disturbed goes on.
            while self.world.active().is_none() && !self.world.failed() {
                sleep(Duration::from_millis(20)).await;
            }
        }
        let end = Instant::now() + CHAOS;
        while Instant::now() < end && !self.world.failed() {
            sleep(Duration::from_millis(self.rng.random_range(50..700))).await;
            self.mend(Instant::now()).await;
            self.act().await;
            self.world.judge();
        }
        self.heal().await;
        let mut topics = BTreeMap::new();
        for task in administrators {
            match timeout(HEALED, task).await {
                Ok(own) => topics.extend(own.unwrap()),
                Err(_) => self
                    .world
                    .fail("a request is not answered in the healed cluster".to_owned()),
            }
        }
        for task in others {
            if timeout(HEALED, task).await.map(Result::unwrap).is_err() {
                self.world
                    .fail("a broker is not answered in the healed cluster".to_owned());
            }
        }
        self.settle(&topics).await;
    }

    fn config(&self, id: u64) -> ControllerConfig {
        let defaults = BrokerDefaults::new(None, []);
        // As an operator would keep it: without those who went.
        let removed = self.removed.lock().unwrap().clone();
        let kept = |voter: &&Voter| !removed.contains(&u64::try_from(voter.id.0).unwrap());
        let voters = self.voters.iter().filter(kept).cloned().collect();
        let mut config = ControllerConfig::new(voter(id).id, voters, PathBuf::from("sim"), defaults);
        config.cluster_id = Some(ClusterId("simulated".to_owned()));
        config.heartbeat = Duration::from_millis(100);
        config.election_min = Duration::from_millis(300);
        config.election_max = Duration::from_millis(600);
        config.session_timeout = Duration::from_secs(3);
        config.rebalance_interval = Some(Duration::from_secs(5));
        config.unclean_interval = Duration::from_secs(5);
        config.snapshot_entries = Some(self.snapshot_entries);
        config.log_entries_kept = Some(5);
        config
    }

    pub(super) async fn start(&mut self, id: u64) {
        if self.removed.lock().unwrap().contains(&id) || self.world.front(id).is_some() {
            return;
        }
        let disk = {
            let mut inner = self.world.lock();
            let flaw = self.flaw;
            let node = inner.nodes.entry(id).or_insert_with(|| Node {
                disk: MemoryDisk::with_flaw(flaw),
                alive: None,
                life: 0,
                vanished: false,
                restoring: false,
            });
            node.disk.clone()
        };
        let mut pace = StdRng::seed_from_u64(self.rng.random());
        // Mostly a quick disk, now and then a slow one.
        let slowest = if pace.random_bool(0.2) { 60_000 } else { 4_000 };
        let store =
            Store::in_memory(disk.open(move || Duration::from_micros(pace.random_range(50..slowest))));
        let outside = Outside {
            store: &store,
            path: PathBuf::from("sim"),
            connect: Arc::new(SimConnect {
                world: self.world.clone(),
                from: id,
            }),
            seeds: Seeds::Fixed(Mutex::new(SeedRng::new(self.rng.random()))),
        };
        match Running::assemble(self.config(id), outside).await {
            Ok((running, front)) => {
                let mut inner = self.world.lock();
                inner.trace.tell(&format!("node {id} starts"));
                let node = inner.nodes.get_mut(&id).unwrap();
                node.alive = Some(Alive {
                    running,
                    front: Arc::new(front),
                });
                node.life += 1;
                node.vanished = false;
            }
            Err(error) => self.world.fail(format!("node {id} does not start: {error}")),
        }
    }

    /// Takes a node off the network.
    fn take(&mut self, id: u64, vanished: bool) -> Option<(Alive, MemoryDisk)> {
        self.world.judge();
        let mut inner = self.world.lock();
        let node = inner.nodes.get_mut(&id)?;
        let alive = node.alive.take()?;
        node.life += 1;
        node.vanished = vanished;
        Some((alive, node.disk.clone()))
    }

    /// Ends a node without a goodbye; what was not synced is lost but for a prefix.
    pub(super) async fn kill(&mut self, id: u64, vanished: bool) {
        let Some((alive, disk)) = self.take(id, vanished) else {
            return;
        };
        let unsynced = disk.unsynced();
        let kept = self.rng.random_range(0..=unsynced);
        if kept < unsynced {
            self.world.count("crashes with lost bytes");
        }
        let lost = unsynced - kept;
        self.world
            .tell(&format!("node {id} dies, {lost} of {unsynced} writes are lost"));
        disk.crash(kept);
        self.end(id, alive.quorum().clone(), alive.running.halt()).await;
    }

    /// An orderly end: leadership is handed over.
    async fn stop(&mut self, id: u64) {
        let Some((alive, disk)) = self.take(id, false) else {
            return;
        };
        self.world.tell(&format!("node {id} is stopped"));
        self.end(id, alive.quorum().clone(), alive.running.leave()).await;
        disk.crash(usize::MAX);
    }

    /// Waits for the end of a node, and judges what it did last.
    async fn end(&mut self, id: u64, quorum: Quorum, end: impl Future<Output = ()>) {
        if timeout(Duration::from_secs(20), end).await.is_err() {
            self.world.fail(format!("node {id} does not end"));
        }
        let mut inner = self.world.lock();
        let Inner { oracle, trace, .. } = &mut *inner;
        oracle.last_words(id, &quorum, trace);
    }

    fn later(&mut self, millis: std::ops::Range<u64>, mend: Mend) {
        let at = Instant::now() + Duration::from_millis(self.rng.random_range(millis));
        self.mends.push((at, mend));
    }

    async fn mend(&mut self, now: Instant) {
        let (due, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.mends)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.mends = left;
        for (_, mend) in due {
            match mend {
                Mend::Start(id) => self.start(id).await,
                Mend::Uncut(cuts) => {
                    let mut inner = self.world.lock();
                    inner.weather.cuts.retain(|cut| !cuts.contains(cut));
                    inner.trace.tell(&format!("whole again: {cuts:?}"));
                }
                Mend::Calm => self.calm(),
            }
        }
    }

    fn calm(&mut self) {
        let mut inner = self.world.lock();
        inner.weather.lost = 2;
        inner.weather.doubled = 10;
        inner.weather.slow = 20;
        inner.weather.unheard = 60;
    }

    fn one(&mut self, ids: &[u64]) -> u64 {
        ids[self.rng.random_range(0..ids.len())]
    }

    /// The active controller more often than not.
    fn victim(&mut self) -> Option<u64> {
        let running = self.world.running();
        if running.is_empty() {
            return None;
        }
        let any = self.one(&running);
        Some(
            self.world
                .active()
                .filter(|_| self.rng.random_bool(0.6))
                .unwrap_or(any),
        )
    }

    async fn act(&mut self) {
        let Some(victim) = self.victim() else { return };
        let down = self.voters.len() - self.removed.lock().unwrap().len() - self.world.running().len();
        let may_kill = down < self.size.div_ceil(2);
        match self.rng.random_range(0..100) {
            0..=17 if may_kill => {
                self.kill(victim, false).await;
                self.later(100..2_500, Mend::Start(victim));
            }
            18..=23 if may_kill => {
                self.kill(victim, true).await;
                self.later(500..3_000, Mend::Start(victim));
            }
            24..=37 => self.cut(victim),
            38..=45 => self.isolate(victim),
            46..=53 => self.storm(),
            54..=60 if may_kill => {
                self.kill(victim, false).await;
                self.later(5_000..9_000, Mend::Start(victim));
            }
            61..=66 if may_kill => {
                self.stop(victim).await;
                self.later(50..1_000, Mend::Start(victim));
            }
            67..=74 if may_kill => self.wipe(victim).await,
            75..=86 => self.change_members().await,
            87..=89 => {
                self.world.tell("power is lost everywhere");
                for id in self.world.running() {
                    self.kill(id, false).await;
                    self.later(50..1_200, Mend::Start(id));
                }
            }
            90..=93 => {
                if let Some(raft) = self.raft(victim) {
                    self.world.tell(&format!("node {victim} is told to stand"));
                    // Refused: it has stopped.
                    let _ = raft.trigger().elect(true).await;
                }
            }
            _ => {}
        }
    }

    pub(super) fn raft(&self, id: u64) -> Option<Raft> {
        let inner = self.world.lock();
        Some(inner.nodes.get(&id)?.alive.as_ref()?.quorum().raft.clone())
    }

    fn others(&self, id: u64) -> Vec<u64> {
        let inner = self.world.lock();
        inner.nodes.keys().copied().filter(|other| *other != id).collect()
    }

    /// One link, in one direction.
    fn cut(&mut self, victim: u64) {
        let others = self.others(victim);
        let other = self.one(&others);
        let cut = if self.rng.random_bool(0.5) {
            (victim, other)
        } else {
            (other, victim)
        };
        self.cut_all(vec![cut]);
        self.world.count("one-way cuts");
    }

    /// All links of a node, in one direction or in both.
    fn isolate(&mut self, victim: u64) {
        let (hears, speaks) = [(true, false), (false, true), (true, true)][self.rng.random_range(0..3)];
        let mut cuts = Vec::new();
        for other in self.others(victim) {
            if hears {
                cuts.push((other, victim));
            }
            if speaks {
                cuts.push((victim, other));
            }
        }
        if !(hears && speaks) {
            self.world.count("one-way cuts");
        }
        self.cut_all(cuts);
    }

    fn cut_all(&mut self, cuts: Vec<(u64, u64)>) {
        {
            let mut inner = self.world.lock();
            inner.trace.tell(&format!("cut: {cuts:?}"));
            inner.weather.cuts.extend(cuts.iter().copied());
        }
        self.later(300..3_500, Mend::Uncut(cuts));
    }

    fn storm(&mut self) {
        {
            let mut inner = self.world.lock();
            inner.trace.tell("a storm");
            inner.weather.lost = self.rng.random_range(20..150);
            inner.weather.doubled = self.rng.random_range(0..200);
            inner.weather.slow = self.rng.random_range(50..400);
            inner.weather.unheard = self.rng.random_range(100..500);
        }
        self.later(500..2_500, Mend::Calm);
    }

    /// A voter loses its disk: one at a time, and not while another is down.
    async fn wipe(&mut self, victim: u64) {
        if !self.is_whole() || self.change.as_ref().is_some_and(|change| !change.is_finished()) {
            return;
        }
        self.exchange_disk(victim).await;
        self.later(50..1_500, Mend::Start(victim));
    }

    /// Everybody runs and votes.
    fn is_whole(&self) -> bool {
        let removed = self.removed.lock().unwrap().clone();
        let inner = self.world.lock();
        let mut kept = inner.nodes.iter().filter(|(id, _)| !removed.contains(id));
        kept.all(|(_, node)| {
            let alive = node.alive.as_ref();
            !node.restoring && alive.is_some_and(|alive| alive.quorum().gate.is_open())
        })
    }

    pub(super) async fn exchange_disk(&mut self, victim: u64) {
        self.kill(victim, false).await;
        let mut inner = self.world.lock();
        inner.trace.tell(&format!("node {victim} gets a new disk"));
        let node = inner.nodes.get_mut(&victim).unwrap();
        node.disk.wipe();
        node.restoring = true;
        inner.trace.count("wiped voters");
    }

    /// Cuts two nodes off from each other, or joins them again.
    pub(super) fn part(&self, one: u64, other: u64, cut: bool) {
        let mut inner = self.world.lock();
        for link in [(one, other), (other, one)] {
            if cut {
                inner.weather.cuts.insert(link);
            } else {
                inner.weather.cuts.remove(&link);
            }
        }
    }

    pub(super) fn image(&self, id: u64) -> Arc<MetadataImage> {
        let inner = self.world.lock();
        let alive = inner.nodes[&id].alive.as_ref().unwrap();
        alive.quorum().committed.image()
    }

    /// Adds or removes a voter, through the leader.
    async fn change_members(&mut self) {
        // A new voter votes as late as one with a new disk: with several of them there may be no majority that does.
        if !self.is_whole() {
            return;
        }
        let Some(leader) = self.world.active() else { return };
        if self.change.as_ref().is_some_and(|change| !change.is_finished()) {
            return;
        }
        let Some(raft) = self.raft(leader) else { return };
        let voters: Vec<u64> = raft.voter_ids().collect();
        let grows = voters.len() <= self.size && (voters.len() <= 3 || self.rng.random_bool(0.5));
        if grows {
            let id = self.voters.len() as u64 + 1;
            if id > 12 {
                return;
            }
            self.voters.push(voter(id));
            self.start(id).await;
            let world = self.world.clone();
            self.world.tell(&format!("voter {id} is to come in"));
            self.change = Some(tokio::spawn(async move {
                let node = BasicNode {
                    addr: voter(id).address(),
                };
                let come_in = async {
                    raft.add_learner(id, node, true).await.ok()?;
                    let change = ChangeMembers::AddVoterIds([id].into());
                    raft.change_membership(change, false).await.ok()
                };
                if let Ok(Some(_)) = timeout(Duration::from_secs(6), come_in).await {
                    world.count("voters added");
                    world.tell(&format!("voter {id} came in"));
                }
            }));
        } else {
            let id = self.one(&voters);
            let (world, removed) = (self.world.clone(), Arc::clone(&self.removed));
            self.world.tell(&format!("voter {id} is to go"));
            self.change = Some(tokio::spawn(async move {
                let change = ChangeMembers::RemoveVoters([id].into());
                if let Ok(Ok(_)) =
                    timeout(Duration::from_secs(6), raft.change_membership(change, false)).await
                {
                    world.count("voters removed");
                    world.tell(&format!("voter {id} went"));
                    removed.lock().unwrap().insert(id);
                    world.judge();
                    let alive = world.lock().nodes.get_mut(&id).and_then(|node| {
                        node.life += 1;
                        node.restoring = false;
                        node.alive.take()
                    });
                    if let Some(alive) = alive {
                        drop(alive.front);
                        alive.running.halt().await;
                    }
                }
            }));
        }
    }

    async fn heal(&mut self) {
        self.world.tell("everything is healed");
        {
            let mut inner = self.world.lock();
            inner.weather = Weather::default();
            inner.closing = true;
        }
        self.mends.clear();
        if let Some(change) = self.change.take() {
            change.await.unwrap();
        }
        for id in self
            .voters
            .iter()
            .map(|voter| u64::try_from(voter.id.0).unwrap())
            .collect::<Vec<_>>()
        {
            self.start(id).await;
        }
    }

    /// A leader, the same metadata on all voters, and all of them vote.
    async fn settle(&mut self, topics: &BTreeMap<String, super::client::Mine>) {
        let end = Instant::now() + HEALED;
        while !self.world.failed() && !self.is_settled() {
            if Instant::now() > end {
                self.world.fail("the healed cluster does not settle".to_owned());
                return;
            }
            sleep(Duration::from_millis(50)).await;
            self.world.judge();
        }
        let images: Vec<_> = {
            let inner = self.world.lock();
            let alive = inner
                .nodes
                .iter()
                .filter_map(|(id, node)| Some((*id, node.alive.as_ref()?)));
            alive
                .map(|(id, alive)| (id, alive.quorum().committed.image()))
                .collect()
        };
        let members = self.members().unwrap_or_default();
        for (id, image) in images.iter().filter(|(id, _)| members.contains(id)) {
            check_topics(&self.world, &format!("node {id}"), image, topics);
        }
    }

    fn members(&self) -> Option<BTreeSet<u64>> {
        let raft = self.raft(self.world.active()?)?;
        Some(raft.voter_ids().collect())
    }

    pub(super) fn is_settled(&self) -> bool {
        let Some(members) = self.members() else {
            return false;
        };
        let inner = self.world.lock();
        let version = inner.oracle.image().version;
        members.iter().all(|id| {
            let alive = inner.nodes.get(id).and_then(|node| node.alive.as_ref());
            alive.is_some_and(|alive| {
                let quorum = alive.quorum();
                let metrics = quorum.raft.metrics();
                let is_there = metrics.borrow_watched().running_state.is_ok();
                is_there && quorum.gate.is_open() && quorum.committed.image().version == version
            })
        })
    }
}
