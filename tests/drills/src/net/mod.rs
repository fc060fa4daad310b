//! A network of its own for each run: a bridge, and for each node a namespace with one interface on it.
//!
//! The clients are in the machine's own namespace, at the bridge's address. Everything has the run's process id in its name and goes
//! with [`Network`]; what a run that was killed has left behind, the next one removes.

mod cut;
mod leftovers;

pub use cut::{Cut, Peer};

use crate::Outcome;
use crate::command::{run, run_with};
use std::collections::BTreeMap;

/// Begins every name; the rest is the process id and what it is.
const PREFIX: &str = "mdr";
/// Two chains that drop what a cut names, in front of everything that comes in or goes out.
const TABLE: &str = "table inet drill {\n chain in { type filter hook input priority 0; policy accept; }\n chain out { type filter hook output priority 0; policy accept; }\n}\n";

/// Bridge and namespaces; dropping it removes them.
pub struct Network {
    run: u32,
    /// The third part of 10.213.x.0/24.
    subnet: u8,
    /// The last part of each node's address.
    hosts: BTreeMap<i32, u8>,
}

impl Network {
    /// Makes a namespace for each node.
    ///
    /// # Errors
    /// When one of the system's tools fails; everything made so far is removed.
    pub fn new(nodes: &[i32]) -> Outcome<Self> {
        leftovers::remove();
        let run_id = std::process::id();
        let hosts = nodes.iter().copied().zip(11..).collect();
        let network = Self {
            run: run_id,
            subnet: free_subnet(run_id)?,
            hosts,
        };
        network.build()?;
        Ok(network)
    }

    fn build(&self) -> Outcome<()> {
        let bridge = self.bridge();
        run("ip", &["link", "add", &bridge, "type", "bridge"])?;
        let gateway = format!("{}/24", self.gateway());
        run("ip", &["addr", "add", &gateway, "dev", &bridge])?;
        run("ip", &["link", "set", &bridge, "up"])?;
        for (id, host) in &self.hosts {
            let (space, outside) = (self.space(*id), format!("{PREFIX}{}v{host}", self.run));
            run("ip", &["netns", "add", &space])?;
            let add = [
                "link", "add", &outside, "type", "veth", "peer", "name", "eth0", "netns",
            ];
            run("ip", &[&add[..], &[&space]].concat())?;
            run("ip", &["link", "set", &outside, "master", &bridge, "up"])?;
            let address = format!("{}/24", self.address(*id));
            run("ip", &["-n", &space, "addr", "add", &address, "dev", "eth0"])?;
            run("ip", &["-n", &space, "link", "set", "eth0", "up"])?;
            run("ip", &["-n", &space, "link", "set", "lo", "up"])?;
            self.nft(*id, TABLE)?;
        }
        Ok(())
    }

    fn bridge(&self) -> String {
        format!("{PREFIX}{}br", self.run)
    }

    /// The name of a node's namespace.
    #[must_use]
    pub fn space(&self, id: i32) -> String {
        format!("{PREFIX}{}n{}", self.run, self.hosts[&id])
    }

    /// A node's address.
    #[must_use]
    pub fn address(&self, id: i32) -> String {
        format!("10.213.{}.{}", self.subnet, self.hosts[&id])
    }

    /// The clients' address.
    #[must_use]
    pub fn gateway(&self) -> String {
        format!("10.213.{}.1", self.subnet)
    }

    fn of(&self, peer: Peer) -> String {
        match peer {
            Peer::Node(id) => self.address(id),
            Peer::Clients => self.gateway(),
        }
    }

    /// Drops from now on what these cuts name, also of connections that are open.
    ///
    /// # Errors
    /// When nft fails.
    pub fn cut(&self, cuts: &[Cut]) -> Outcome<()> {
        for cut in cuts {
            let (at, rule) = cut.rule(|peer| self.of(peer));
            self.nft(at, &rule)?;
        }
        Ok(())
    }

    /// Takes all cuts back.
    ///
    /// # Errors
    /// When nft fails.
    pub fn heal(&self) -> Outcome<()> {
        self.hosts
            .keys()
            .try_for_each(|id| self.nft(*id, "flush table inet drill\n"))
    }

    fn nft(&self, id: i32, rules: &str) -> Outcome<()> {
        let space = format!("--net=/run/netns/{}", self.space(id));
        run_with("nsenter", &[&space, "nft", "-f", "-"], rules).map(drop)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        leftovers::remove_of(self.run);
    }
}

/// The first of 10.213.x.0/24 that no interface of this machine is in.
fn free_subnet(run_id: u32) -> Outcome<u8> {
    let taken = run("ip", &["-o", "-4", "addr"])?;
    let first = u8::try_from(run_id % 250).unwrap_or(0);
    (first..250)
        .chain(0..first)
        .find(|x| !taken.contains(&format!(" 10.213.{x}.")))
        .ok_or_else(|| "no free network in 10.213.0.0/16".to_owned())
}
