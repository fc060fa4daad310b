//! Kafka's primitive types, written. `compact` selects KIP-482's encoding (unsigned varint of length + 1).
//!
//! Lengths above what a type can say cannot occur: responses are far below 2 GiB and texts are cut to 32,767 bytes.

use bytes::{BufMut, BytesMut};

pub(crate) fn put_varint(out: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn saturated(length: usize) -> u32 {
    u32::try_from(length)
        .unwrap_or(u32::MAX - 1)
        .min(i32::MAX as u32 - 1)
}

/// The count of an array, or the length of bytes.
pub(crate) fn put_count(out: &mut BytesMut, compact: bool, count: usize) {
    let count = saturated(count);
    if compact {
        put_varint(out, count + 1)
    } else {
        out.put_u32(count)
    }
}

/// A null array, or null bytes.
pub(crate) fn put_null_count(out: &mut BytesMut, compact: bool) {
    if compact { out.put_u8(0) } else { out.put_i32(-1) }
}

pub(crate) fn put_text(out: &mut BytesMut, compact: bool, text: &str) {
    let mut end = text.len().min(i16::MAX as usize);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if compact {
        put_varint(out, saturated(end) + 1)
    } else {
        out.put_u16(end as u16)
    }
    out.put_slice(&text.as_bytes()[..end]);
}

pub(crate) fn put_nullable_text(out: &mut BytesMut, compact: bool, text: Option<&str>) {
    match text {
        Some(text) => put_text(out, compact, text),
        None if compact => out.put_u8(0),
        None => out.put_i16(-1),
    }
}

/// One tagged field: number, size, content.
pub(crate) fn put_tag(out: &mut BytesMut, tag: u32, content: &[u8]) {
    put_varint(out, tag);
    put_varint(out, saturated(content.len()));
    out.put_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_little_endian_groups_of_seven_bits() {
        for (value, bytes) in [(0, &[0][..]), (127, &[127]), (128, &[0x80, 1]), (300, &[0xac, 2])] {
            let mut out = BytesMut::new();
            put_varint(&mut out, value);
            assert_eq!(&out[..], bytes);
        }
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let mut out = BytesMut::new();
        put_text(&mut out, false, &"é".repeat(20_000));
        assert_eq!(out.len(), 2 + 32_766);
    }
}
