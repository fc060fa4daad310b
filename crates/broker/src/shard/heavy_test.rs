//! Heavy batches on a data thread whose preparing threads are held, so that nothing depends on how long the work takes.

use super::api::{ProduceCall, ProducePartition, ProduceResult};
use super::lone_broker::{LoneBroker, NODE, registered};
use super::preparers::Lane;
use bytes::BytesMut;
use milena_metadata::record::{ConfigResource, MetadataRecord, PartitionRegistration};
use milena_record::{BatchBuilder, BatchHeader, Compression, TimestampType};
use milena_types::*;
use std::sync::mpsc;
use std::time::Duration;
use tokio::task::JoinHandle;

const OTHER: BrokerId = BrokerId(2);
const PATIENCE: Duration = Duration::from_secs(30);

/// A broker of one data thread that leads both partitions of the topic `t`.
struct Drill {
    broker: LoneBroker,
    topic: TopicId,
}

/// The threads of a lane wait until this goes.
type Held = mpsc::Sender<()>;

impl Drill {
    async fn start(configs: &[(&str, &str)]) -> Self {
        let mut drill = Self {
            broker: LoneBroker::start(1),
            topic: TopicId::random(),
        };
        let mut records = vec![
            registered(NODE),
            registered(OTHER),
            MetadataRecord::Topic {
                id: drill.topic,
                name: TopicName::new("t").unwrap(),
            },
        ];
        records.extend([0, 1].map(|index| drill.led_by(index, NODE, 0)));
        drill.broker.commit(records).await;
        for (key, value) in configs {
            drill.set(key, value).await;
        }
        drill
    }

    async fn set(&mut self, key: &str, value: &str) {
        let record = MetadataRecord::Config {
            resource: ConfigResource::Topic(TopicName::new("t").unwrap()),
            key: key.to_owned(),
            value: Some(value.to_owned()),
        };
        self.broker.commit(vec![record]).await;
    }

    fn id(&self, partition: i32) -> TopicIdPartition {
        TopicIdPartition {
            topic: self.topic,
            partition: PartitionIndex(partition),
        }
    }

    /// The partition has both brokers as replicas, but only its leader is in sync.
    fn led_by(&self, partition: i32, leader: BrokerId, epoch: i32) -> MetadataRecord {
        let state = PartitionRegistration {
            leader_epoch: LeaderEpoch(epoch),
            partition_epoch: PartitionEpoch(epoch),
            ..PartitionRegistration::new(vec![NODE, OTHER], vec![leader])
        };
        let id = self.id(partition);
        MetadataRecord::Partition { id, state }
    }

    /// Begins to append; what waits for the answer runs on.
    fn begin(&self, partition: i32, batch: BytesMut, acks: Acks) -> JoinHandle<ProduceResult> {
        tokio::spawn(self.hand_over(partition, batch, acks, PATIENCE))
    }

    /// Hands a batch over; the time of the request begins when its answer is waited for.
    fn hand_over(
        &self,
        partition: i32,
        batch: BytesMut,
        acks: Acks,
        timeout: Duration,
    ) -> impl Future<Output = ProduceResult> + Send + use<> {
        let id = self.id(partition);
        let answer = self.broker.router.produce(ProduceCall {
            acks,
            timeout,
            zstd_allowed: false,
            partitions: vec![ProducePartition { id, batch }],
        });
        async move { answer.await.remove(0) }
    }

    /// The log end of a partition, after all that was begun before.
    async fn log_end(&self, partition: i32) -> Offset {
        let (told, end) = tokio::sync::oneshot::channel();
        let id = self.id(partition);
        let owner = self.broker.router.mailboxes.owner_of(id);
        let look = move |shard: &mut super::state::Shard| {
            let end = shard
                .partitions
                .get(&id)
                .map(|partition| partition.log.log_end_offset());
            told.send(end.unwrap()).unwrap();
        };
        self.broker.router.mailboxes.run(owner, look).unwrap();
        end.await.unwrap()
    }

    async fn first_batch(&self, partition: i32) -> BatchHeader {
        let read = self
            .broker
            .router
            .read_internal(self.id(partition), Offset(0), 1 << 20);
        BatchHeader::parse(&read.await.unwrap().records).unwrap()
    }

    /// Nothing more is done in this lane until the result goes.
    fn hold(&self, lane: Lane) -> Held {
        let preparers = &self.broker.router.background.preparers;
        assert_eq!(preparers.threads_max(), 1);
        let (held, release) = mpsc::channel();
        let wait = Box::new(move || {
            let _ = release.recv();
        });
        preparers.submit(lane, self.id(0).topic, wait).unwrap();
        held
    }

