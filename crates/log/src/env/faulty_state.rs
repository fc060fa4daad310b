//! What the faulty file system remembers: per file the durable bytes and every change since, per directory the
//! durable names and every change since.
//!
//! Model of a power cut, after ext4 with ordered data: content reaches the disk only by `sync_data`, names only by
//! `sync_dir` (or by luck). Of the unsynced writes any subset may survive, each of them whole, torn, or as zeros.

use super::names::Names;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A change of a file's content that is not durable yet.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { at: usize, bytes: Vec<u8> },
    SetLen(usize),
}

/// One inode.
#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    pub(super) durable: Vec<u8>,
    pub(super) cached: Vec<u8>,
    pub(super) pending: Vec<Change>,
}

impl Inode {
    pub(super) fn apply(&mut self, change: Change) {
        apply_to(&mut self.cached, &change);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        // The cached content is the durable one with the changes since.
        for change in self.pending.drain(..) {
            apply_to(&mut self.durable, &change);
        }
    }
}

fn apply_to(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::SetLen(len) => content.resize(*len, 0),
        Change::Write { at, bytes } => {
            let end = at + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*at..end].copy_from_slice(bytes);
        }
    }
}

/// What is left of unsynced changes after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// The process died, the machine lives on: the page cache is intact.
    ProcessKilled,
    /// Power was cut and nothing unsynced reached the disk.
    NothingUnsynced,
    /// Power was cut; which unsynced changes survived, torn or as zeros, follows from this seed.
    Random(u64),
}

/// A directory that was renamed, and whose parent was not forced to the disk since.
#[derive(Clone, Debug)]
struct Renamed {
    /// Its name on the disk.
    from: PathBuf,
    to: PathBuf,
    /// What is on the disk inside of it.
    names: Vec<(PathBuf, usize)>,
}

/// All inodes, the names that programs see and the names that are on disk.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) inodes: Vec<Inode>,
    pub(super) names: Names,
    pub(super) durable_names: Names,
    pub(super) dirs: BTreeSet<PathBuf>,
    pub(super) durable_dirs: BTreeSet<PathBuf>,
    renamed: Vec<Renamed>,
}

/// `path` with `to` in the place of `from`, if it is below that.
fn moved(path: &Path, from: &Path, to: &Path) -> Option<PathBuf> {
    let rest = path.strip_prefix(from).ok()?;
    Some(if rest.as_os_str().is_empty() {
        to.to_owned()
    } else {
        to.join(rest)
    })
}

impl State {
    /// Makes the names directly inside `dir` durable.
    pub(super) fn sync_dir(&mut self, dir: &Path) {
        let (known, other): (Vec<_>, _) = std::mem::take(&mut self.renamed)
            .into_iter()
            .partition(|renamed| renamed.from.parent() == Some(dir));
        self.renamed = other;
        for Renamed { from, to, names } in known {
            for (path, inode) in names {
                if let Some(path) = moved(&path, &from, &to) {
                    self.durable_names.insert(path, inode);
                }
            }
        }
        self.durable_names.take_over(dir, &self.names);
        let before = self.durable_dirs.clone();
        self.durable_dirs.retain(|path| path.parent() != Some(dir));
        for path in self.dirs.iter().filter(|path| path.parent() == Some(dir)) {
            self.durable_dirs.insert(path.clone());
        }
        // With the name of a directory goes what is inside of it.
        let gone: Vec<PathBuf> = before.difference(&self.durable_dirs).cloned().collect();
        for dir in gone {
            self.durable_names.take_below(&dir);
            self.durable_dirs.retain(|path| !path.starts_with(&dir));
        }
    }

    /// Gives a directory another name. What is on the disk of it stays under the old one until the parent is forced to the disk,
    /// whatever is created under that name meanwhile.
    pub(super) fn rename_dir(&mut self, from: &Path, to: &Path) {
        let rename = |path: &Path| moved(path, from, to).unwrap_or_else(|| path.to_owned());
        self.names = self
            .names
            .iter()
            .map(|(path, inode)| (rename(path), inode))
            .collect();
        self.dirs = self.dirs.iter().map(|path| rename(path)).collect();
        match self.renamed.iter_mut().find(|renamed| renamed.to == from) {
            Some(again) => again.to = to.to_owned(),
            None => {
                let names = self.durable_names.take_below(from);
                let (from, to) = (from.to_owned(), to.to_owned());
                self.renamed.push(Renamed { from, to, names });
            }
        }
    }

    /// What was renamed has its old name on the disk, and nothing that was created under that since.
    fn forget_renames(&mut self) {
        for Renamed { from, names, .. } in std::mem::take(&mut self.renamed) {
            self.durable_names.take_below(&from);
            for (path, inode) in names {
                self.durable_names.insert(path, inode);
            }
        }
    }

    /// The state that the next boot finds.
    pub(super) fn after_crash(&self, survival: Survival) -> State {
        if survival == Survival::ProcessKilled {
            // What was not synced before is still not synced.
            return self.clone();
        }
        let mut rng = match survival {
            Survival::Random(seed) => SplitMix(seed),
            _ => SplitMix(0),
        };
        let (names, dirs) = self.surviving_names(survival, &mut rng);
        let inodes = self
            .inodes
            .iter()
            .map(|inode| survivor(inode, survival, &mut rng))
            .collect();
        State {
            inodes,
            names: names.clone(),
            durable_names: names,
            dirs: dirs.clone(),
            durable_dirs: dirs,
            renamed: Vec::new(),
        }
    }

