//! A bounded reader over one frame's bytes: every length is checked against what is left before it is used.
//!
//! Allocates nothing and never panics. `compact` selects KIP-482's encoding (unsigned varint of length + 1).

use crate::error::DecodeError;

/// Reads Kafka's primitive types front to back.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes have been read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn take(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], DecodeError> {
        let left = self.left();
        if count > left {
            return Err(DecodeError::Truncated {
                field,
                need: count,
                left,
            });
        }
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(field, N)?);
        Ok(out)
    }

    pub(crate) fn i8(&mut self, field: &'static str) -> Result<i8, DecodeError> {
        Ok(i8::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn i16(&mut self, field: &'static str) -> Result<i16, DecodeError> {
        Ok(i16::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn i64(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn uuid(&mut self, field: &'static str) -> Result<[u8; 16], DecodeError> {
        self.array(field)
    }

    /// An unsigned varint of at most five bytes that fits 32 bits.
    pub(crate) fn varint(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let mut value: u64 = 0;
        for shift in 0..5 {
            let byte = self.take(field, 1)?[0];
            value |= u64::from(byte & 0x7f) << (7 * shift);
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| DecodeError::Varint { field });
            }
        }
        Err(DecodeError::Varint { field })
    }

    /// The length of text; `None` is null.
    fn text_length(&mut self, field: &'static str, compact: bool) -> Result<Option<usize>, DecodeError> {
        if compact {
            return Ok((self.varint(field)? as usize).checked_sub(1));
        }
        let length = self.i16(field)?;
        optional(field, i64::from(length))
    }

    /// The length of bytes; `None` is null.
    fn blob_length(&mut self, field: &'static str, compact: bool) -> Result<Option<usize>, DecodeError> {
        if compact {
            return Ok((self.varint(field)? as usize).checked_sub(1));
        }
        let length = self.i32(field)?;
        optional(field, i64::from(length))
    }

    pub(crate) fn nullable_text(
        &mut self,
        field: &'static str,
        compact: bool,
    ) -> Result<Option<&'a str>, DecodeError> {
        let Some(length) = self.text_length(field, compact)? else {
            return Ok(None);
        };
        // KIP-482 keeps the old limit of text in its compact form.
        if length > i16::MAX as usize {
            return Err(DecodeError::Length {
                field,
                length: length as i64,
            });
        }
        let bytes = self.take(field, length)?;
        std::str::from_utf8(bytes)
            .map(Some)
            .map_err(|_| DecodeError::Utf8 { field })
    }

    pub(crate) fn text(&mut self, field: &'static str, compact: bool) -> Result<&'a str, DecodeError> {
        self.nullable_text(field, compact)?
            .ok_or(DecodeError::Length { field, length: -1 })
    }

    pub(crate) fn nullable_blob(
        &mut self,
        field: &'static str,
        compact: bool,
    ) -> Result<Option<&'a [u8]>, DecodeError> {
        let Some(length) = self.blob_length(field, compact)? else {
            return Ok(None);
        };
        self.take(field, length).map(Some)
    }

    /// The count of an array whose elements take at least `element_min` bytes each; `None` is null.
    pub(crate) fn nullable_count(
        &mut self,
        field: &'static str,
        compact: bool,
        element_min: usize,
    ) -> Result<Option<usize>, DecodeError> {
        let Some(count) = self.blob_length(field, compact)? else {
            return Ok(None);
        };
        let left = self.left();
        if count > left / element_min.max(1) {
            return Err(DecodeError::Count {
                field,
                count: count as u64,
                left,
            });
        }
        Ok(Some(count))
    }

    pub(crate) fn count(
        &mut self,
        field: &'static str,
        compact: bool,
        element_min: usize,
    ) -> Result<usize, DecodeError> {
        let count = self.nullable_count(field, compact, element_min)?;
        count.ok_or(DecodeError::Length { field, length: -1 })
    }

    /// Skips a section of tagged fields, giving each to `known` as (tag, content); `known` ignores what it does not know.
    pub(crate) fn tagged(
        &mut self,
        mut known: impl FnMut(u32, &mut Reader<'a>) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        const FIELD: &str = "tagged fields";
        let count = self.varint(FIELD)?;
        if count as usize > self.left() / 2 {
            return Err(DecodeError::Count {
                field: FIELD,
                count: u64::from(count),
                left: self.left(),
            });
        }
        for _ in 0..count {
            let tag = self.varint(FIELD)?;
            let size = self.varint(FIELD)? as usize;
            let mut content = Reader::new(self.take(FIELD, size)?);
            if known(tag, &mut content)? && content.left() != 0 {
                return Err(DecodeError::TagSize {
                    tag,
                    announced: size,
                    actual: content.position(),
                });
            }
        }
        Ok(())
    }

    /// Refuses bytes after the last field.
    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}

fn optional(field: &'static str, length: i64) -> Result<Option<usize>, DecodeError> {
    match length {
        -1 => Ok(None),
        _ => usize::try_from(length)
            .map(Some)
            .map_err(|_| DecodeError::Length { field, length }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_end_after_five_bytes_and_32_bits() {
        let read = |bytes: &[u8]| Reader::new(bytes).varint("x");
        assert_eq!(read(&[0]), Ok(0));
        assert_eq!(read(&[0xac, 0x02]), Ok(300));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
        assert_eq!(
            read(&[0xff, 0xff, 0xff, 0xff, 0x1f]),
            Err(DecodeError::Varint { field: "x" })
        );
        assert_eq!(
            read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]),
            Err(DecodeError::Varint { field: "x" })
        );
        assert!(matches!(read(&[0x80]), Err(DecodeError::Truncated { .. })));
    }

    #[test]
    fn lengths_below_minus_one_and_counts_above_the_frame_are_refused() {
        let mut negative = Reader::new(&[0xff, 0xff, 0xff, 0xfe]);
        assert_eq!(
            negative.nullable_blob("x", false),
            Err(DecodeError::Length {
                field: "x",
                length: -2
            })
        );
        let mut many = Reader::new(&[0x00, 0x40, 0x00, 0x00, 1, 2, 3, 4]);
        assert!(matches!(
            many.count("x", false, 4),
            Err(DecodeError::Count {
                count: 0x0040_0000,
                ..
            })
        ));
        let mut null = Reader::new(&[0xff, 0xff]);
        assert_eq!(null.nullable_text("x", false), Ok(None));
        assert!(Reader::new(&[0xff, 0xff]).text("x", false).is_err());
        assert_eq!(
            Reader::new(&[0, 1, 0xc3]).text("x", false),
            Err(DecodeError::Utf8 { field: "x" })
        );
    }

    #[test]
    fn a_known_tag_must_fill_its_size() {
        let mut reader = Reader::new(&[1, 0, 3, 9, 9, 9]);
        let result = reader.tagged(|_, content| content.i8("x").map(|_| true));
        assert_eq!(
            result,
            Err(DecodeError::TagSize {
                tag: 0,
                announced: 3,
                actual: 1
            })
        );
    }
}
