//! Keeps one stream to one leader alive for as long as a partition wants it.

use super::Lane;
use super::follower_side::LinkKey;
use super::session::{self, SessionError};
use crate::shard::context::Context;
use crate::shard::mailbox::with_local;
use milena_rpc::channel::authority;
use milena_rpc::proto::{FollowerMessage, Hello, Lane as WireLane};
use rand::Rng;
use std::time::{Duration, Instant};

/// The first pause after a connection that did not last.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
/// A connection that lasted this long was good: the next pause is short again.
const GOOD_SESSION: Duration = Duration::from_secs(1);

/// Connects, follows and connects again, until nothing is wanted from the leader.
pub(crate) async fn follow(key: LinkKey) {
    let (leader, lane) = key;
    let mut backoff = BACKOFF_MIN;
    loop {
        let Some(true) = with_local(|shard| shard.cx.links_in.keep_running(key)) else {
            return;
        };
        if let Some(Some(address)) = with_local(|shard| target(&shard.cx, key)) {
            let began = Instant::now();
            let end = session::run(key, &address).await;
            let lasted = began.elapsed();
            let ended = with_local(|shard| {
                shard.on_disconnected(key);
                shard.cx.control.peer_lost(leader);
            });
            if ended.is_none() {
                return;
            }
            report(&end, key, backoff == BACKOFF_MIN || lasted >= GOOD_SESSION);
            if lasted >= GOOD_SESSION {
                backoff = BACKOFF_MIN;
            }
        }
        let Some((backoff_max, retry)) = with_local(|shard| {
            (
                shard.cx.config.replica.reconnect_backoff_max,
                shard.cx.links_in.retry_signal((leader, lane)),
            )
        }) else {
            return;
        };
        let pause = backoff.mul_f64(rand::rng().random_range(0.8..1.2));
        // Either way the next attempt begins.
        let _ = tokio::time::timeout(pause, retry.notified()).await;
        backoff = (backoff * 2).min(backoff_max);
    }
}

/// The first end is news; that a dead leader refuses ten times a second is not.
fn report(end: &SessionError, key: LinkKey, is_first: bool) {
    let (leader, lane) = key;
    let error: &dyn std::error::Error = end;
    if is_first {
        tracing::info!(%leader, ?lane, error, "replication stream ended");
    } else {
        tracing::debug!(%leader, ?lane, error, "replication stream not restored");
    }
}

/// Where the leader is; `None` while it or this broker is not registered.
fn target(cx: &Context, (leader, _): LinkKey) -> Option<String> {
    cx.control.broker_epoch()?;
    let registration = cx.image.brokers.get(&leader)?;
    let listener = &cx.config.inter_broker_listener;
    let endpoint = registration
        .endpoints
        .iter()
        .find(|endpoint| endpoint.listener == *listener)?;
    Some(authority(&endpoint.host, endpoint.port))
}

/// What to say first on a connection that begins now: under the present registration, which may be another one than that at which
/// connecting began. `None`: there is none.
pub(super) fn first_message(cx: &Context, (leader, lane): LinkKey) -> Option<FollowerMessage> {
    let hello = Hello {
        follower: cx.node.0,
        follower_epoch: cx.control.broker_epoch()?.0,
        leader: leader.0,
        cluster_id: cx
            .image
            .cluster
            .as_ref()
            .map(|cluster| cluster.0.clone())
            .unwrap_or_default(),
        thread: u32::try_from(cx.shard.0).unwrap_or_default(),
        lane: match lane {
            Lane::Live => WireLane::Live.into(),
            Lane::CatchUp => WireLane::CatchUp.into(),
        },
    };
    Some(FollowerMessage {
        hello: Some(hello),
        credit_bytes: cx.config.replica.link_credit_bytes as u64,
        ..FollowerMessage::default()
    })
}
