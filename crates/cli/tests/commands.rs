//! The `milena` program as people call it: what it prints, with which status it exits, what a single node does.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

fn milena(words: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_milena"));
    command.args(words).env_clear().envs(environment.iter().copied());
    command.output().expect("run milena")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn write(dir: &Path, name: &str, content: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, content).expect("write a file");
    path.display().to_string()
}

#[test]
fn every_problem_of_a_configuration_is_printed_and_the_status_is_one() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = write(
        dir.path(),
        "f.properties",
        "node.id=x\nnum.partitions=0\nlog.dris=/a\n",
    );
    let output = milena(
        &["server", "--config", &file, "--strict"],
        &[("KAFKA_LOG_SEGMENT_BYTES", "1")],
    );
    assert_eq!(output.status.code(), Some(1));
    let printed = text(&output.stderr);
    for part in [
        "milena: 4 problems in the configuration:",
        "node.id = 'x' (",
        "num.partitions = '0' (",
        "did you mean log.dirs?",
        "log.segment.bytes = '1' (KAFKA_LOG_SEGMENT_BYTES): allowed: an integer of 32 bits, at least 1048576",
    ] {
        assert!(printed.contains(part), "{part} is not in {printed}");
    }
    let output = milena(&["server", "--config", "/no/such/file"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/no/such/file"));
}

#[test]
fn directories_are_formatted_shown_and_refused_to_others() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let data = dir.path().join("data").display().to_string();
    let file = write(
        dir.path(),
        "f.properties",
        &format!("node.id=7\nlog.dirs={data}\n"),
    );
    let uuid = text(&milena(&["storage", "random-uuid"], &[]).stdout)
        .trim()
        .to_owned();
    assert_eq!(uuid.len(), 22);

    let info = milena(&["storage", "info", "-c", &file], &[]);
    assert_eq!(info.status.code(), Some(1));
    assert!(text(&info.stdout).contains(&format!("{data} is not formatted.")));

    let format = ["storage", "format", "-t", &uuid, "-c", &file];
    assert!(milena(&format, &[]).status.success());
    let again = milena(&format, &[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        text(&again.stderr).contains("already formatted"),
        "{}",
        text(&again.stderr)
    );
    let ignoring = milena(
        &[
            "storage",
            "format",
            "-t",
            &uuid,
            "-c",
            &file,
            "--ignore-formatted",
        ],
        &[],
    );
    assert!(ignoring.status.success());
    let info = milena(&["storage", "info", "-c", &file], &[]);
    assert!(info.status.success());
    assert!(
        text(&info.stdout).contains(&format!("cluster.id={uuid}, directory.id=")),
        "{}",
        text(&info.stdout)
    );

    for (override_, environment, part) in [
        ("node.id=8", None, "belongs to node 7, this is node 8"),
        (
            "node.id=7",
            Some(("CLUSTER_ID", "another")),
            "this node to another",
        ),
    ] {
        let words = ["server", "--config", &file, "--override", override_];
        let output = milena(&words, environment.as_slice());
        assert_eq!(output.status.code(), Some(1));
        let printed = text(&output.stderr);
        assert!(
            printed.contains(part) && printed.contains(&data),
            "{part} is not in {printed}"
        );
    }
}

/// A running node that is killed when the test ends.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ports below the ephemeral range that are free now, and that no other test of this process gets.
fn free_ports<const N: usize>() -> [u16; N] {
    static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let start = 15_000 + u16::try_from(std::process::id() % 10_000).unwrap_or_default();
    std::array::from_fn(|_| {
        let is_free = |port: &u16| !taken.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let port = (start..32_000).find(is_free).expect("a free port");
        taken.insert(port);
        port
    })
}

fn ask(port: u16, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn get(port: u16, path: &str) -> Option<String> {
    ask(
        port,
        &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
    )
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "not within 30 s: {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn the_log_level_can_be_changed(admin: u16) {
    let put = |level: &str| {
        let length = level.len();
        let head = format!(
            "PUT /log-level HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        ask(admin, &format!("{head}{level}")).expect("an answer")
    };
    assert!(put("debug").starts_with("HTTP/1.1 200"));
    assert!(get(admin, "/log-level").is_some_and(|answer| answer.ends_with("debug\n")));
    assert!(put("loud").starts_with("HTTP/1.1 400"));
    assert!(put("info").starts_with("HTTP/1.1 200"));
}

fn each_life_event_is_logged_once(log: &str) {
    for event in [
        "node starting",
        "node ready",
        "controlled shutdown begins",
        "node stopped",
    ] {
        let count = log
            .lines()
            .filter(|line| line.contains(&format!("\"message\":\"{event}")))
            .count();
        assert_eq!(count, 1, "{event} in {log}");
    }
}

#[test]
fn a_single_node_with_id_zero_formats_itself_serves_and_stops_at_sigterm() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let data = dir.path().join("data");
    let [client, controller, admin] = free_ports();
    let settings = format!(
        "process.roles=broker,controller\nnode.id=0\ncontroller.quorum.voters=0@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}\n\
         log.dirs={}\nmilena.admin.listen=127.0.0.1:{admin}\noffsets.topic.replication.factor=1\n",
        data.display()
    );
    let file = write(dir.path(), "server.properties", &settings);
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_milena"));
        command.args(["server", "--config", &file, "--log-format", "json"]);
        let child = command.env_clear().stdout(Stdio::piped()).spawn();
        Node(child.expect("start milena"))
    };
    let mut cluster = None;
    for _ in 0..2 {
        let mut node = start();
        until("ready", || {
            get(admin, "/ready").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
        });
        assert!(
            milena(&["health", "--admin", &format!("127.0.0.1:{admin}")], &[])
                .status
                .success()
        );
        let leader = milena(
            &[
                "quorum",
                "--controllers",
                &format!("127.0.0.1:{controller}"),
                "--leader",
            ],
            &[],
        );
        assert_eq!(text(&leader.stdout), "0\n");

        the_log_level_can_be_changed(admin);
        let meta = std::fs::read_to_string(data.join("meta.properties")).expect("meta.properties");
        let id = meta
            .lines()
            .find(|line| line.starts_with("cluster.id="))
            .expect("a cluster id")
            .to_owned();
        assert_eq!(
            *cluster.get_or_insert(id.clone()),
            id,
            "the cluster's id survives a restart"
        );

        let killed = Command::new("kill")
            .args(["-TERM", &node.0.id().to_string()])
            .status();
        assert!(killed.expect("run kill").success());
        let mut log = String::new();
        node.0
            .stdout
            .take()
            .expect("its output")
            .read_to_string(&mut log)
            .expect("read the log");
        assert_eq!(node.0.wait().expect("its status").code(), Some(0), "{log}");
        each_life_event_is_logged_once(&log);
    }
}

#[test]
fn a_node_that_waits_for_its_quorum_says_so_and_stops_at_sigterm() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let [first, second, admin, client] = free_ports();
    let settings = format!(
        "node.id=1\ncontroller.quorum.voters=1@127.0.0.1:{first},2@127.0.0.1:{second}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{client}\nlog.dirs={}\nmilena.admin.listen=127.0.0.1:{admin}\n",
        dir.path().join("data").display()
    );
    let file = write(dir.path(), "server.properties", &settings);
    let mut command = Command::new(env!("CARGO_BIN_EXE_milena"));
    let child = command
        .args(["server", "-c", &file])
        .env_clear()
        .stdout(Stdio::null())
        .spawn();
    let mut node = Node(child.expect("start milena"));
    until("waiting for a majority", || {
        let answer = get(admin, "/ready").unwrap_or_default();
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer.contains("a majority of the voters must run")
    });
    let health = milena(&["health", "--admin", &format!("127.0.0.1:{admin}")], &[]);
    assert_eq!(health.status.code(), Some(1));
    let killed = Command::new("kill")
        .args(["-TERM", &node.0.id().to_string()])
        .status();
    assert!(killed.expect("run kill").success());
    until("the end", || {
        node.0
            .try_wait()
            .expect("its status")
            .is_some_and(|status| status.success())
    });
}
