//! What each path answers: from method, path and body to status and text. No IO but `/proc`.

use super::process;
use crate::telemetry::LogControl;
use std::fmt::Write as _;

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

/// Prometheus' text format.
fn metrics(watched: &Watched) -> String {
    let mut text = String::new();
    let version = env!("CARGO_PKG_VERSION");
    let mut gauge = |name: &str, help: &str, labels: &str, value: f64| {
        let _ = write!(
            text,
            "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{labels} {value}\n"
        );
    };
    gauge(
        "milena_build_info",
        "The version that runs.",
        &format!("{{version=\"{version}\"}}"),
        1.0,
    );
    gauge("milena_node_id", "node.id.", "", f64::from(watched.node_id));
    let is_ready = (watched.readiness)().is_ready();
    gauge(
        "milena_ready",
        "1 when every role serves.",
        "",
        f64::from(u8::from(is_ready)),
    );
    for (name, help, value) in process::figures() {
        gauge(name, help, "", value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(waiting: Vec<(&'static str, String)>) -> Watched {
        let readiness = move || Readiness {
            waiting: waiting.clone(),
        };
        Watched {
            node_id: 7,
            log: None,
            readiness: Box::new(readiness),
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

    #[test]
    fn metrics_are_in_the_text_format_of_prometheus() {
        let text = answer(&watched(Vec::new()), "GET", "/metrics", "").body;
        for line in [
            "milena_ready 1\n",
            "milena_node_id 7\n",
            "# TYPE process_resident_memory_bytes gauge\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert!(
                line.rsplit_once(' ')
                    .is_some_and(|(_, value)| value.parse::<f64>().is_ok()),
                "{line}"
            );
        }
    }
}
