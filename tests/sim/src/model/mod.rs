//! A model of three brokers and their controller, all of whose small lives are looked at: what chance does not find in many seeds may
//! be ten steps away.
//!
//! ```text
//! the product's own: Leader, Following, transition, truncation, EpochCache, plan::{register_broker, heartbeat, fence_broker, alter_partition}
//! the model's:       what is on its way and in which order it comes; logs without files, on disk at once; no clock
//! ```
//!
//! A life begins with one committed record, all in sync or one that has just come back. It has one write, a few faults (a session that
//! ends, a process that ends, a disk that is exchanged, a request given up, a stream that breaks), one message of a follower that comes
//! late and one request that comes twice; requests come whenever they like.

mod broker;
mod cluster;
mod controller;
mod digest;

use crate::report;
use cluster::{Cluster, Left};
use stateright::{Checker, Model, Property};
use std::hash::{Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

/// The property that is checked.
const SOUND: &str = "whoever may be elected has everything that was committed, once for each offset";

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// A client writes to that broker.
    Write(usize),
    /// That follower attaches.
    Attach(usize),
    /// It does, and the message comes late.
    AttachLate(usize),
    /// That follower gets what it lacks, and acknowledges it.
    Feed(usize),
    /// It does, and the acknowledgement comes late.
    FeedLate(usize),
    /// A late message arrives.
    Deliver(usize),
    /// A request for another ISR arrives.
    Ask(usize),
    /// It does, and will again.
    AskTwin(usize),
    /// That broker hears of the newest metadata.
    News(usize),
    /// That leader asks again.
    Retry(usize),
    /// That broker is heard of again.
    Unfence(usize),
    /// Its session ends.
    Fence(usize),
    /// Its process ends and starts again.
    Restart(usize),
    /// It does, with an empty disk.
    Wipe(usize),
    /// A request is not waited for any longer.
    TimeOut(usize),
    /// The stream of that follower breaks.
    Break(usize),
}

/// One state, and its number.
#[derive(Clone)]
struct State {
    cluster: Cluster,
    digest: u64,
    is_sound: bool,
}

impl State {
    fn new(cluster: Cluster) -> Self {
        let (digest, is_sound) = (cluster.digest(), cluster.is_sound());
        Self {
            cluster,
            digest,
            is_sound,
        }
    }

    /// What cannot be: an assertion of the product failed at this step.
    fn broken_by(&self, action: Action) -> Self {
        Self {
            cluster: self.cluster.clone(),
            digest: digest::digest(&(self.digest, action)),
            is_sound: false,
        }
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.digest)
    }
}

/// All lives.
struct Lives {
    left: Left,
}

impl Lives {
    /// One record is committed; all are in sync.
    fn in_sync(&self) -> Cluster {
        let mut cluster = Cluster::new(self.left);
        for at in [1, 2] {
            cluster.attach(at, false);
        }
        cluster.write(0, 0);
        for _ in 0..2 {
            cluster.feed(1, false);
            cluster.feed(2, false);
        }
        cluster
    }

    /// Two are in sync; the third one's process has just come back with its log.
    fn back(&self) -> Cluster {
        let mut cluster = self.in_sync();
        cluster.start_again(2, false);
        cluster.unfence(2);
        for at in 0..3 {
            cluster.news(at);
        }
        cluster
    }
}

fn apply(cluster: &mut Cluster, action: Action) -> bool {
    match action {
        Action::Write(at) => {
            cluster.left.writes -= 1;
            cluster.write(at, cluster.left.writes + 1)
        }
        Action::Attach(at) => cluster.attach(at, false),
        Action::AttachLate(at) => {
            cluster.left.late -= 1;
            cluster.attach(at, true)
        }
        Action::Feed(at) => cluster.feed(at, false),
        Action::FeedLate(at) => {
            cluster.left.late -= 1;
            cluster.feed(at, true)
        }
        Action::Deliver(number) => {
            cluster.deliver(number);
            true
        }
        Action::Ask(number) => {
            cluster.ask(number, false);
            true
        }
        Action::AskTwin(number) => {
            cluster.left.twins -= 1;
            cluster.ask(number, true);
            true
        }
        Action::News(at) => cluster.news(at),
        Action::Retry(at) => cluster.retry(at),
        Action::Unfence(at) => cluster.unfence(at),
        Action::Fence(_) | Action::Restart(_) | Action::Wipe(_) | Action::TimeOut(_) | Action::Break(_) => {
            cluster.left.faults -= 1;
            fail(cluster, action)
        }
    }
}

