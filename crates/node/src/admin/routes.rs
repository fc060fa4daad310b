//! What each path answers: from method, path and body to status and text. No IO but `/proc`.

use super::metrics::metrics;
use crate::telemetry::LogControl;
use milena_metrics::Metric;

/// Whether the node serves, and why not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// (role, what it waits for) of every role that is not ready; empty: ready.
    pub waiting: Vec<(&'static str, String)>,
}

impl Readiness {
    /// True when nothing is waited for.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// What the endpoint shows.
pub(crate) struct Watched {
    pub(crate) node_id: i32,
    pub(crate) log: Option<std::sync::Arc<LogControl>>,
    pub(crate) readiness: Box<dyn Fn() -> Readiness + Send + Sync>,
    /// Of the roles that run, under Kafka's names and ours.
    pub(crate) kafkas: Box<dyn Fn() -> Vec<Metric> + Send + Sync>,
}

/// An answer: status and `text/plain` body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    fn new(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            body: body.into(),
        }
    }
}

/// Answers one request.
pub(super) fn answer(watched: &Watched, method: &str, path: &str, body: &str) -> Answer {
    match (method, path) {
        ("GET", "/health") => Answer::new(200, "ok\n"),
        ("GET", "/ready") => ready(&(watched.readiness)()),
        ("GET", "/metrics") => Answer::new(200, metrics(watched)),
        ("GET", "/log-level") => match &watched.log {
            Some(log) => Answer::new(200, format!("{}\n", log.level())),
            None => Answer::new(404, "this process does not log\n"),
        },
        ("PUT", "/log-level") => set_level(watched, body),
        (_, "/health" | "/ready" | "/metrics" | "/log-level") => Answer::new(405, "method not allowed\n"),
        _ => Answer::new(
            404,
            "there are: GET /health, /ready, /metrics, /log-level; PUT /log-level\n",
        ),
    }
}

fn ready(readiness: &Readiness) -> Answer {
    if readiness.is_ready() {
        return Answer::new(200, "ready\n");
    }
    let lines = readiness
        .waiting
        .iter()
        .map(|(role, what)| format!("{role}: {what}\n"));
    Answer::new(503, lines.collect::<String>())
}

fn set_level(watched: &Watched, body: &str) -> Answer {
    let Some(log) = &watched.log else {
        return Answer::new(404, "this process does not log\n");
    };
    match log.set_level(body) {
        Ok(()) => {
            tracing::info!(level = body.trim(), "log level changed");
            Answer::new(200, format!("{}\n", log.level()))
        }
        Err(error) => Answer::new(400, format!("{error}\n")),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::admin) fn watched(waiting: Vec<(&'static str, String)>) -> Watched {
        let readiness = move || Readiness {
            waiting: waiting.clone(),
        };
        Watched {
            node_id: 7,
            log: None,
            readiness: Box::new(readiness),
            kafkas: Box::new(Vec::new),
        }
    }

    #[test]
    fn paths_answer_by_method_and_state() {
        let ready = watched(Vec::new());
        let waiting = watched(vec![("broker", "fenced".to_owned())]);
        for (watched, method, path, status) in [
            (&ready, "GET", "/health", 200),
            (&waiting, "GET", "/health", 200),
            (&ready, "GET", "/ready", 200),
            (&waiting, "GET", "/ready", 503),
            (&ready, "POST", "/ready", 405),
            (&ready, "GET", "/log-level", 404),
            (&ready, "GET", "/elsewhere", 404),
        ] {
            assert_eq!(
                answer(watched, method, path, "").status,
                status,
                "{method} {path}"
            );
        }
        assert_eq!(answer(&waiting, "GET", "/ready", "").body, "broker: fenced\n");
    }
}
