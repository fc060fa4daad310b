//! The bytes that a connection has received, cut into frames without copying.
//!
//! Frames are pieces of pooled chunks: the pages stay mapped and warm, because first-touch faults cost more than
//! everything else on the way in. A chunk that no connection reads into waits in its thread's pool, for the next frame
//! while there is room in it, then for the end of its last piece. Memory follows what has arrived, never what a length
//! announces.

use bytes::BytesMut;
use milena_wire::{FrameError, LENGTH_BYTES, request_frame_bytes};
use std::cell::RefCell;
use std::collections::VecDeque;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Chunk sizes: for small requests, for batches of some ten KiB, for batches of a MiB with their envelope.
const CHUNK_BYTES: [usize; 3] = [32 << 10, 256 << 10, (1 << 20) + (64 << 10)];

/// A frame may take this many times what has arrived of it: growth in few steps, bounded by what the client paid.
const GROWTH: usize = 8;

/// Room that is worth a read when no frame has begun.
const SMALL_READ_BYTES: usize = 4 << 10;

/// Chunks of the pool that are looked at for one with room, and for one whose pieces are gone.
const TRIES: usize = 4;

/// Chunks of a data thread that no connection is reading into.
#[derive(Default)]
struct Pool {
    /// By class, the oldest first.
    chunks: [VecDeque<BytesMut>; CHUNK_BYTES.len()],
    bytes: usize,
}

impl Pool {
    /// A chunk with room for `room` bytes, which its class can hold.
    ///
    /// A new one that has room left comes first: a connection goes on where another one stopped. Otherwise each frame that
    /// arrives alone would take a chunk of its own, and hold it as long as its records are in a tail ring. Then an old one
    /// all of whose pieces are gone.
    fn take(&mut self, class: usize, room: usize) -> BytesMut {
        let size = CHUNK_BYTES[class];
        let chunks = &mut self.chunks[class];
        let newest = chunks.len().saturating_sub(TRIES)..chunks.len();
        let with_room = newest.rev().find(|at| chunks[*at].capacity() >= room);
        if let Some(chunk) = with_room.and_then(|at| chunks.remove(at)) {
            self.bytes -= size;
            return chunk;
        }
        for _ in 0..TRIES.min(chunks.len()) {
            if let Some(mut chunk) = chunks.pop_front() {
                if chunk.try_reclaim(size) {
                    self.bytes -= size;
                    return chunk;
                }
                // Pieces of it still wait for acknowledgements: it goes to the end of the line.
                chunks.push_back(chunk);
            }
        }
        BytesMut::with_capacity(size)
    }

    /// Keeps the chunk, and at most `bytes_max` in all: the oldest of the class that takes most goes.
    fn retire(&mut self, class: usize, mut chunk: BytesMut, bytes_max: usize) {
        chunk.clear();
        self.chunks[class].push_back(chunk);
        self.bytes += CHUNK_BYTES[class];
        while self.bytes > bytes_max {
            let largest = (0..CHUNK_BYTES.len()).max_by_key(|at| self.chunks[*at].len() * CHUNK_BYTES[*at]);
            let Some(largest) = largest.filter(|at| !self.chunks[*at].is_empty()) else {
                return;
            };
            self.chunks[largest].pop_front();
            self.bytes -= CHUNK_BYTES[largest];
        }
    }
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

/// What a chunk must have left for a frame that has not begun to arrive.
fn useful_room(class: usize) -> usize {
    match class {
        0 => SMALL_READ_BYTES,
        // A connection's frames are at most half as long as the chunks that it asks for.
        _ => CHUNK_BYTES[class] / 2,
    }
}

/// Received bytes of one connection. Holds a chunk only while something is in it or being read.
pub(super) struct ReadBuffer {
    bytes: BytesMut,
    /// The pool's class of the chunk; `None` when there is none, or one of its own size.
    class: Option<usize>,
    /// The class that recent frames ask for.
    wanted: usize,
    limit: usize,
    pool_bytes_max: usize,
}

impl ReadBuffer {
    /// For frames of at most `limit` bytes. The thread keeps at most `pool_bytes_max` of retired chunks.
    pub(super) fn new(limit: usize, pool_bytes_max: usize) -> Self {
        Self {
            bytes: BytesMut::new(),
            class: None,
            wanted: 0,
            limit,
            pool_bytes_max,
        }
    }

