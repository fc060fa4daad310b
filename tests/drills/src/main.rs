//! `drill [NAME...] [control] [--seconds N] [--out FOLDER]`: runs drills, one after the other, each with a cluster of its own.
//! Without names all of them, and the control run, which passes when a drill fails that has to.
//!
//! Exit status: 0 when all passed, 1 when one did not, 2 for a wrong command line, 77 when nothing was run because this is not root, or may not what it needs.

use milena_drills::binary;
use milena_drills::control;
use milena_drills::drills::{DRILLS, Drill, Options};
use milena_drills::report::Report;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NOT_RUN: u8 = 77;

struct Arguments {
    drills: Vec<&'static Drill>,
    /// The control run, too.
    control: bool,
    options: Options,
    out: PathBuf,
}

fn main() -> ExitCode {
    let arguments = match arguments(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}\n\n{}", usage());
            return ExitCode::from(2);
        }
    };
    if !is_root() {
        eprintln!("NOT RUN: only root can make network namespaces and mount disks");
        return ExitCode::from(NOT_RUN);
    }
    if let Err(reason) = milena_drills::may_run() {
        eprintln!("NOT RUN: this machine cannot hold a drill: {reason}");
        return ExitCode::from(NOT_RUN);
    }
    if !binary().is_file() {
        eprintln!(
            "{} is not there: build milena, or set MILENA_BIN",
            binary().display()
        );
        return ExitCode::from(2);
    }
    milena_drills::step_back();
    let mut failed = Vec::new();
    for drill in &arguments.drills {
        eprintln!("{}: {}", drill.name, drill.about);
        let mut report = (drill.run)(&arguments.options);
        name(&mut report, drill.name);
        report.mutant.clone_from(&arguments.options.mutant);
        match report.write(&arguments.out) {
            Ok(file) => println!("{}\n  {}", report.summary(), file.display()),
            Err(error) => {
                println!("{}\n  no report: {error}", report.summary());
                failed.push(drill.name);
            }
        }
        if !report.passes() {
            failed.push(drill.name);
        }
    }
    if arguments.control {
        match control::run(arguments.options.time, &arguments.out) {
            Ok(line) => println!("{line}"),
            Err(error) => {
                println!("control: fail: {error}");
                failed.push("control");
            }
        }
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("FAILED: {}", failed.join(" "));
    ExitCode::FAILURE
}

fn usage() -> String {
    let mut text = "drill [NAME...] [control] [--seconds N] [--out FOLDER] [--mutant RULE]\n".to_owned();
    for drill in DRILLS {
        text.push_str(&format!("  {:4} {}\n", drill.name, drill.about));
    }
    text
}

fn arguments(given: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let (mut drills, mut seconds, mut out) = (Vec::new(), 30, PathBuf::from("drill-reports"));
    let (mut control, mut mutant) = (false, None);
    let mut given = given.peekable();
    while let Some(word) = given.next() {
        let mut value = || given.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--seconds" => seconds = value()?.parse().map_err(|error| format!("--seconds: {error}"))?,
            "--out" => out = PathBuf::from(value()?),
            "--mutant" => mutant = Some(value()?),
            "control" => control = true,
            "-h" | "--help" => return Err("drills with real processes".to_owned()),
            name => {
                let named = DRILLS.iter().find(|drill| drill.name.eq_ignore_ascii_case(name));
                drills.push(named.ok_or_else(|| format!("there is no drill {name}"))?);
            }
        }
    }
    if drills.is_empty() && !control {
        drills.extend(DRILLS);
        control = true;
    }
    let options = Options {
        time: Duration::from_secs(seconds),
        mutant,
    };
    Ok(Arguments {
        drills,
        control,
        options,
        out,
    })
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

fn name(report: &mut Report, drill: &str) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    report.drill = drill.to_owned();
    report.run_id = format!("{drill}-{now}-{}", std::process::id());
    let commit = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .output();
    let commit = commit.ok().filter(|done| done.status.success());
    report.git = commit.map_or_else(String::new, |done| {
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    });
}
