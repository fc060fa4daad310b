//! What an idle partition costs a data thread in memory: its table entry, its state and its log.

use super::fetch_wait::FetchWaiters;
use super::parked::Parked;
use super::partition::Partition;
use super::role::{Feed, LeaderRole, Role};
use super::settings::{PartitionSettings, SettingsCache};
use super::tail_ring::TailRing;
use crate::config::BrokerConfig;
use bytes::BytesMut;
use milena_counting::peak_bytes;
use milena_log::{AppendContext, AppendOrigin, Env, OpenOptions, PartitionLog};
use milena_metadata::MetadataImage;
use milena_record::{BatchBuilder, Compression, TimestampType};
use milena_replication::{
    Attach, AttachAnswer, AttachIds, AttachmentId, BrokerIds, FollowerHighWatermark, Following, Leader,
    LeaderTerm, LogEnds, LogSummary, Moment,
};
use milena_types::{
    BrokerEpoch, BrokerId, LeaderEpoch, Offset, PartitionEpoch, PartitionIndex, ProducerEpoch, ProducerId,
    Timestamp, TopicId, TopicIdPartition, TopicName, TopicPartition,
};
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

/// What an idle partition without records may take, by its role; a leader with what it knows of its followers.
const FOLLOWER_BYTES_MAX: usize = 520;
const ALONE_BYTES_MAX: usize = 620;
const LED_BYTES_MAX: usize = 910;
/// The same with records: one segment, one epoch.
const USED_FOLLOWER_BYTES_MAX: usize = 540;
const USED_LED_BYTES_MAX: usize = 930;
/// What an idempotent producer adds of which one batch is remembered, and each of the four others.
const PRODUCER_BYTES_MAX: usize = 80;
const BATCH_BYTES: usize = 24;
const PARTITIONS: i32 = 1000;
const USED_PARTITIONS: i32 = 100;

struct Maker {
    settings: Rc<PartitionSettings>,
    options: OpenOptions,
    dir: std::path::PathBuf,
}

impl Maker {
    fn new(dir: &Path) -> Self {
        let topic = TopicName::new("orders-of-the-day").unwrap();
        let mut cache = SettingsCache::new(&BrokerConfig::default());
        let settings = cache.of(&MetadataImage::default(), &topic);
        let partition = TopicPartition {
            topic,
            partition: PartitionIndex(0),
        };
        let (id, config) = (TopicId::random(), std::sync::Arc::clone(&settings.log));
        let options = OpenOptions::new(Env::real(), dir.to_owned(), partition, id, config, Timestamp(0));
        Self {
            settings,
            options,
            dir: dir.to_owned(),
        }
    }

    fn log(&self, index: i32) -> PartitionLog {
        let partition = TopicPartition {
            topic: self.options.partition.topic.clone(),
            partition: PartitionIndex(index),
        };
        PartitionLog::absent(&OpenOptions {
            dir: self.dir.join(partition.to_string()),
            partition,
            ..self.options.clone()
        })
    }

    fn partition(&self, log: PartitionLog, role: Role) -> (TopicIdPartition, Box<Partition>) {
        let id = TopicIdPartition {
            topic: log.topic_id(),
            partition: log.partition().partition,
        };
        let partition = Partition {
            id,
            name: log.partition().clone(),
            settings: Rc::clone(&self.settings),
            dir: 0,
            log,
            role,
            high_watermark: FollowerHighWatermark::restore(Offset(0), Offset(0), Offset(0)),
            waiters: FetchWaiters::default(),
            damaged: None,
            flush_queued: false,
            flush_tickets: 0,
            moving: None,
            flush_timed: false,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
        };
        (id, Box::new(partition))
    }

