//! Zig-zag varints, as records and their headers use them.
//!
//! Small magnitudes of either sign take few bytes: 0, -1, 1, -2 … are 0, 1, 2, 3 …, in groups of 7 bits, lowest first.
//! At most 5 bytes for 32 bits and 10 for 64. Source: `ByteUtils.java`.

use crate::BatchError;
use crate::source::Source;
use bytes::BufMut;

const LONG: BatchError = BatchError::Invalid("varint is too long");
const CUT: BatchError = BatchError::Invalid("record ends inside a varint");

/// The rest of an unsigned varint of at most `bits` bits that begins with `byte`.
fn unsigned(source: &mut impl Source, mut byte: u8, bits: u32) -> Result<u64, BatchError> {
    let mut value = 0u64;
    let mut shift = 0;
    loop {
        let group = u64::from(byte & 0x7f);
        let left = bits - shift;
        if left < 7 && group >> left != 0 {
            return Err(LONG);
        }
        value |= group << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
        shift += 7;
        if shift >= bits {
            return Err(LONG);
        }
        byte = source.byte()?.ok_or(CUT)?;
    }
}

/// The next signed 32-bit varint of `source`.
#[inline]
pub(crate) fn varint(source: &mut impl Source) -> Result<i32, BatchError> {
    // One byte is by far the most frequent case.
    let first = source.byte()?.ok_or(CUT)?;
    if first < 0x80 {
        return Ok(i32::from(first >> 1) ^ -i32::from(first & 1));
    }
    let raw = u32::try_from(unsigned(source, first, 32)?).map_err(|_| LONG)?;
    Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}

/// The next signed 64-bit varint of `source`.
pub(crate) fn varlong(source: &mut impl Source) -> Result<i64, BatchError> {
    let first = source.byte()?.ok_or(CUT)?;
    let raw = unsigned(source, first, 64)?;
    Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}

/// Reads a signed 32-bit varint and moves `bytes` past it.
///
/// # Errors
/// `Invalid` when it is cut or longer than 32 bits.
pub fn get_varint(bytes: &mut &[u8]) -> Result<i32, BatchError> {
    varint(bytes)
}

/// Reads a signed 64-bit varint and moves `bytes` past it.
///
/// # Errors
/// `Invalid` when it is cut or longer than 64 bits.
pub fn get_varlong(bytes: &mut &[u8]) -> Result<i64, BatchError> {
    varlong(bytes)
}

/// Appends a signed 32-bit varint.
pub fn put_varint(out: &mut impl BufMut, value: i32) {
    put_varlong(out, i64::from(value));
}

/// Appends a signed 64-bit varint; for values of 32 bits the bytes are those of [`put_varint`].
pub fn put_varlong(out: &mut impl BufMut, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while raw >= 0x80 {
        out.put_u8((raw & 0x7f) as u8 | 0x80);
        raw >>= 7;
    }
    out.put_u8(raw as u8);
}

/// How many bytes [`put_varlong`] and [`put_varint`] write for `value`.
#[must_use]
pub fn size_of(value: i64) -> usize {
    let raw = ((value << 1) ^ (value >> 63)).cast_unsigned();
    (64 - (raw | 1).leading_zeros()).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_bytes() {
        // org.apache.kafka.common.utils.ByteUtilsTest.
        let cases: &[(i32, &[u8])] = &[
            (0, &[0x00]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7E]),
            (-64, &[0x7F]),
            (64, &[0x80, 0x01]),
            (-65, &[0x81, 0x01]),
            (8191, &[0xFE, 0x7F]),
            (i32::MAX, &[0xFE, 0xFF, 0xFF, 0xFF, 0x0F]),
            (i32::MIN, &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F]),
        ];
        for (value, bytes) in cases {
            let mut out = Vec::new();
            put_varint(&mut out, *value);
            assert_eq!(out, *bytes, "{value}");
            assert_eq!(get_varint(&mut &**bytes), Ok(*value));
        }
    }

    #[test]
    fn long_and_cut_ones_are_refused() {
        let bad: &[&[u8]] = &[
            &[],
            &[0x80],
            &[0xFF, 0xFF, 0xFF, 0xFF, 0x1F],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
        ];
        for bytes in bad {
            assert!(get_varint(&mut &**bytes).is_err(), "{bytes:?}");
        }
        let mut eleven = [0x80u8; 11];
        eleven[10] = 1;
        assert!(get_varlong(&mut &eleven[..]).is_err());
        assert!(get_varlong(&mut &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02][..]).is_err());
    }

    proptest! {
        #[test]
        fn written_ones_are_read_back(long: i64, int: i32) {
            let mut out = Vec::new();
            put_varlong(&mut out, long);
            prop_assert_eq!(out.len(), size_of(long));
            put_varint(&mut out, int);
            let mut rest = &out[..];
            prop_assert_eq!(get_varlong(&mut rest), Ok(long));
            prop_assert_eq!(get_varint(&mut rest), Ok(int));
            prop_assert!(rest.is_empty());
        }
    }
}
