//! The nodes of one run: started, killed, stopped, cut off from their power.

use super::disk::Disk;
use super::layout::Layout;
use super::leftovers;
use super::power;
use super::process::{Figures, Process, tool};
use super::properties::{ADMIN_PORT, CLIENT_PORT, CONTROLLER_PORT, Place, properties};
use crate::Outcome;
use crate::command::run;
use crate::net::Network;
use crate::proxy::Proxies;
use milena_cluster_tests::{ask, metric, wait};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A node and the cluster around it are up within this time.
const START: Duration = Duration::from_secs(60);

/// Size of each disk.
const DISK_MEBIBYTES: u32 = 512;

/// Running nodes; dropping it kills them and removes network and disks.
pub struct Cluster {
    processes: BTreeMap<i32, Process>,
    /// By node: the one of its metadata, then those of its partitions.
    disks: BTreeMap<i32, Vec<Disk>>,
    /// Links, and the cuts in them.
    pub net: Network,
    /// In front of the nodes, when the layout has them.
    pub proxies: Option<Proxies>,
    layout: Layout,
    environment: Vec<(String, String)>,
    work: tempfile::TempDir,
}

impl Cluster {
    /// Makes network and disks, starts all nodes and waits until they are ready.
    ///
    /// # Errors
    /// When a tool of the system fails, or a node is not ready within a minute.
    pub fn start(layout: Layout, environment: Vec<(String, String)>) -> Outcome<Self> {
        leftovers::remove();
        let work = tempfile::Builder::new()
            .prefix(&leftovers::prefix())
            .tempdir()
            .map_err(|error| format!("temporary directory: {error}"))?;
        let nodes = layout.nodes();
        let net = Network::new(&nodes)?;
        let proxies = match layout.proxied {
            true => Some(Proxies::start(&net, &layout)?),
            false => None,
        };
        let mut disks = BTreeMap::new();
        for id in &nodes {
            let own: Outcome<Vec<Disk>> = (0..=layout.disks_of(*id))
                .map(|number| {
                    let name = format!("node-{id}-disk-{number}");
                    let image = work.path().join(format!("{name}.img"));
                    Disk::new(&image, &work.path().join(name), DISK_MEBIBYTES)
                })
                .collect();
            disks.insert(*id, own?);
        }
        let mut cluster = Self {
            processes: BTreeMap::new(),
            disks,
            net,
            proxies,
            layout,
            environment,
            work,
        };
        for id in nodes {
            cluster.start_node(id)?;
        }
        cluster.wait_ready(&cluster.layout.nodes())?;
        Ok(cluster)
    }

    /// What it was made as.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The brokers.
    #[must_use]
    pub fn brokers(&self) -> Vec<i32> {
        self.layout.brokers.clone()
    }

    /// `host:port` of a broker itself, without any proxy.
    #[must_use]
    pub fn address(&self, id: i32) -> String {
        format!("{}:{CLIENT_PORT}", self.net.address(id))
    }

