//! `deploy/quickstart.sh`: every subcommand does what it says.

use milena_cluster_tests::{admin, until};
use milena_deploy_tests::{milena, repository};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PORT: u16 = 20_392;

struct Quickstart<'a> {
    data: &'a Path,
}

impl Quickstart<'_> {
    fn run(&self, words: &[&str]) -> (bool, String) {
        let mut command = Command::new(repository().join("deploy/quickstart.sh"));
        let command = command
            .args(words)
            .env("MILENA_BIN", milena())
            .env("MILENA_DATA", self.data);
        let output = command
            .env("MILENA_PORT", PORT.to_string())
            .output()
            .expect("run quickstart.sh");
        if !output.status.success() {
            eprintln!("{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    }

    fn ok(&self, words: &[&str]) -> String {
        let (is_ok, output) = self.run(words);
        assert!(is_ok, "{words:?}: {output}");
        output
    }

    fn pids(&self) -> BTreeMap<i32, u32> {
        let pair = |line: &str| {
            let (id, pid) = line.split_once(' ').expect("ID PID");
            (id.parse().expect("an id"), pid.parse().expect("a pid"))
        };
        self.ok(&["pids"]).lines().map(pair).collect()
    }
}

impl Drop for Quickstart<'_> {
    fn drop(&mut self) {
        let _ = self.run(&["clean"]);
    }
}

fn wait_live(bootstrap: &str, count: usize) {
    until("live brokers", Duration::from_secs(30), || {
        (admin::live_brokers(bootstrap) == count).then_some(())
    });
}

/// Runs it with a program that must never be reached.
fn refused(data: &Path, port: &str, words: &[&str]) -> String {
    let output = Command::new(repository().join("deploy/quickstart.sh"))
        .args(words)
        .env("MILENA_BIN", "/nonexistent/milena")
        .env("MILENA_DATA", data)
        .env("MILENA_PORT", port)
        .output()
        .expect("run quickstart.sh");
    assert!(
        !output.status.success() && output.stdout.is_empty(),
        "{port} {words:?}"
    );
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

#[test]
fn what_can_not_be_done_is_refused_in_one_clear_line() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let data = dir.path().join("data");
    let port = PORT.to_string();
    let cases: [(&str, &[&str], &str); 14] = [
        ("21766", &["up", "3"], "allowed: 1 to 21765 for a cluster of 3"),
        ("21766", &[], "allowed: 1 to 21765 for a cluster of 3"),
        ("30000", &["up", "1"], "allowed: 1 to 21767 for a cluster of 1"),
        ("abc", &["up"], "MILENA_PORT=abc: allowed: 1 to 21765"),
        ("0", &["up"], "MILENA_PORT=0: allowed: 1 to 21765"),
        ("abc", &["controller"], "MILENA_PORT=abc: allowed: 1 to"),
        ("21765", &["up"], "/nonexistent/milena is not a program"),
        (&port, &["up", "0"], "up '0': how many nodes? allowed: 1 to 9"),
        (
            &port,
            &["up", "three"],
            "up 'three': how many nodes? allowed: 1 to 9",
        ),
        (&port, &["up", ""], "up '': how many nodes? allowed: 1 to 9"),
        (
            &port,
            &["kill", "7"],
            "kill 7: there is no node 7; nodes: none; use up first",
        ),
        (&port, &["stop", "x"], "stop x: there is no node x"),
        (&port, &["start"], "start: which node? nodes: none"),
        (&port, &["controller"], "controller: there are no nodes"),
    ];
    for (port, words, part) in cases {
        let said = refused(&data, port, words);
        assert!(said.contains(part), "{port} {words:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert!(!data.exists(), "nothing was made");
}

/// Two of three gone: nobody leads, and nobody is named.
fn names_no_controller_without_a_majority(quickstart: &Quickstart<'_>, ids: impl Iterator<Item = i32>) {
    let controller: i32 = quickstart.ok(&["controller"]).trim().parse().expect("an id");
    let others: Vec<String> = ids
        .filter(|id| *id != controller)
        .map(|id| id.to_string())
        .collect();
    for id in &others {
        quickstart.ok(&["kill", id]);
    }
    until("a controller that steps down", Duration::from_secs(30), || {
        let (is_named, said) = quickstart.run(&["controller"]);
        assert_eq!(is_named, !said.is_empty(), "{said}");
        (!is_named).then_some(())
    });
    for id in &others {
        quickstart.ok(&["start", id]);
    }
}

#[test]
fn every_subcommand_does_what_it_says() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let data = dir.path().join("data");
    let quickstart = Quickstart { data: &data };
    assert!(!quickstart.run(&["kill", "1"]).0, "there is no node 1 yet");

    let output = quickstart.ok(&["up", "3"]);
    let bootstrap = output.lines().last().expect("a last line").to_owned();
    let expected: Vec<_> = (PORT..PORT + 3).map(|port| format!("127.0.0.1:{port}")).collect();
    assert_eq!(bootstrap, expected.join(","));
    assert_eq!(
        output.lines().filter(|line| line.starts_with("  ")).count(),
        3,
        "three next commands"
    );
    wait_live(&bootstrap, 3);
    let pids = quickstart.pids();
    assert_eq!(pids.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);

    assert_eq!(quickstart.ok(&["up"]).lines().last(), Some(bootstrap.as_str()));
    assert_eq!(quickstart.pids(), pids, "running again changes nothing");
    assert!(!quickstart.run(&["up", "1"]).0, "another size is refused");

    let controller: i32 = quickstart.ok(&["controller"]).trim().parse().expect("an id");
    assert!(pids.contains_key(&controller));

    let victim = pids
        .keys()
        .copied()
        .find(|id| *id != controller)
        .expect("another node")
        .to_string();
    quickstart.ok(&["kill", &victim]);
    assert_eq!(quickstart.pids().len(), 2);
    wait_live(&bootstrap, 2);
    quickstart.ok(&["start", &victim]);
    wait_live(&bootstrap, 3);
    quickstart.ok(&["stop", &victim]);
    assert_eq!(quickstart.pids().len(), 2);
    quickstart.ok(&["start", &victim]);
    wait_live(&bootstrap, 3);

    names_no_controller_without_a_majority(&quickstart, pids.keys().copied());
    wait_live(&bootstrap, 3);

    quickstart.ok(&["down"]);
    assert!(quickstart.pids().is_empty());
    assert!(
        data.join("node1/log/meta.properties").exists(),
        "down keeps the data"
    );
    quickstart.ok(&["up"]);
    wait_live(&bootstrap, 3);
    quickstart.ok(&["clean"]);
    assert!(
        quickstart.pids().is_empty() && !data.join("node1").exists(),
        "clean deletes the data"
    );
}
