//! kcat, librdkafka (the rdkafka crate), Java, kafka-python and kafkajs: each creates a topic, produces 10,000 records with acks=all and
//! reads them back, keys and headers included.

use milena_cluster_tests::{Cluster, Settings, admin};
use milena_interop_tests::{Sample, read_sorted, run_client, samples, write};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use std::time::{Duration, Instant};

const COUNT: usize = 10_000;

#[test]
fn every_client_reads_back_what_it_wrote() {
    let cluster = Cluster::start(3, Settings::default());
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut expected = samples(COUNT);
    let input = dir.path().join("input");
    write(&input, &expected);
    expected.sort();

    for program in ["kcat.sh", "java.sh", "python.sh", "kafkajs.sh"] {
        let start = Instant::now();
        let output = dir.path().join(program);
        let topic = format!("interop-{}", program.trim_end_matches(".sh"));
        run_client(program, &cluster.bootstrap(), &topic, &input, &output);
        assert_same(program, &expected, &read_sorted(&output));
        println!(
            "{program}: {COUNT} records there and back in {:?}",
            start.elapsed()
        );
    }
    let start = Instant::now();
    assert_same(
        "rdkafka",
        &expected,
        &through_rdkafka(&cluster.bootstrap(), &expected),
    );
    println!("rdkafka: {COUNT} records there and back in {:?}", start.elapsed());
}

fn assert_same(client: &str, expected: &[Sample], found: &[Sample]) {
    let different = expected.iter().zip(found).find(|(e, f)| e != f);
    assert!(different.is_none(), "{client}: {different:?}");
    assert_eq!(expected.len(), found.len(), "{client}");
}

fn through_rdkafka(bootstrap: &str, records: &[Sample]) -> Vec<Sample> {
    let topic = "interop-rdkafka";
    admin::create_topic(bootstrap, topic, 4, 3, &[("min.insync.replicas", "2")]);
    let producer: ThreadedProducer<DefaultProducerContext> = admin::client(bootstrap)
        .set("acks", "all")
        .create()
        .expect("producer");
    for sample in records {
        let headers = OwnedHeaders::new().insert(Header {
            key: "line",
            value: Some(&sample.header),
        });
        let record = BaseRecord::to(topic)
            .key(&sample.key)
            .payload(&sample.value)
            .headers(headers);
        producer.send(record).map_err(|(e, _)| e).expect("send");
    }
    producer.flush(Duration::from_secs(60)).expect("flush");

    let consumer: BaseConsumer = admin::client(bootstrap)
        .set("group.id", "interop-rdkafka")
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("consumer");
    consumer.subscribe(&[topic]).expect("subscribe");
    let mut found = Vec::new();
    let start = Instant::now();
    while found.len() < records.len() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "only {} of {} came back",
            found.len(),
            records.len()
        );
        let Some(message) = consumer.poll(Duration::from_millis(200)) else {
            continue;
        };
        let message = message.expect("message");
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let header = message
            .headers()
            .and_then(|h| h.iter().next().map(|h| text(h.value)))
            .unwrap_or_default();
        found.push(Sample {
            key: text(message.key()),
            header,
            value: text(message.payload()),
        });
    }
    found.sort();
    found
}
