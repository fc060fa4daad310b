//! The rules of this repository that a compiler does not check, as functions from text to violations.
//!
//! `tests/repository.rs` applies every rule to the whole tree. The rules themselves are pure, so that each has a
//! test in which it fails.

mod functions;
mod layers;
mod layout;
mod mutants;
mod tree;
mod words;

pub use functions::long_functions;
pub use layers::{ALLOWED_EDGES, forbidden_dependencies, impure_uses};
pub use layout::{bad_layout, has_code_in_index};
pub use mutants::enabled_mutants;
pub use tree::{File, repository_files, repository_root};
pub use words::machine_paths;

/// One broken rule: where, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path from the repository's root.
    pub path: String,
    /// From 1; 0 when it concerns the whole file.
    pub line: usize,
    /// What is wrong and what is allowed.
    pub text: String,
}

impl Violation {
    fn new(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            text: text.into(),
        }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.text)
    }
}
