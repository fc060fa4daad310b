//! The broker's control side against a quorum that changes its leader, dies and lies.

use super::alter_partition;
use super::fake_quorum::{FakeQuorum, eventually, listen};
use super::suspicion::{self, Suspicion};
use super::*;
use crate::coordinator::ClusterView;
use crate::metadata::{MetadataCache, SavedImage};
use crate::shard::ControlPlane;
use milena_metadata::record::{BrokerRegistration, Endpoint, MetadataRecord};
use milena_metadata::request::{
    AdminReply, AdminRequest, AlterPartitionItem, ReplicaState, ReplicaStateItem,
};
use milena_rpc::proto::subscribe_event::Event;
use milena_types::{
    BrokerEpoch, BrokerId, DirectoryId, ErrorCode, IncarnationId, LeaderEpoch, MetadataVersion,
    PartitionEpoch, PartitionIndex, TopicId, TopicIdPartition,
};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{LocalSet, spawn_local};

const LONG: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3_600);
const INTERVAL: Duration = Duration::from_millis(20);

fn on_control_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, test);
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint {
        listener: "PLAINTEXT".to_owned(),
        host: "127.0.0.1".to_owned(),
        port,
        security_protocol: "PLAINTEXT".to_owned(),
    }
}

fn me() -> BrokerSelf {
    BrokerSelf {
        broker: BrokerId(1),
        cluster: None,
        endpoints: vec![endpoint(9092)],
        rack: Some("r1".to_owned()),
        directories: vec![DirectoryId::random()],
        unreadable_directories: 0,
        previous_epoch: Some(BrokerEpoch(3)),
    }
}

fn peer(id: i32, epoch: i64, port: u16) -> MetadataRecord {
    MetadataRecord::Broker(BrokerRegistration {
        id: BrokerId(id),
        epoch: BrokerEpoch(epoch),
        incarnation: IncarnationId::random(),
        endpoints: vec![endpoint(port)],
        rack: None,
        directories: vec![DirectoryId::random()],
        fenced: false,
        in_controlled_shutdown: false,
    })
}

/// A broker's control side: everything but the data threads.
struct Side {
    quorum: FakeQuorum,
    client: ControllerClient,
    cache: Arc<MetadataCache>,
    registration: Arc<Registration>,
    dir: tempfile::TempDir,
}

