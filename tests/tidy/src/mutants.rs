//! The rules that a test may switch off stay in every binary that is given away: nothing enables the feature `mutants` by itself.

use crate::Violation;

/// The name of the feature, in each crate that has it.
const FEATURE: &str = "mutants";

/// Finds what would bring the feature into a build that did not ask for it: in a manifest anything but a feature of that name, in
/// `deploy/` and in the step that builds the binary any word of features or of it, in `tests/run.sh` a release with it in the folder of the others.
#[must_use]
pub fn enabled_mutants(path: &str, text: &str) -> Vec<Violation> {
    let found: Vec<(usize, &str)> = if path == "Cargo.toml" || path.ends_with("/Cargo.toml") {
        in_manifest(text)
    } else if path.starts_with("deploy/") || path.starts_with(".ci/") {
        lines(text).filter(|(_, line)| names_it(line)).collect()
    } else if path == "tests/run.sh" {
        in_steps(text)
    } else {
        Vec::new()
    };
    let violation = |(at, line): (usize, &str)| {
        let text = format!("'{}' may bring {FEATURE} into a binary", line.trim());
        Violation::new(path, at, text)
    };
    found.into_iter().map(violation).collect()
}

/// Lines that say something, from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    numbered.filter(|(_, line)| !line.trim_start().starts_with('#'))
}

fn names_it(line: &str) -> bool {
    line.contains(FEATURE) || line.contains("--all-features")
}

/// A feature of that name may be there, and hand itself on; nobody may ask for it.
fn in_manifest(text: &str) -> Vec<(usize, &str)> {
    let (mut in_features, mut own) = (false, false);
    let mut found = Vec::new();
    for (at, line) in lines(text) {
        let trimmed = line.trim();
        if trimmed.starts_with('[') && trimmed.ends_with(']') && !trimmed.contains('=') {
            (in_features, own) = (trimmed == "[features]", false);
            continue;
        }
        if let Some((key, _)) = trimmed.split_once('=') {
            own = in_features && key.trim() == FEATURE;
        }
        if names_it(line) && !own {
            found.push((at, line));
        }
    }
    found
}

fn in_steps(text: &str) -> Vec<(usize, &str)> {
    let mut builds = false;
    let mut found = Vec::new();
    for (at, line) in lines(text) {
        if line.starts_with("step_") {
            builds = line.starts_with("step_build()");
        }
        let asks = names_it(line) || line.contains("--features");
        let among_releases = line.contains("--release") && !line.contains("--target-dir");
        if asks && (builds || among_releases) {
            found.push((at, line));
        }
        if line.starts_with('}') {
            builds = false;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str, text: &str) -> Vec<usize> {
        enabled_mutants(path, text)
            .iter()
            .map(|found| found.line)
            .collect()
    }

    #[test]
    fn a_manifest_may_have_the_feature_and_not_ask_for_it() {
        let own = "[features]\n# mutants, for tests\nmutants = [\"milena-types/mutants\",\n  \"milena-node/mutants\"]\n";
        assert_eq!(at("crates/node/Cargo.toml", own), [] as [usize; 0]);
        let by_default = format!("{own}default = [\"mutants\"]\n");
        assert_eq!(at("crates/node/Cargo.toml", &by_default), [5]);
        let by_another = "[features]\nfast = [\"milena-types/mutants\"]\n";
        assert_eq!(at("tests/sim/Cargo.toml", by_another), [2]);
        let inline = "[dependencies]\nmilena-types = { path = \"../types\", features = [\"mutants\"] }\n";
        assert_eq!(at("crates/cli/Cargo.toml", inline), [2]);
        assert_eq!(
            at(
                "Cargo.toml",
                "[workspace.dependencies]\nt = { features = [\"mutants\"] }"
            ),
            [2]
        );
        let table = "[dependencies.milena-types]\npath = \"../types\"\nfeatures = [\"mutants\"]\n";
        assert_eq!(at("tests/cluster/Cargo.toml", table), [3]);
        let as_a_key = "[dependencies]\nmutants = { path = \"x\" }\n";
        assert_eq!(at("crates/cli/Cargo.toml", as_a_key), [2]);
    }

    #[test]
    fn what_is_given_away_is_built_without_it() {
        let build = "RUN cargo build --release -p milena-cli\n# no mutants here\n";
        assert_eq!(at("deploy/Dockerfile", build), [] as [usize; 0]);
        assert_eq!(
            at("deploy/Dockerfile", "RUN cargo build --features mutants\n"),
            [1]
        );
        assert_eq!(at("deploy/x.sh", "cargo build --all-features\n"), [1]);
        let step = "step_build() {\n  cargo build --features x -p milena-cli\n}\nstep_mutants() {\n  \
                    cargo run --profile sim --features mutants\n  cargo run --release --features mutants\n  cargo run --release --target-dir t --features mutants\n}\n";
        assert_eq!(at("tests/run.sh", step), [2, 6]);
        assert_eq!(at("tests/mutants/run.py", "--release mutants"), [] as [usize; 0]);
    }
}
