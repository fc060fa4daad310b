//! The known name that is nearest to an unknown one.

use milena_metadata::config::broker::all_keys;

/// The nearest known key, if one is near enough to be meant.
pub(super) fn nearest(unknown: &str) -> Option<&'static str> {
    let lower = unknown.to_ascii_lowercase();
    // A topic's key in the server's file: its broker synonym mostly begins with `log.`.
    let prefixed = format!("log.{lower}");
    if let Some(spec) = milena_metadata::config::broker::lookup(&prefixed) {
        return Some(spec.name);
    }
    let limit = (unknown.len() / 4).max(2);
    let candidates = all_keys().map(|spec| (distance(&lower, spec.name), spec.name));
    candidates
        .min()
        .filter(|(distance, _)| *distance <= limit)
        .map(|(_, name)| name)
}

/// Damerau's restricted edit distance in bytes: insert, delete, replace, swap of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            row[j + 1] = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            let is_swap = i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y;
            if is_swap {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_pen_find_the_key_that_was_meant() {
        let cases = [
            ("log.dris", Some("log.dirs")),
            ("advertised.listener", Some("advertised.listeners")),
            ("min.insync.replica", Some("min.insync.replicas")),
            ("retention.ms", Some("log.retention.ms")),
            ("Node.ID", Some("node.id")),
            ("num.partition", Some("num.partitions")),
            ("something.completely.different", None),
            ("x", None),
        ];
        for (unknown, expected) in cases {
            assert_eq!(nearest(unknown), expected, "{unknown}");
        }
    }
}
