//! A file system in memory that dies at a chosen byte, fails chosen calls, and says what a crash leaves behind.
//!
//! It never touches the real disk. After the byte budget is used up every call fails, as in a dead process; then
//! [`FaultyFileSystem::after_crash`] gives the file system that the next boot finds.

use super::faulty_state::{Change, Inode, State};
use super::{FileSystem, LogFile, OpenMode, Survival};
use rustix::io::Errno;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A call that fails once on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The n-th write from now fails with "no space left" after half of its bytes.
    NoSpaceAtWrite(u64),
    /// The n-th creation of a file or directory from now fails with "no space left".
    NoSpaceAtCreate(u64),
    /// The n-th opening of a file or directory from now fails because the process has too many open.
    TooManyOpen(u64),
    /// The n-th `sync_data` from now fails with an IO error.
    SyncFails(u64),
    /// The n-th renaming from now fails with an IO error; both names are as before.
    RenameFails(u64),
    /// The n-th renaming from now fails with "no space left": the directory has no room for the new name.
    NoSpaceAtRename(u64),
    /// The n-th removal from now fails with an IO error; that of a directory half-way.
    RemoveFails(u64),
    /// The n-th `set_len`, or opening that empties a file, from now fails with an IO error.
    SetLenFails(u64),
    /// The n-th read from now fails with an IO error.
    ReadFails(u64),
    /// The n-th look at a name from now (length, time, content of a directory) fails with an IO error.
    LookFails(u64),
}

impl Fault {
    /// Calls until it comes.
    fn count(&mut self) -> &mut u64 {
        match self {
            Fault::NoSpaceAtWrite(n)
            | Fault::NoSpaceAtCreate(n)
            | Fault::TooManyOpen(n)
            | Fault::SyncFails(n)
            | Fault::RenameFails(n)
            | Fault::NoSpaceAtRename(n)
            | Fault::RemoveFails(n)
            | Fault::SetLenFails(n)
            | Fault::ReadFails(n)
            | Fault::LookFails(n) => n,
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: State,
    /// Bytes and name changes until the process dies; `None` for never.
    budget: Option<u64>,
    faults: Vec<Fault>,
    spent: u64,
}

/// The in-memory file system; clones share one disk.
#[derive(Clone, Debug, Default)]
pub struct FaultyFileSystem(Arc<Mutex<Shared>>);

#[derive(Debug)]
struct FaultyFile {
    shared: FaultyFileSystem,
    inode: usize,
}

fn dead() -> io::Error {
    io::Error::other("the simulated process is dead")
}

impl FaultyFileSystem {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `budget` more bytes (a change of names counts as one) be written, then kills the process.
    pub fn die_after(&self, budget: u64) {
        self.lock().budget = Some(budget);
    }

    /// Arms a fault, beside those that are armed.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    /// Forgets the faults that have not come yet; gives them, as they are now.
    pub fn disarm(&self) -> Vec<Fault> {
        std::mem::take(&mut self.lock().faults)
    }

    /// Bytes and name changes written so far: the range of useful budgets.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.lock().spent
    }

    /// True when the budget has been used up.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.lock().budget == Some(0)
    }

    /// The disk that the next boot finds.
    #[must_use]
    pub fn after_crash(&self, survival: Survival) -> Self {
        let state = self.lock().state.after_crash(survival);
        Self(Arc::new(Mutex::new(Shared {
            state,
            ..Shared::default()
        })))
    }

    /// Another disk with the same content.
    #[must_use]
    pub fn copied(&self) -> Self {
        self.after_crash(Survival::ProcessKilled)
    }

