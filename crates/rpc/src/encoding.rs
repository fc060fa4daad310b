//! The versioned encoding of batches and images, on disk and on the wire: one format byte, then protobuf.
//!
//! A format byte that this build does not know is refused, never guessed.

use crate::convert::ConvertError;
use crate::proto;
use bytes::{BufMut, Bytes, BytesMut};
use milena_metadata::image::MetadataImage;
use milena_metadata::record::{MetadataBatch, MetadataRecord};
use milena_types::MetadataVersion;
use prost::Message;

/// The format of [`encode_batch`].
pub const BATCH_FORMAT: u8 = 1;
/// The format of [`encode_image`].
pub const IMAGE_FORMAT: u8 = 1;

/// Bytes that are not a batch or an image of a known format.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EncodingError {
    /// No byte at all.
    #[error("metadata is empty")]
    Empty,
    /// Written by another version of Milena.
    #[error("metadata has format {0}, this build reads format 1")]
    Format(u8),
    /// Not protobuf.
    #[error("metadata is malformed: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// More than is taken.
    #[error("metadata is larger than {max} bytes", max = crate::pieces::IMAGE_BYTES_MAX)]
    TooLarge,
    /// Protobuf that does not make sense.
    #[error("metadata is invalid: {0}")]
    Invalid(#[from] ConvertError),
}

fn versioned(format: u8, message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + message.encoded_len());
    bytes.put_u8(format);
    message.encode_raw(&mut bytes);
    bytes.freeze()
}

fn content(bytes: &[u8], format: u8) -> Result<&[u8], EncodingError> {
    match bytes.split_first() {
        None => Err(EncodingError::Empty),
        Some((first, rest)) if *first == format => Ok(rest),
        Some((first, _)) => Err(EncodingError::Format(*first)),
    }
}

/// A batch as bytes.
#[must_use]
pub fn encode_batch(batch: &MetadataBatch) -> Bytes {
    versioned(BATCH_FORMAT, &proto::MetadataBatch::from(batch))
}

/// How many bytes a record takes in [`encode_batch`].
#[must_use]
pub fn record_bytes(record: &MetadataRecord) -> usize {
    let length = proto::MetadataRecord::from(record).encoded_len();
    // Before it: one byte that says what follows, and its length.
    1 + prost::length_delimiter_len(length) + length
}

/// A batch from bytes.
///
/// # Errors
/// Whatever is not exactly a batch of a known format.
pub fn decode_batch(bytes: &[u8]) -> Result<MetadataBatch, EncodingError> {
    Ok(proto::MetadataBatch::decode(content(bytes, BATCH_FORMAT)?)?.try_into()?)
}

/// An image as bytes: its version and the records that build it from nothing.
#[must_use]
pub fn encode_image(image: &MetadataImage) -> Bytes {
    let records = image.to_records();
    let snapshot = proto::MetadataSnapshot {
        version: image.version.0,
        records: records.iter().map(Into::into).collect(),
    };
    versioned(IMAGE_FORMAT, &snapshot)
}

/// An image from bytes.
///
/// # Errors
/// Whatever is not exactly an image of a known format.
pub fn decode_image(bytes: &[u8]) -> Result<MetadataImage, EncodingError> {
    let snapshot = proto::MetadataSnapshot::decode(content(bytes, IMAGE_FORMAT)?)?;
    let records: Vec<MetadataRecord> = snapshot
        .records
        .into_iter()
        .map(TryInto::try_into)
        .collect::<Result<_, ConvertError>>()?;
    Ok(MetadataImage::from_records(
        MetadataVersion(snapshot.version),
        &records,
    ))
}
