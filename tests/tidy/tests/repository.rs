//! Every rule, applied to every file of the repository.

use milena_tidy::{
    Violation, bad_layout, enabled_mutants, forbidden_dependencies, has_code_in_index, impure_uses,
    long_functions, machine_paths, repository_files, repository_root,
};

fn violations(rules: &[fn(&str, &str) -> Vec<Violation>]) -> Vec<String> {
    let files = repository_files(&repository_root()).expect("the repository can be read");
    assert!(
        files.iter().any(|file| file.path == "Cargo.toml"),
        "the repository was not found"
    );
    let apply = |file: &milena_tidy::File| -> Vec<String> {
        rules
            .iter()
            .flat_map(|rule| rule(&file.path, &file.text))
            .map(|v| v.to_string())
            .collect()
    };
    files.iter().flat_map(apply).collect()
}

fn assert_none(found: Vec<String>) {
    assert!(
        found.is_empty(),
        "{} violations:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn crates_depend_only_downwards() {
    assert_none(violations(&[forbidden_dependencies, impure_uses]));
}

#[test]
fn sources_are_laid_out_by_the_rules() {
    assert_none(violations(&[bad_layout, has_code_in_index]));
}

#[test]
fn functions_can_be_read_at_once() {
    assert_none(violations(&[long_functions]));
}

#[test]
fn nothing_refers_to_one_machine() {
    assert_none(violations(&[machine_paths]));
}

#[test]
fn no_binary_has_rules_that_can_be_switched_off() {
    assert_none(violations(&[enabled_mutants]));
}
