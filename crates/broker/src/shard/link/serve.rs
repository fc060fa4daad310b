//! The gRPC server of a broker: HTTP/2 connections on its Kafka listeners that open with the HTTP/2 preface.
//!
//! One method, served on hyper directly: bodies are pulled from partition owners, and no message is copied.

use super::body::{BodySignal, PullBody};
use super::framing::{FOLLOWER_MESSAGE_BYTES_MAX, MessageReader};
use super::out_links::LinkShared;
use super::{FRAME_BYTES, KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT, Lane, REPLICATE_PATH, WINDOW_BYTES};
use crate::shard::context::Context;
use crate::shard::id::ShardId;
use crate::shard::mailbox::{Mailboxes, current_shard, with_local};
use crate::shard::router::Router;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use milena_rpc::proto::{FollowerMessage, Hello, Lane as WireLane};
use milena_types::{BrokerEpoch, BrokerId, PartitionIndex, TopicId, TopicIdPartition, Uuid};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

/// Names streams in this process: greater is newer.
static NEXT_STREAM: AtomicU64 = AtomicU64::new(1);
/// Frames of owners on other threads that may wait for HTTP/2.
const REMOTE_FRAMES_MAX: usize = 4;
/// gRPC status codes: FAILED_PRECONDITION, UNIMPLEMENTED, UNAVAILABLE.
const FAILED_PRECONDITION: u8 = 9;
const UNIMPLEMENTED: u8 = 12;
const UNAVAILABLE: u8 = 14;

/// Spawns hyper's tasks on the thread that they belong to.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor
where
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Serves one connection that opens with the HTTP/2 preface, until it ends. Must run on a data thread.
///
/// # Errors
/// The connection broke, or its peer does not speak HTTP/2.
///
/// # Cancel safety
/// Dropping the future closes the connection.
pub async fn serve_http2<S>(io: S, router: Router) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = hyper::service::service_fn(move |request| {
        let router = router.clone();
        async move { Ok::<_, Infallible>(replicate(request, router).await) }
    });
    hyper::server::conn::http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .max_send_buf_size(WINDOW_BYTES as usize)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .serve_connection(TokioIo::new(io), service)
        .await
}

async fn replicate(request: Request<Incoming>, router: Router) -> Response<PullBody> {
    if request.uri().path() != REPLICATE_PATH {
        return refusal(UNIMPLEMENTED, "no such method");
    }
    let mut body = request.into_body();
    let mut reader = MessageReader::new(FOLLOWER_MESSAGE_BYTES_MAX);
    let first = match next_message(&mut body, &mut reader).await {
        Some(first) => first,
        None => return refusal(FAILED_PRECONDITION, "the first message must carry hello"),
    };
    let Some(hello) = first.hello.clone() else {
        return refusal(FAILED_PRECONDITION, "the first message must carry hello");
    };
    let Some(home) = current_shard() else {
        return refusal(UNAVAILABLE, "not a data thread");
    };
    match with_local(|shard| check_hello(&shard.cx, &hello)) {
        Some(Ok(())) => {}
        Some(Err(reason)) => return refusal(FAILED_PRECONDITION, reason),
        None => return refusal(UNAVAILABLE, "the broker is stopping"),
    }
    let (frames, frames_received) = mpsc::channel(REMOTE_FRAMES_MAX);
    let lane = if hello.lane() == WireLane::Live {
        Lane::Live
    } else {
        Lane::CatchUp
    };
    let follower = (BrokerId(hello.follower), BrokerEpoch(hello.follower_epoch));
    let stream = NEXT_STREAM.fetch_add(1, Ordering::Relaxed);
    let shared = Arc::new(LinkShared::new(stream, follower, lane, home, frames));
    tracing::debug!(follower = %follower.0, ?lane, stream, "a follower's stream begins");
    let mut stream_in = StreamIn {
        shared: Arc::clone(&shared),
        mailboxes: router.mailboxes,
        owners: HashMap::new(),
    };
    stream_in.take(first);
    tokio::task::spawn_local(async move {
        while let Some(message) = next_message(&mut body, &mut reader).await {
            stream_in.take(message);
        }
        stream_in.end();
    });
    response(body_of(&shared, frames_received))
}

fn check_hello(cx: &Context, hello: &Hello) -> Result<(), &'static str> {
    if BrokerId(hello.leader) != cx.node {
        return Err("this is another broker");
    }
    let ours = cx.image.cluster.as_ref().map(|cluster| cluster.0.as_str());
    if ours.is_some_and(|ours| ours != hello.cluster_id) {
        return Err("this is another cluster");
    }
    let known = cx
        .image
        .brokers
        .get(&BrokerId(hello.follower))
        .map(|broker| broker.epoch);
    if known.is_some_and(|known| BrokerEpoch(hello.follower_epoch) < known) {
        return Err("an older incarnation of the follower");
    }
    Ok(())
}