fn fail(cluster: &mut Cluster, fault: Action) -> bool {
    match fault {
        Action::Fence(at) => {
            let id = cluster.brokers[at].id;
            cluster.controller.fence(id)
        }
        Action::Restart(at) => {
            cluster.start_again(at, false);
            true
        }
        Action::Wipe(at) => {
            cluster.left.wipes -= 1;
            cluster.start_again(at, true);
            true
        }
        Action::TimeOut(number) => {
            cluster.time_out(number);
            true
        }
        Action::Break(at) => cluster.break_stream(at),
        _ => false,
    }
}

impl Model for Lives {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.in_sync()), State::new(self.back())]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let (cluster, left) = (&state.cluster, state.cluster.left);
        for at in 0..3 {
            actions.extend([
                Action::Attach(at),
                Action::Feed(at),
                Action::News(at),
                Action::Retry(at),
                Action::Unfence(at),
            ]);
            if left.writes > 0 {
                actions.push(Action::Write(at));
            }
            if left.late > 0 {
                actions.extend([Action::AttachLate(at), Action::FeedLate(at)]);
            }
            if left.faults > 0 {
                actions.extend([Action::Fence(at), Action::Restart(at), Action::Break(at)]);
                if left.wipes > 0 {
                    actions.push(Action::Wipe(at));
                }
            }
        }
        for (number, late) in cluster.late.iter().enumerate() {
            let is_first = cluster.late[..number].iter().all(|l| l.stream() != late.stream());
            actions.extend(is_first.then_some(Action::Deliver(number)));
        }
        for number in 0..cluster.asked.len() {
            actions.push(Action::Ask(number));
            if left.twins > 0 {
                actions.push(Action::AskTwin(number));
            }
            if left.faults > 0 {
                actions.push(Action::TimeOut(number));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let step = || {
            let mut cluster = last.cluster.clone();
            apply(&mut cluster, action).then(|| State::new(cluster))
        };
        match std::panic::catch_unwind(AssertUnwindSafe(step)) {
            Ok(next) => next,
            // An assertion of the product tells as much as the property.
            Err(_) if report::last_panic().starts_with("crates/") => Some(last.broken_by(action)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(SOUND, |_, state: &State| state.is_sound)]
    }
}

/// What came of looking at all lives.
#[derive(Debug)]
pub struct Checked {
    /// What happened in the shortest life in which something was lost.
    pub found: Option<Vec<String>>,
    /// How many states were looked at, and how many steps they are away at most.
    pub states: usize,
    /// Likewise.
    pub steps: usize,
    /// How long it took.
    pub took: Duration,
}

/// Looks at all lives of at most so many steps, on so many threads, for so long.
#[must_use]
pub fn check(faults: u8, steps: usize, jobs: usize, patience: Duration) -> Checked {
    let began = Instant::now();
    let left = Left {
        writes: 1,
        faults,
        wipes: 1,
        late: 1,
        twins: 1,
    };
    let checker = Lives { left }
        .checker()
        .threads(jobs)
        .timeout(patience)
        .target_max_depth(steps + 1)
        .spawn_bfs()
        .join();
    let found = checker.discovery(SOUND).map(|path| {
        let actions = path.into_actions();
        actions.iter().map(|action| format!("{action:?}")).collect()
    });
    Checked {
        found,
        states: checker.unique_state_count(),
        steps: checker.max_depth().saturating_sub(1),
        took: began.elapsed(),
    }
}
