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
