//! A cluster of real processes on this machine.

use crate::metrics::{ask, value_of};
use crate::ports::free_ports;
use crate::wait::until;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SIGKILL: i32 = 9;

/// What differs between test clusters.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// More `key=value` lines for every node's properties.
    pub extra: Vec<(String, String)>,
    /// Log directories of each broker besides the one of the metadata; 0: partitions are there too.
    pub data_dirs: usize,
}

impl Settings {
    /// Gives each broker that many log directories besides the one of the metadata.
    #[must_use]
    pub fn with_data_dirs(mut self, count: usize) -> Self {
        self.data_dirs = count;
        self
    }

    /// Adds one property; `{id}` in it is the node's.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.extra.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// Running nodes with their data in a temporary directory; dropping it kills them.
pub struct Cluster {
    dir: tempfile::TempDir,
    client_ports: BTreeMap<i32, u16>,
    controller_ports: BTreeMap<i32, u16>,
    admin_ports: BTreeMap<i32, u16>,
    running: BTreeMap<i32, Child>,
    settings: Settings,
    keep: bool,
}

impl Cluster {
    /// Starts nodes 1 to `n`, each of them broker and controller, and waits until all of them are in the cluster's metadata.
    ///
    /// # Panics
    /// When a node does not come up within its deadline; the panic shows the end of its log.
    #[must_use]
    pub fn start(n: i32, settings: Settings) -> Self {
        let ids: Vec<i32> = (1..=n).collect();
        Self::start_roles(&ids, &ids, settings)
    }

    /// Starts brokers 1 to `brokers` and, as processes of their own, controllers from 101 on.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_separate(brokers: i32, controllers: i32, settings: Settings) -> Self {
        let brokers: Vec<i32> = (1..=brokers).collect();
        let controllers: Vec<i32> = (101..101 + controllers).collect();
        Self::start_roles(&brokers, &controllers, settings)
    }

    fn start_roles(brokers: &[i32], controllers: &[i32], settings: Settings) -> Self {
        let all: BTreeSet<i32> = brokers.iter().chain(controllers).copied().collect();
        let all: Vec<i32> = all.into_iter().collect();
        let ports = free_ports(brokers.len() + controllers.len() + all.len());
        let (client_ports, ports) = ports.split_at(brokers.len());
        let (controller_ports, admin_ports) = ports.split_at(controllers.len());
        let named = |ids: &[i32], ports: &[u16]| ids.iter().copied().zip(ports.iter().copied()).collect();
        let mut cluster = Self {
            dir: tempfile::Builder::new()
                .prefix("milena-test")
                .tempdir()
                .expect("temporary directory"),
            client_ports: named(brokers, client_ports),
            controller_ports: named(controllers, controller_ports),
            admin_ports: named(&all, admin_ports),
            running: BTreeMap::new(),
            settings,
            keep: std::env::var_os("MILENA_TEST_KEEP").is_some(),
        };
        for id in cluster.all_ids() {
            cluster.start_node(id);
        }
        cluster.wait_brokers(brokers.len());
        cluster
    }

    /// One row of a node's metrics, named with its labels; `None` when there is no such row.
    ///
    /// # Panics
    /// When the node does not tell its metrics.
    #[must_use]
    pub fn metric(&self, id: i32, row: &str) -> Option<f64> {
        let page = ask(&self.admin_address(id), "/metrics");
        let page = page.unwrap_or_else(|| panic!("node {id} does not tell its metrics"));
        value_of(&page, row)
    }

    fn admin_address(&self, id: i32) -> String {
        format!("127.0.0.1:{}", self.admin_ports[&id])
    }

