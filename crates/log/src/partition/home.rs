//! Where a log's directory is, without a path for each log: most lie under their partition's name in a log directory.

use crate::env::Env;
use crate::format::{FILE_NAME_BYTES, FileKind, file_path, push_file_name};
use milena_types::{Offset, TopicPartition};
use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The place of a log's directory.
#[derive(Debug)]
pub(super) enum Home {
    /// In this directory, under the partition's name.
    In(Arc<PathBuf>),
    /// Under a name of its own, as a copy has until it takes the original's place.
    At(Box<PathBuf>),
}

impl Home {
    /// The home of the partition's log in `dir`.
    pub(super) fn new(env: &Env, dir: &Path, partition: &TopicPartition) -> Self {
        let usual = dir
            .parent()
            .map(|parent| Home::In(env.parents.share(parent)))
            .filter(|home| home.dir(partition).as_os_str() == dir.as_os_str());
        usual.unwrap_or_else(|| Home::At(Box::new(dir.to_owned())))
    }

    /// The directory's path.
    pub(super) fn dir(&self, partition: &TopicPartition) -> PathBuf {
        match self {
            Home::In(parent) => dir_in(parent, partition, 0).into(),
            Home::At(path) => path.to_path_buf(),
        }
    }

    /// The path of a segment's file. Every append asks for it: it is allocated once.
    pub(super) fn file(&self, partition: &TopicPartition, base: Offset, kind: FileKind) -> PathBuf {
        match self {
            Home::In(parent) => {
                let mut path = dir_in(parent, partition, FILE_NAME_BYTES);
                path.push("/");
                push_file_name(&mut path, base, kind);
                path.into()
            }
            Home::At(path) => file_path(path, base, kind),
        }
    }
}

/// The partition's directory in `parent`, with room for more.
fn dir_in(parent: &Path, partition: &TopicPartition, room: usize) -> OsString {
    // A slash, a dash and at most ten digits.
    let name_bytes = partition.topic.as_str().len() + 12;
    let mut path = OsString::with_capacity(parent.as_os_str().len() + name_bytes + room);
    path.push(parent.as_os_str());
    // Neither a relative name nor the root's end needs one.
    if parent.parent().is_some() {
        path.push("/");
    }
    // Memory does not fail to be written.
    let _ = write!(path, "{partition}");
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_types::{PartitionIndex, TopicName};

    #[test]
    fn it_gives_the_path_that_it_was_made_of() {
        let env = Env::real();
        let partition = TopicPartition {
            topic: TopicName::new("orders").unwrap(),
            partition: PartitionIndex(i32::MAX),
        };
        let path_of = |dir: &str| {
            let home = Home::new(&env, Path::new(dir), &partition);
            assert_eq!(home.dir(&partition).as_os_str(), dir);
            let file = home.file(&partition, Offset(7), FileKind::TimeIndex);
            assert_eq!(file, file_path(Path::new(dir), Offset(7), FileKind::TimeIndex));
            matches!(home, Home::In(_))
        };
        for usual in [
            "/data/a/orders-2147483647",
            "/orders-2147483647",
            "a/orders-2147483647",
            "orders-2147483647",
        ] {
            assert!(path_of(usual), "{usual}");
        }
        for other in [
            "/data/orders-2147483647.0123-future",
            "/data/orders-0",
            "/data/orders-2147483647/",
            "/data//orders-2147483647",
            "/",
            "",
        ] {
            assert!(!path_of(other), "{other}");
        }
        assert_eq!(size_of::<Home>(), 16);
    }
}