fn body_of(shared: &Arc<LinkShared>, mut remote: mpsc::Receiver<Vec<Bytes>>) -> PullBody {
    let stream = shared.stream;
    let source = move || {
        let local = with_local(|shard| shard.next_leader_message(stream)).flatten();
        local.or_else(|| remote.try_recv().ok())
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    PullBody::new(Box::new(source), Arc::clone(&shared.signal), Some(trailers))
}

fn response(body: PullBody) -> Response<PullBody> {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// A gRPC answer that consists of a status only.
fn refusal(status: u8, reason: &'static str) -> Response<PullBody> {
    let signal = Arc::new(BodySignal::default());
    signal.close();
    let mut refusal = response(PullBody::new(Box::new(|| None), signal, None));
    refusal
        .headers_mut()
        .insert("grpc-status", HeaderValue::from(u16::from(status)));
    refusal
        .headers_mut()
        .insert("grpc-message", HeaderValue::from_static(reason));
    refusal
}

/// The follower's next message; `None`: the stream has ended or is of no use any more.
async fn next_message(body: &mut Incoming, reader: &mut MessageReader) -> Option<FollowerMessage> {
    loop {
        match reader.next() {
            Ok(Some(message)) => return Some(message),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "a follower's stream is unreadable");
                return None;
            }
        }
        let frame = body.frame().await?.ok()?;
        if let Ok(chunk) = frame.into_data() {
            reader.push(chunk);
        }
    }
}

/// What arrives on one stream, on its way to the owners of the partitions.
struct StreamIn {
    shared: Arc<LinkShared>,
    mailboxes: Mailboxes,
    /// Which owner each attachment belongs to.
    owners: HashMap<u64, ShardId>,
}

impl StreamIn {
    fn take(&mut self, message: FollowerMessage) {
        let mut by_owner: HashMap<ShardId, FollowerMessage> = HashMap::new();
        for attach in message.attach {
            let Some(id) = partition_id(&attach.topic_id, attach.partition) else {
                continue;
            };
            let owner = self.mailboxes.owner_of(id);
            self.owners.insert(attach.attach_id, owner);
            by_owner.entry(owner).or_default().attach.push(attach);
        }
        for ack in message.acks {
            if let Some(owner) = self.owners.get(&ack.attach_id) {
                by_owner.entry(*owner).or_default().acks.push(ack);
            }
        }
        for attach in message.detach {
            if let Some(owner) = self.owners.remove(&attach) {
                by_owner.entry(owner).or_default().detach.push(attach);
            }
        }
        for pause in message.pauses {
            if let Some(owner) = self.owners.get(&pause.attach_id) {
                by_owner.entry(*owner).or_default().pauses.push(pause);
            }
        }
        for (owner, part) in by_owner {
            let shared = Arc::clone(&self.shared);
            self.mailboxes
                .run_control(owner, move |shard| shard.on_follower_message(&shared, part));
        }
        if message.credit_bytes > 0 {
            self.shared.grant(message.credit_bytes);
        }
    }

    fn end(self) {
        let stream = self.shared.stream;
        tracing::debug!(follower = %self.shared.follower, stream, "a follower's stream has ended");
        for shard in self.mailboxes.shards() {
            self.mailboxes
                .run_control(shard, move |shard| shard.on_link_closed(stream));
        }
        let follower = self.shared.follower;
        with_local(|shard| shard.cx.control.peer_lost(follower));
        self.shared.signal.close();
    }
}

fn partition_id(topic: &[u8], partition: i32) -> Option<TopicIdPartition> {
    let topic = TopicId(Uuid(topic.try_into().ok()?));
    Some(TopicIdPartition {
        topic,
        partition: PartitionIndex(partition),
    })
}

impl crate::shard::state::Shard {
    fn on_follower_message(&mut self, shared: &Arc<LinkShared>, message: FollowerMessage) {
        for attach in &message.attach {
            if let Some(id) = partition_id(&attach.topic_id, attach.partition) {
                self.on_attach(shared, id, attach);
            }
        }
        for ack in &message.acks {
            self.on_ack(shared.stream, ack);
        }
        for pause in &message.pauses {
            self.on_pause(shared.stream, pause);
        }
        for attach in message.detach {
            self.on_detach(shared.stream, attach);
        }
    }
}
