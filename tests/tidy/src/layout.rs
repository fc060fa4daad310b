//! How source files are laid out: length, first line, names, and what index files may hold.

use crate::Violation;

/// Lines that a source file may have.
const FILE_LINES_MAX: usize = 800;
/// Lines that an index file with items may have.
const INDEX_LINES_MAX: usize = 120;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["common", "util", "utils", "helper", "helpers", "misc"];

/// Checks length, the opening `//!` and the names on the path of one Rust file.
#[must_use]
pub fn bad_layout(path: &str, source: &str) -> Vec<Violation> {
    if !path.ends_with(".rs") {
        return Vec::new();
    }
    let mut violations = Vec::new();
    let lines = source.lines().count();
    if lines > FILE_LINES_MAX {
        violations.push(Violation::new(
            path,
            0,
            format!("{lines} lines; allowed: {FILE_LINES_MAX}"),
        ));
    }
    if !source.starts_with("//!") {
        violations.push(Violation::new(
            path,
            1,
            "does not open with //! (what it is, its invariants)",
        ));
    }
    for part in path.trim_end_matches(".rs").split('/') {
        if EMPTY_NAMES.contains(&part) {
            violations.push(Violation::new(
                path,
                0,
                format!("'{part}' says nothing; name the concept"),
            ));
        }
    }
    for (at, line) in source.lines().enumerate() {
        let declared = line
            .trim_start()
            .trim_start_matches("pub ")
            .trim_start_matches("pub(crate) ");
        let name = declared
            .strip_prefix("mod ")
            .map(|rest| rest.trim_end_matches([';', '{', ' ']));
        if let Some(name) = name.filter(|name| EMPTY_NAMES.contains(name)) {
            violations.push(Violation::new(
                path,
                at + 1,
                format!("'{name}' says nothing; name the concept"),
            ));
        }
    }
    violations
}

/// Checks that a `mod.rs` or `lib.rs` that holds items, and not only modules and re-exports, is small.
#[must_use]
pub fn has_code_in_index(path: &str, source: &str) -> Vec<Violation> {
    let is_index = path.starts_with("crates/") && (path.ends_with("/mod.rs") || path.ends_with("/lib.rs"));
    if !is_index || source.lines().count() <= INDEX_LINES_MAX {
        return Vec::new();
    }
    let is_item = |line: &str| {
        let line = line
            .strip_prefix("pub(crate) ")
            .or(line.strip_prefix("pub(super) "))
            .unwrap_or(line);
        let line = line.strip_prefix("pub ").unwrap_or(line);
        [
            "fn ",
            "async fn ",
            "const fn ",
            "struct ",
            "enum ",
            "impl ",
            "impl<",
            "trait ",
            "static ",
        ]
        .iter()
        .any(|word| line.starts_with(word))
    };
    let first = source.lines().position(is_item);
    let text = format!(
        "a long index file (over {INDEX_LINES_MAX} lines) holds documentation, modules and re-exports; move items to files of their own"
    );
    first
        .map(|at| Violation::new(path, at + 1, text))
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_files_without_documentation_and_empty_names_are_violations() {
        assert!(bad_layout("crates/log/src/a.rs", "//! A.\nmod b;\n").is_empty());
        assert_eq!(bad_layout("crates/log/src/a.rs", "use b;\n").len(), 1);
        assert_eq!(bad_layout("crates/log/src/utils.rs", "//! A.\n").len(), 1);
        assert_eq!(bad_layout("crates/log/src/common/a.rs", "//! A.\n").len(), 1);
        assert_eq!(
            bad_layout("crates/log/src/a.rs", "//! A.\n    pub mod helpers {\n").len(),
            1
        );
        let long = format!("//! A.\n{}", "x\n".repeat(FILE_LINES_MAX));
        assert_eq!(bad_layout("crates/log/src/a.rs", &long).len(), 1);
        assert!(bad_layout("docs/a.md", "x").is_empty());
    }

    #[test]
    fn long_index_files_hold_no_items() {
        let short = "//! A.\nmod a;\npub use a::B;\npub fn f() {}\n";
        let long = format!("{short}{}", "mod b;\n".repeat(INDEX_LINES_MAX));
        assert!(has_code_in_index("crates/log/src/a/mod.rs", short).is_empty());
        assert_eq!(has_code_in_index("crates/log/src/a/mod.rs", &long)[0].line, 4);
        assert!(has_code_in_index("crates/log/src/a.rs", &long).is_empty());
        assert!(has_code_in_index("crates/log/src/lib.rs", &long.replace("pub fn f() {}", "")).is_empty());
    }
}
