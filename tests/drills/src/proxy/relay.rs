//! Bytes from one socket to another, each chunk when its time has come.

use super::holds::{Holds, Link, Side};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Bytes of one read.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks of one direction that wait; then nothing more is read, and the sender's socket fills up.
const WAITING_MAX: usize = 1024;
/// How HTTP/2 begins, which only replication speaks on a broker's listener; a Kafka frame would be a gigabyte long.
const HTTP2: u8 = b'P';

/// Accepts until the runtime ends.
pub(super) async fn serve(
    listener: TcpListener,
    target: String,
    (node, side): (i32, Side),
    hosts: Arc<BTreeMap<String, i32>>,
    holds: Arc<Holds>,
) {
    while let Ok((near, peer)) = listener.accept().await {
        let from = hosts.get(&peer.ip().to_string()).copied();
        let link = Link { node, from, side };
        tokio::spawn(connection(near, target.clone(), link, Arc::clone(&holds)));
    }
}

async fn connection(near: TcpStream, target: String, mut link: Link, holds: Arc<Holds>) {
    let mut first = [0];
    // Who connects and says nothing is not connected to the node either; nobody does.
    let Ok(1) = near.peek(&mut first).await else {
        return;
    };
    if link.side == Side::Broker && first == [HTTP2] {
        link.side = Side::Replication;
    }
    let Ok(far) = TcpStream::connect(&target).await else {
        return;
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let asked = pipe(near_in, far_out, link, false, Arc::clone(&holds));
    let answered = pipe(far_in, near_out, link, true, holds);
    tokio::join!(asked, answered);
}

/// One direction. What was read is delivered even when the sender has gone meanwhile: that is the late message that a drill is about.
async fn pipe(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, link: Link, answers: bool, holds: Arc<Holds>) {
    let (queue, mut waiting) = mpsc::channel::<(Instant, Vec<u8>)>(WAITING_MAX);
    let write = async move {
        while let Some((due, chunk)) = waiting.recv().await {
            sleep_until(due).await;
            if to.write_all(&chunk).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    };
    let read = async move {
        let mut last = Instant::now();
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            // Never before the chunk in front of it.
            last = last.max(Instant::now() + holds.of(link, answers));
            if queue.send((last, buffer[..count].to_vec())).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(read, write);
}