    /// Content of a file as programs see it.
    #[must_use]
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let shared = self.lock();
        shared
            .state
            .names
            .get(path)
            .map(|inode| shared.state.inodes[inode].cached.clone())
    }

    /// Replaces a file's content durably: how a test damages a file.
    pub fn overwrite(&self, path: &Path, content: &[u8]) {
        let mut shared = self.lock();
        let inode = Inode {
            durable: content.to_vec(),
            cached: content.to_vec(),
            pending: Vec::new(),
        };
        shared.state.inodes.push(inode);
        let id = shared.state.inodes.len() - 1;
        shared.state.names.insert(path.to_owned(), id);
        shared.state.durable_names.insert(path.to_owned(), id);
    }

    /// All file names, sorted.
    #[must_use]
    pub fn paths(&self) -> Vec<std::path::PathBuf> {
        self.lock()
            .state
            .names
            .iter()
            .map(|(path, _)| path.to_owned())
            .collect()
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, Shared>> {
        let shared = self.lock();
        if shared.budget == Some(0) {
            Err(dead())
        } else {
            Ok(shared)
        }
    }

    /// Pays for one change of names.
    fn pay(&self) -> io::Result<MutexGuard<'_, Shared>> {
        let mut shared = self.alive()?;
        shared.take(1);
        if shared.budget == Some(0) {
            Err(dead())
        } else {
            Ok(shared)
        }
    }
}

impl Shared {
    fn take(&mut self, wanted: u64) -> u64 {
        let granted = self.budget.map_or(wanted, |budget| budget.min(wanted));
        self.budget = self.budget.map(|budget| budget - granted);
        self.spent += granted;
        granted
    }

    /// Counts down the faults of a kind; true when one of them is due.
    fn due(&mut self, kind: impl Fn(u64) -> Fault) -> bool {
        let kind = std::mem::discriminant(&kind(0));
        let mut due = false;
        self.faults.retain_mut(|fault| {
            if std::mem::discriminant(fault) != kind {
                return true;
            }
            let count = fault.count();
            due |= *count <= 1;
            *count = count.saturating_sub(1);
            *count > 0
        });
        due
    }

    /// Fails with `errno` when a fault of that kind is due.
    fn meet(&mut self, kind: impl Fn(u64) -> Fault, errno: Errno) -> io::Result<()> {
        if self.due(kind) { Err(errno.into()) } else { Ok(()) }
    }

    fn open(&mut self) -> io::Result<()> {
        self.meet(Fault::TooManyOpen, Errno::MFILE)
    }

    fn create(&mut self) -> io::Result<()> {
        self.meet(Fault::NoSpaceAtCreate, Errno::NOSPC)
    }
}

