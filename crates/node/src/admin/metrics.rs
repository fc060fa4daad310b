//! What `/metrics` shows, in Prometheus' text format: the node's own figures, and Kafka's metrics.
//!
//! Kafka's metric `kafka.log:type=LogCleaner,name=max-clean-time-secs` is shown as `kafka_log_logcleaner_max_clean_time_secs`:
//! domain, type and name in lower case, `_` for what is no letter or digit; a further tag is a label of its own name. Those are
//! the names that the JMX exporter gives with the rules that are usual for Kafka.

use super::process;
use super::routes::Watched;
use milena_broker::metrics::Metric;
use std::fmt::Write as _;

/// One figure; all figures of a name have to come one after the other.
struct Line<'a> {
    name: &'a str,
    help: &'a str,
    /// With the braces, or empty.
    labels: &'a str,
    value: f64,
}

#[derive(Default)]
struct Page {
    text: String,
    last: String,
}

impl Page {
    fn gauge(&mut self, line: &Line<'_>) {
        let Line {
            name,
            help,
            labels,
            value,
        } = line;
        if self.last != *name {
            let kind = if name.ends_with("_total") {
                "counter"
            } else {
                "gauge"
            };
            let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
            (*name).clone_into(&mut self.last);
        }
        let _ = writeln!(self.text, "{name}{labels} {value}");
    }
}

/// The whole page.
pub(super) fn metrics(watched: &Watched) -> String {
    let mut page = Page::default();
    let mut gauge = |name: &str, help: &str, labels: &str, value: f64| {
        page.gauge(&Line {
            name,
            help,
            labels,
            value,
        });
    };
    gauge(
        "milena_build_info",
        "The version that runs.",
        &label("version", env!("CARGO_PKG_VERSION")),
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
    let mut kafkas: Vec<(String, Metric)> = (watched.kafkas)()
        .into_iter()
        .map(|metric| (name_of(&metric), metric))
        .collect();
    // Stable: rows of a name stay in their order.
    kafkas.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (name, metric) in kafkas {
        let tag = metric.tag.as_ref();
        let labels = tag.map_or_else(String::new, |(key, value)| label(key, value));
        gauge(&name, metric.help, &labels, metric.value);
    }
    page.text
}

fn name_of(metric: &Metric) -> String {
    let name = format!("{}_{}_{}", metric.domain, metric.kind, metric.name);
    let allowed = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    name.chars().map(allowed).collect()
}

fn label(key: &str, value: &str) -> String {
    let escaped = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("{{{key}=\"{escaped}\"}}")
}

#[cfg(test)]
mod tests {
    use super::super::routes::tests::watched;
    use super::*;

    fn metric(name: &'static str, tag: Option<&str>, value: f64) -> Metric {
        Metric {
            domain: "kafka.log",
            kind: "LogCleanerManager",
            name,
            help: "What it is.",
            tag: tag.map(|tag| ("logDirectory", tag.to_owned())),
            value,
        }
    }

    #[test]
    fn the_page_is_in_the_text_format_of_prometheus() {
        let text = metrics(&watched(Vec::new()));
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

    #[test]
    fn kafkas_metrics_have_one_head_for_all_their_rows() {
        let watched = Watched {
            kafkas: Box::new(|| {
                vec![
                    metric("uncleanable-bytes", Some("/a \"b\"\\c"), 5.0),
                    metric("max-dirty-percent", None, 41.0),
                    metric("uncleanable-bytes", Some("/d"), 0.0),
                ]
            }),
            ..watched(Vec::new())
        };
        let text = metrics(&watched);
        let kafkas = &text[text.find("# HELP kafka").unwrap()..];
        assert_eq!(
            kafkas,
            "# HELP kafka_log_logcleanermanager_max_dirty_percent What it is.\n\
             # TYPE kafka_log_logcleanermanager_max_dirty_percent gauge\n\
             kafka_log_logcleanermanager_max_dirty_percent 41\n\
             # HELP kafka_log_logcleanermanager_uncleanable_bytes What it is.\n\
             # TYPE kafka_log_logcleanermanager_uncleanable_bytes gauge\n\
             kafka_log_logcleanermanager_uncleanable_bytes{logDirectory=\"/a \\\"b\\\"\\\\c\"} 5\n\
             kafka_log_logcleanermanager_uncleanable_bytes{logDirectory=\"/d\"} 0\n"
        );
    }
}
