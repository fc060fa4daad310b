//! A disk for one node: an ext4 image behind a loop device, mounted where the node keeps its data.

use crate::Outcome;
use crate::command::run;
use milena_cluster_tests::wait;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a disk may be busy after its node was killed.
const BUSY: Duration = Duration::from_secs(20);

/// An image and its mount point; dropping it unmounts.
pub struct Disk {
    image: PathBuf,
    mount: PathBuf,
}

impl Disk {
    /// Makes and mounts an empty disk.
    ///
    /// # Errors
    /// When one of the system's tools fails: no loop device, no mkfs.ext4, no right to mount.
    pub fn new(image: &Path, mount: &Path, mebibytes: u32) -> Outcome<Self> {
        let told = |error: std::io::Error| format!("{}: {error}", image.display());
        std::fs::create_dir_all(mount).map_err(told)?;
        let file = std::fs::File::create(image).map_err(told)?;
        file.set_len(u64::from(mebibytes) << 20).map_err(told)?;
        let disk = Self {
            image: image.to_owned(),
            mount: mount.to_owned(),
        };
        disk.format()?;
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mount
    }

    fn format(&self) -> Outcome<()> {
        // No blocks kept back for root: full means full for the node, which runs as root here.
        let arguments = ["-q", "-F", "-m", "0", &self.image.display().to_string()];
        run("mkfs.ext4", &arguments).map(drop)
    }

    /// Mounts it: after a power cut the file system's journal is replayed by that.
    ///
    /// # Errors
    /// When mount fails.
    pub fn mount(&self) -> Outcome<()> {
        let (image, at) = (self.image.display().to_string(), self.mount.display().to_string());
        run("mount", &["-t", "ext4", "-o", "loop,noatime", &image, &at]).map(drop)
    }

    /// Unmounts it, once nobody holds it any more.
    ///
    /// # Errors
    /// When it is still busy after twenty seconds.
    pub fn unmount(&self) -> Outcome<()> {
        let (at, mut said) = (self.mount.display().to_string(), String::new());
        let unmounted = || run("umount", &[&at]).map_err(|error| said = error).ok();
        wait("a disk that nobody holds", BUSY, unmounted)
            .map(drop)
            .map_err(|late| format!("{late}: {said}"))
    }

    /// A new, empty disk in its place. Its node must not run.
    ///
    /// # Errors
    /// When one of the system's tools fails.
    pub fn replace(&self) -> Outcome<()> {
        self.unmount()?;
        self.format()?;
        self.mount()
    }

    /// Leaves no byte of space; the file to remove when there shall be space again.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn fill(&self) -> Outcome<PathBuf> {
        let filler = self.mount.join("filler");
        let path = filler.display().to_string();
        let free = run(
            "df",
            &["-B1", "--output=avail", &self.mount.display().to_string()],
        )?;
        let free = free.lines().last().unwrap_or_default().trim().to_owned();
        // Reserved and not written, so that the machine's own disk is not busy with it; the rest, whatever the map of it takes, is.
        let _ = run("fallocate", &["-l", &free, &path]);
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&filler)
            .map_err(|error| format!("filler: {error}"))?;
        for size in [1 << 20, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Ok(filler)
    }

    /// From now on no write and no flush comes back, and nothing fails: a disk that hangs. Reads of what is in memory go on.
    ///
    /// # Errors
    /// When fsfreeze fails.
    pub fn hang(&self) -> Outcome<()> {
        self.freeze("--freeze")
    }

    /// The end of [`Disk::hang`]: everything comes back.
    ///
    /// # Errors
    /// When fsfreeze fails, for example because the disk does not hang.
    pub fn come_back(&self) -> Outcome<()> {
        self.freeze("--unfreeze")
    }

    fn freeze(&self, how: &str) -> Outcome<()> {
        run("fsfreeze", &[how, &self.mount.display().to_string()]).map(drop)
    }

    /// From now on every write and every flush fails with EIO, as on a disk that died; reads of what is in memory go on.
    ///
    /// # Errors
    /// When the shutdown fails.
    pub fn fail(&self) -> Outcome<()> {
        super::power::shut_down(&[], &[self])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A drill that failed may have left it so, and then it is busy for ever.
        let _ = self.come_back();
        let _ = self.unmount();
    }
}
