//! One simulated cluster: its nodes, the network between them, and the judge. Everything on one thread.

use super::net::Weather;
use super::oracle::Oracle;
use super::trace::Trace;
use crate::running::{Front, Running};
use crate::service::Quorum;
use crate::store::memory::MemoryDisk;
use openraft::async_runtime::WatchReceiver;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Whom a node's disk and life belong to.
pub(super) struct Node {
    pub(super) disk: MemoryDisk,
    pub(super) alive: Option<Alive>,
    /// Grows with every start and every end.
    pub(super) life: u64,
    /// It stopped in a way that breaks no connections: the host is gone.
    pub(super) vanished: bool,
    /// Its disk was replaced, and it has not come back to vote since.
    pub(super) restoring: bool,
}

/// A node that runs.
pub(super) struct Alive {
    pub(super) running: Running,
    pub(super) front: Arc<Front>,
}

impl Alive {
    pub(super) fn quorum(&self) -> &Quorum {
        &self.running.shared.quorum
    }
}

/// See the module.
pub(super) struct Inner {
    pub(super) rng: StdRng,
    pub(super) trace: Trace,
    pub(super) weather: Weather,
    pub(super) nodes: BTreeMap<u64, Node>,
    pub(super) oracle: Oracle,
    /// The clients finish what they do and stop.
    pub(super) closing: bool,
}

/// Shared by everything in a run; locked for moments only.
#[derive(Clone)]
pub(super) struct World(Arc<Mutex<Inner>>);

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

impl World {
    pub(super) fn new(seed: u64, print: bool) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            rng: StdRng::seed_from_u64(seed),
            trace: Trace::new(print),
            weather: Weather::default(),
            nodes: BTreeMap::new(),
            oracle: Oracle::default(),
            closing: false,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    pub(super) fn draw(&self, range: std::ops::Range<u64>) -> u64 {
        self.lock().rng.random_range(range)
    }

    pub(super) fn millis(&self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.draw(range))
    }

    pub(super) fn tell(&self, line: &str) {
        self.lock().trace.tell(line);
    }

    pub(super) fn count(&self, what: &'static str) {
        self.lock().trace.count(what);
    }

    /// The front of a node that runs, and its life.
    pub(super) fn front(&self, id: u64) -> Option<(Arc<Front>, u64)> {
        let inner = self.lock();
        let node = inner.nodes.get(&id)?;
        Some((Arc::clone(&node.alive.as_ref()?.front), node.life))
    }

    pub(super) fn life(&self, id: u64) -> u64 {
        self.lock().nodes.get(&id).map_or(0, |node| node.life)
    }

    /// Who runs.
    pub(super) fn running(&self) -> Vec<u64> {
        let inner = self.lock();
        let alive = inner.nodes.iter().filter(|(_, node)| node.alive.is_some());
        alive.map(|(id, _)| *id).collect()
    }

    /// Who acts as the active controller; with a stale one there may be two.
    pub(super) fn active(&self) -> Option<u64> {
        let inner = self.lock();
        let mut active = inner.nodes.iter().filter_map(|(id, node)| {
            let term = *node.alive.as_ref()?.running.shared.planner.active.borrow();
            Some((term?, *id))
        });
        let first = active.next()?;
        Some(active.fold(first, std::cmp::max).1)
    }

    /// Judges every node as it is now.
    pub(super) fn judge(&self) {
        let mut inner = self.lock();
        let Inner {
            nodes, oracle, trace, ..
        } = &mut *inner;
        for (id, node) in nodes.iter_mut() {
            let Some(alive) = &node.alive else { continue };
            let quorum = alive.quorum();
            if let Some(line) = oracle.judge(*id, node.life, quorum, trace) {
                trace.tell(&line);
            }
            oracle.judge_log(*id, quorum, &node.disk);
            if alive.running.has_ended() {
                oracle.fail(format!("node {id} could not go on"));
            }
            if node.restoring && quorum.gate.is_open() {
                node.restoring = false;
                trace.count("wiped voters that vote again");
                trace.tell(&format!("node {id} votes again"));
            }
        }
        oracle.judge_durability(nodes.iter().map(|(id, node)| (*id, &node.disk)));
    }

    /// Where every node stands.
    pub(super) fn describe(&self) {
        let mut inner = self.lock();
        let describe = |(id, node): (&u64, &Node)| {
            let Some(alive) = &node.alive else {
                return format!("node {id} is down");
            };
            let quorum = alive.quorum();
            let (votes, version) = (quorum.gate.is_open(), quorum.committed.image().version);
            let metrics = quorum.raft.metrics();
            let metrics = metrics.borrow_watched();
            format!("node {id}: votes {votes}, version {version}, {}", *metrics)
        };
        let lines: Vec<_> = inner.nodes.iter().map(describe).collect();
        for line in lines {
            inner.trace.tell(&line);
        }
    }

    pub(super) fn fail(&self, why: String) {
        self.describe();
        let mut inner = self.lock();
        inner.trace.tell(&format!("VIOLATION: {why}"));
        inner.oracle.fail(why);
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.lock().oracle.failure().map(str::to_owned)
    }

    pub(super) fn failed(&self) -> bool {
        self.lock().oracle.failure().is_some()
    }
}
