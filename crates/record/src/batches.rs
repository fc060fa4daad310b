//! Walking the batches of a buffer, and their checksum.

use crate::header::{AT_ATTRIBUTES, AT_CRC};
use crate::{BatchError, BatchHeader, HEADER_BYTES};

/// CRC-32C (Castagnoli; ISCSI), the checksum of batches and of several checkpoint files.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    // The crate returns every CRC in 64 bits; the upper half of a 32-bit one is zero.
    u32::try_from(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes)).unwrap_or_default()
}

/// Compares the checksum of `batch`, exactly one batch, with the one that its header says.
///
/// # Errors
/// `Crc` when they differ, or when there is no whole header.
pub fn check_crc(batch: &[u8]) -> Result<(), BatchError> {
    let stored = batch
        .get(AT_CRC..AT_ATTRIBUTES)
        .and_then(|b| b.try_into().ok())
        .map(u32::from_be_bytes);
    let actual = crc32c(batch.get(AT_ATTRIBUTES..).unwrap_or_default());
    if batch.len() >= HEADER_BYTES && stored == Some(actual) {
        return Ok(());
    }
    let expected = stored.unwrap_or_default();
    Err(BatchError::Crc { expected, actual })
}

/// True when `batch`, exactly one batch, has the checksum that its header says; see [`check_crc`].
#[must_use]
pub fn crc_is_valid(batch: &[u8]) -> bool {
    check_crc(batch).is_ok()
}

/// Iterates over the batches of a buffer; made by [`batches`].
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

/// Iterates over the batches of `bytes` in order: each header with the bytes of its batch, header included.
///
/// It ends at the first error. An incomplete batch at the end is `Err(Truncated)`, which a reader of a bounded range
/// takes as the end. Checksums are not looked at.
#[must_use]
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { rest: bytes }
}

impl<'a> Batches<'a> {
    /// The bytes that have not been walked yet; empty after an error.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn step(&self) -> Result<(BatchHeader, &'a [u8], &'a [u8]), BatchError> {
        let header = BatchHeader::parse(self.rest)?;
        let size = header.size_bytes();
        let (batch, rest) = self.rest.split_at_checked(size).ok_or(BatchError::Truncated {
            needed: size,
            available: self.rest.len(),
        })?;
        Ok((header, batch, rest))
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<(BatchHeader, &'a [u8]), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match self.step() {
            Ok((header, batch, rest)) => {
                self.rest = rest;
                Some(Ok((header, batch)))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BatchBuilder;
    use milena_types::Offset;

    #[test]
    fn the_checksum_is_the_one_that_kafka_uses() {
        // The check value of CRC-32C (RFC 3720, B.4).
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
    }

    #[test]
    fn every_flipped_bit_under_the_checksum_is_seen() {
        let batch = BatchBuilder::single(Offset(0), b"value");
        assert_eq!(check_crc(&batch), Ok(()));
        let stored = BatchHeader::parse(&batch).unwrap().crc;
        for at in AT_CRC..batch.len() {
            let mut damaged = batch.to_vec();
            damaged[at] ^= 1;
            assert!(!crc_is_valid(&damaged), "{at}");
            match check_crc(&damaged) {
                Err(BatchError::Crc { expected, actual }) if at >= AT_ATTRIBUTES => {
                    assert!(expected == stored && actual != stored, "{at}");
                }
                Err(BatchError::Crc { expected, actual }) => {
                    assert!(expected != stored && actual == stored, "{at}");
                }
                other => panic!("{at}: {other:?}"),
            }
        }
        assert!(!crc_is_valid(&[]));
        assert!(!crc_is_valid(&batch[..HEADER_BYTES - 1]));
    }

    #[test]
    fn batches_are_walked_and_a_cut_tail_is_told() {
        let mut bytes = BatchBuilder::single(Offset(0), b"a").to_vec();
        let first = bytes.len();
        bytes.extend_from_slice(&BatchBuilder::single(Offset(1), b"bb"));
        let offsets: Vec<_> = batches(&bytes)
            .map(|b| b.map(|(h, b)| (h.base_offset.0, b.len())))
            .collect();
        assert_eq!(offsets, [Ok((0, first)), Ok((1, bytes.len() - first))]);

        let cut = &bytes[..bytes.len() - 1];
        let mut walk = batches(cut);
        assert!(walk.next().is_some_and(|b| b.is_ok()));
        let needed = bytes.len() - first;
        assert_eq!(
            walk.next(),
            Some(Err(BatchError::Truncated {
                needed,
                available: needed - 1
            }))
        );
        assert_eq!(walk.next(), None);
    }
}
