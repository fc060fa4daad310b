//! gRPC messages as chunks: records are neither copied into a message nor out of it.
//!
//! ```text
//! 0 | length u32 | 0A len PartitionFrame fields … 7A len | records … | 0A len PartitionFrame …
//! ─ chunk of headers ──────────────────────────────────── ─ chunk ── ─ chunk of headers ──────
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use milena_rpc::proto::PartitionFrame;
use prost::Message;
use std::collections::VecDeque;

/// gRPC's prefix: one byte of flags (0: not compressed) and the length.
const PREFIX_BYTES: usize = 5;
/// A leader's message above this is refused: credit bounds what it may send, and one batch may exceed it.
pub(super) const LEADER_MESSAGE_BYTES_MAX: usize = 256 << 20;
/// A follower's message above this is refused: it carries no records.
pub(super) const FOLLOWER_MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Field 1 of LeaderMessage, length-delimited.
const PARTITIONS_KEY: u8 = 1 << 3 | 2;
/// Field 15 of PartitionFrame, length-delimited.
const RECORDS_KEY: u8 = 15 << 3 | 2;

/// What a peer sent is no message of this protocol.
#[derive(Debug, thiserror::Error)]
pub(super) enum FramingError {
    /// Its length is above the limit.
    #[error("message of {0} bytes is over the limit")]
    TooLarge(usize),
    /// It claims to be compressed.
    #[error("compressed messages are not supported")]
    Compressed,
    /// It is not protobuf of the expected shape.
    #[error("malformed message")]
    Malformed(#[from] prost::DecodeError),
}

/// One partition's part of a [`LeaderMessage`]: `head.records` is empty, the records are beside it.
#[derive(Debug)]
pub(super) struct FramePart {
    pub(super) head: PartitionFrame,
    pub(super) records: Vec<Bytes>,
}

/// Encodes parts as one LeaderMessage.
pub(super) fn encode_leader_message(parts: Vec<FramePart>) -> Vec<Bytes> {
    let sized: Vec<(FramePart, usize, usize)> = parts
        .into_iter()
        .map(|part| {
            let records: usize = part.records.iter().map(Bytes::len).sum();
            let head = part.head.encoded_len();
            let tail = if records == 0 {
                0
            } else {
                1 + varint_len(records) + records
            };
            (part, records, head + tail)
        })
        .collect();
    let total: usize = sized.iter().map(|(_, _, len)| 1 + varint_len(*len) + len).sum();
    let mut chunks = Vec::with_capacity(2 * sized.len() + 1);
    let mut head = BytesMut::with_capacity(PREFIX_BYTES + 48 * sized.len());
    put_prefix(&mut head, total);
    for (part, records, len) in sized {
        head.put_u8(PARTITIONS_KEY);
        put_varint(&mut head, len);
        part.head.encode_raw(&mut head);
        if records > 0 {
            head.put_u8(RECORDS_KEY);
            put_varint(&mut head, records);
            chunks.push(head.split().freeze());
            chunks.extend(part.records);
        }
    }
    if !head.is_empty() {
        chunks.push(head.freeze());
    }
    chunks
}

/// Encodes a message without payload as one chunk.
pub(super) fn encode_message(message: &impl Message) -> Bytes {
    let len = message.encoded_len();
    let mut buffer = BytesMut::with_capacity(PREFIX_BYTES + len);
    put_prefix(&mut buffer, len);
    message.encode_raw(&mut buffer);
    buffer.freeze()
}

fn put_prefix(buffer: &mut BytesMut, len: usize) {
    buffer.put_u8(0);
    // Frames are bounded by `frame_bytes_max` and one batch, far below 4 GiB.
    buffer.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
}

fn put_varint(buffer: &mut BytesMut, value: usize) {
    prost::encoding::encode_varint(value as u64, buffer);
}

fn varint_len(value: usize) -> usize {
    prost::encoding::encoded_len_varint(value as u64)
}

/// Collects chunks as they arrive and cuts messages out of them.
#[derive(Debug)]
pub(super) struct MessageReader {
    chunks: Chunks,
    bytes_max: usize,
    /// Of the message whose prefix has been read.
    expected: Option<usize>,
}

impl MessageReader {
    /// For messages up to that size.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            chunks: Chunks::default(),
            bytes_max,
            expected: None,
        }
    }

    /// Takes the next chunk of the stream.
    pub(super) fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.chunks.len += chunk.len();
            self.chunks.queue.push_back(chunk);
        }
    }

    /// The next complete message; `None`: more chunks are needed.
    ///
    /// # Errors
    /// [`FramingError`]: the stream is of no further use.
    pub(super) fn next<M: Message + Default>(&mut self) -> Result<Option<M>, FramingError> {
        let expected = match self.expected {
            Some(expected) => expected,
            None if self.chunks.len < PREFIX_BYTES => return Ok(None),
            None => {
                if self.chunks.get_u8() != 0 {
                    return Err(FramingError::Compressed);
                }
                let expected = usize::try_from(self.chunks.get_u32()).unwrap_or(usize::MAX);
                if expected > self.bytes_max {
                    return Err(FramingError::TooLarge(expected));
                }
                *self.expected.insert(expected)
            }
        };
        if self.chunks.len < expected {
            return Ok(None);
        }
        self.expected = None;
        Ok(Some(M::decode((&mut self.chunks).take(expected))?))
    }
}

