//! What failures cost, counted from batches.

use super::changes::{Changes, Outage, Reason};
use super::{Availability, Duration, Timestamp};
use milena_metadata::config::BrokerDefaults;
use milena_metadata::image::MetadataImage;
use milena_metadata::record::{
    BrokerRegistration, ConfigResource, MetadataBatch, MetadataRecord, PartitionRegistration,
};
use milena_metrics::Metric;
use milena_types::BrokerId;
use milena_types::{
    BrokerEpoch, DirectoryId, IncarnationId, LeaderEpoch, PartitionIndex, TopicId, TopicIdPartition,
    TopicName, Uuid,
};

const TOPIC: TopicId = TopicId(Uuid([1; 16]));

fn partition(index: i32) -> TopicIdPartition {
    TopicIdPartition {
        topic: TOPIC,
        partition: PartitionIndex(index),
    }
}

fn ids(list: &[i32]) -> Vec<BrokerId> {
    list.iter().map(|b| BrokerId(*b)).collect()
}

fn broker(id: i32, fenced: bool) -> MetadataRecord {
    MetadataRecord::Broker(BrokerRegistration {
        id: BrokerId(id),
        epoch: BrokerEpoch(1),
        incarnation: IncarnationId::default(),
        endpoints: Vec::new(),
        rack: None,
        directories: vec![DirectoryId::default()],
        fenced,
        in_controlled_shutdown: false,
    })
}

fn state(leader: Option<i32>, isr: &[i32]) -> PartitionRegistration {
    PartitionRegistration {
        leader: leader.map(BrokerId),
        ..PartitionRegistration::new(ids(&[1, 2, 3]), ids(isr))
    }
}

fn set(index: i32, state: PartitionRegistration) -> MetadataRecord {
    MetadataRecord::Partition {
        id: partition(index),
        state,
    }
}

/// A cluster as its active controller sees it.
struct Cluster {
    image: MetadataImage,
    defaults: BrokerDefaults,
    now: Timestamp,
    figures: Availability,
}

impl Cluster {
    /// Topic `t` with two partitions of three replicas, led by 1 and 2; two must be in sync.
    fn new() -> Self {
        let mut cluster = Self {
            image: MetadataImage::default(),
            defaults: BrokerDefaults::default(),
            now: Timestamp(0),
            figures: Availability::default(),
        };
        let topic = MetadataRecord::Topic {
            id: TOPIC,
            name: TopicName::new("t").unwrap(),
        };
        let brokers = (1..4).map(|id| broker(id, false));
        let partitions = [
            set(0, state(Some(1), &[1, 2, 3])),
            set(1, state(Some(2), &[2, 3])),
        ];
        cluster.commit(
            brokers.chain([topic]).chain(partitions).chain([min_isr("2")]),
            cluster.now,
        );
        cluster.figures.begin(
            &cluster.image,
            &cluster.defaults,
            Duration::from_secs(9),
            cluster.now,
        );
        cluster
    }

    fn commit(&mut self, records: impl IntoIterator<Item = MetadataRecord>, decided: Timestamp) {
        let base = self.image.clone();
        let batch = MetadataBatch {
            expected_version: base.version,
            records: records.into_iter().collect(),
        };
        self.image.apply(&batch).unwrap();
        let changes = Changes::of(&base, &batch, &batch.last_states(), &self.image, &self.defaults);
        self.figures
            .on_committed(&changes, &self.image, &self.defaults, 0, (decided, self.now));
    }

    fn pass(&mut self, seconds: i64) {
        self.now.0 += seconds * 1_000;
    }

    /// A number, of the rows whose tags have these values.
    fn number(&self, name: &str, tags: &[&str]) -> f64 {
        let metrics = self.figures.metrics(&self.image, self.now);
        let of = |metric: &&Metric| {
            let values: Vec<&str> = metric.tags.iter().map(|tag| tag.1.as_str()).collect();
            (metric.kind, metric.name) == name.split_once('_').unwrap() && values == tags
        };
        metrics
            .iter()
            .find(of)
            .and_then(Metric::number)
            .unwrap_or_default()
    }

    fn unavailable(&self, outage: Outage) -> f64 {
        self.number("topic_unavailable_seconds_total", &["t", outage.as_str()])
    }
}

