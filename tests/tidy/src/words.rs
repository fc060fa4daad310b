//! Words that tie the repository to one machine: it must stand alone.

use crate::Violation;

/// Finds paths of development machines. `.ci/run` may name the data that lies beside the checkout.
#[must_use]
pub fn machine_paths(path: &str, text: &str) -> Vec<Violation> {
    // Put together here, so that this file does not contain them.
    let beside = format!("..{}shared", "/");
    let words = [
        format!("/wor{}", "k/"),
        format!("/roo{}", "t/"),
        format!("issue{}3", " "),
        beside.clone(),
        "/home/".to_owned() + "u",
    ];
    let mut violations = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for word in words.iter().filter(|word| line.contains(word.as_str())) {
            if *word == beside && path == ".ci/run" {
                continue;
            }
            violations.push(Violation::new(
                path,
                at + 1,
                format!("'{word}' ties the repository to a machine"),
            ));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_machine_are_violations() {
        let text = format!("cd /roo{}x\nls ..{}shared/data", "t/", "/");
        assert_eq!(machine_paths("deploy/a.sh", &text).len(), 2);
        assert_eq!(machine_paths(".ci/run", &text).len(), 1);
        assert!(machine_paths("README.md", "cd milena && ./deploy/quickstart.sh\nframework/x").is_empty());
    }
}
