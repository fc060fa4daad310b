//! The mix of one run: sizes, rules, speeds and how often what goes wrong. Drawn from the seed, so that each seed looks elsewhere.

use crate::random::Random;
use crate::time::{MILLI, Micros, SECOND};
use milena_types::AckDurability;

/// Kinds of traffic that may be slow in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Heartbeats and registrations.
    Life,
    /// AlterPartition and reports on replicas.
    Alter,
    /// The metadata's way to the brokers.
    Metadata,
    /// Replication.
    Replication,
    /// Clients and the administrator.
    Client,
}

impl Class {
    const COUNT: usize = 5;
}

/// From which mix of everything runs are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swarm {
    /// All that can go wrong, of each a little.
    Usual,
    /// Messages that come late, and faults that strike the same broker again and again.
    Late,
}

/// What the administrator does in a run.
#[derive(Clone, Copy, Debug)]
pub struct Churn {
    /// Moves replicas, and cancels that.
    pub moves: bool,
    /// Deletes the topic, and makes it again.
    pub deletes: bool,
    /// Changes the topic's configuration.
    pub configures: bool,
    /// Lets unclean leaders be elected, or has them elected.
    pub unclean: bool,
    /// Elects leaders.
    pub elects: bool,
    /// Deletes records.
    pub shortens: bool,
    /// The longest pause between two things.
    pub pause: Micros,
}

impl Churn {
    fn draw(random: &mut Random) -> Self {
        let is_quiet = random.one_in(3);
        let mut some = |one_in| !is_quiet && random.one_in(one_in);
        Self {
            moves: some(2),
            deletes: some(4),
            configures: some(3),
            unclean: some(4),
            elects: some(3),
            shortens: some(3),
            pause: 0,
        }
        .paced(random)
    }

    fn paced(self, random: &mut Random) -> Self {
        let pause = [400, 1_500, 4_000][random.below(3) as usize] * MILLI;
        Self { pause, ..self }
    }
}

/// The settings of a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Brokers, from 0.
    pub brokers: i32,
    /// Partitions of the first topic.
    pub partitions: i32,
    /// Replicas of each.
    pub factor: i16,
    /// `min.insync.replicas`.
    pub min_isr: usize,
    /// `ack.durability`.
    pub durability: AckDurability,
    /// `broker.session.timeout.ms`.
    pub session: Micros,
    /// `broker.heartbeat.interval.ms`.
    pub heartbeat: Micros,
    /// `replica.lag.time.max.ms`.
    pub lag_time_max: Micros,
    /// How long an end of a stream waits for a sign of life of the other.
    pub keep_alive: Micros,
    /// Between two writings of the checkpoints.
    pub checkpoint: Micros,
    /// `milena.doubtful.replica.wait.ms`.
    pub doubt_patience: Micros,
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// Which traffic is slow.
    slow: [bool; Class::COUNT],
    /// Requests and answers that are lost, of a thousand.
    pub lost: u64,
    /// Requests that come twice, of a thousand.
    pub doubled: u64,
    /// The most that a flush takes.
    pub flush_max: Micros,
    /// Producers that want all acknowledgements, and those that want the leader's.
    pub producers: (usize, usize),
    /// Between two batches of a producer.
    pub write_pause: Micros,
    /// The most records in a batch.
    pub batch_records: u64,
    /// Bytes of a frame of replication.
    pub frame_bytes: usize,
    /// What the administrator does.
    pub churn: Churn,
    /// How long things go wrong.
    pub chaos: Micros,
    /// Faults in that time.
    pub faults: u64,
}

impl Settings {
    /// Draws the mix of a seed.
    #[must_use]
    pub fn draw(random: &mut Random) -> Self {
        let session = [1_500, 3_000, 6_000][random.below(3) as usize] * MILLI;
        let mut slow = [false; Class::COUNT];
        for class in &mut slow {
            *class = random.one_in(5);
        }
        let durability = match random.below(10) {
            0..7 => AckDurability::Flushed,
            _ => AckDurability::Replicated,
        };
        let brokers = 3 + i32::from(random.one_in(2));
        Self {
            brokers,
            partitions: 2 + i32::try_from(random.below(3)).unwrap_or(0),
            factor: 3,
            min_isr: [2, 2, 2, 1, 3][random.below(5) as usize],
            durability,
            session,
            heartbeat: session / [3, 4, 6][random.below(3) as usize],
            lag_time_max: [700, 2_000, 5_000][random.below(3) as usize] * MILLI,
            keep_alive: [600, 2_000, 4_000][random.below(3) as usize] * MILLI,
            checkpoint: [500, 2_000, 5_000][random.below(3) as usize] * MILLI,
            // Longer than a session, as the broker asks for: see ADR 0009.
            doubt_patience: session + [500, 3_000][random.below(2) as usize] * MILLI,
            segment_bytes: [1_500, 4_096, 16_384][random.below(3) as usize],
            slow,
            lost: [0, 5, 30, 100][random.below(4) as usize],
            doubled: [0, 10, 100][random.below(3) as usize],
            flush_max: [1, 8, 60, 250][random.below(4) as usize] * MILLI,
            producers: (1 + random.below(3) as usize, random.below(2) as usize),
            write_pause: [60, 150, 400][random.below(3) as usize] * MILLI,
            batch_records: [1, 4, 16][random.below(3) as usize],
            frame_bytes: [200, 1_000, 8_000][random.below(3) as usize],
            churn: Churn::draw(random),
            chaos: (15 + random.below(15)) * SECOND,
            faults: 6 + random.below(14),
        }
    }

    /// How long a message of that kind is on its way.
    pub fn latency(&self, class: Class, random: &mut Random) -> Micros {
        let usual = random.between(100, 900);
        let factor = if random.chance(20) { 20 } else { 1 };
        let slow = if self.slow[class as usize] { 20 } else { 1 };
        usual * factor * slow
    }
}

impl Settings {
    /// The mix of [`Swarm::Late`]: small and quick, so that many things happen before a late message arrives.
    #[must_use]
    pub fn late(self, random: &mut Random) -> Self {
        let churn = Churn {
            moves: random.one_in(4),
            deletes: false,
            configures: false,
            unclean: false,
            elects: !random.one_in(3),
            shortens: false,
            pause: 400 * MILLI,
        };
        let mut slow = [false; Class::COUNT];
        slow[Class::Alter as usize] = random.one_in(2);
        slow[Class::Metadata as usize] = random.one_in(4);
        let session = 1_500 * MILLI;
        Self {
            brokers: 3,
            partitions: 3,
            min_isr: [2, 2, 2, 1][random.below(4) as usize],
            session,
            heartbeat: session / 6,
            lag_time_max: [700, 2_000][random.below(2) as usize] * MILLI,
            doubt_patience: session + 500 * MILLI,
            slow,
            lost: [0, 5, 30][random.below(3) as usize],
            doubled: [10, 100, 500][random.below(3) as usize],
            flush_max: [1, 8, 60][random.below(3) as usize] * MILLI,
            producers: (2, 0),
            write_pause: 60 * MILLI,
            batch_records: [1, 4][random.below(2) as usize],
            churn,
            chaos: (8 + random.below(8)) * SECOND,
            faults: 15 + random.below(30),
            ..self
        }
    }

    /// Everything is fast from now on.
    pub fn heal(&mut self) {
        self.slow = [false; Class::COUNT];
        self.flush_max = self.flush_max.min(5 * MILLI);
    }
}
