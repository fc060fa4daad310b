//! Settings that are each allowed and together are not.
//!
//! Source: `KafkaConfig.validateValues` and the group configurations' `validate`.

use super::finding::Problem;
use super::quorum_timing;
use super::settings::Settings;

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
    cleaner_buffer(settings, problems);
    quorum_timing::check(settings, problems);
}

/// Each cleaner thread has more than a mebibyte for its key map.
fn cleaner_buffer(settings: &Settings, problems: &mut Vec<Problem>) {
    let (bytes, threads) = ("log.cleaner.dedupe.buffer.size", "log.cleaner.threads");
    if settings.is_refused(bytes) || settings.is_refused(threads) {
        return;
    }
    let count = settings.integer(threads).max(1);
    if settings.integer(bytes) / count > 1 << 20 {
        return;
    }
    let key = if settings.is_given(bytes) { bytes } else { threads };
    problems.push(Problem {
        key: key.to_owned(),
        value: settings.written(key),
        origin: settings.origin(key),
        text: format!("{bytes} must be more than 1048576 for each of {threads} = {count}"),
    });
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
