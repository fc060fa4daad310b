//! The names of files, for the file system that fails: found by bytes, because comparing paths part by part would take
//! longer than everything else that it does.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Names, each with its inode. Paths are written without `.`, `..` and doubled slashes.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(BTreeMap<OsString, usize>);

/// What every name inside `dir` begins with.
fn prefix(dir: &Path) -> OsString {
    let mut prefix = dir.as_os_str().to_owned();
    if prefix != "/" {
        prefix.push("/");
    }
    prefix
}

fn is_directly_inside(name: &OsStr, prefix: &OsStr) -> bool {
    let rest = name.as_bytes().strip_prefix(prefix.as_bytes());
    rest.is_some_and(|rest| !rest.contains(&b'/'))
}

impl Names {
    pub(super) fn get(&self, path: &Path) -> Option<usize> {
        self.0.get(path.as_os_str()).copied()
    }

    pub(super) fn insert(&mut self, path: PathBuf, inode: usize) {
        self.0.insert(path.into_os_string(), inode);
    }

    pub(super) fn remove(&mut self, path: &Path) -> Option<usize> {
        self.0.remove(path.as_os_str())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Path, usize)> {
        self.0.iter().map(|(path, inode)| (Path::new(path), *inode))
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Path) -> bool) {
        self.0.retain(|path, _| keep(Path::new(path)));
    }

    /// The names directly inside `dir`.
    pub(super) fn inside(&self, dir: &Path) -> impl Iterator<Item = (&Path, usize)> {
        let prefix = prefix(dir);
        let from = self.0.range(prefix.clone()..);
        let (below, inside) = (prefix.clone(), prefix);
        from.take_while(move |(name, _)| name.as_bytes().starts_with(below.as_bytes()))
            .filter(move |(name, _)| is_directly_inside(name, &inside))
            .map(|(name, inode)| (Path::new(name), *inode))
    }

    /// Takes out all names below `dir`, whatever their depth.
    pub(super) fn take_below(&mut self, dir: &Path) -> Vec<(PathBuf, usize)> {
        let prefix = prefix(dir);
        let from = self.0.range(prefix.clone()..);
        let below: Vec<OsString> = from
            .take_while(|(name, _)| name.as_bytes().starts_with(prefix.as_bytes()))
            .map(|(name, _)| name.clone())
            .collect();
        let take = |name: OsString| Some((PathBuf::from(&name), self.0.remove(&name)?));
        below.into_iter().filter_map(take).collect()
    }

    /// Directly inside `dir` the names become those of `other`.
    pub(super) fn take_over(&mut self, dir: &Path, other: &Names) {
        let gone: Vec<OsString> = self
            .inside(dir)
            .filter(|(name, _)| other.get(name).is_none())
            .map(|(name, _)| name.as_os_str().to_owned())
            .collect();
        for name in gone {
            self.0.remove(&name);
        }
        for (name, inode) in other.inside(dir) {
            match self.0.get_mut(name.as_os_str()) {
                Some(known) => *known = inode,
                None => self.insert(name.to_owned(), inode),
            }
        }
    }
}

impl FromIterator<(PathBuf, usize)> for Names {
    fn from_iter<T: IntoIterator<Item = (PathBuf, usize)>>(names: T) -> Self {
        Self(
            names
                .into_iter()
                .map(|(path, inode)| (path.into_os_string(), inode))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[(&str, usize)]) -> Names {
        all.iter()
            .map(|(path, inode)| (PathBuf::from(path), *inode))
            .collect()
    }

    #[test]
    fn only_what_lies_directly_inside_is_taken_over() {
        let from = names(&[("/d/a", 1), ("/d/b", 2), ("/d/t/a", 3), ("/d-/a", 4), ("/d.x", 5)]);
        let mut to = names(&[("/d/b", 7), ("/d/c", 8), ("/d/t/z", 9)]);
        to.take_over(Path::new("/d"), &from);
        let found: Vec<_> = to
            .iter()
            .map(|(path, inode)| (path.to_str().unwrap(), inode))
            .collect();
        assert_eq!(found, [("/d/a", 1), ("/d/b", 2), ("/d/t/z", 9)]);
        assert_eq!(from.inside(Path::new("/")).count(), 1);
    }
}
