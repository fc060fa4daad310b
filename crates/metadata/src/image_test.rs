//! Images: what apply does, what a delta names, what a snapshot keeps.

use super::*;
use crate::plan::testing::Cluster;
use crate::record::{MetadataBatch, MetadataRecord};
use milena_types::{IncarnationId, Uuid};

fn apply(image: &mut MetadataImage, records: Vec<MetadataRecord>) -> MetadataDelta {
    image
        .apply(&MetadataBatch {
            expected_version: image.version,
            records,
        })
        .unwrap()
}

fn topic(id: u8, name: &str) -> MetadataRecord {
    MetadataRecord::Topic {
        id: TopicId(Uuid([id; 16])),
        name: TopicName::new(name).unwrap(),
    }
}

#[test]
fn a_batch_for_another_version_changes_nothing() {
    let mut image = MetadataImage::default();
    let batch = MetadataBatch {
        expected_version: MetadataVersion(3),
        records: vec![topic(1, "t")],
    };
    let conflict = image.apply(&batch).unwrap_err();
    assert_eq!(
        (conflict.expected, conflict.actual),
        (MetadataVersion(3), MetadataVersion(0))
    );
    assert_eq!(image, MetadataImage::default());
}

#[test]
fn apply_is_total() {
    let mut image = MetadataImage::default();
    let state = Cluster::with_brokers(1);
    let lost = TopicIdPartition {
        topic: TopicId(Uuid([9; 16])),
        partition: PartitionIndex(0),
    };
    let mut state = state;
    let known = state.create("x", 1, 1);
    let state = state.partition(known, 0);
    apply(
        &mut image,
        vec![
            MetadataRecord::Partition { id: lost, state },
            MetadataRecord::TopicRemoved(TopicId(Uuid([9; 16]))),
            MetadataRecord::BrokerRemoved(BrokerId(7)),
            topic(1, "t"),
            topic(2, "t"),
        ],
    );
    assert_eq!(
        (image.topics.len(), image.topic_ids.len()),
        (1, 1),
        "a name belongs to one topic"
    );
    assert_eq!(image.topic_by_name("t").unwrap().id, TopicId(Uuid([2; 16])));
}

#[test]
fn producer_ids_never_go_back() {
    let mut image = MetadataImage::default();
    for next in [2000, 1000] {
        apply(&mut image, vec![MetadataRecord::ProducerIds { next }]);
    }
    assert_eq!(image.next_producer_id, 2000);
}

#[test]
fn a_snapshot_is_the_same_image_and_differs_in_nothing() {
    let mut cluster = Cluster::with_brokers(3);
    cluster.create_with("a", 3, 3, &[("retention.ms", "5")]);
    cluster.create("b", 2, 2);
    let image = &cluster.image;
    let copy = MetadataImage::from_records(image.version, &image.to_records());
    assert_eq!(&copy, image);
    assert!(
        MetadataDelta::between(image, &copy).is_empty(),
        "equal parts that are not shared are equal"
    );
}

#[test]
fn a_delta_names_what_changed() {
    let mut cluster = Cluster::with_brokers(2);
    let (kept, gone) = (cluster.create("kept", 2, 1), cluster.create("gone", 1, 1));
    let old = cluster.image.clone();
    let new_topic = cluster.create_with("new", 1, 1, &[("retention.ms", "5")]);
    cluster.fence(cluster.partition(kept, 1).leader.unwrap());
    cluster.plan(|image, ctx| crate::plan::delete_topics(image, &[crate::request::TopicRef::Id(gone)], ctx));
    let delta = MetadataDelta::between(&old, &cluster.image);
    let at = |topic, partition| TopicIdPartition {
        topic,
        partition: PartitionIndex(partition),
    };
    assert!(delta.partitions.contains(&at(new_topic, 0)) && delta.partitions.contains(&at(kept, 1)));
    assert_eq!(
        delta.topics_removed.iter().map(|t| t.id).collect::<Vec<_>>(),
        [gone]
    );
    assert_eq!((delta.brokers.len(), delta.configs.len()), (1, 1));
}

#[test]
fn steps_that_are_absorbed_name_what_the_whole_step_names() {
    let mut cluster = Cluster::with_brokers(3);
    let old = cluster.image.clone();
    let mut whole = MetadataDelta::default();
    let a = cluster.create("a", 2, 3);
    whole.absorb(MetadataDelta::between(&old, &cluster.image));
    let middle = cluster.image.clone();
    cluster.fence(BrokerId(0));
    cluster.create("b", 1, 1);
    cluster.plan(|image, ctx| crate::plan::delete_topics(image, &[crate::request::TopicRef::Id(a)], ctx));
    whole.absorb(MetadataDelta::between(&middle, &cluster.image));
    let mut direct = MetadataDelta::between(&old, &cluster.image);
    direct.dedup();
    assert_eq!(whole.partitions, direct.partitions);
    assert_eq!(whole.brokers, direct.brokers);
    // Who followed the steps must also hear that the topic in between is gone.
    assert_eq!(whole.topics_removed.len(), 1);
}

#[test]
fn a_registration_is_found_by_the_epoch_that_its_process_knows() {
    let (me, epoch) = (BrokerId(1), BrokerEpoch(7));
    let mut image = MetadataImage::default();
    assert_eq!(image.registration(me, None), None, "neither is known");
    assert_eq!(image.registration(me, Some(epoch)), None);
    let registered = |epoch| {
        Arc::new(BrokerRegistration {
            id: me,
            epoch,
            incarnation: IncarnationId::default(),
            endpoints: Vec::new(),
            rack: None,
            directories: Vec::new(),
            fenced: true,
            in_controlled_shutdown: false,
        })
    };
    image.brokers.insert(me, registered(BrokerEpoch(3)));
    assert_eq!(
        image.registration(me, Some(epoch)),
        None,
        "it knows the former process"
    );
    image.brokers.insert(me, registered(epoch));
    assert_eq!(
        image.registration(me, None),
        None,
        "the answer is still on its way"
    );
    assert!(image.registration(me, Some(epoch)).is_some());
    assert_eq!(image.registration(BrokerId(2), Some(epoch)), None);
}
