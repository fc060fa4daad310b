//! Settings that are each allowed and together are not.
//!
//! Source: `KafkaConfig.validateValues` and the group configurations' `validate`.

use super::finding::Problem;
use super::settings::Settings;
use std::time::Duration;

/// The shortest election timeout when nothing is given.
const ELECTION_DEFAULT: Duration = Duration::from_millis(450);

/// Kafka's keys of the election timeout.
const ELECTION_KEYS: [&str; 2] = [
    "controller.quorum.fetch.timeout.ms",
    "controller.quorum.election.timeout.ms",
];

/// (smaller, larger): the first must not be greater than the second.
const AT_MOST: &[(&str, &str)] = &[
    (
        "group.consumer.heartbeat.interval.ms",
        "group.consumer.max.heartbeat.interval.ms",
    ),
    (
        "group.consumer.min.heartbeat.interval.ms",
        "group.consumer.heartbeat.interval.ms",
    ),
    (
        "group.consumer.min.session.timeout.ms",
        "group.consumer.session.timeout.ms",
    ),
    (
        "group.consumer.session.timeout.ms",
        "group.consumer.max.session.timeout.ms",
    ),
    ("group.min.session.timeout.ms", "group.max.session.timeout.ms"),
    ("replica.fetch.wait.max.ms", "replica.lag.time.max.ms"),
];

/// (smaller, larger): the first must be less than the second.
const LESS_THAN: &[(&str, &str)] = &[
    ("broker.heartbeat.interval.ms", "broker.session.timeout.ms"),
    (
        "group.consumer.heartbeat.interval.ms",
        "group.consumer.session.timeout.ms",
    ),
];

/// Adds a problem for every pair that contradicts itself.
pub(super) fn check(settings: &Settings, problems: &mut Vec<Problem>) {
    let mut compare = |pairs: &[(&str, &str)], is_strict: bool| {
        for (smaller, larger) in pairs {
            if settings.is_refused(smaller) || settings.is_refused(larger) {
                continue;
            }
            let (a, b) = (settings.integer(smaller), settings.integer(larger));
            let holds = if is_strict { a < b } else { a <= b };
            if !holds {
                // The complaint belongs to the key that was given.
                let (key, other, relation, bound) = match settings.is_given(smaller) {
                    true => (
                        smaller,
                        larger,
                        if is_strict { "less than" } else { "at most" },
                        b,
                    ),
                    false => (
                        larger,
                        smaller,
                        if is_strict { "more than" } else { "at least" },
                        a,
                    ),
                };
                problems.push(Problem {
                    key: (*key).to_owned(),
                    value: settings.written(key),
                    origin: settings.origin(key),
                    text: format!("contradicts {other} = {bound}; allowed: {relation} {bound}"),
                });
            }
        }
    };
    compare(AT_MOST, false);
    compare(LESS_THAN, true);
    check_election(settings, problems);
}

/// How long a voter without a leader waits before it stands for election: the shortest and the longest time.
///
/// Kafka's two keys count when they are given; its defaults (1 s and 2 s) do not, because failover is to be faster.
pub(crate) fn election_timeouts(settings: &Settings) -> (Duration, Duration) {
    let given = |key: &str| settings.is_given(key).then(|| settings.millis(key));
    let shortest = ELECTION_KEYS
        .map(given)
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(ELECTION_DEFAULT);
    (shortest, shortest * 2)
}

/// A leader must be able to miss heartbeats before it is deposed.
fn check_election(settings: &Settings, problems: &mut Vec<Problem>) {
    const KEY: &str = "controller.quorum.heartbeat.ms";
    if ELECTION_KEYS.iter().any(|key| settings.is_refused(key)) || settings.is_refused(KEY) {
        return;
    }
    let (shortest, _) = election_timeouts(settings);
    let longest_heartbeat = shortest / 3;
    if settings.millis(KEY) > longest_heartbeat {
        problems.push(Problem {
            key: KEY.to_owned(),
            value: settings.written(KEY),
            origin: settings.origin(KEY),
            text: format!(
                "contradicts the election timeout of {} ms (controller.quorum.election.timeout.ms, \
                 controller.quorum.fetch.timeout.ms); allowed: at most {}, a third of it",
                shortest.as_millis(),
                longest_heartbeat.as_millis()
            ),
        });
    }
}

/// What is allowed and yet hardly meant.
pub(super) fn doubtful(settings: &Settings) -> Vec<String> {
    let mut warnings = Vec::new();
    let (factor, min_isr) = (
        settings.int("default.replication.factor"),
        settings.int("min.insync.replicas"),
    );
    if min_isr > factor {
        warnings.push(format!(
            "min.insync.replicas = {min_isr} is more than default.replication.factor = {factor}: \
             topics of that factor need only {factor} in-sync replicas"
        ));
    }
    if settings.is_given("authorizer.class.name") {
        warnings.push(
            "authorizer.class.name is set, but nothing is authorized yet: everybody may do everything".into(),
        );
    }
    warnings
}