impl LogFile for FaultyFile {
    fn read_at(&self, into: &mut Vec<u8>, max: usize, at: u64) -> io::Result<usize> {
        let mut shared = self.shared.alive()?;
        shared.meet(Fault::ReadFails, Errno::IO)?;
        let content = &shared.state.inodes[self.inode].cached;
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(content.len());
        let to = from.saturating_add(max).min(content.len());
        into.extend_from_slice(&content[from..to]);
        Ok(to - from)
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut shared = self.shared.alive()?;
        let no_space = shared.due(Fault::NoSpaceAtWrite);
        let wanted = if no_space { bytes.len() / 2 } else { bytes.len() };
        let granted = usize::try_from(shared.take(wanted as u64)).unwrap_or(0);
        let at = usize::try_from(at).map_err(io::Error::other)?;
        shared.state.inodes[self.inode].apply(Change::Write {
            at,
            bytes: bytes[..granted].to_vec(),
        });
        match (no_space, granted == bytes.len() && shared.budget != Some(0)) {
            (true, _) => Err(Errno::NOSPC.into()),
            (false, true) => Ok(()),
            (false, false) => Err(dead()),
        }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.shared.alive()?.state.inodes[self.inode].cached.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let mut shared = self.shared.pay()?;
        shared.meet(Fault::SetLenFails, Errno::IO)?;
        shared.state.inodes[self.inode].apply(Change::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut shared = self.shared.pay()?;
        if shared.due(Fault::SyncFails) {
            return Err(io::Error::other("simulated sync failure"));
        }
        shared.state.inodes[self.inode].sync();
        Ok(())
    }

    fn set_modified(&self, _: i64) -> io::Result<()> {
        self.shared.alive().map(|_| ())
    }

    fn std_file(&self) -> Option<&std::fs::File> {
        None
    }
}

impl FileSystem for FaultyFileSystem {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn LogFile>> {
        self.alive()?.open()?;
        let existing = self.alive()?.state.names.get(path);
        let inode = match (existing, mode) {
            (None, OpenMode::Read) => return Err(io::Error::from(io::ErrorKind::NotFound)),
            (None, _) => {
                let mut shared = self.pay()?;
                shared.create()?;
                if !path.parent().is_some_and(|dir| shared.state.dirs.contains(dir)) {
                    return Err(io::Error::from(io::ErrorKind::NotFound));
                }
                shared.state.inodes.push(Inode::default());
                let id = shared.state.inodes.len() - 1;
                shared.state.names.insert(path.to_owned(), id);
                id
            }
            (Some(id), OpenMode::Truncate) => {
                let mut shared = self.pay()?;
                shared.meet(Fault::SetLenFails, Errno::IO)?;
                shared.state.inodes[id].apply(Change::SetLen(0));
                id
            }
            (Some(id), _) => id,
        };
        Ok(Arc::new(FaultyFile {
            shared: self.clone(),
            inode,
        }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.alive()?.create()?;
        let known = |dir: &Path| self.alive().is_ok_and(|shared| shared.state.dirs.contains(dir));
        if path.parent().is_some_and(|parent| !known(parent)) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        self.create_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut shared = self.pay()?;
        for dir in path.ancestors() {
            shared.state.dirs.insert(dir.to_owned());
            if dir.parent().is_none() {
                shared.state.durable_dirs.insert(dir.to_owned());
            }
        }
        Ok(())
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<(String, bool)>> {
        let mut shared = self.alive()?;
        shared.meet(Fault::LookFails, Errno::IO)?;
        shared.open()?;
        if !shared.state.dirs.contains(path) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        let name = |p: &Path| p.file_name().and_then(|n| n.to_str()).map(str::to_owned);
        let inside = |p: &&std::path::PathBuf| p.parent() == Some(path);
        let files = shared
            .state
            .names
            .inside(path)
            .filter_map(|(p, _)| name(p).map(|n| (n, false)));
        let dirs = shared
            .state
            .dirs
            .iter()
            .filter(inside)
            .filter_map(|p| name(p).map(|n| (n, true)));
        Ok(files.chain(dirs).collect())
    }

    fn file_len(&self, path: &Path) -> io::Result<Option<u64>> {
        let mut shared = self.alive()?;
        shared.meet(Fault::LookFails, Errno::IO)?;
        Ok(shared
            .state
            .names
            .get(path)
            .map(|inode| shared.state.inodes[inode].cached.len() as u64))
    }

    fn modified(&self, path: &Path) -> io::Result<i64> {
        match self.file_len(path)? {
            Some(_) => Ok(0),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut shared = self.pay()?;
        shared.meet(Fault::RenameFails, Errno::IO)?;
        shared.meet(Fault::NoSpaceAtRename, Errno::NOSPC)?;
        if let Some(inode) = shared.state.names.remove(from) {
            shared.state.names.insert(to.to_owned(), inode);
            return Ok(());
        }
        if !shared.state.dirs.contains(from) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        shared.state.rename_dir(from, to);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut shared = self.pay()?;
        shared.meet(Fault::RemoveFails, Errno::IO)?;
        shared.state.names.remove(path);
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut shared = self.pay()?;
        let fails = shared.meet(Fault::RemoveFails, Errno::IO);
        // One that fails has taken every other file.
        let mut spared = false;
        shared.state.names.retain(|p| {
            spared ^= p.starts_with(path);
            !p.starts_with(path) || (fails.is_err() && spared)
        });
        fails?;
        shared.state.dirs.retain(|p| !p.starts_with(path));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.alive()?.open()?;
        self.pay()?.state.sync_dir(path);
        Ok(())
    }

    fn sync_file_system(&self, _path: &Path) -> io::Result<()> {
        let mut shared = self.pay()?;
        if shared.due(Fault::SyncFails) {
            return Err(io::Error::other("simulated sync failure"));
        }
        shared.state.inodes.iter_mut().for_each(Inode::sync);
        let dirs: Vec<_> = shared.state.dirs.iter().cloned().collect();
        dirs.iter().for_each(|dir| shared.state.sync_dir(dir));
        Ok(())
    }
}
