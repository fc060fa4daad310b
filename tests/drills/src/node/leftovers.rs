//! Disks and folders of runs that were killed. Their nodes have died with them.

use crate::command::run;
use std::path::{Path, PathBuf};

/// Begins the name of each run's folder; the process id and a dot follow.
const PREFIX: &str = "milena-drill.";

/// The beginning of the name of this run's folder.
pub(super) fn prefix() -> String {
    format!("{PREFIX}{}.", std::process::id())
}

/// Unmounts and removes what belongs to processes that are gone.
pub(super) fn remove() {
    let folders = std::fs::read_dir(std::env::temp_dir())
        .into_iter()
        .flatten()
        .flatten();
    for folder in folders
        .map(|entry| entry.path())
        .filter(|folder| is_abandoned(folder))
    {
        for mount in mounts_in(&folder) {
            let mount = mount.display().to_string();
            // One that was left hanging keeps its loop device for ever. The others refuse.
            let _ = run("fsfreeze", &["--unfreeze", &mount]);
            let _ = run("umount", &["-l", &mount]);
        }
        let _ = std::fs::remove_dir_all(&folder);
    }
}

fn is_abandoned(folder: &Path) -> bool {
    let name = folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    owner(&name).is_some_and(|owner| !Path::new(&format!("/proc/{owner}")).exists())
}

/// The process id in the name of a folder of ours.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('.').next()?.parse().ok()
}

fn mounts_in(folder: &Path) -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let points = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(PathBuf::from);
    points.filter(|point| point.starts_with(folder)).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_folders_of_ours_have_an_owner() {
        assert_eq!(super::owner("milena-drill.4711.x9f"), Some(4711));
        assert_eq!(super::owner("milena-test.4711"), None);
        assert_eq!(super::owner("milena-drill.x.y"), None);
    }
}
