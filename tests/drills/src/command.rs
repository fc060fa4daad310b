//! The system's own tools, run to their end; what they said when they fail.

use crate::Outcome;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Runs a program; what it printed.
///
/// # Errors
/// When it cannot be started or fails: the whole command line and what it said.
pub fn run(program: &str, arguments: &[&str]) -> Outcome<String> {
    run_with(program, arguments, "")
}

/// Likewise, with `input` on its standard input.
///
/// # Errors
/// As [`run`].
pub fn run_with(program: &str, arguments: &[&str], input: &str) -> Outcome<String> {
    let line = || format!("{program} {}", arguments.join(" "));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", line()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input may be gone already.
        let _ = stdin.write_all(input.as_bytes());
    }
    let done = child
        .wait_with_output()
        .map_err(|error| format!("{}: {error}", line()))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !done.status.success() {
        let (out, err) = (said(&done.stdout), said(&done.stderr));
        return Err(format!("{}: {}: {out} {err}", line(), done.status));
    }
    Ok(said(&done.stdout))
}
