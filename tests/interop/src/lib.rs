//! Foreign clients against a real cluster: the same ten thousand records through each of them, byte for byte.
//!
//! A client is a program that gets BOOTSTRAP TOPIC INPUT OUTPUT: it creates the topic, produces each line of INPUT (key, header `line`,
//! value, separated by tabs) with acks=all, reads everything back and writes OUTPUT in the same form, in any order.
//! `clients/setup.sh` installs what they need into the user's cache.

pub mod disk;

use milena_cluster_tests::sample_lines;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One record as the clients exchange it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    /// The key.
    pub key: String,
    /// The value of the header `line`.
    pub header: String,
    /// The value.
    pub value: String,
}

/// Makes `count` records with distinct keys.
#[must_use]
pub fn samples(count: usize) -> Vec<Sample> {
    let clean = |line: String| line.replace(['\t', '\r'], " ");
    sample_lines(count)
        .into_iter()
        .enumerate()
        .map(|(i, line)| Sample {
            key: format!("key-{i}"),
            header: format!("h{i}"),
            value: clean(line),
        })
        .collect()
}

/// Writes the records in the clients' form.
///
/// # Panics
/// When the file cannot be written.
pub fn write(path: &Path, samples: &[Sample]) {
    let text: String = samples
        .iter()
        .map(|s| format!("{}\t{}\t{}\n", s.key, s.header, s.value))
        .collect();
    std::fs::write(path, text).expect("write the input");
}

/// Reads records in the clients' form, sorted.
///
/// # Panics
/// When a line has not three fields.
#[must_use]
pub fn read_sorted(path: &Path) -> Vec<Sample> {
    let text = std::fs::read_to_string(path).expect("read the output");
    let mut samples: Vec<Sample> = text
        .lines()
        .map(|line| {
            let mut fields = line.splitn(3, '\t').map(str::to_owned);
            match (fields.next(), fields.next(), fields.next()) {
                (Some(key), Some(header), Some(value)) => Sample { key, header, value },
                _ => panic!("not three fields: {line:?}"),
            }
        })
        .collect();
    samples.sort();
    samples
}

/// The folder of the client programs.
#[must_use]
pub fn clients_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Runs a client program to its end.
///
/// # Panics
/// When it fails; shows its output.
pub fn run_client(program: &str, bootstrap: &str, topic: &str, input: &Path, output: &Path) {
    let run = Command::new("timeout")
        .args(["-k", "5", "120", "bash"])
        .arg(clients_dir().join(program))
        .args([bootstrap, topic])
        .arg(input)
        .arg(output)
        .output()
        .expect("run the client");
    assert!(
        run.status.success(),
        "{program}: {}\n{}\n{}",
        run.status,
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr)
    );
}