    /// The bootstrap string.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.client_ports
            .values()
            .map(|p| format!("127.0.0.1:{p}"))
            .collect::<Vec<_>>()
            .join(",")
    }

    /// One node's client address.
    #[must_use]
    pub fn address(&self, id: i32) -> String {
        format!("127.0.0.1:{}", self.client_ports[&id])
    }

    /// The brokers' node ids.
    #[must_use]
    pub fn ids(&self) -> Vec<i32> {
        self.client_ports.keys().copied().collect()
    }

    fn all_ids(&self) -> BTreeSet<i32> {
        let ids = self.client_ports.keys().chain(self.controller_ports.keys());
        ids.copied().collect()
    }

    /// A node's log directory.
    #[must_use]
    pub fn log_dir(&self, id: i32) -> PathBuf {
        self.dir.path().join(format!("node-{id}"))
    }

    /// A broker's log directory of that number, of those besides the metadata's.
    #[must_use]
    pub fn data_dir(&self, id: i32, number: usize) -> PathBuf {
        self.dir.path().join(format!("node-{id}-data-{number}"))
    }

    /// The directories in which a broker may keep partitions.
    #[must_use]
    pub fn log_dirs(&self, id: i32) -> Vec<PathBuf> {
        match self.settings.data_dirs {
            0 => vec![self.log_dir(id)],
            count => (0..count).map(|number| self.data_dir(id, number)).collect(),
        }
    }

    /// Where a broker keeps a partition, if it does.
    #[must_use]
    pub fn partition_dir(&self, id: i32, topic: &str, partition: i32) -> Option<PathBuf> {
        let name = format!("{topic}-{partition}");
        let mut dirs = self.log_dirs(id).into_iter().map(|dir| dir.join(&name));
        dirs.find(|dir| dir.is_dir())
    }

    /// The closed segments of partition 0 of a topic on a broker, in order.
    ///
    /// # Panics
    /// When the broker has no directory of it.
    #[must_use]
    pub fn closed_segments(&self, id: i32, topic: &str) -> Vec<PathBuf> {
        let dir = self.partition_dir(id, topic, 0).expect("the partition is here");
        let entries = std::fs::read_dir(dir).expect("read").flatten();
        let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
        let mut logs: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_log).collect();
        logs.sort();
        logs.pop();
        logs
    }

    /// A node's output.
    #[must_use]
    pub fn log_file(&self, id: i32) -> PathBuf {
        self.dir.path().join(format!("node-{id}.log"))
    }

    /// A running node's process id.
    #[must_use]
    pub fn pid(&self, id: i32) -> Option<u32> {
        self.running.get(&id).map(Child::id)
    }

    /// Starts a node that is not running.
    ///
    /// # Panics
    /// When the process cannot be spawned.
    pub fn start_node(&mut self, id: i32) {
        assert!(!self.running.contains_key(&id), "node {id} is running");
        let config = self.dir.path().join(format!("node-{id}.properties"));
        std::fs::write(&config, self.properties(id)).expect("write the properties");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file(id))
            .expect("open the log file");
        let child = Command::new(binary())
            .arg("server")
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("clone the log file"))
            .stderr(log)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .spawn()
            .expect("spawn milena");
        self.running.insert(id, child);
    }

    /// Starts a node and waits until it says that it is ready. Only then the others' metadata cannot be that of before it ended,
    /// which it is for as long as no controller is active.
    ///
    /// # Panics
    /// When it is not ready within a minute.
    pub fn start_ready(&mut self, id: i32) {
        let said = |cluster: &Self| {
            let text = std::fs::read_to_string(cluster.log_file(id)).unwrap_or_default();
            text.lines().filter(|line| line.contains("node ready")).count()
        };
        let before = said(self);
        self.start_node(id);
        until("the node to be ready", Duration::from_secs(60), || {
            (said(self) > before).then_some(())
        });
    }

    /// SIGKILL, and waits until the process is gone.
    ///
    /// # Panics
    /// When the node had ended before, which nobody asked of it.
    pub fn kill(&mut self, id: i32) {
        let ended = self.end(id);
        assert!(ended.is_none(), "{}", ended.unwrap_or_default());
    }

    /// SIGKILL for a node that runs; what is wrong with it when it had ended by itself, or cannot be killed.
    fn end(&mut self, id: i32) -> Option<String> {
        let mut child = self.running.remove(&id)?;
        let before = child.try_wait();
        let killed = child.kill().and_then(|()| child.wait());
        match (before, killed) {
            // It may have been ending when it was asked.
            (Ok(None), Ok(status)) if status.signal() == Some(SIGKILL) => None,
            wrong => Some(format!(
                "node {id} had ended by itself: {wrong:?}\n{}",
                self.tail(id)
            )),
        }
    }

    /// Runs the program with other arguments, as a tool; what it printed.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn tool(&self, arguments: &[&str]) -> String {
        let ran = Command::new(binary())
            .args(arguments)
            .output()
            .expect("run the tool");
        let (out, err) = (
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr),
        );
        assert!(ran.status.success(), "{arguments:?}: {out}{err}");
        out.into_owned()
    }

    /// Sends a signal to a running node, by the signal's name.
    ///
    /// # Panics
    /// When the node does not run, or there is no such signal.
    pub fn signal(&self, id: i32, name: &str) {
        let pid = self.pid(id).expect("a running node").to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.is_ok_and(|s| s.success()), "kill -s {name}");
    }

    /// SIGTERM, and waits for the exit.
    ///
    /// # Panics
    /// When it takes longer than `deadline` or fails.
    pub fn stop(&mut self, id: i32, deadline: Duration) {
        if !self.running.contains_key(&id) {
            return;
        }
        self.signal(id, "TERM");
        let Some(mut child) = self.running.remove(&id) else {
            return;
        };
        let status = until("exit after SIGTERM", deadline, || child.try_wait().ok().flatten());
        assert!(
            status.success(),
            "node {id} exited with {status}\n{}",
            self.tail(id)
        );
    }

    /// The active controller's node id, as `milena quorum` tells.
    #[must_use]
    pub fn controller(&self) -> Option<i32> {
        let voters = self
            .controller_ports
            .values()
            .map(|p| format!("127.0.0.1:{p}"))
            .collect::<Vec<_>>()
            .join(",");
        let out = Command::new(binary())
            .args(["quorum", "--controllers", &voters, "--leader"])
            .output()
            .ok()?;
        String::from_utf8_lossy(&out.stdout).trim().parse().ok()
    }

    /// Waits until a client sees `n` live brokers.
    ///
    /// # Panics
    /// After 30 s.
    pub fn wait_brokers(&self, n: usize) {
        let what = format!("{n} live brokers");
        let start = std::time::Instant::now();
        loop {
            if crate::admin::live_brokers(&self.bootstrap()) == n {
                return;
            }
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "not within 30 s: {what}\n{}",
                self.tails()
            );
        }
    }

    /// The last lines of every node's output.
    #[must_use]
    pub fn tails(&self) -> String {
        self.all_ids().iter().fold(String::new(), |mut text, id| {
            let _ = writeln!(text, "--- node {id}\n{}", self.tail(*id));
            text
        })
    }

    fn tail(&self, id: i32) -> String {
        let text = std::fs::read_to_string(self.log_file(id)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn properties(&self, id: i32) -> String {
        let n = self.client_ports.len();
        let voters: Vec<String> = self
            .controller_ports
            .iter()
            .map(|(i, p)| format!("{i}@127.0.0.1:{p}"))
            .collect();
        let (mut roles, mut listeners) = (Vec::new(), Vec::new());
        if let Some(port) = self.client_ports.get(&id) {
            roles.push("broker");
            listeners.push(format!("PLAINTEXT://127.0.0.1:{port}"));
        }
        if let Some(port) = self.controller_ports.get(&id) {
            roles.push("controller");
            listeners.push(format!("CONTROLLER://127.0.0.1:{port}"));
        }
        let dirs = self.log_dirs(id);
        let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
        let mut text = format!(
            "process.roles={roles}\nnode.id={id}\ncontroller.quorum.voters={voters}\n\
             controller.listener.names=CONTROLLER\nlisteners={listeners}\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
             metadata.log.dir={metadata}\nlog.dirs={dirs}\n\
             num.partitions=4\ndefault.replication.factor={rf}\nmin.insync.replicas={isr}\n\
             offsets.topic.replication.factor={rf}\ntransaction.state.log.replication.factor={rf}\n\
             transaction.state.log.min.isr={isr}\ngroup.initial.rebalance.delay.ms=0\nauto.create.topics.enable=true\n",
            voters = voters.join(","),
            roles = roles.join(","),
            listeners = listeners.join(","),
            metadata = self.log_dir(id).display(),
            dirs = dirs.join(","),
            rf = n.min(3),
            isr = if n < 3 { 1 } else { 2 },
        );
        let _ = writeln!(text, "milena.admin.listen={}", self.admin_address(id));
        for (key, value) in &self.settings.extra {
            let _ = writeln!(text, "{key}={}", value.replace("{id}", &id.to_string()));
        }
        text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let wrong: Vec<String> = self.all_ids().into_iter().filter_map(|id| self.end(id)).collect();
        let failed = std::thread::panicking();
        if self.keep || failed || !wrong.is_empty() {
            self.dir.disable_cleanup(true);
            eprintln!("nodes' data and logs are kept in {}", self.dir.path().display());
        }
        assert!(failed || wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// The program under test: `MILENA_BIN`, or `milena` beside the test's own folder.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("MILENA_BIN") {
        return PathBuf::from(path);
    }
    let exe = std::env::current_exe().unwrap_or_default();
    let profile = exe
        .parent()
        .and_then(Path::parent)
        .map(Path::to_path_buf)
        .unwrap_or_default();
    profile.join("milena")
}