    fn surviving_names(&self, survival: Survival, rng: &mut SplitMix) -> (Names, BTreeSet<PathBuf>) {
        match survival {
            Survival::ProcessKilled | Survival::NothingUnsynced => {}
            // Each directory was written back entirely or not at all.
            Survival::Random(_) => {
                let mut lucky = self.clone();
                let parents: BTreeSet<PathBuf> = self
                    .names
                    .iter()
                    .map(|(path, _)| path)
                    .chain(self.dirs.iter().map(PathBuf::as_path))
                    .filter_map(|p| p.parent().map(Path::to_owned))
                    .collect();
                for parent in parents {
                    if rng.below(2) == 0 {
                        lucky.sync_dir(&parent);
                    }
                }
                return lucky.reachable();
            }
        }
        self.clone().reachable()
    }

    /// Durable names whose directories are durable as well.
    fn reachable(mut self) -> (Names, BTreeSet<PathBuf>) {
        self.forget_renames();
        let known = |path: &Path| {
            path.ancestors()
                .skip(1)
                .all(|dir| !self.dirs.contains(dir) || self.durable_dirs.contains(dir))
        };
        (
            self.durable_names
                .iter()
                .filter(|(p, _)| known(p))
                .map(|(p, i)| (p.to_owned(), i))
                .collect(),
            self.durable_dirs.iter().filter(|p| known(p)).cloned().collect(),
        )
    }
}

fn survivor(inode: &Inode, survival: Survival, rng: &mut SplitMix) -> Inode {
    let content = match survival {
        Survival::ProcessKilled | Survival::NothingUnsynced => inode.durable.clone(),
        Survival::Random(_) => {
            let mut content = inode.durable.clone();
            for change in &inode.pending {
                match (rng.below(4), change) {
                    (0, _) => {}
                    (1, Change::Write { at, bytes }) => {
                        let kept = rng.below(bytes.len() as u64 + 1) as usize;
                        apply_to(
                            &mut content,
                            &Change::Write {
                                at: *at,
                                bytes: bytes[..kept].to_vec(),
                            },
                        );
                    }
                    // Delayed allocation: the length grew, the data never came.
                    (2, Change::Write { at, bytes }) if *at >= content.len() => {
                        apply_to(&mut content, &Change::SetLen(at + bytes.len()));
                    }
                    (_, change) => apply_to(&mut content, change),
                }
            }
            content
        }
    };
    Inode {
        durable: content.clone(),
        cached: content,
        pending: Vec::new(),
    }
}

/// SplitMix64: a tiny generator, so that a crash is a pure function of its seed.
#[derive(Debug)]
pub(super) struct SplitMix(pub(super) u64);

impl SplitMix {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FaultyFileSystem, FileSystem, OpenMode, Survival};
    use std::path::Path;

    /// A directory with a file that says so, all of it on the disk.
    fn with_old() -> FaultyFileSystem {
        let fs = FaultyFileSystem::default();
        fs.create_dir_all(Path::new("/d/t")).unwrap();
        write(&fs, "/d/t/old");
        for dir in ["/", "/d", "/d/t"] {
            fs.sync_dir(Path::new(dir)).unwrap();
        }
        fs
    }

    fn write(fs: &FaultyFileSystem, path: &str) {
        let file = fs.open(Path::new(path), OpenMode::Write).unwrap();
        file.write_all_at(b"x", 0).unwrap();
        file.sync_data().unwrap();
    }

    fn after_power_cut(fs: &FaultyFileSystem) -> Vec<String> {
        let paths = fs.after_crash(Survival::NothingUnsynced).paths();
        paths.iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn a_directory_takes_what_is_inside_of_it_along() {
        let fs = with_old();
        fs.rename(Path::new("/d/t"), Path::new("/d/u")).unwrap();
        fs.create_dir(Path::new("/d/t")).unwrap();
        write(&fs, "/d/t/new");
        fs.sync_dir(Path::new("/d/t")).unwrap();
        assert_eq!(
            after_power_cut(&fs),
            ["/d/t/old"],
            "the parent was not forced to the disk"
        );
        fs.sync_dir(Path::new("/d")).unwrap();
        assert_eq!(after_power_cut(&fs), ["/d/t/new", "/d/u/old"]);
        fs.remove_dir_all(Path::new("/d/u")).unwrap();
        assert_eq!(after_power_cut(&fs), ["/d/t/new", "/d/u/old"]);
        fs.sync_dir(Path::new("/d")).unwrap();
        assert_eq!(after_power_cut(&fs), ["/d/t/new"]);
    }

    #[test]
    fn a_directory_that_is_renamed_and_removed_leaves_nothing_to_the_next_one_of_its_name() {
        let fs = with_old();
        fs.rename(Path::new("/d/t"), Path::new("/d/u")).unwrap();
        fs.sync_dir(Path::new("/d")).unwrap();
        fs.remove_dir_all(Path::new("/d/u")).unwrap();
        let fs = fs.after_crash(Survival::NothingUnsynced);
        fs.create_dir(Path::new("/d/t")).unwrap();
        assert!(fs.read_dir(Path::new("/d/t")).unwrap().is_empty());
    }
}
