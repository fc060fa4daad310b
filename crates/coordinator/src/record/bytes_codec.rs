//! Kafka's primitive encodings, both classic (16/32-bit lengths) and flexible (varint lengths, tagged fields).

use super::{DecodeError, EncodeError};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Writes the classic encoding.
pub(super) struct Writer(BytesMut);

impl Writer {
    pub(super) fn new(head: i16) -> Self {
        let mut bytes = BytesMut::with_capacity(64);
        bytes.put_i16(head);
        Self(bytes)
    }

    pub(super) fn i32(&mut self, value: i32) {
        self.0.put_i32(value);
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.0.put_i64(value);
    }

    pub(super) fn string(&mut self, field: &'static str, value: &str) -> Result<(), EncodeError> {
        self.0
            .put_i16(i16::try_from(value.len()).map_err(|_| EncodeError::TooLong(field))?);
        self.0.put_slice(value.as_bytes());
        Ok(())
    }

    pub(super) fn nullable_string(
        &mut self,
        field: &'static str,
        value: Option<&str>,
    ) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.string(field, value),
            None => {
                self.0.put_i16(-1);
                Ok(())
            }
        }
    }

    pub(super) fn bytes(&mut self, field: &'static str, value: &[u8]) -> Result<(), EncodeError> {
        self.array_length(field, value.len())?;
        self.0.put_slice(value);
        Ok(())
    }

    pub(super) fn array_length(&mut self, field: &'static str, length: usize) -> Result<(), EncodeError> {
        self.0
            .put_i32(i32::try_from(length).map_err(|_| EncodeError::TooLong(field))?);
        Ok(())
    }

    pub(super) fn finish(self) -> Bytes {
        self.0.freeze()
    }
}

/// Reads either encoding; every length is checked against what is left before anything is allocated.
pub(super) struct Reader {
    bytes: Bytes,
    total: usize,
    flexible: bool,
}

impl Reader {
    pub(super) fn new(bytes: &Bytes) -> Self {
        Self {
            bytes: bytes.clone(),
            total: bytes.len(),
            flexible: false,
        }
    }

    /// From here on, lengths are varints and structures end with tagged fields.
    pub(super) fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    pub(super) fn malformed(&self) -> DecodeError {
        DecodeError::Malformed(self.total - self.bytes.len())
    }

    fn need(&self, count: usize) -> Result<(), DecodeError> {
        if self.bytes.len() < count {
            Err(self.malformed())
        } else {
            Ok(())
        }
    }

    pub(super) fn i16(&mut self) -> Result<i16, DecodeError> {
        self.need(2)?;
        Ok(self.bytes.get_i16())
    }

    pub(super) fn i32(&mut self) -> Result<i32, DecodeError> {
        self.need(4)?;
        Ok(self.bytes.get_i32())
    }

    pub(super) fn i64(&mut self) -> Result<i64, DecodeError> {
        self.need(8)?;
        Ok(self.bytes.get_i64())
    }

    fn varint(&mut self) -> Result<usize, DecodeError> {
        let mut value: u32 = 0;
        for shift in (0..35).step_by(7) {
            self.need(1)?;
            let byte = self.bytes.get_u8();
            value |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return usize::try_from(value).map_err(|_| self.malformed());
            }
        }
        Err(self.malformed())
    }

    /// A length of the classic encoding (already read), or of the flexible one (plus one); `None` is null.
    fn length(
        &mut self,
        classic: impl FnOnce(&mut Self) -> Result<i64, DecodeError>,
    ) -> Result<Option<usize>, DecodeError> {
        if self.flexible {
            return Ok(self.varint()?.checked_sub(1));
        }
        match classic(self)? {
            -1 => Ok(None),
            length => Ok(Some(usize::try_from(length).map_err(|_| self.malformed())?)),
        }
    }

    fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        self.need(length)?;
        Ok(self.bytes.split_to(length))
    }

    pub(super) fn nullable_string(&mut self) -> Result<Option<String>, DecodeError> {
        let Some(length) = self.length(|r| r.i16().map(i64::from))? else {
            return Ok(None);
        };
        let raw = self.take(length)?;
        String::from_utf8(raw.to_vec())
            .map(Some)
            .map_err(|_| self.malformed())
    }

    pub(super) fn string(&mut self) -> Result<String, DecodeError> {
        self.nullable_string()?.ok_or_else(|| self.malformed())
    }

    /// Owned, so that a long-lived value does not keep a whole fetched chunk alive. Null reads as empty.
    pub(super) fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let length = self.length(|r| r.i32().map(i64::from))?.unwrap_or(0);
        Ok(Bytes::copy_from_slice(&self.take(length)?))
    }

    /// The element count of an array whose elements take at least `element_bytes_min` bytes.
    pub(super) fn array_length(&mut self, element_bytes_min: usize) -> Result<usize, DecodeError> {
        let length = self.length(|r| r.i32().map(i64::from))?.unwrap_or(0);
        self.need(length.saturating_mul(element_bytes_min))?;
        Ok(length)
    }

    /// Hands each tagged field of the current structure to `field`; nothing in the classic encoding.
    pub(super) fn tagged_fields(&mut self, mut field: impl FnMut(usize, &Bytes)) -> Result<(), DecodeError> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let size = self.varint()?;
            let value = self.take(size)?;
            field(tag, &value);
        }
        Ok(())
    }
}
