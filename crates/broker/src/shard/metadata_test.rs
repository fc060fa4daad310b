//! Metadata on its way to several data threads.

use super::id::ShardId;
use super::lone_broker::{LoneBroker, NODE, registered};
use super::state::Shard;
use milena_types::BrokerId;
use std::sync::mpsc;
use tokio::sync::oneshot;

#[tokio::test]
async fn a_thread_that_is_stuck_keeps_no_other_from_the_metadata() {
    let mut broker = LoneBroker::of_threads(2, 1);
    broker.commit(vec![registered(NODE)]).await;
    let (release, released) = mpsc::channel::<()>();
    let stuck = move |_: &mut Shard| assert!(released.recv().is_err());
    broker.router.mailboxes.run_control(ShardId(0), stuck);
    let first = broker.tell(vec![registered(BrokerId(2))]);
    let second = broker.tell(vec![registered(BrokerId(3))]);
    let (answer, seen) = oneshot::channel();
    let look = move |shard: &mut Shard| answer.send(shard.cx.image.version).unwrap();
    broker.router.mailboxes.run_control(ShardId(1), look);
    let newest = broker.image.version;
    assert_eq!(seen.await.unwrap(), newest);
    assert!(*broker.router.followed.borrow() < newest, "not by all of them");
    drop(release);
    second.await;
    first.await;
    assert_eq!(*broker.router.followed.borrow(), newest);
    broker.stop().await;
}