    /// All that the lane was given has been done, and told to the data thread.
    async fn drained(&self, lane: Lane) {
        let (told, done) = tokio::sync::oneshot::channel();
        let tell = Box::new(move || told.send(()).unwrap());
        self.broker
            .router
            .background
            .preparers
            .submit(lane, self.id(0).topic, tell)
            .unwrap();
        done.await.unwrap();
    }
}

fn light() -> BytesMut {
    BytesMut::from(&BatchBuilder::single(Offset(0), b"light")[..])
}

fn of(codec: Compression, bytes: usize, producer: Option<(ProducerId, ProducerEpoch, i32)>) -> BytesMut {
    let kind = TimestampType::CreateTime;
    let mut batch = BatchBuilder::new(Offset(0), codec, kind, producer, false, false);
    batch.append(Timestamp(0), None, Some(&vec![b'h'; bytes]), &[]);
    batch.build()
}

/// It is small, and unpacks to more than is walked on a data thread.
fn heavy() -> BytesMut {
    let heavy = of(Compression::Gzip, 3 << 20, None);
    assert!(heavy.len() < 16 << 10);
    heavy
}

async fn answer(begun: JoinHandle<ProduceResult>) -> (ErrorCode, Option<i64>) {
    let result = tokio::time::timeout(PATIENCE, begun).await.unwrap().unwrap();
    (result.error, result.base_offset.map(|offset| offset.0))
}

const fn at(offset: i64) -> (ErrorCode, Option<i64>) {
    (ErrorCode::None, Some(offset))
}

#[tokio::test]
async fn other_partitions_go_on_and_what_came_behind_waits_in_order() {
    let drill = Drill::start(&[]).await;
    let held = drill.hold(Lane::Walk);
    let mut begun = Vec::new();
    // More than are appended in one turn.
    for lights in [1, 1, 100] {
        begun.push(drill.begin(0, heavy(), Acks::All));
        for _ in 0..lights {
            begun.push(drill.begin(0, light(), Acks::Leader));
        }
    }
    assert_eq!(answer(drill.begin(1, light(), Acks::All)).await, at(0));
    assert_eq!(drill.log_end(0).await, Offset(0));
    drop(held);
    for (offset, begun) in (0..).zip(begun) {
        assert_eq!(answer(begun).await, at(offset));
    }
    assert_eq!(answer(drill.begin(0, light(), Acks::All)).await, at(105));
    drill.broker.stop().await;
}

#[tokio::test]
async fn who_leads_no_more_tells_all_that_wait_and_nothing_of_it_is_appended_later() {
    let mut drill = Drill::start(&[]).await;
    let held = drill.hold(Lane::Walk);
    let first = drill.begin(0, heavy(), Acks::All);
    let behind = [(); 2].map(|()| drill.begin(0, light(), Acks::None));
    // The metadata may overtake requests.
    assert_eq!(drill.log_end(0).await, Offset(0));
    drill.broker.commit(vec![drill.led_by(0, OTHER, 1)]).await;
    let all = [first].into_iter().chain(behind);
    for begun in all {
        let result = tokio::time::timeout(PATIENCE, begun).await.unwrap().unwrap();
        assert_eq!(result.error, ErrorCode::NotLeaderOrFollower);
        assert_eq!(result.current_leader, Some((OTHER, LeaderEpoch(1))));
    }
    // It leads again, and something else is away, when the old work would come back.
    drill.broker.commit(vec![drill.led_by(0, NODE, 2)]).await;
    let other = of(Compression::Gzip, 4 << 20, None);
    let again = drill.begin(0, other.clone(), Acks::All);
    let last = drill.begin(0, light(), Acks::All);
    drop(held);
    assert_eq!(answer(again).await, at(0));
    assert_eq!(answer(last).await, at(1));
    drill.drained(Lane::Walk).await;
    assert_eq!(drill.log_end(0).await, Offset(2));
    assert_eq!(drill.first_batch(0).await.size_bytes(), other.len());
    drill.broker.stop().await;
}

/// Bytes of a batch that come to be stored with another codec on another thread.
const REWRITTEN: usize = 64 << 10;