/// Chunks as one buffer; a slice that lies inside one chunk is not copied.
#[derive(Debug, Default)]
struct Chunks {
    queue: VecDeque<Bytes>,
    len: usize,
}

impl Buf for Chunks {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        self.queue.front().map_or(&[], |chunk| chunk)
    }

    fn advance(&mut self, mut count: usize) {
        self.len = self.len.saturating_sub(count);
        while count > 0 {
            let Some(front) = self.queue.front_mut() else {
                return;
            };
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.queue.pop_front();
        }
    }

    fn copy_to_bytes(&mut self, len: usize) -> Bytes {
        match self.queue.front_mut() {
            Some(front) if front.len() >= len => {
                let bytes = front.split_to(len);
                self.len -= len;
                if front.is_empty() {
                    self.queue.pop_front();
                }
                bytes
            }
            _ => {
                let mut joined = BytesMut::with_capacity(len);
                joined.put((&mut *self).take(len));
                joined.freeze()
            }
        }
    }
}

/// Decodes a whole LeaderMessage: what a test or a tool needs.
#[cfg(test)]
fn decode(chunks: Vec<Bytes>) -> milena_rpc::proto::LeaderMessage {
    let mut reader = MessageReader::new(LEADER_MESSAGE_BYTES_MAX);
    chunks.into_iter().for_each(|chunk| reader.push(chunk));
    reader.next().unwrap().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_rpc::proto::LeaderMessage;

    fn part(attach_id: u64, records: &[&'static [u8]]) -> FramePart {
        let head = PartitionFrame {
            attach_id,
            high_watermark: 7,
            ..PartitionFrame::default()
        };
        FramePart {
            head,
            records: records.iter().map(|bytes| Bytes::from_static(bytes)).collect(),
        }
    }

    #[test]
    fn chunks_are_the_protobuf_message() {
        let message = decode(encode_leader_message(vec![
            part(1, &[b"ab", b"cd"]),
            part(2, &[]),
            part(3, &[b"e"]),
        ]));
        let expect = |attach_id, records: &'static [u8]| PartitionFrame {
            attach_id,
            high_watermark: 7,
            records: Bytes::from_static(records),
            ..PartitionFrame::default()
        };
        assert_eq!(
            message.partitions,
            vec![expect(1, b"abcd"), expect(2, b""), expect(3, b"e")]
        );
    }

    #[test]
    fn records_are_not_copied() {
        let records = Bytes::from(vec![9; 1000]);
        let head = PartitionFrame {
            attach_id: 1,
            ..PartitionFrame::default()
        };
        let message = decode(encode_leader_message(vec![FramePart {
            head,
            records: vec![records.clone()],
        }]));
        assert_eq!(message.partitions[0].records.as_ptr(), records.as_ptr());
    }

    #[test]
    fn any_cut_of_the_stream_reads_the_same() {
        let whole: BytesMut = encode_leader_message(vec![part(1, &[b"abcdef"]), part(2, &[b"g"])])
            .into_iter()
            .chain([encode_message(&LeaderMessage::default())])
            .flatten()
            .collect();
        let whole = whole.freeze();
        for at in 0..whole.len() {
            let mut reader = MessageReader::new(LEADER_MESSAGE_BYTES_MAX);
            reader.push(whole.slice(..at));
            let mut messages = Vec::new();
            while let Some(message) = reader.next::<LeaderMessage>().unwrap() {
                messages.push(message);
            }
            reader.push(whole.slice(at..));
            while let Some(message) = reader.next::<LeaderMessage>().unwrap() {
                messages.push(message);
            }
            assert_eq!(messages.len(), 2, "cut at {at}");
            assert_eq!(
                messages[0].partitions[0].records,
                Bytes::from_static(b"abcdef"),
                "cut at {at}"
            );
        }
    }

    #[test]
    fn bad_streams_are_refused() {
        let read = |bytes: &'static [u8]| {
            let mut reader = MessageReader::new(LEADER_MESSAGE_BYTES_MAX);
            reader.push(Bytes::from_static(bytes));
            reader.next::<LeaderMessage>()
        };
        assert!(matches!(read(b"\x01\0\0\0\0"), Err(FramingError::Compressed)));
        assert!(matches!(
            read(b"\0\xff\xff\xff\xff"),
            Err(FramingError::TooLarge(_))
        ));
        assert!(matches!(
            read(b"\0\0\0\0\x02\x0a\x7f"),
            Err(FramingError::Malformed(_))
        ));
    }
}