fn min_isr(value: &str) -> MetadataRecord {
    MetadataRecord::Config {
        resource: ConfigResource::Topic(TopicName::new("t").unwrap()),
        key: "min.insync.replicas".to_owned(),
        value: Some(value.to_owned()),
    }
}

#[test]
fn a_failover_is_timed_from_the_first_sign_of_death() {
    let mut cluster = Cluster::new();
    cluster.pass(10);
    cluster.figures.suspect(BrokerId(1), cluster.now);
    cluster.pass(2);
    // A later sign of the same death is none.
    cluster.figures.suspect(BrokerId(1), cluster.now);
    let decided = cluster.now;
    cluster.pass(1);
    cluster.commit([broker(1, true), set(0, state(Some(2), &[2, 3]))], decided);
    assert_eq!(cluster.figures.detect.distribution().sum, 2.0);
    assert_eq!(cluster.figures.elect.distribution().sum, 1.0);
    assert_eq!(cluster.number("elections_total", &["failure"]), 1.0);
    assert_eq!(cluster.number("elections_total", &["preferred"]), 0.0);
    cluster.pass(100);
    assert_eq!(cluster.unavailable(Outage::NoLeader), 3.0);
    assert_eq!(cluster.unavailable(Outage::UnderMinIsr), 0.0);
}

#[test]
fn a_broker_that_led_nothing_is_no_failover() {
    let mut cluster = Cluster::new();
    cluster.figures.suspect(BrokerId(3), cluster.now);
    cluster.pass(2);
    cluster.commit([broker(3, true), set(0, state(Some(1), &[1, 2]))], cluster.now);
    assert_eq!(cluster.figures.detect.distribution().sum, 0.0);
    assert_eq!(cluster.unavailable(Outage::NoLeader), 0.0);
}

#[test]
fn a_sign_of_a_broker_that_lives_is_forgotten() {
    let mut cluster = Cluster::new();
    cluster.figures.suspect(BrokerId(1), cluster.now);
    cluster.figures.clear(BrokerId(1));
    cluster.pass(50);
    cluster.figures.suspect(BrokerId(1), cluster.now);
    cluster.figures.suspect(BrokerId(2), Timestamp(0));
    cluster.pass(1);
    // Signs of the time before this controller count only while they are fresh.
    cluster.figures.begin(
        &cluster.image,
        &cluster.defaults,
        Duration::from_secs(9),
        cluster.now,
    );
    cluster.commit([broker(1, true), set(0, state(Some(2), &[2, 3]))], cluster.now);
    assert_eq!(cluster.figures.detect.distribution().sum, 1.0);
    cluster.commit([broker(2, true), set(0, state(Some(3), &[3]))], cluster.now);
    assert_eq!(cluster.figures.detect.distribution().sum, 1.0);
}

#[test]
fn outages_last_until_the_commit_that_ends_them_and_add_up_over_partitions() {
    let mut cluster = Cluster::new();
    let now = cluster.now;
    cluster.commit([set(0, state(Some(1), &[1])), set(1, state(Some(2), &[2]))], now);
    cluster.pass(3);
    assert_eq!(cluster.unavailable(Outage::UnderMinIsr), 6.0, "they last");
    cluster.commit([set(1, state(Some(2), &[2, 3]))], cluster.now);
    cluster.pass(2);
    assert_eq!(cluster.unavailable(Outage::UnderMinIsr), 8.0);
    // Now nobody leads partition 0; then somebody does, but too few are in sync.
    cluster.commit([set(0, state(None, &[1]))], cluster.now);
    cluster.pass(4);
    cluster.commit([set(0, state(Some(1), &[1]))], cluster.now);
    cluster.pass(1);
    assert_eq!(cluster.unavailable(Outage::NoLeader), 4.0);
    assert_eq!(cluster.unavailable(Outage::UnderMinIsr), 9.0);
    assert_eq!(cluster.number("elections_total", &["return"]), 1.0);
    // One in sync is enough from now on.
    cluster.commit([min_isr("1")], cluster.now);
    cluster.pass(5);
    assert_eq!(cluster.unavailable(Outage::UnderMinIsr), 9.0);
    cluster.commit([min_isr("2")], cluster.now);
    cluster.pass(1);
    // Another controller counts from here.
    cluster.figures.end(cluster.now);
    cluster.pass(5);
    assert_eq!(cluster.unavailable(Outage::UnderMinIsr), 10.0);
}