impl Side {
    fn new(nodes: usize) -> Self {
        let quorum = FakeQuorum::start(nodes);
        let client = ControllerClient::new(quorum.voters()).unwrap();
        Self {
            quorum,
            client,
            cache: Arc::new(MetadataCache::new()),
            registration: Arc::new(Registration::new(Duration::from_secs(9))),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn in_contact(&self) -> bool {
        self.registration.in_contact(self.cache.image().version)
    }

    fn cluster(&self) -> ClusterHandle {
        ClusterHandle::new(Arc::clone(&self.cache), self.client.clone(), LONG)
    }

    fn follow(&self) -> tokio::task::JoinHandle<()> {
        let saved = SavedImage::in_dir(self.dir.path());
        let subscription =
            Subscription::new(BrokerId(1), self.client.clone(), Arc::clone(&self.cache), saved);
        spawn_local(subscription.saving_every(Duration::ZERO).run())
    }

    fn live(&self) -> tokio::task::JoinHandle<Result<(), RegistrationError>> {
        self.live_beating(INTERVAL)
    }

    fn live_beating(&self, interval: Duration) -> tokio::task::JoinHandle<Result<(), RegistrationError>> {
        let (registration, client, cache) = (
            Arc::clone(&self.registration),
            self.client.clone(),
            Arc::clone(&self.cache),
        );
        spawn_local(async move {
            registration.register(&me(), &client, LONG).await?;
            registration.run(&me(), &client, &cache, interval).await
        })
    }

    fn state(&self) -> BrokerState {
        *self.registration.state().borrow()
    }

    async fn at(&self, version: u64) {
        let cache = &self.cache;
        eventually(&format!("version {version}"), || {
            cache.image().version == MetadataVersion(version)
        })
        .await;
    }
}

fn unregister() -> AdminRequest {
    AdminRequest::UnregisterBroker(BrokerId(9))
}

#[test]
fn calls_follow_the_leader_through_moves_and_deaths() {
    on_control_thread(async {
        let mut side = Side::new(3);
        let cluster = side.cluster();
        let _following = side.follow();
        for leader in [0, 2, 1] {
            side.quorum.elect(Some(leader));
            let reply = cluster.admin(unregister()).await;
            assert!(
                matches!(reply, Ok(AdminReply::UnregisterBroker(_))),
                "{leader}: {reply:?}"
            );
            let active = Some(side.quorum.voters()[leader].id);
            assert_eq!(cluster.active_controller(), active);
            // The answer comes after its effects have reached this broker.
            assert_eq!(side.cache.image().version, side.quorum.state().image.version);
        }
        // The active controller dies; the others elect a new one a little later.
        side.quorum.kill(1);
        side.quorum.elect(None);
        let call = spawn_local(cluster.admin(unregister()));
        let last = Some(side.quorum.voters()[1].id);
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            assert_eq!(
                cluster.active_controller(),
                last,
                "who is asked is not who answered"
            );
        }
        assert!(!call.is_finished(), "nobody could answer");
        let elected = Instant::now();
        side.quorum.elect(Some(0));
        assert!(call.await.unwrap().is_ok());
        assert!(
            elected.elapsed() < Duration::from_secs(5),
            "{:?}",
            elected.elapsed()
        );
        // The dead one comes back and is elected.
        side.quorum.revive(1);
        side.quorum.elect(Some(1));
        assert!(cluster.admin(unregister()).await.is_ok());
        assert_eq!(side.quorum.state().admins.len(), 5);
    });
}

#[test]
fn without_a_leader_a_call_ends_at_its_deadline() {
    on_control_thread(async {
        let side = Side::new(2);
        side.quorum.elect(None);
        let deadline = Duration::from_millis(200);
        let start = Instant::now();
        let request = milena_rpc::proto::AdminRequest::from(&unregister());
        let call = side.client.call(deadline, deadline, |mut stub| {
            let request = request.clone();
            async move { stub.admin(request).await }
        });
        assert!(matches!(call.await, Err(ControllerError::Unavailable { .. })));
        assert!(start.elapsed() >= deadline);
    });
}

#[test]
fn a_request_that_the_leader_refuses_is_not_repeated_elsewhere() {
    on_control_thread(async {
        let side = Side::new(3);
        side.quorum.state().refuse_admin = true;
        let start = Instant::now();
        assert_eq!(
            side.cluster().admin(unregister()).await,
            Err(ErrorCode::UnknownServerError)
        );
        assert!(start.elapsed() < LONG / 2, "it was not tried until the deadline");
    });
}

#[test]
fn a_broker_registers_and_is_unfenced_when_it_has_seen_its_registration() {
    on_control_thread(async {
        let side = Side::new(3);
        side.quorum.elect(Some(1));
        side.quorum.state().refuse_registrations = vec![ErrorCode::DuplicateBrokerRegistration; 2];
        let _life = side.live();
        // Without the metadata stream it stays fenced, however often it beats.
        eventually("heartbeats", || side.quorum.state().heartbeats.len() > 3).await;
        assert_eq!(side.state(), BrokerState::Fenced);
        assert!(side.quorum.state().image.broker(BrokerId(1)).unwrap().fenced);
        let _following = side.follow();
        eventually("active", || side.state() == BrokerState::Active).await;
        let state = side.quorum.state();
        assert_eq!(state.registrations.len(), 3, "refused twice as a duplicate");
        let incarnation = &state.registrations[0].incarnation;
        assert!(
            state
                .registrations
                .iter()
                .all(|r| r.incarnation == *incarnation && r.previous_epoch == Some(3))
        );
        let registered = state.image.broker(BrokerId(1)).unwrap();
        assert_eq!(
            (registered.epoch, registered.fenced),
            (side.registration.epoch().unwrap(), false)
        );
    });
}

/// Nothing has broken, and its silence would take seconds to be noticed.
#[test]
fn the_stream_of_a_hung_controller_is_left_when_another_one_answers() {
    on_control_thread(async {
        let side = Side::new(2);
        let (_life, _following) = (side.live(), side.follow());
        eventually("active", || side.state() == BrokerState::Active).await;
        side.quorum.state().silent = Some(0);
        side.quorum.elect(Some(1));
        side.quorum.commit(vec![peer(2, 5, 9093)]);
        let news = tokio::time::timeout(Duration::from_secs(4), async {
            while side.cache.image().broker(BrokerId(2)).is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(news.await.is_ok(), "the broker follows the one that is silent");
        assert_eq!(side.quorum.state().subscriptions.len(), 2);
    });
}

#[test]
fn a_broker_of_another_cluster_is_refused_for_good() {
    on_control_thread(async {
        let side = Side::new(1);
        side.quorum.state().refuse_registrations = vec![ErrorCode::InconsistentClusterId];
        let refused = side.registration.register(&me(), &side.client, LONG).await;
        assert!(matches!(
            refused,
            Err(RegistrationError::Refused {
                error: ErrorCode::InconsistentClusterId,
                ..
            })
        ));
        assert_eq!(side.quorum.state().registrations.len(), 1);
    });
}

#[test]
fn a_stale_epoch_leads_to_a_new_registration() {
    on_control_thread(async {
        let mut side = Side::new(2);
        let (_life, _following) = (side.live(), side.follow());
        eventually("active", || side.state() == BrokerState::Active).await;
        let before = side.registration.epoch().unwrap();
        // The registration is lost, and the controller that answers next is another one.
        side.quorum
            .commit(vec![MetadataRecord::BrokerRemoved(BrokerId(1))]);
        side.quorum.kill(0);
        side.quorum.elect(Some(1));
        eventually("a new epoch", || {
            side.registration.epoch().is_some_and(|epoch| epoch > before)
        })
        .await;
        eventually("active again", || side.state() == BrokerState::Active).await;
    });
}

/// It may have been deposed meanwhile, and a data thread hears of that after the heartbeat's answer.
#[test]
fn after_a_session_contact_begins_with_what_was_done_meanwhile() {
    on_control_thread(async {
        let mut side = Side::new(1);
        side.registration = Arc::new(Registration::new(Duration::from_secs(1)));
        let (_life, _following) = (side.live(), side.follow());
        eventually("active", || side.state() == BrokerState::Active).await;
        eventually("in contact", || side.in_contact()).await;
        let before = side.cache.image().version;
        side.quorum.elect(None);
        eventually("the end of the session", || !side.in_contact()).await;
        side.quorum.commit(vec![peer(2, 5, 9093)]);
        side.quorum.elect(Some(0));
        eventually("in contact", || side.in_contact()).await;
        assert!(!side.registration.in_contact(before), "that does not know of it");
    });
}

#[test]
fn a_broker_that_is_stuck_is_fenced_while_another_one_is_active() {
    on_control_thread(async {
        let side = Side::new(1);
        let (_life, _following) = (side.live(), side.follow());
        eventually("active", || side.state() == BrokerState::Active).await;
        let registration = &side.registration;
        registration.set_stuck(true);
        let beats = side.quorum.state().heartbeats.len();
        eventually("heartbeats", || side.quorum.state().heartbeats.len() > beats + 2).await;
        assert_eq!(side.state(), BrokerState::Active, "nobody else could lead");
        assert!(side.in_contact());
        side.quorum.commit(vec![peer(2, 5, 9093)]);
        eventually("fenced", || side.state() == BrokerState::Fenced).await;
        assert!(!side.in_contact(), "another one may lead");
        registration.set_stuck(false);
        eventually("active again", || side.state() == BrokerState::Active).await;
        eventually("in contact", || side.in_contact()).await;
    });
}

#[test]
fn a_controlled_shutdown_ends_the_heartbeats() {
    on_control_thread(async {
        let side = Side::new(1);
        let (life, _following) = (side.live(), side.follow());
        eventually("active", || side.state() == BrokerState::Active).await;
        assert!(side.registration.controlled_shutdown(LONG).await);
        assert!(life.await.unwrap().is_ok());
        assert_eq!(side.state(), BrokerState::Stopped);
        assert!(side.quorum.state().heartbeats.last().unwrap().want_shutdown);
    });
}

#[test]
fn a_controlled_shutdown_without_a_controller_gives_up() {
    on_control_thread(async {
        let side = Side::new(1);
        let (_life, _following) = (side.live(), side.follow());
        eventually("active", || side.state() == BrokerState::Active).await;
        side.quorum.elect(None);
        assert!(
            !side
                .registration
                .controlled_shutdown(Duration::from_millis(100))
                .await
        );
    });
}

#[test]
fn a_broker_that_was_fenced_wrongly_objects_at_once() {
    on_control_thread(async {
        let side = Side::new(1);
        let (_life, _following) = (side.live_beating(HOUR), side.follow());
        eventually("active", || side.state() == BrokerState::Active).await;
        let mut own = side.quorum.state().image.broker(BrokerId(1)).unwrap().clone();
        own.fenced = true;
        side.quorum.commit(vec![MetadataRecord::Broker(own)]);
        eventually("unfenced", || {
            !side.quorum.state().image.broker(BrokerId(1)).unwrap().fenced
        })
        .await;
        eventually("active", || side.state() == BrokerState::Active).await;
    });
}

#[test]
fn metadata_is_followed_through_a_change_of_leader_without_a_new_snapshot() {
    on_control_thread(async {
        let mut side = Side::new(3);
        let mut updates = side.cache.updates();
        side.quorum.commit(vec![peer(5, 1, 1)]);
        side.quorum.commit(vec![peer(6, 2, 1)]);
        let _following = side.follow();
        side.at(2).await;
        side.quorum.commit(vec![peer(7, 3, 1)]);
        side.at(3).await;
        side.quorum.kill(0);
        side.quorum.elect(Some(2));
        side.quorum.commit(vec![peer(8, 4, 1)]);
        side.at(4).await;
        assert_eq!(*side.cache.image(), side.quorum.state().image);
        let subscriptions: Vec<u64> = side
            .quorum
            .state()
            .subscriptions
            .iter()
            .map(|s| s.from_version)
            .collect();
        assert_eq!(
            (subscriptions[0], *subscriptions.last().unwrap()),
            (0, 3),
            "{subscriptions:?}"
        );
        // Every step was told once, in order: the snapshot with everything in it, then the batches.
        let mut steps = Vec::new();
        while let Ok(update) = updates.try_recv() {
            let brokers: Vec<i32> = update.delta.brokers.iter().map(|b| b.0).collect();
            steps.push((update.image.version.0, brokers));
        }
        assert_eq!(steps, [(2, vec![5, 6]), (3, vec![7]), (4, vec![8])]);
    });
}

#[test]
fn a_restarted_broker_asks_only_for_what_is_new_and_shows_nothing_old() {
    on_control_thread(async {
        let mut side = Side::new(1);
        side.quorum
            .commit(vec![MetadataRecord::Cluster(milena_types::ClusterId(
                "test".to_owned(),
            ))]);
        side.quorum.commit(vec![peer(5, 2, 1)]);
        let following = side.follow();
        side.at(2).await;
        let saved = SavedImage::in_dir(side.dir.path());
        // A commit makes the next event, after which a save is due.
        side.quorum.commit(vec![peer(6, 3, 1)]);
        eventually("saved", || {
            saved
                .load()
                .unwrap()
                .is_some_and(|image| image.version >= MetadataVersion(2))
        })
        .await;
        following.abort();
        let _ = following.await;
        let saved_version = saved.load().unwrap().unwrap().version.0;
        side.quorum.commit(vec![peer(7, 4, 1)]);
        side.quorum.commit(vec![peer(8, 5, 1)]);

        // No controller answers: the saved image is not shown.
        side.quorum.elect(None);
        side.cache = Arc::new(MetadataCache::new());
        let mut updates = side.cache.updates();
        side.quorum.state().subscriptions.clear();
        let _following = side.follow();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(side.cache.image().version, MetadataVersion(0));
        side.quorum.elect(Some(0));
        side.at(5).await;
        let first = updates.recv().await.unwrap();
        assert_eq!(
            first.image.version,
            MetadataVersion(5),
            "old versions are skipped, not shown"
        );
        assert_eq!(
            first.delta.brokers.len(),
            4,
            "and nothing is missing in the first step"
        );
        let asked = side.quorum.state().subscriptions[0].clone();
        assert_eq!(
            (asked.from_version, asked.cluster.as_deref()),
            (saved_version, Some("test"))
        );
    });
}

#[test]
fn events_that_do_not_fit_are_answered_by_a_whole_image_and_never_by_an_older_one() {
    on_control_thread(async {
        let side = Side::new(2);
        side.quorum.commit(vec![peer(5, 1, 1)]);
        side.quorum.commit(vec![peer(6, 2, 1)]);
        let mut updates = side.cache.updates();
        let following = side.follow();
        side.at(2).await;
        let piece = |last| {
            Event::Snapshot(milena_rpc::proto::SnapshotPiece {
                data: vec![9].into(),
                last,
            })
        };
        let old_batch = Event::Batch(side.quorum.state().batches[0].clone());
        let nonsense = [
            old_batch,
            Event::Keepalive(77),
            Event::Batch(vec![1, 0xff].into()),
            piece(true),
            // The rest of the image never comes.
            piece(false),
        ];
        for (round, event) in nonsense.into_iter().enumerate() {
            side.quorum.state().nonsense = vec![event];
            // Ends the stream; the next one begins with nonsense.
            side.quorum.elect(Some((round + 1) % 2));
            side.quorum.commit(vec![peer(7, 3, 1)]);
            side.at(3 + round as u64).await;
            assert!(side.quorum.state().nonsense.is_empty());
            assert_eq!(
                side.quorum.state().subscriptions.last().unwrap().from_version,
                0,
                "a whole image was asked for"
            );
        }
        following.abort();
        let mut version = 0;
        while let Ok(update) = updates.try_recv() {
            assert!(update.image.version.0 >= version, "the image went back");
            version = update.image.version.0;
        }
    });
}

#[test]
fn isr_proposals_wait_for_the_one_in_flight_and_then_go_together() {
    on_control_thread(async {
        let side = Side::new(2);
        let (_life, _following) = (side.live(), side.follow());
        eventually("active", || side.state() == BrokerState::Active).await;
        side.quorum.hold_alter();
        let control = BrokerControl::start(
            BrokerId(1),
            "PLAINTEXT",
            Arc::clone(&side.registration),
            &side.client,
            &side.cache,
        );
        let topic = TopicId::random();
        let propose = |partition| {
            control.alter_partition(AlterPartitionItem {
                id: TopicIdPartition {
                    topic,
                    partition: PartitionIndex(partition),
                },
                leader_epoch: LeaderEpoch(1),
                partition_epoch: PartitionEpoch(1),
                isr: vec![(BrokerId(1), BrokerEpoch(1))],
                recovering: false,
            })
        };
        let first = propose(0);
        eventually("the first is sent", || side.quorum.state().alters.len() == 1).await;
        let others: Vec<_> = (1..4).map(propose).collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(side.quorum.state().alters.len(), 1, "one request in flight");
        side.quorum.answer_alter();
        assert_eq!(first.await, ErrorCode::None);
        eventually("the others are sent", || side.quorum.state().alters.len() == 2).await;
        assert_eq!(side.quorum.state().alters[1].partitions.len(), 3);
        // The controller dies with the request in its hands: the next one gets it.
        side.quorum.elect(Some(1));
        side.quorum.answer_alter();
        side.quorum.answer_alter();
        for other in others {
            assert_eq!(other.await, ErrorCode::None);
        }
        assert_eq!(
            side.quorum.state().alters[0].broker_epoch,
            side.registration.epoch().unwrap().0
        );
    });
}

#[test]
fn proposals_of_a_broker_without_a_registration_fail_at_once() {
    on_control_thread(async {
        let side = Side::new(1);
        let (sender, queue) = tokio::sync::mpsc::unbounded_channel();
        spawn_local(alter_partition::run(
            BrokerId(1),
            Arc::clone(&side.registration),
            side.client.clone(),
            queue,
        ));
        let (answer, answered) = tokio::sync::oneshot::channel();
        let item = AlterPartitionItem {
            id: TopicIdPartition {
                topic: TopicId::random(),
                partition: PartitionIndex(0),
            },
            leader_epoch: LeaderEpoch(1),
            partition_epoch: PartitionEpoch(1),
            isr: Vec::new(),
            recovering: false,
        };
        sender.send((item, answer)).unwrap();
        assert_eq!(answered.await, Ok(ErrorCode::RequestTimedOut));
        assert!(side.quorum.state().alters.is_empty());
    });
}

#[test]
fn a_report_counts_as_answered_only_when_the_controller_has_it() {
    on_control_thread(async {
        let side = Side::new(1);
        let control = BrokerControl::start(
            BrokerId(1),
            "PLAINTEXT",
            Arc::clone(&side.registration),
            &side.client,
            &side.cache,
        );
        let report = |partition| {
            control.report_replica(ReplicaStateItem {
                id: TopicIdPartition {
                    topic: TopicId::default(),
                    partition: PartitionIndex(partition),
                },
                state: ReplicaState::Offline,
            })
        };
        let (first, gone) = (report(0), report(1));
        let early = tokio::time::timeout(Duration::from_millis(300), control.reports_answered());
        assert!(early.await.is_err(), "the broker is not even registered");
        // Of a partition that was deleted meanwhile.
        drop(gone);
        // The first one that goes out is of a registration that is over.
        side.quorum.state().refuse_reports = vec![ErrorCode::StaleBrokerEpoch];
        let (_life, _following) = (side.live(), side.follow());
        assert_eq!(first.await, ErrorCode::None);
        control.reports_answered().await;
        assert!(side.quorum.state().reports.len() > 1, "asked again");
    });
}

/// Starts the suspicion task and returns where lost peers are told.
fn suspect(side: &Side) -> tokio::sync::mpsc::UnboundedSender<BrokerId> {
    let (lost, queue) = tokio::sync::mpsc::unbounded_channel();
    let suspicion = Suspicion {
        broker: BrokerId(1),
        listener: "PLAINTEXT".to_owned(),
        cache: Arc::clone(&side.cache),
        client: side.client.clone(),
    };
    spawn_local(suspicion::run(suspicion, queue));
    lost
}

#[test]
fn a_dead_peer_is_reported_even_while_the_controller_fails_over() {
    on_control_thread(async {
        let mut side = Side::new(3);
        let dead = listen().local_addr().unwrap().port();
        side.quorum.commit(vec![peer(2, 1, dead)]);
        let _following = side.follow();
        side.at(1).await;
        side.quorum.kill(0);
        side.quorum.elect(None);
        let lost = suspect(&side);
        lost.send(BrokerId(2)).unwrap();
        lost.send(BrokerId(2)).unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        side.quorum.elect(Some(2));
        eventually("fenced", || {
            side.quorum.state().image.broker(BrokerId(2)).unwrap().fenced
        })
        .await;
        let suspects = side.quorum.state().suspects.clone();
        assert_eq!(suspects.len(), 1, "one report");
        assert_eq!(
            (suspects[0].reporter, suspects[0].broker, suspects[0].epoch),
            (1, 2, 1)
        );
    });
}

#[test]
fn a_peer_that_dies_a_little_after_its_streams_is_reported() {
    on_control_thread(async {
        let side = Side::new(1);
        let dying = listen();
        side.quorum
            .commit(vec![peer(2, 1, dying.local_addr().unwrap().port())]);
        let _following = side.follow();
        side.at(1).await;
        suspect(&side).send(BrokerId(2)).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(side.quorum.state().suspects.is_empty(), "it still listens");
        drop(dying);
        eventually("reported", || side.quorum.state().suspects.len() == 1).await;
    });
}

#[test]
fn living_fenced_and_unknown_peers_are_not_reported() {
    on_control_thread(async {
        let side = Side::new(1);
        let living = listen();
        let dead = listen().local_addr().unwrap().port();
        let MetadataRecord::Broker(fenced) = peer(3, 2, dead) else {
            unreachable!()
        };
        let fenced = MetadataRecord::Broker(BrokerRegistration {
            fenced: true,
            ..fenced
        });
        side.quorum.commit(vec![
            peer(2, 1, living.local_addr().unwrap().port()),
            fenced,
            peer(4, 1, dead),
        ]);
        let _following = side.follow();
        side.at(1).await;
        let lost = suspect(&side);
        side.cache.doubt(BrokerId(2));
        for id in [2, 3, 9, 1] {
            lost.send(BrokerId(id)).unwrap();
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(side.quorum.state().suspects.is_empty());
        assert!(
            side.cache.is_dispelled(BrokerId(2)),
            "nobody waits for the living"
        );
        // The task still works.
        lost.send(BrokerId(4)).unwrap();
        eventually("reported", || {
            side.quorum.state().suspects.iter().any(|s| s.broker == 4)
        })
        .await;
    });
}
