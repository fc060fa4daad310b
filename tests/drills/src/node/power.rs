//! Power cuts: the processes stand still, the file systems are shut down without writing anything more, the processes are killed.
//!
//! `FS_IOC_SHUTDOWN` with `NOLOGFLUSH` is what file systems' own tests use for it: what is in the page cache and in the journal's memory is
//! gone, the image is as a disk is that lost its power. It is weaker than that in two ways: a write that was under way is there as a
//! whole or not at all, and whatever lies below the image never loses what it was given.

use super::disk::Disk;
use crate::Outcome;
use crate::command::run;

/// Opens all mount points first, so that the cuts of several disks are microseconds apart.
const SCRIPT: &str = r#"
import fcntl, os, signal, struct, sys
pids = [int(a) for a in sys.argv[1].split(",") if a]
disks = [os.open(path, os.O_RDONLY) for path in sys.argv[2:]]
FS_IOC_SHUTDOWN, NOLOGFLUSH = 0x8004587D, struct.pack("I", 2)
for pid in pids: os.kill(pid, signal.SIGSTOP)
for disk in disks: fcntl.ioctl(disk, FS_IOC_SHUTDOWN, NOLOGFLUSH)
for pid in pids: os.kill(pid, signal.SIGKILL)
"#;

/// Stops these processes, shuts these disks down, and kills the processes. Without processes: the disks fail under those that live.
///
/// # Errors
/// When a process or a disk is not there, or the file system knows no shutdown.
pub fn shut_down(pids: &[u32], disks: &[&Disk]) -> Outcome<()> {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let pids = pids.join(",");
    let disks: Vec<String> = disks
        .iter()
        .map(|disk| disk.path().display().to_string())
        .collect();
    let mut arguments = vec!["-c", SCRIPT, &pids];
    arguments.extend(disks.iter().map(String::as_str));
    run("python3", &arguments).map(drop)
}