    /// Cuts the next whole frame off, without its length.
    ///
    /// # Errors
    /// [`FrameError`] as soon as the length itself is wrong.
    pub(super) fn next_frame(&mut self) -> Result<Option<BytesMut>, FrameError> {
        let Some(size) = self.frame_bytes()? else {
            return Ok(None);
        };
        if self.bytes.len() < LENGTH_BYTES + size {
            return Ok(None);
        }
        self.wanted = class_for(2 * size).max(self.wanted.saturating_sub(1));
        let mut frame = self.bytes.split_to(LENGTH_BYTES + size);
        Ok(Some(frame.split_off(LENGTH_BYTES)))
    }

    /// The announced length of the frame at the front, once its four bytes are there.
    fn frame_bytes(&self) -> Result<Option<usize>, FrameError> {
        match self.bytes.first_chunk::<LENGTH_BYTES>() {
            Some(prefix) => request_frame_bytes(*prefix, self.limit).map(Some),
            None => Ok(None),
        }
    }

    /// Bytes of a frame that has not arrived entirely.
    pub(super) fn partial_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Reads once; 0 is the end. Cancel-safe.
    pub(super) async fn read_from(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> std::io::Result<usize> {
        self.make_room();
        stream.read_buf(&mut self.bytes).await
    }

    /// Gives the chunk back while nothing is expected: an idle connection holds no buffer.
    pub(super) fn release(&mut self) {
        if self.bytes.is_empty() {
            self.retire();
        }
    }

    fn make_room(&mut self) {
        let received = self.bytes.len();
        let frame = self
            .frame_bytes()
            .ok()
            .flatten()
            .map_or(0, |size| size + LENGTH_BYTES);
        let missing = frame.saturating_sub(received);
        let spare = self.bytes.capacity() - received;
        // Room for the rest of the frame, or for a useful read when no frame has begun.
        if spare >= missing.max(if received == 0 { SMALL_READ_BYTES } else { 1 }) {
            return;
        }
        let allowed = (GROWTH * received).max(CHUNK_BYTES[0]);
        let target = if frame == 0 {
            CHUNK_BYTES[self.wanted]
        } else {
            frame.min(allowed)
        };
        if spare > 0 && target <= received + spare {
            return;
        }
        let class = class_for(target);
        let (class, mut fresh) =
            if target <= CHUNK_BYTES[class] && CHUNK_BYTES[class] <= allowed.max(2 * target) {
                let room = if frame == 0 { useful_room(class) } else { target };
                (
                    Some(class),
                    POOL.with(|pool| pool.borrow_mut().take(class, room.max(received))),
                )
            } else {
                (None, BytesMut::with_capacity(target))
            };
        fresh.extend_from_slice(&self.bytes);
        self.retire();
        (self.bytes, self.class) = (fresh, class);
    }

    fn retire(&mut self) {
        let chunk = std::mem::take(&mut self.bytes);
        if let Some(class) = self.class.take() {
            POOL.with(|pool| pool.borrow_mut().retire(class, chunk, self.pool_bytes_max));
        }
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        self.retire();
    }
}

/// The smallest class that holds so many bytes; the largest when none does.
fn class_for(bytes: usize) -> usize {
    CHUNK_BYTES
        .iter()
        .position(|size| bytes <= *size)
        .unwrap_or(CHUNK_BYTES.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL_BYTES: usize = 8 << 20;

    fn frame(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32).to_be_bytes()[..], body].concat()
    }

