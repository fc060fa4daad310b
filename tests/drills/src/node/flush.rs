//! One flush that fails, by a tracer that answers it in the kernel's place.

use crate::Outcome;
use milena_cluster_tests::wait;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The flush comes within this time, under load.
const PATIENCE: Duration = Duration::from_secs(20);

/// The next `fdatasync` or `fsync` of a segment in that directory fails with EIO without being done; later ones are as they were.
///
/// # Errors
/// When strace cannot trace the process, or no such flush comes.
pub fn fail_one_flush(pid: u32, partition: &Path) -> Outcome<()> {
    let told = |error: std::io::Error| format!("strace: {error}");
    let segments = std::fs::read_dir(partition)
        .map_err(told)?
        .flatten()
        .map(|entry| entry.path());
    let mut segments: Vec<_> = segments
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    segments.sort();
    let active = segments.pop().ok_or("no segment")?;
    let said = tempfile::NamedTempFile::new().map_err(told)?;
    // The count is each thread's own, and one thread flushes a directory.
    let mut tracer = Command::new("strace")
        .args(["-f", "-p", &pid.to_string(), "-P", &active.display().to_string()])
        .args([
            "-e",
            "trace=fdatasync,fsync",
            "-e",
            "inject=fdatasync,fsync:error=EIO:when=1",
        ])
        .arg("-o")
        .arg(said.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(told)?;
    let injected = wait("the tracer to end or to fail a flush", PATIENCE, || {
        let ended = tracer.try_wait().is_ok_and(|ended| ended.is_some());
        let text = std::fs::read_to_string(said.path()).unwrap_or_default();
        match text.contains("(INJECTED)") {
            true => Some(Ok(())),
            false => ended.then(|| Err(format!("strace: no flush of {}: {text}", active.display()))),
        }
    });
    // SIGTERM: it detaches first.
    let _ = Command::new("kill").arg(tracer.id().to_string()).status();
    let _ = tracer.wait();
    injected?
}
