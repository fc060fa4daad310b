//! One node's process.

use crate::Outcome;
use crate::command::run;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How much less of the processor the clients get than the nodes. A librdkafka producer that waits for an answer while more is to be sent
/// asks its sockets without a pause, which on two cores would starve the nodes just when they have an election to hold.
const POLITE: u8 = 10;

/// Makes this process, and whatever thread it starts from now on, step back.
pub fn step_back() {
    // Whoever may not is no worse off than before.
    let _ = run(
        "renice",
        &["-n", &POLITE.to_string(), "-p", &std::process::id().to_string()],
    );
}

/// What the system says of a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Resident memory.
    pub rss_bytes: u64,
    /// Open descriptors.
    pub descriptors: u64,
}

/// A node's process in its namespace.
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Starts one; its output is appended to `log`.
    pub(super) fn start(
        space: &str,
        config: &Path,
        log: &Path,
        environment: &[(String, String)],
    ) -> Outcome<Self> {
        let told = |error: std::io::Error| format!("{}: {error}", log.display());
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(told)?;
        // Not `ip netns exec`: that one makes a mount namespace too, which would hold the mounts of all disks.
        let child = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{space}"))
            // They end with this process, however it ends.
            .args(["setpriv", "--pdeathsig", "KILL"])
            .args(["nice", "-n", &format!("-{POLITE}")])
            .arg(binary())
            .arg("server")
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(out.try_clone().map_err(told)?)
            .stderr(out)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(environment.iter().cloned())
            .spawn()
            .map_err(|error| format!("nsenter: {error}"))?;
        Ok(Self { child })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, when it has ended.
    pub(super) fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Sends a signal by its name.
    pub(super) fn signal(&self, name: &str) -> Outcome<()> {
        run("kill", &["-s", name, &self.pid().to_string()]).map(drop)
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) -> Outcome<()> {
        self.child.kill().map_err(|error| format!("kill: {error}"))
    }

    /// Waits for the end of one that was killed.
    pub(super) fn reap(mut self) -> Outcome<()> {
        self.child
            .wait()
            .map(drop)
            .map_err(|error| format!("wait: {error}"))
    }

    pub(super) fn figures(&self) -> Figures {
        let proc = PathBuf::from(format!("/proc/{}", self.pid()));
        let status = std::fs::read_to_string(proc.join("status")).unwrap_or_default();
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = rss.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        let open = std::fs::read_dir(proc.join("fd")).map_or(0, Iterator::count);
        Figures {
            rss_bytes: kib.unwrap_or(0) * 1024,
            descriptors: u64::try_from(open).unwrap_or(0),
        }
    }
}

/// Runs the program under test as a tool; what it printed.
///
/// # Errors
/// When it fails.
pub fn tool(arguments: &[&str]) -> Outcome<String> {
    run(&binary().display().to_string(), arguments)
}

/// The program under test: `MILENA_BIN`, or `milena` beside this program.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("MILENA_BIN") {
        return PathBuf::from(path);
    }
    let beside = std::env::current_exe().unwrap_or_default();
    beside.parent().unwrap_or(Path::new(".")).join("milena")
}
