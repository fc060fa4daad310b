//! Raw requests, good and bad: a broker answers as Apache Kafka 4.3.1 did, or `raw/reasons.tsv` says why not.

use milena_cluster_tests::{Cluster, Settings};
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn a_broker_answers_as_kafka_does() {
    let cluster = Cluster::start(1, Settings::default());
    let raw = Path::new(env!("CARGO_MANIFEST_DIR")).join("raw");
    let temp = tempfile::tempdir().expect("temporary directory");
    let answers = temp.path().join("answers");
    let file = std::fs::File::create(&answers).expect("create a file");
    let probe = Command::new("timeout")
        .args(["-k", "5", "120", "python3"])
        .arg(raw.join("probe.py"))
        .arg(cluster.bootstrap())
        .stdout(Stdio::from(file))
        .status();
    assert!(probe.expect("run the probe").success(), "{}", cluster.tails());
    let compare = Command::new("python3")
        .arg(raw.join("compare.py"))
        .arg(&answers)
        .output()
        .expect("compare");
    let text = String::from_utf8_lossy(&compare.stdout);
    assert!(compare.status.success(), "{text}");
    println!("{text}");
}
