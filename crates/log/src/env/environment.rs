//! What all logs of a process have in common.

use super::parents::Parents;
use super::{FileSystem, RandomNames, StdFileSystem, UniqueNames};
use crate::segment::SealedPool;
use std::sync::Arc;

/// What the logs of a process share: the file system, the source of names and the bounded pool of open sealed segments.
#[derive(Debug)]
pub struct Env {
    /// Where files live.
    pub fs: Arc<dyn FileSystem>,
    /// Where names come from that no file, directory or disk has yet.
    pub names: Arc<dyn UniqueNames>,
    pub(crate) sealed: SealedPool,
    /// The log directories, as far as logs lie in them.
    pub(crate) parents: Parents,
}

impl Env {
    /// Sealed segments kept open at once (one descriptor and at most two maps each), unless said otherwise; fewer after a shortage.
    pub const SEALED_OPEN_MAX: usize = 1024;

    /// An environment on the real file system.
    #[must_use]
    pub fn real() -> Arc<Self> {
        Self::with(Arc::new(StdFileSystem), Self::SEALED_OPEN_MAX)
    }

    /// An environment on any file system that keeps at most `sealed_open_max` sealed segments open.
    #[must_use]
    pub fn with(fs: Arc<dyn FileSystem>, sealed_open_max: usize) -> Arc<Self> {
        Self::with_names(fs, Arc::new(RandomNames), sealed_open_max)
    }

    /// Likewise, with another source of names than chance.
    #[must_use]
    pub fn with_names(
        fs: Arc<dyn FileSystem>,
        names: Arc<dyn UniqueNames>,
        sealed_open_max: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            fs,
            names,
            sealed: SealedPool::new(sealed_open_max),
            parents: Parents::default(),
        })
    }

    /// 32 hexadecimal digits that no other directory has in its name.
    pub(crate) fn unique(&self) -> String {
        let name = self.names.next();
        name.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Sealed segments that are open now.
    #[must_use]
    pub fn sealed_open(&self) -> usize {
        self.sealed.len()
    }
}