#[test]
fn who_did_not_know_that_another_one_counts_does_not_count_that_time_too() {
    let mut cluster = Cluster::new();
    cluster.commit([set(0, state(None, &[1]))], cluster.now);
    cluster.pass(2);
    let acted = cluster.now;
    cluster.pass(30);
    cluster.figures.end(acted);
    assert_eq!(cluster.unavailable(Outage::NoLeader), 2.0);
    // What was told is not taken back.
    let mut cluster = Cluster::new();
    cluster.commit([set(0, state(None, &[1]))], cluster.now);
    cluster.pass(2);
    let acted = cluster.now;
    cluster.pass(3);
    assert_eq!(cluster.unavailable(Outage::NoLeader), 5.0);
    cluster.figures.end(acted);
    assert_eq!(cluster.unavailable(Outage::NoLeader), 5.0);
}

#[test]
fn the_figures_of_a_topic_go_with_it() {
    let mut cluster = Cluster::new();
    cluster.commit([set(0, state(None, &[1]))], cluster.now);
    cluster.pass(1);
    cluster.commit([MetadataRecord::TopicRemoved(TOPIC)], cluster.now);
    let metrics = cluster.figures.metrics(&cluster.image, cluster.now);
    assert!(metrics.iter().all(|metric| metric.kind != "topic"));
}

#[test]
fn each_move_of_a_leadership_has_its_reason() {
    let mut base = MetadataImage::default();
    let before = state(Some(1), &[1, 2, 3]);
    let topic = MetadataRecord::Topic {
        id: TOPIC,
        name: TopicName::new("t").unwrap(),
    };
    let records: Vec<_> = (1..4)
        .map(|id| broker(id, false))
        .chain([topic, set(0, before.clone())])
        .collect();
    let batch = |base: &MetadataImage, records| MetadataBatch {
        expected_version: base.version,
        records,
    };
    base.apply(&batch(&base, records)).unwrap();
    let reason = |broker: Option<MetadataRecord>, after: PartitionRegistration| {
        let batch = batch(&base, broker.into_iter().chain([set(0, after)]).collect());
        let mut image = base.clone();
        image.apply(&batch).unwrap();
        let states = batch.last_states();
        Changes::of(&base, &batch, &states, &image, &BrokerDefaults::default()).partitions[0].election
    };
    let to = |leader| state(Some(leader), &[2, 3]);
    let again = match broker(1, false) {
        MetadataRecord::Broker(registration) => MetadataRecord::Broker(BrokerRegistration {
            epoch: BrokerEpoch(9),
            ..registration
        }),
        other => other,
    };
    let stops = match broker(1, false) {
        MetadataRecord::Broker(registration) => MetadataRecord::Broker(BrokerRegistration {
            in_controlled_shutdown: true,
            ..registration
        }),
        other => other,
    };
    assert_eq!(reason(None, state(Some(1), &[1])), None);
    assert_eq!(reason(Some(broker(1, true)), state(None, &[1])), None);
    assert_eq!(reason(Some(broker(1, true)), to(2)), Some(Reason::Failure));
    assert_eq!(
        reason(Some(MetadataRecord::BrokerRemoved(BrokerId(1))), to(2)),
        Some(Reason::Failure)
    );
    assert_eq!(reason(Some(again), to(2)), Some(Reason::Failure));
    assert_eq!(reason(Some(stops), to(2)), Some(Reason::ControlledShutdown));
    assert_eq!(reason(None, to(2)), Some(Reason::Preferred));
    let offline = PartitionRegistration {
        offline: ids(&[1]),
        ..to(2)
    };
    assert_eq!(reason(None, offline), Some(Reason::Directory));
    let moved = PartitionRegistration {
        replicas: ids(&[2, 3]),
        ..to(2)
    };
    assert_eq!(reason(None, moved), Some(Reason::Reassignment));
    let unclean = PartitionRegistration {
        unclean_epochs: vec![LeaderEpoch(1)],
        ..to(2)
    };
    assert_eq!(reason(Some(broker(1, true)), unclean), Some(Reason::Unclean));
}