#[tokio::test]
async fn what_comes_back_is_judged_by_the_rules_of_then_and_the_settings_of_the_beginning() {
    let mut drill = Drill::start(&[("compression.type", "zstd")]).await;
    let held = drill.hold(Lane::Rewrite);
    let first = drill.begin(0, of(Compression::None, REWRITTEN, None), Acks::Leader);
    let second = drill.begin(0, light(), Acks::All);
    // Neither lane waits for the other.
    let elsewhere = drill.begin(1, of(Compression::None, 2 << 20, None), Acks::All);
    assert_eq!(answer(elsewhere).await.0, ErrorCode::MessageTooLarge);
    let third = drill.begin(1, of(Compression::None, REWRITTEN, None), Acks::All);
    assert_eq!(drill.log_end(0).await, Offset(0));
    drill.set("compression.type", "producer").await;
    drill.set("min.insync.replicas", "2").await;
    drop(held);
    assert_eq!(answer(first).await, at(0));
    for begun in [second, third] {
        assert_eq!(answer(begun).await, (ErrorCode::NotEnoughReplicas, None));
    }
    assert_eq!(drill.log_end(1).await, Offset(0));
    assert_eq!(drill.first_batch(0).await.compression(), Ok(Compression::Zstd));
    drill.broker.stop().await;
}

#[tokio::test]
async fn a_duplicate_is_not_compressed_again_and_a_refusal_lets_the_next_one_in() {
    let mut drill = Drill::start(&[("compression.type", "gzip")]).await;
    let batch = |sequence| {
        let producer = (ProducerId(7), ProducerEpoch(0), sequence);
        of(Compression::None, REWRITTEN, Some(producer))
    };
    assert_eq!(answer(drill.begin(0, batch(0), Acks::All)).await, at(0));
    let held = drill.hold(Lane::Rewrite);
    assert_eq!(answer(drill.begin(0, batch(0), Acks::All)).await, at(0));
    drop(held);
    let held = drill.hold(Lane::Walk);
    drill.set("message.timestamp.before.max.ms", "1000").await;
    let late = drill.begin(0, heavy(), Acks::None);
    assert_eq!(drill.log_end(0).await, Offset(1));
    drill
        .set("message.timestamp.before.max.ms", &i64::MAX.to_string())
        .await;
    let next = drill.begin(0, batch(1), Acks::All);
    drop(held);
    assert_eq!(answer(late).await, (ErrorCode::InvalidTimestamp, None));
    assert_eq!(answer(next).await, at(1));
    drill.broker.stop().await;
}

#[tokio::test]
async fn a_lost_piece_of_work_is_told_and_lets_the_next_one_in() {
    let drill = Drill::start(&[]).await;
    let held = drill.hold(Lane::Walk);
    let lost = drill.begin(0, heavy(), Acks::Leader);
    let next = drill.begin(0, light(), Acks::Leader);
    let id = drill.id(0);
    let owner = drill.broker.router.mailboxes.owner_of(id);
    let lose = move |shard: &mut super::state::Shard| {
        let work = shard.cx.lines.away(id).unwrap();
        shard.on_prepared(id, work, super::heavy::Prepared::Lost);
    };
    drill.broker.router.mailboxes.run(owner, lose).unwrap();
    assert_eq!(answer(lost).await, (ErrorCode::UnknownServerError, None));
    assert_eq!(answer(next).await, at(0));
    drop(held);
    drill.drained(Lane::Walk).await;
    assert_eq!(drill.log_end(0).await, Offset(1));
    drill.broker.stop().await;
}

#[tokio::test]
async fn the_time_of_a_request_is_given_to_its_acknowledgements() {
    let drill = Drill::start(&[]).await;
    let held = drill.hold(Lane::Walk);
    let first = drill.hand_over(0, heavy(), Acks::Leader, Duration::from_millis(1));
    let second = drill.hand_over(0, light(), Acks::Leader, Duration::ZERO);
    assert_eq!(drill.log_end(0).await, Offset(0));
    let (first, mut second) = (tokio::spawn(first), tokio::spawn(second));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut second).await;
    assert!(early.is_err(), "{early:?}");
    drop(held);
    assert_eq!(answer(first).await, at(0));
    assert_eq!(answer(second).await, at(1));
    drill.broker.stop().await;
}

#[tokio::test]
async fn a_shutdown_waits_for_no_heavy_batch() {
    let drill = Drill::start(&[]).await;
    let held = drill.hold(Lane::Walk);
    let begun = [heavy(), light()].map(|batch| drill.begin(0, batch, Acks::All));
    assert_eq!(drill.log_end(0).await, Offset(0));
    drill.broker.stop().await;
    for begun in begun {
        assert_eq!(answer(begun).await, (ErrorCode::NotLeaderOrFollower, None));
    }
    drop(held);
}