    /// A leader whose followers are attached, and have all that it has up to `end`.
    fn leader(&self, replicas: i32, end: Offset) -> Role {
        let replicas: BrokerIds = (1..=replicas).map(BrokerId).collect();
        let term = LeaderTerm {
            leader: BrokerId(1),
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            isr: replicas.clone(),
            replicas: replicas.clone(),
            recovering: false,
        };
        let ends = LogEnds::at(end);
        let leader = Leader::new(
            term,
            std::sync::Arc::clone(&self.settings.rules),
            ends,
            end,
            Moment(0),
        );
        let mut role = LeaderRole {
            leader,
            parked: Parked::default(),
            ring: TailRing::default(),
            feeds: Box::default(),
            first_ack: super::availability::FirstAck::default(),
        };
        let log = LogSummary {
            log_start: Offset(0),
            end_for_last_epoch: None,
            latest_epoch: None,
            unclean: None,
        };
        for follower in &replicas[1..] {
            let attach = Attach {
                broker: *follower,
                broker_epoch: BrokerEpoch(1),
                attachment: AttachmentId { stream: 1, attach: 1 },
                leader_epoch: LeaderEpoch(0),
                last_epoch: None,
                ends,
            };
            role.leader.on_broker(*follower, Some(BrokerEpoch(1)), true);
            assert_eq!(
                role.leader.attach(&attach, &log, Moment(0)),
                AttachAnswer::Accepted
            );
            role.add_feed(Feed {
                follower: *follower,
                attachment: attach.attachment,
                next: end,
                sent_high_watermark: end,
                sent_log_start: Offset(0),
                sent_replicated: Offset(0),
                queued: false,
                read_ahead: None,
            });
        }
        Role::Leader(Box::new(role))
    }
}

fn follower() -> Role {
    let mut role = Following::new(BrokerId(2), LeaderEpoch(0));
    assert!(role.attach(BrokerId(2), &mut AttachIds::default()).is_some());
    Role::Follower(Box::new(role))
}

/// Bytes of one partition, when a data thread holds a thousand.
fn cost(count: i32, make: impl Fn(i32) -> (TopicIdPartition, Box<Partition>)) -> usize {
    let (held, bytes) = peak_bytes(|| (0..count).map(&make).collect::<HashMap<_, _>>());
    bytes / held.len()
}

#[test]
fn an_idle_partition_takes_less_than_a_kibibyte() {
    let temp = tempfile::tempdir().unwrap();
    let maker = Maker::new(temp.path());
    let never_written = |role: fn(&Maker) -> Role| {
        cost(PARTITIONS, |index| {
            maker.partition(maker.log(index), role(&maker))
        })
    };
    let follower = never_written(|_| follower());
    let alone = never_written(|maker| maker.leader(1, Offset(0)));
    let led = never_written(|maker| maker.leader(3, Offset(0)));
    println!("never written: follower {follower}, leader {alone}, leader of two followers {led} bytes");
    for (role, bytes, bytes_max) in [
        ("follower", follower, FOLLOWER_BYTES_MAX),
        ("leader", alone, ALONE_BYTES_MAX),
        ("leader of two", led, LED_BYTES_MAX),
    ] {
        assert!(bytes <= bytes_max, "a {role} takes {bytes} bytes");
    }
}

#[test]
fn a_partition_that_has_gone_idle_takes_less_than_a_kibibyte() {
    let temp = tempfile::tempdir().unwrap();
    let maker = Maker::new(temp.path());
    let append = AppendContext {
        epoch: LeaderEpoch(0),
        now: Timestamp(0),
        origin: AppendOrigin::Client,
    };
    let used = |index, (batches, is_idempotent): (i32, bool), role: fn(&Maker, Offset) -> Role| {
        let mut log = maker.log(index);
        for sequence in 0..batches {
            let producer = is_idempotent.then_some((ProducerId(1), ProducerEpoch(0), sequence));
            let kind = TimestampType::CreateTime;
            let mut batch = BatchBuilder::new(Offset(0), Compression::None, kind, producer, false, false);
            batch.append(Timestamp(0), None, Some(b"value"), &[]);
            let batch: BytesMut = batch.build();
            log.append_as_leader(batch, &append).unwrap();
        }
        log.flush().unwrap();
        assert!(log.release_idle().unwrap());
        let role = role(&maker, log.log_end_offset());
        maker.partition(log, role)
    };
    for (of, written, more_max) in [
        ("a plain producer", (5, false), 0),
        ("an idempotent producer", (1, true), PRODUCER_BYTES_MAX),
        (
            "five batches of an idempotent producer",
            (5, true),
            PRODUCER_BYTES_MAX + 4 * BATCH_BYTES,
        ),
    ] {
        let follower = cost(USED_PARTITIONS, |index| used(index, written, |_, _| follower()));
        let led = cost(USED_PARTITIONS, |index| {
            used(index, written, |maker, end| maker.leader(3, end))
        });
        println!("idle after {of}: follower {follower}, leader of two followers {led} bytes");
        for (role, bytes, bytes_max) in [
            ("follower", follower, USED_FOLLOWER_BYTES_MAX),
            ("leader of two", led, USED_LED_BYTES_MAX),
        ] {
            assert!(
                bytes <= bytes_max + more_max,
                "a {role} after {of} takes {bytes} bytes"
            );
        }
    }
}
