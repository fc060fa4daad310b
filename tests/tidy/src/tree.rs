//! The files of the repository: everything but what is built, downloaded or run from it.

use std::path::{Path, PathBuf};

/// A text file.
#[derive(Clone, Debug)]
pub struct File {
    /// From the repository's root, with `/`.
    pub path: String,
    /// Its content; invalid UTF-8 is replaced.
    pub text: String,
}

/// What is not part of the repository's text.
const SKIPPED: &[&str] = &[".git", "target", "data", "node_modules", "__pycache__", ".venv"];
/// Files longer than this are data.
const TEXT_BYTES_MAX: u64 = 4 << 20;

/// The repository that this crate is in.
#[must_use]
pub fn repository_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap_or_else(|_| PathBuf::from("."))
}

/// Every text file below `root`, sorted by path.
///
/// # Errors
/// When a directory or file cannot be read.
pub fn repository_files(root: &Path) -> std::io::Result<Vec<File>> {
    let mut files = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            // In a linked work tree `.git` is a file.
            if SKIPPED.contains(&name.as_str()) {
                continue;
            }
            if kind.is_dir() {
                open.push(entry.path());
            }
            if kind.is_file() && entry.metadata()?.len() <= TEXT_BYTES_MAX {
                let path = entry.path();
                let relative = path
                    .strip_prefix(root)
                    .unwrap_or(&path)
                    .to_string_lossy()
                    .into_owned();
                let bytes = std::fs::read(&path)?;
                if !bytes.contains(&0) {
                    files.push(File {
                        path: relative,
                        text: String::from_utf8_lossy(&bytes).into_owned(),
                    });
                }
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}
