//! A broker's disk: what is not forced to it is lost with the power, never with the process.

use crate::random::Random;
use milena_log::env::{FaultyFileSystem, FileSystem, Survival, UniqueNames};
use milena_log::{Env, LogDir, LogDirError, MetaProperties};
use milena_record::batches;
use milena_types::{BrokerId, ClusterId, DirectoryId, Uuid};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Where the only log directory is.
pub const PATH: &str = "/d";

/// Closed segments that a process keeps open.
const SEALED_OPEN_MAX: usize = 256;

/// The cluster that all disks are formatted for.
#[must_use]
pub fn cluster() -> ClusterId {
    ClusterId("simulated-cluster-0000".to_owned())
}

/// Names that follow from a seed.
#[derive(Debug)]
struct SeededNames(Mutex<Random>);

impl UniqueNames for SeededNames {
    fn next(&self) -> Uuid {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).uuid()
    }
}

/// The only disk of a broker.
#[derive(Debug)]
pub struct Disk {
    node: BrokerId,
    fs: FaultyFileSystem,
    names: Arc<SeededNames>,
}

impl Disk {
    /// An empty disk, formatted.
    #[must_use]
    pub fn new(node: BrokerId, random: &mut Random) -> Self {
        let fs = FaultyFileSystem::default();
        let root = Path::new(PATH);
        // In memory: it cannot fail.
        let _ = fs.create_dir_all(root);
        let _ = fs.sync_dir(Path::new("/"));
        let meta = MetaProperties {
            cluster_id: cluster(),
            node_id: node,
            directory_id: Some(DirectoryId(random.uuid())),
        };
        fs.overwrite(&root.join("meta.properties"), meta.encode().as_bytes());
        let names = Arc::new(SeededNames(Mutex::new(Random::new(random.next_u64()))));
        Self { node, fs, names }
    }

    /// Opens the directory, as a process does that starts.
    ///
    /// # Errors
    /// The process died meanwhile.
    pub fn open(&self) -> Result<LogDir, LogDirError> {
        let names = Arc::clone(&self.names);
        let env = Env::with_names(Arc::new(self.fs.clone()), names, SEALED_OPEN_MAX);
        LogDir::open_in(env, Path::new(PATH), self.node, Some(&cluster()), None)
    }

    /// The file system, for faults.
    #[must_use]
    pub fn fs(&self) -> &FaultyFileSystem {
        &self.fs
    }

    /// What lies on it, for people.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for path in self.fs.paths() {
            let content = self.fs.content(&path).unwrap_or_default();
            lines.push(format!(
                "{} {}: {} bytes",
                self.node,
                path.display(),
                content.len()
            ));
            let name = path.to_string_lossy();
            if name.ends_with(".log") {
                let batches = batches(&content).map(|batch| match batch {
                    Ok((header, _)) => format!(
                        "    {}..{} in {}",
                        header.base_offset,
                        header.next_offset(),
                        header.partition_leader_epoch
                    ),
                    Err(error) => format!("    {error}"),
                });
                lines.extend(batches);
            } else if ["checkpoint", "metadata", "floor"]
                .iter()
                .any(|word| name.contains(word))
            {
                lines.push(format!(
                    "    {}",
                    String::from_utf8_lossy(&content).replace('\n', " | ")
                ));
            }
        }
        lines
    }

    /// The process is gone; with the power, what was not forced to the disk is too, by chance.
    pub fn crash(&mut self, power: bool, random: &mut Random) {
        let survival = match power {
            true if random.one_in(4) => Survival::NothingUnsynced,
            true => Survival::Random(random.next_u64()),
            false => Survival::ProcessKilled,
        };
        self.fs = self.fs.after_crash(survival);
    }

    /// Another disk, empty, is in its place.
    pub fn exchange(&mut self, random: &mut Random) {
        *self = Self::new(self.node, random);
    }
}
