//! The control run: a drill against nodes that have a rule switched off. It must fail, by the invariant that the rule is for; a judge that has
//! never found anybody guilty proves nothing.

use crate::Outcome;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The rule: a replica counts what it has not flushed.
pub const MUTANT: &str = "ack-before-fsync";
/// The drill that must notice: the power of all is cut.
const DRILL: &str = "D7";
/// What it must find broken.
const BROKEN: &str = "I1 acked-never-lost";

/// The program with the feature `mutants`: `MILENA_MUTANTS_BIN`, or `mutants/release/milena` in the target directory.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("MILENA_MUTANTS_BIN") {
        return PathBuf::from(path);
    }
    let beside = std::env::current_exe().unwrap_or_default();
    let target = beside.parent().and_then(Path::parent).unwrap_or(Path::new("."));
    target.join("mutants/release/milena")
}

/// Runs the drill in a process of its own against that program; the line to print.
///
/// # Errors
/// When the drill passes, or fails for another reason.
pub fn run(time: Duration, out: &Path) -> Outcome<String> {
    if !binary().is_file() {
        return Err(format!(
            "{} is not there: build milena-cli with --features mutants",
            binary().display()
        ));
    }
    let folder = out.join("control");
    let _ = std::fs::remove_dir_all(&folder);
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let ran = Command::new(own)
        .args([
            DRILL,
            "--mutant",
            MUTANT,
            "--seconds",
            &time.as_secs().to_string(),
            "--out",
        ])
        .arg(&folder)
        .env("MILENA_BIN", binary())
        .status()
        .map_err(|error| error.to_string())?;
    let report = the_report(&folder)?;
    let lost = report["ops"]["lost"].as_u64().unwrap_or(0);
    let found = report["invariants"]
        .as_array()
        .is_some_and(|all| all.iter().any(|one| one["id"] == BROKEN && one["pass"] == false));
    match (ran.code(), found) {
        (Some(1), true) => Ok(format!(
            "control: pass: {DRILL} failed with {MUTANT}, as it must: {lost} acknowledged records lost"
        )),
        (code, _) => Err(format!(
            "{DRILL} with {MUTANT} ended with {code:?} and did not find {BROKEN} broken"
        )),
    }
}

fn the_report(folder: &Path) -> Outcome<Value> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let file = entries.flatten().next().ok_or("no report")?.path();
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))
}
