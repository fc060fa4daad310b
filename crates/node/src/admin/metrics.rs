//! What `/metrics` shows, in Prometheus' text format: the node's own figures, and Kafka's metrics.
//!
//! Kafka's metric `kafka.log:type=LogCleaner,name=max-clean-time-secs` is shown as `kafka_log_logcleaner_max_clean_time_secs`:
//! domain, type and name in lower case, `_` for what is no letter or digit; a further tag is a label of its own name. Those are
//! the names that the JMX exporter gives with the rules that are usual for Kafka.

use super::process;
use super::routes::Watched;
use milena_metrics::{Distribution, Metric, Value};
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
        let kind = if name.ends_with("_total") {
            "counter"
        } else {
            "gauge"
        };
        self.head(name, help, kind);
        let _ = writeln!(self.text, "{name}{labels} {value}");
    }

    fn histogram(&mut self, name: &str, help: &str, shown: &Distribution) {
        self.head(name, help, "histogram");
        for (end, count) in &shown.buckets {
            let end = if end.is_finite() {
                end.to_string()
            } else {
                "+Inf".to_owned()
            };
            let _ = writeln!(self.text, "{name}_bucket{} {count}", labels(&[("le", end)]));
        }
        let all = shown.buckets.last().map_or(0, |bucket| bucket.1);
        let _ = write!(self.text, "{name}_sum {}\n{name}_count {all}\n", shown.sum);
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        if self.last != *name {
            let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
            name.clone_into(&mut self.last);
        }
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
        &labels(&[("version", env!("CARGO_PKG_VERSION").to_owned())]),
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
        match &metric.value {
            Value::Distribution(shown) => page.histogram(&name, metric.help, shown),
            Value::Number(value) => page.gauge(&Line {
                name: &name,
                help: metric.help,
                labels: &labels(&metric.tags),
                value: *value,
            }),
        }
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

/// With the braces; empty when there are none.
fn labels(tags: &[(&str, String)]) -> String {
    let label = |(key, value): &(&str, String)| {
        let escaped = value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        format!("{key}=\"{escaped}\"")
    };
    match tags {
        [] => String::new(),
        tags => format!("{{{}}}", tags.iter().map(label).collect::<Vec<_>>().join(",")),
    }
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
            tags: tag
                .map(|tag| ("logDirectory", tag.to_owned()))
                .into_iter()
                .collect(),
            value: Value::Number(value),
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
    fn a_histogram_is_shown_as_prometheus_reads_it() {
        let shown = Distribution {
            buckets: vec![(0.005, 1), (1.0, 3), (f64::INFINITY, 4)],
            sum: 62.5,
        };
        let metric = Metric {
            value: Value::Distribution(shown),
            ..metric("LeaderElectionTime", None, 0.0)
        };
        let watched = Watched {
            kafkas: Box::new(move || vec![metric.clone()]),
            ..watched(Vec::new())
        };
        let text = metrics(&watched);
        let name = "kafka_log_logcleanermanager_leaderelectiontime";
        let expected = format!(
            "# HELP {name} What it is.\n# TYPE {name} histogram\n{name}_bucket{{le=\"0.005\"}} 1\n\
             {name}_bucket{{le=\"1\"}} 3\n{name}_bucket{{le=\"+Inf\"}} 4\n{name}_sum 62.5\n{name}_count 4\n"
        );
        assert!(text.ends_with(&expected), "{text}");
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
