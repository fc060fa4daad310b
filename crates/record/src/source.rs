//! Where the bytes of records come from: memory, or a decoder of which nothing is kept.
//!
//! The layout of a record is read through [`Source`] only ([`crate::RecordView`]), so that the rules of the format are
//! stated once for both.

use crate::BatchError;

pub(crate) const FIELD_TOO_LONG: BatchError = BatchError::Invalid("a field is longer than its record");
const RECORD_TOO_LONG: BatchError = BatchError::Invalid("a record is longer than its fields");

/// Bytes that are taken from the front.
pub(crate) trait Source {
    /// What bytes become that are taken: themselves, or only their number.
    type Taken;

    /// How many bytes were taken.
    fn length(taken: &Self::Taken) -> usize;

    /// The next byte; `None` at the end.
    fn byte(&mut self) -> Result<Option<u8>, BatchError>;

    /// The next `length` bytes; an error when there are fewer. Claims cost no memory.
    fn take(&mut self, length: usize) -> Result<Self::Taken, BatchError>;

    /// Everything that is left inside [`within`](Self::within), without taking it.
    fn left(&self) -> Self::Taken;

    /// Is nothing left?
    fn is_at_end(&mut self) -> Result<bool, BatchError>;

    /// Lets `read` take exactly the next `length` bytes: it sees an end behind them, and must arrive there.
    fn within<T>(
        &mut self,
        length: usize,
        read: impl FnOnce(&mut Self) -> Result<T, BatchError>,
    ) -> Result<T, BatchError>;
}

/// A length as the format has it.
pub(crate) fn length_of(length: i32) -> Result<usize, BatchError> {
    usize::try_from(length).map_err(|_| BatchError::Invalid("a length is negative"))
}

/// What [`Source::within`] says about a record that is not used up.
pub(crate) fn used_up(is_used_up: bool) -> Result<(), BatchError> {
    if is_used_up { Ok(()) } else { Err(RECORD_TOO_LONG) }
}

impl<'a> Source for &'a [u8] {
    type Taken = &'a [u8];

    #[inline]
    fn length(taken: &&'a [u8]) -> usize {
        taken.len()
    }

    #[inline]
    fn byte(&mut self) -> Result<Option<u8>, BatchError> {
        let Some((&byte, rest)) = self.split_first() else {
            return Ok(None);
        };
        *self = rest;
        Ok(Some(byte))
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], BatchError> {
        let (taken, rest) = self.split_at_checked(length).ok_or(FIELD_TOO_LONG)?;
        *self = rest;
        Ok(taken)
    }

    #[inline]
    fn left(&self) -> &'a [u8] {
        self
    }

    #[inline]
    fn is_at_end(&mut self) -> Result<bool, BatchError> {
        Ok(self.is_empty())
    }

    #[inline]
    fn within<T>(
        &mut self,
        length: usize,
        read: impl FnOnce(&mut Self) -> Result<T, BatchError>,
    ) -> Result<T, BatchError> {
        let mut inside = self.take(length)?;
        let value = read(&mut inside)?;
        used_up(inside.is_empty())?;
        Ok(value)
    }
}
