//! Heartbeats and election timeouts of the metadata quorum: what the keys mean together.

use super::finding::Problem;
use super::settings::Settings;
use std::time::Duration;

/// The shortest election timeout when nothing is given.
const ELECTION_DEFAULT: Duration = Duration::from_millis(600);

/// So many heartbeats fit an election timeout at least.
const HEARTBEATS_PER_ELECTION: u32 = 3;

/// The shortest heartbeat.
const HEARTBEAT_MIN: Duration = Duration::from_millis(1);

const HEARTBEAT_KEY: &str = "controller.quorum.heartbeat.ms";

/// Kafka's keys of the election timeout.
const ELECTION_KEYS: [&str; 2] = [
    "controller.quorum.fetch.timeout.ms",
    "controller.quorum.election.timeout.ms",
];

/// How often an active controller shows that it lives, and how long a voter that hears nothing waits before it stands for
/// election.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuorumTiming {
    pub(crate) heartbeat: Duration,
    pub(crate) election_min: Duration,
    pub(crate) election_max: Duration,
}

impl QuorumTiming {
    /// Kafka's two keys of the election count when they are given; its defaults (1 s and 2 s) do not, because failover is to
    /// be faster. The heartbeat follows a short election when it is not given itself.
    pub(crate) fn of(settings: &Settings) -> Self {
        let given = |key: &str| settings.is_given(key).then(|| settings.millis(key));
        let election_min = ELECTION_KEYS
            .map(given)
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(ELECTION_DEFAULT);
        let longest = election_min / HEARTBEATS_PER_ELECTION;
        let heartbeat = given(HEARTBEAT_KEY).unwrap_or_else(|| settings.millis(HEARTBEAT_KEY).min(longest));
        Self {
            heartbeat,
            election_min,
            election_max: election_min * 2,
        }
    }
}

/// A leader must be able to miss heartbeats before it is deposed.
pub(super) fn check(settings: &Settings, problems: &mut Vec<Problem>) {
    let shortest = HEARTBEAT_MIN * HEARTBEATS_PER_ELECTION;
    let mut complain = |key: &str, text: String| {
        problems.push(Problem {
            key: key.to_owned(),
            value: settings.written(key),
            origin: settings.origin(key),
            text,
        });
    };
    let given = |key: &&str| settings.is_given(key) && !settings.is_refused(key);
    let mut is_too_short = false;
    for key in ELECTION_KEYS
        .iter()
        .filter(|key| given(key) && settings.millis(key) < shortest)
    {
        is_too_short = true;
        let text = format!(
            "is shorter than {HEARTBEATS_PER_ELECTION} heartbeats; allowed: at least {}",
            shortest.as_millis()
        );
        complain(key, text);
    }
    let is_refused = ELECTION_KEYS.iter().any(|key| settings.is_refused(key));
    if is_too_short || is_refused || !given(&HEARTBEAT_KEY) {
        return;
    }
    let timing = QuorumTiming::of(settings);
    let longest = timing.election_min / HEARTBEATS_PER_ELECTION;
    if timing.heartbeat > longest {
        let text = format!(
            "contradicts the election timeout of {} ms (controller.quorum.election.timeout.ms, \
             controller.quorum.fetch.timeout.ms); allowed: at most {}, a third of it",
            timing.election_min.as_millis(),
            longest.as_millis()
        );
        complain(HEARTBEAT_KEY, text);
    }
}
