//! Which crate may depend on which: a table, read against every `Cargo.toml`. An edge is added by review.

use crate::Violation;

/// (crate, the crates of this workspace that it may name). A crate that is not here may name none.
pub const ALLOWED_EDGES: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("metrics", &[]),
    ("record", &["types"]),
    ("metadata", &["types"]),
    ("replication", &["types"]),
    ("coordinator", &["types"]),
    ("wire", &["types"]),
    ("log", &["types", "record"]),
    ("rpc", &["types", "metadata"]),
    ("controller", &["types", "metrics", "metadata", "rpc"]),
    (
        "broker",
        &[
            "types",
            "metrics",
            "record",
            "metadata",
            "replication",
            "coordinator",
            "log",
            "wire",
            "rpc",
        ],
    ),
    (
        "node",
        &[
            "types",
            "metrics",
            "record",
            "metadata",
            "replication",
            "coordinator",
            "log",
            "wire",
            "rpc",
            "controller",
            "broker",
        ],
    ),
    ("cli", &["types", "node"]),
];

/// Crates without tokio, files, network, clock and randomness: values in, values out.
const PURE: &[&str] = &[
    "types",
    "metrics",
    "record",
    "metadata",
    "replication",
    "coordinator",
    "wire",
];

/// What a pure crate must not depend on.
const IMPURE_PACKAGES: &[&str] = &[
    "tokio",
    "tokio-util",
    "tonic",
    "hyper",
    "rustix",
    "socket2",
    "rocksdb",
    "openraft",
    "rand",
    "tracing-subscriber",
];

/// What a pure crate must not write.
const IMPURE_USES: &[&str] = &[
    "std::fs",
    "std::net",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "std::process",
    "std::env::",
];

/// (package, the only crates that may name it).
const RESERVED: &[(&str, &[&str])] = &[
    ("openraft", &["controller"]),
    ("rocksdb", &["controller"]),
    ("kafka-protocol", &["wire"]),
    ("memmap2", &["log"]),
    ("tonic-prost-build", &["rpc"]),
    ("clap", &["cli"]),
];

/// Checks the dependencies of one manifest of `crates/`. Dev-dependencies may name any crate below.
#[must_use]
pub fn forbidden_dependencies(path: &str, manifest: &str) -> Vec<Violation> {
    let Some(name) = path
        .strip_prefix("crates/")
        .and_then(|rest| rest.strip_suffix("/Cargo.toml"))
    else {
        return Vec::new();
    };
    let allowed = ALLOWED_EDGES
        .iter()
        .find(|(from, _)| *from == name)
        .map(|(_, to)| *to);
    let mut violations = Vec::new();
    if allowed.is_none() {
        violations.push(Violation::new(
            path,
            0,
            format!("crate {name} is not in the table of allowed edges"),
        ));
    }
    for (line, package) in dependencies(manifest) {
        if let Some(to) = package.strip_prefix("milena-")
            && !allowed.unwrap_or_default().contains(&to)
        {
            violations.push(Violation::new(
                path,
                line,
                format!("{name} may not depend on {to}"),
            ));
        }
        if PURE.contains(&name) && IMPURE_PACKAGES.contains(&package) {
            violations.push(Violation::new(
                path,
                line,
                format!("{name} is pure and may not depend on {package}"),
            ));
        }
        if let Some((_, only)) = RESERVED.iter().find(|(reserved, _)| *reserved == package)
            && !only.contains(&name)
        {
            violations.push(Violation::new(
                path,
                line,
                format!("{package} is only for {}", only.join(", ")),
            ));
        }
    }
    violations
}

/// Package names of the normal, build and target dependencies, each with its line; of a renamed one the true name.
fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let (mut is_in_table, mut is_in_entry) = (false, false);
    let mut packages = Vec::new();
    for (at, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            let is_dev = section.contains("dev-dependencies");
            is_in_table = section.ends_with("dependencies") && !is_dev;
            is_in_entry = section.contains("dependencies.") && !is_dev;
            if let Some((_, package)) = section.split_once("dependencies.").filter(|_| !is_dev) {
                packages.push((at + 1, package));
            }
            continue;
        }
        let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
        if name.starts_with('#') {
            continue;
        }
        if is_in_table && !name.is_empty() {
            packages.push((at + 1, name));
        }
        if let Some(package) = renamed(line).filter(|_| is_in_table || is_in_entry) {
            packages.push((at + 1, package));
        }
    }
    packages
}