    /// What clients are given.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        let all: Vec<String> = self
            .layout
            .brokers
            .iter()
            .map(|id| self.advertised(*id))
            .collect();
        all.join(",")
    }

    fn advertised(&self, id: i32) -> String {
        let proxied = self.proxies.as_ref().and_then(|proxies| proxies.of_broker(id));
        proxied.unwrap_or_else(|| self.address(id))
    }

    /// Brokers reach controllers through the proxies, controllers each other directly.
    fn voters(&self, node: i32) -> String {
        let voter = |id: &i32| match &self.proxies {
            Some(proxies) if self.layout.brokers.contains(&node) => {
                format!("{id}@{}", proxies.of_controller(*id))
            }
            _ => format!("{id}@{}:{CONTROLLER_PORT}", self.net.address(*id)),
        };
        let all: Vec<String> = self.layout.controllers.iter().map(voter).collect();
        all.join(",")
    }

    /// A node's disk of that number; 0 is the one with the metadata.
    #[must_use]
    pub fn disk(&self, id: i32, number: usize) -> &Disk {
        &self.disks[&id][number]
    }

    fn place(&self, id: i32) -> Place {
        let dir = |disk: &Disk| disk.path().join("data");
        let disks = &self.disks[&id];
        let log_dirs = match disks.len() {
            1 => vec![dir(&disks[0])],
            _ => disks[1..].iter().map(dir).collect(),
        };
        Place {
            id,
            address: self.net.address(id),
            advertised: self.advertised(id),
            voters: self.voters(id),
            metadata: dir(&disks[0]),
            log_dirs,
        }
    }

    /// The directories in which a broker keeps partitions.
    #[must_use]
    pub fn log_dirs(&self, id: i32) -> Vec<PathBuf> {
        match self.disks.contains_key(&id) {
            true => self.place(id).log_dirs,
            false => Vec::new(),
        }
    }

    /// Starts a node that does not run.
    ///
    /// # Errors
    /// When it runs, or the process cannot be started.
    pub fn start_node(&mut self, id: i32) -> Outcome<()> {
        if self.processes.contains_key(&id) {
            return Err(format!("node {id} is running"));
        }
        let config = self.work.path().join(format!("node-{id}.properties"));
        std::fs::write(&config, properties(&self.layout, &self.place(id)))
            .map_err(|error| format!("{}: {error}", config.display()))?;
        let process = Process::start(
            &self.net.space(id),
            &config,
            &self.log_file(id),
            &self.environment,
        )?;
        self.processes.insert(id, process);
        Ok(())
    }

    /// Waits until these nodes say that they are ready.
    ///
    /// # Errors
    /// When one is not within a minute; the end of its output.
    pub fn wait_ready(&self, nodes: &[i32]) -> Outcome<()> {
        for id in nodes {
            let ready = || ask(&self.admin_address(*id), "/ready").map(drop);
            wait(&format!("node {id} to be ready"), START, ready)
                .map_err(|error| format!("{error}\n{}", self.tail(*id)))?;
        }
        Ok(())
    }

    /// One row of a node's metrics, named with its labels.
    #[must_use]
    pub fn metric(&self, id: i32, row: &str) -> Option<f64> {
        metric(&self.admin_address(id), row)
    }

    fn admin_address(&self, id: i32) -> String {
        format!("{}:{ADMIN_PORT}", self.net.address(id))
    }

    /// SIGKILL to all of these at once, and waits until they are gone.
    ///
    /// # Errors
    /// When one does not run, or had ended by itself.
    pub fn kill(&mut self, nodes: &[i32]) -> Outcome<()> {
        let mut killed = self.take(nodes)?;
        killed.iter_mut().try_for_each(Process::kill)?;
        killed.into_iter().try_for_each(Process::reap)
    }

    /// Cuts the power of all of these at once. Their disks are mounted again, as after a start of the machine.
    ///
    /// # Errors
    /// When one does not run or had ended by itself, or a disk cannot be shut down or mounted again.
    pub fn cut_power(&mut self, nodes: &[i32]) -> Outcome<()> {
        let processes = self.take(nodes)?;
        let pids: Vec<u32> = processes.iter().map(Process::pid).collect();
        let disks: Vec<&Disk> = nodes.iter().flat_map(|id| &self.disks[id]).collect();
        power::shut_down(&pids, &disks)?;
        processes.into_iter().try_for_each(Process::reap)?;
        for disk in disks {
            disk.unmount()?;
            disk.mount()?;
        }
        Ok(())
    }

    fn take(&mut self, nodes: &[i32]) -> Outcome<Vec<Process>> {
        if let Some(ended) = self.ended() {
            return Err(ended);
        }
        let one = |id: &i32| {
            self.processes
                .remove(id)
                .ok_or_else(|| format!("node {id} does not run"))
        };
        nodes.iter().map(one).collect()
    }

    /// A node that ended although nobody asked it to, with the end of its output.
    pub fn ended(&mut self) -> Option<String> {
        let gone = |(id, process): (&i32, &mut Process)| process.ended().map(|status| (*id, status));
        let (id, status) = self.processes.iter_mut().find_map(gone)?;
        Some(format!("node {id} ended by itself: {status}\n{}", self.tail(id)))
    }

    /// Whether the process was started and has not ended.
    pub fn is_running(&mut self, id: i32) -> bool {
        self.processes
            .get_mut(&id)
            .is_some_and(|process| process.ended().is_none())
    }

    /// The process id of a node.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self, id: i32) -> Outcome<u32> {
        self.process(id).map(Process::pid)
    }

    fn process(&self, id: i32) -> Outcome<&Process> {
        let process = self.processes.get(&id);
        process.ok_or_else(|| format!("node {id} does not run"))
    }

    /// Forgets a process that has ended by itself, where that is what is expected; its exit status.
    pub fn forget_ended(&mut self, id: i32) -> Option<String> {
        let status = self.processes.get_mut(&id)?.ended()?;
        self.processes.remove(&id);
        Some(status)
    }

    /// Sends a signal to a running node, by the signal's name.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, id: i32, name: &str) -> Outcome<()> {
        self.process(id)?.signal(name)
    }

    /// The nodes that do not run.
    #[must_use]
    pub fn down(&self) -> Vec<i32> {
        let mut nodes = self.layout.nodes();
        nodes.retain(|id| !self.processes.contains_key(id));
        nodes
    }

    /// The largest figures over all running nodes.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.processes
            .values()
            .map(Process::figures)
            .fold(Figures::default(), |max, one| Figures {
                rss_bytes: max.rss_bytes.max(one.rss_bytes),
                descriptors: max.descriptors.max(one.descriptors),
            })
    }

    /// The active controller's node id, as `milena quorum` tells.
    #[must_use]
    pub fn controller(&self) -> Option<i32> {
        let address = |id: &i32| format!("{}:{CONTROLLER_PORT}", self.net.address(*id));
        let all: Vec<String> = self.layout.controllers.iter().map(address).collect();
        let told = tool(&["quorum", "--controllers", &all.join(","), "--leader"]);
        told.ok()?.parse().ok()
    }

    /// A node's output.
    #[must_use]
    pub fn log_file(&self, id: i32) -> PathBuf {
        self.work.path().join(format!("node-{id}.log"))
    }

    /// The lines of a node's output with all of these words.
    #[must_use]
    pub fn said(&self, id: i32, words: &[&str]) -> Vec<String> {
        let text = std::fs::read_to_string(self.log_file(id)).unwrap_or_default();
        let with_all = |line: &&str| words.iter().all(|word| line.contains(word));
        text.lines().filter(with_all).map(str::to_owned).collect()
    }

    fn tail(&self, id: i32) -> String {
        let text = std::fs::read_to_string(self.log_file(id)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Copies the nodes' output and the logs of a topic, for one who wants to know why.
    pub fn keep(&self, to: &Path, topic: &str) {
        let _ = std::fs::create_dir_all(to);
        for id in self.layout.nodes() {
            let _ = std::fs::copy(self.log_file(id), to.join(format!("node-{id}.log")));
        }
        for id in self.brokers() {
            let node = to.join(format!("node-{id}"));
            let _ = std::fs::create_dir_all(&node);
            let dirs = self.log_dirs(id);
            let entries = dirs.iter().flat_map(std::fs::read_dir).flatten().flatten();
            let named = |name: &str| name.starts_with(&format!("{topic}-"));
            for entry in entries.filter(|entry| entry.file_name().to_str().is_some_and(named)) {
                let (from, to) = (entry.path().display().to_string(), node.display().to_string());
                let _ = run("cp", &["-r", "--sparse=always", &from, &to]);
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in self.processes.values_mut() {
            let _ = process.kill();
        }
        for (_, process) in std::mem::take(&mut self.processes) {
            let _ = process.reap();
        }
    }
}
