//! What a run leaves: one JSON file. It passed only when every invariant held and every fault that it is about did happen.

use crate::oracle::{Counts, Invariant, Spread};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The cluster of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ClusterOf {
    /// Processes.
    pub nodes: usize,
    /// Replication factor.
    pub rf: usize,
    /// min.insync.replicas.
    pub min_isr: u32,
    /// ack.durability.
    pub durability: &'static str,
    /// broker.session.timeout.ms.
    pub session_ms: u128,
    /// replica.lag.time.max.ms.
    pub lag_ms: u128,
}

/// A client library.
#[derive(Clone, Debug, Serialize)]
pub struct ClientOf {
    /// Its name.
    pub lib: &'static str,
    /// Its version.
    pub version: String,
}

/// A fault that was injected.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    /// Milliseconds since the start of the run.
    pub t: u128,
    /// What was done.
    pub kind: String,
    /// To whom.
    pub target: String,
    /// Whether it could be done.
    pub ok: bool,
}

/// Everything about one run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Name of the drill, time and process.
    pub run_id: String,
    /// Name of the drill.
    pub drill: String,
    /// The commit that was built, when a repository is around.
    pub git: String,
    /// The rule that was switched off in the nodes, in a control run.
    pub mutant: Option<String>,
    /// Length of the whole run.
    pub seconds: f64,
    /// The cluster.
    pub cluster: ClusterOf,
    /// The clients.
    pub clients: Vec<ClientOf>,
    /// What was done.
    pub faults: Vec<Fault>,
    /// Records, and what is wrong with them.
    pub ops: Counts,
    /// Elections that were seen: epochs with a leader, but for the first of each partition.
    pub elections: usize,
    /// Those of them with another leader than the epoch before.
    pub failovers: usize,
    /// Unclean elections, as the controllers tell of them.
    pub unclean: usize,
    /// How long partitions could not be written because of a fault, in milliseconds, by the kind of fault.
    pub unavailable_ms: BTreeMap<String, Spread>,
    /// The largest resident memory of a node, in bytes.
    pub rss_max: u64,
    /// The most open descriptors of a node.
    pub fd_max: u64,
    /// Panics in the nodes' output.
    pub panics: usize,
    /// UNKNOWN_SERVER_ERROR to a producer.
    pub unknown_server_errors: usize,
    /// What must hold.
    pub invariants: Vec<Invariant>,
    /// How often what happened.
    pub coverage: BTreeMap<String, usize>,
    /// What must have happened, and did not often enough.
    pub missing: Vec<String>,
    /// `pass` or `fail`.
    pub verdict: &'static str,
}

impl Report {
    /// Takes another run of the same drill in, on another cluster.
    pub fn join(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.cluster.nodes = self.cluster.nodes.max(other.cluster.nodes);
        self.faults.extend(other.faults);
        self.ops.add(other.ops);
        self.elections += other.elections;
        self.failovers += other.failovers;
        self.unclean += other.unclean;
        self.unavailable_ms.extend(other.unavailable_ms);
        self.rss_max = self.rss_max.max(other.rss_max);
        self.fd_max = self.fd_max.max(other.fd_max);
        self.panics += other.panics;
        self.unknown_server_errors += other.unknown_server_errors;
        self.invariants.extend(other.invariants);
        for (what, count) in other.coverage {
            *self.coverage.entry(what).or_default() += count;
        }
        self.missing.extend(other.missing);
        self.conclude();
    }

    /// Decides the verdict.
    pub fn conclude(&mut self) {
        self.verdict = if self.passes() { "pass" } else { "fail" };
    }

    /// Every invariant held, there was at least one, and all that had to happen did.
    #[must_use]
    pub fn passes(&self) -> bool {
        let held = !self.invariants.is_empty() && self.invariants.iter().all(|invariant| invariant.pass);
        let done = !self.faults.is_empty() && self.faults.iter().all(|fault| fault.ok);
        held && done && self.missing.is_empty()
    }

    /// Writes it; the file.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, String> {
        let told = |error: std::io::Error| format!("{}: {error}", folder.display());
        std::fs::create_dir_all(folder).map_err(told)?;
        let file = folder.join(format!("{}.json", self.run_id));
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        std::fs::write(&file, text).map_err(told)?;
        Ok(file)
    }

    /// A few lines for a reader.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut lines = vec![format!(
            "{}: {} in {:.0} s: {} faults, {} failovers, {} sent, {} acknowledged, {} lost, {} twice, {} twice by the client",
            self.drill,
            self.verdict,
            self.seconds,
            self.faults.len(),
            self.failovers,
            self.ops.invoked,
            self.ops.ok,
            self.ops.lost,
            self.ops.duplicated,
            self.ops.renumbered
        )];
        for (kind, spread) in &self.unavailable_ms {
            lines.push(format!(
                "  {kind}: partitions without an acknowledgement for p50 {} ms, p99 {} ms, max {} ms ({} of them)",
                spread.p50, spread.p99, spread.max, spread.count
            ));
        }
        for invariant in self.invariants.iter().filter(|invariant| !invariant.pass) {
            lines.push(format!("  FAILED {}: {}", invariant.id, invariant.evidence));
        }
        for fault in self.faults.iter().filter(|fault| !fault.ok) {
            lines.push(format!("  NOT DONE {} of {}", fault.kind, fault.target));
        }
        lines.extend(self.missing.iter().map(|what| format!("  NOT COVERED {what}")));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Report};
    use crate::oracle::Invariant;

    fn good() -> Report {
        Report {
            faults: vec![Fault {
                t: 0,
                kind: "kill".to_owned(),
                target: "1".to_owned(),
                ok: true,
            }],
            invariants: vec![Invariant {
                id: "I1".to_owned(),
                pass: true,
                evidence: String::new(),
            }],
            ..Report::default()
        }
    }

    #[test]
    fn it_passes_only_when_all_held_and_all_happened() {
        assert!(good().passes());
        let mut broken = good();
        broken.invariants[0].pass = false;
        assert!(!broken.passes());
        let mut quiet = good();
        quiet.missing.push("failovers".to_owned());
        assert!(!quiet.passes());
        let mut undone = good();
        undone.faults[0].ok = false;
        assert!(!undone.passes());
        let mut nothing = good();
        nothing.faults.clear();
        assert!(!nothing.passes(), "a run without a fault shows nothing");
        let mut unjudged = good();
        unjudged.invariants.clear();
        assert!(!unjudged.passes());
        for wrong in [broken, quiet, undone] {
            let mut both = good();
            both.join(wrong);
            assert!(!both.passes(), "one of two runs: {both:?}");
        }
    }
}