    async fn feed(buffer: &mut ReadBuffer, mut bytes: &[u8]) -> Vec<BytesMut> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            buffer.read_from(&mut bytes).await.unwrap();
            while let Some(frame) = buffer.next_frame().unwrap() {
                frames.push(frame);
            }
        }
        frames
    }

    #[tokio::test]
    async fn frames_of_every_size_come_out_as_they_went_in() {
        let mut buffer = ReadBuffer::new(100 << 20, POOL_BYTES);
        for size in [8, 100, 32 << 10, 40_000, 300_000, 1 << 20, 3 << 20] {
            let bodies: Vec<Vec<u8>> = (0..3).map(|n| vec![n; size]).collect();
            let sent: Vec<u8> = bodies.iter().flat_map(|body| frame(body)).collect();
            let frames = feed(&mut buffer, &sent).await;
            assert!(
                frames.iter().map(|f| &f[..]).eq(bodies.iter().map(|b| &b[..])),
                "size {size}"
            );
        }
        assert_eq!(buffer.partial_bytes(), 0);
        buffer.release();
        assert_eq!(buffer.bytes.capacity(), 0);
    }

    #[tokio::test]
    async fn memory_follows_what_arrived_not_what_was_announced() {
        let mut buffer = ReadBuffer::new(100 << 20, POOL_BYTES);
        let mut announced = (64_u32 << 20).to_be_bytes().to_vec();
        announced.extend([0; 100]);
        assert!(feed(&mut buffer, &announced).await.is_empty());
        assert!(buffer.bytes.capacity() <= 64 << 10, "{}", buffer.bytes.capacity());
    }

    #[tokio::test]
    async fn frames_that_arrive_alone_share_chunks() {
        for (size, most) in [(200, 3), (40_000, 2), (150_000, 3)] {
            let mut chunks: Vec<std::ops::Range<usize>> = Vec::new();
            let mut kept = Vec::new();
            let sent = frame(&vec![1; size]);
            // The first ones tell the buffer what to expect.
            for round in 0..(2 << 20) / sent.len() {
                // Another connection each time: the chunk goes back to the pool in between.
                let mut buffer = ReadBuffer::new(1 << 20, POOL_BYTES);
                buffer.wanted = class_for(2 * size);
                kept.extend(feed(&mut buffer, &sent).await);
                let at = kept[round].as_ptr() as usize;
                let near = |chunk: &std::ops::Range<usize>| chunk.start <= at && at < chunk.end;
                if !chunks.iter().any(near) {
                    chunks.push(at..at + CHUNK_BYTES[buffer.wanted]);
                }
            }
            let held: usize = chunks.iter().map(ExactSizeIterator::len).sum();
            assert!(
                held <= most * (2 << 20),
                "{size}: {held} bytes in {} chunks",
                chunks.len()
            );
        }
    }

    #[tokio::test]
    async fn wrong_lengths_are_refused() {
        for length in [-1_i32, i32::MAX, 7] {
            let mut buffer = ReadBuffer::new(100 << 20, POOL_BYTES);
            buffer.read_from(&mut &length.to_be_bytes()[..]).await.unwrap();
            assert!(buffer.next_frame().is_err());
            assert!(buffer.bytes.capacity() <= 64 << 10);
        }
    }

    #[tokio::test]
    async fn chunks_are_used_again_once_their_frames_are_gone() {
        let mut buffer = ReadBuffer::new(1 << 20, POOL_BYTES);
        let sent = frame(&[1; 20_000]);
        let kept = feed(&mut buffer, &sent).await;
        let address = kept[0].as_ptr();
        for _ in 0..10 {
            assert_ne!(feed(&mut buffer, &sent).await[0].as_ptr(), address, "still held");
        }
        drop(kept);
        let mut again = false;
        for _ in 0..100 {
            again |= feed(&mut buffer, &sent).await[0].as_ptr() == address;
        }
        assert!(again);
    }
}
