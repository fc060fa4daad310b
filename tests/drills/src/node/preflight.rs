//! Whether this machine can hold a drill at all: even root may not make namespaces or mounts in some containers.

use super::disk::Disk;
use super::power;
use crate::Outcome;
use crate::net::Network;

/// Makes a network with a cut, and a small disk that loses its power, once.
///
/// # Errors
/// What is missing or not allowed.
pub fn may_run() -> Outcome<()> {
    let network = Network::new(&[1])?;
    network.heal()?;
    let work = tempfile::tempdir().map_err(|error| error.to_string())?;
    let disk = Disk::new(&work.path().join("disk.img"), &work.path().join("disk"), 16)?;
    power::shut_down(&[], &[&disk])?;
    disk.unmount()?;
    disk.mount()
}
