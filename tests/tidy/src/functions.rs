//! Functions that are too long to be read at once.
//!
//! The sources are formatted by rustfmt, so a function ends at the first closing brace in its own column. Rows of a
//! table (a tuple on one line, a match arm on one line) are data and do not count.

use crate::Violation;

/// Lines from `fn` to the closing brace, rows of tables apart.
const FUNCTION_LINES_MAX: usize = 70;

/// Finds functions that are too long.
#[must_use]
pub fn long_functions(path: &str, source: &str) -> Vec<Violation> {
    if !path.ends_with(".rs") {
        return Vec::new();
    }
    let lines: Vec<&str> = source.lines().collect();
    let mut violations = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let closing = format!("{}}}", " ".repeat(indent));
        let declared_only = lines[at..]
            .iter()
            .find(|l| l.ends_with('{') || l.ends_with(';') || l.ends_with('}'));
        if declared_only.is_some_and(|l| l.ends_with(';')) {
            continue;
        }
        let end = lines[at..]
            .iter()
            .position(|l| *l == closing)
            .map_or(at, |end| at + end + 1);
        let length = lines[at..end].iter().filter(|line| !is_table_row(line)).count();
        if length > FUNCTION_LINES_MAX {
            let text = format!("fn {name} has {length} lines; allowed: {FUNCTION_LINES_MAX}");
            violations.push(Violation::new(path, at + 1, text));
        }
    }
    violations
}

fn is_table_row(line: &str) -> bool {
    let line = line.trim();
    (line.starts_with('(') && line.ends_with("),")) || (line.contains(" => ") && line.ends_with(','))
}

/// The name of the function whose declaration begins on this line.
fn function_name(line: &str) -> Option<&str> {
    let mut words = line.trim_start();
    loop {
        if let Some(rest) = words.strip_prefix("fn ") {
            return Some(rest.split(['(', '<']).next().unwrap_or_default());
        }
        let (word, rest) = words.split_once(' ')?;
        let is_qualifier = matches!(word, "pub" | "async" | "const" | "unsafe" | "extern" | "\"C\"")
            || (word.starts_with("pub(") && word.ends_with(')'));
        if !is_qualifier {
            return None;
        }
        words = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(head: &str, body_lines: usize) -> String {
        format!("    {head} {{\n{}    }}\n", "        x;\n".repeat(body_lines))
    }

    #[test]
    fn seventy_lines_pass_and_seventy_one_do_not() {
        for head in [
            "fn f()",
            "pub async fn f<T>(a: T)",
            "pub(crate) const fn f()",
            "pub(super) unsafe fn f()",
        ] {
            assert!(long_functions("a.rs", &function(head, 68)).is_empty(), "{head}");
            let found = long_functions("a.rs", &function(head, 69));
            assert_eq!(found.len(), 1, "{head}");
            assert_eq!(found[0].text, "fn f has 71 lines; allowed: 70");
        }
    }

    #[test]
    fn rows_of_a_table_do_not_count() {
        let arms = "            1 => \"one\",\n            (\"a\", 1),\n".repeat(90);
        assert!(long_functions("a.rs", &format!("fn f() {{\n{arms}}}\n")).is_empty());
    }

    #[test]
    fn declarations_without_a_body_have_no_length() {
        let source = format!(
            "trait T {{\n    fn f(\n        a: u8,\n    );\n{}}}\n",
            function("fn g()", 30)
        );
        assert!(long_functions("a.rs", &source).is_empty());
    }
}