/// The true name in a line that gives a dependency another one.
fn renamed(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("package")?;
    let is_key = before.is_empty() || before.ends_with([' ', '{', ',']);
    let value = after
        .trim_start()
        .strip_prefix('=')?
        .trim_start()
        .strip_prefix('"')?;
    value.split('"').next().filter(|_| is_key)
}

/// Checks that a pure crate's source names no clock, file, network or thread; its tests may.
#[must_use]
pub fn impure_uses(path: &str, source: &str) -> Vec<Violation> {
    let mut parts = path.split('/');
    let is_pure = parts.next() == Some("crates")
        && parts.next().is_some_and(|name| PURE.contains(&name))
        && parts.next() == Some("src");
    let is_test = path.ends_with("_test.rs") || path.contains("/tests/") || path.ends_with("/tests.rs");
    if !is_pure || is_test || !path.ends_with(".rs") {
        return Vec::new();
    }
    let mut violations = Vec::new();
    for (at, line) in source.lines().enumerate() {
        if line.trim() == "#[cfg(test)]" {
            break;
        }
        let code = line.split("//").next().unwrap_or_default();
        for word in IMPURE_USES.iter().filter(|word| code.contains(**word)) {
            violations.push(Violation::new(
                path,
                at + 1,
                format!("{word} in a pure crate; pass it as an argument"),
            ));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_that_is_not_in_the_table_is_a_violation() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\nmilena-types.workspace = true\n\
                        milena-broker = { path = \"../broker\" }\n# tokio\ntokio.workspace = true\n\
                        [dev-dependencies]\nmilena-node.workspace = true\n[target.'cfg(unix)'.dependencies]\nrocksdb = \"1\"\n\
                        [dependencies.kafka-protocol]\nversion = \"1\"";
        let found = forbidden_dependencies("crates/metadata/Cargo.toml", manifest);
        let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "crates/metadata/Cargo.toml:5: metadata may not depend on broker",
                "crates/metadata/Cargo.toml:7: metadata is pure and may not depend on tokio",
                "crates/metadata/Cargo.toml:11: metadata is pure and may not depend on rocksdb",
                "crates/metadata/Cargo.toml:11: rocksdb is only for controller",
                "crates/metadata/Cargo.toml:12: kafka-protocol is only for wire",
            ]
        );
        assert_eq!(forbidden_dependencies("crates/new/Cargo.toml", "").len(), 1);
        assert!(forbidden_dependencies("tests/cluster/Cargo.toml", manifest).is_empty());
    }

    #[test]
    fn another_name_does_not_hide_an_edge() {
        let manifest = "[dependencies]\nhidden = { package = \"milena-broker\", path = \"../broker\" }\n\
                        [dependencies.other]\npackage = \"openraft\"\n[dev-dependencies]\nx = { package = \"rocksdb\" }";
        let found = forbidden_dependencies("crates/log/Cargo.toml", manifest);
        let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "crates/log/Cargo.toml:2: log may not depend on broker",
                "crates/log/Cargo.toml:4: openraft is only for controller",
            ]
        );
    }

    #[test]
    fn controller_and_broker_never_see_each_other_and_the_table_has_no_cycle() {
        let of = |name: &str| ALLOWED_EDGES.iter().find(|(from, _)| *from == name).unwrap().1;
        assert!(!of("broker").contains(&"controller") && !of("controller").contains(&"broker"));
        for (at, (name, to)) in ALLOWED_EDGES.iter().enumerate() {
            for target in *to {
                let below = ALLOWED_EDGES[..at].iter().any(|(from, _)| from == target);
                assert!(below, "{name} -> {target} does not point down");
            }
        }
    }

    #[test]
    fn a_clock_in_a_pure_crate_is_a_violation_and_in_its_tests_is_not() {
        let source = "//! std::fs in a comment\nlet now = Instant::now();\n#[cfg(test)]\nuse std::fs;";
        assert_eq!(impure_uses("crates/replication/src/a.rs", source).len(), 1);
        assert!(impure_uses("crates/log/src/a.rs", source).is_empty());
        assert!(impure_uses("crates/replication/src/a_test.rs", source).is_empty());
    }
}
