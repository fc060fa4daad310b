//! Where the program under test and the repository are.

use std::path::{Path, PathBuf};

/// The program under test: `MILENA_BIN`, or `milena` beside the test's own folder.
#[must_use]
pub fn milena() -> PathBuf {
    if let Some(path) = std::env::var_os("MILENA_BIN") {
        return PathBuf::from(path);
    }
    let exe = std::env::current_exe().unwrap_or_default();
    let profile = exe.parent().and_then(Path::parent).map(Path::to_path_buf);
    profile.unwrap_or_default().join("milena")
}

/// The checkout.
///
/// # Panics
/// When this crate is not inside one.
#[must_use]
pub fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the repository")
}
