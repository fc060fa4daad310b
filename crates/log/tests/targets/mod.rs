//! What is done with hostile bytes: one function per fuzz target, for `tests/fuzz.rs` and for `fuzz/` (libFuzzer).
//!
//! A target panics when a rule is broken: no panic of the code itself, recovering twice is recovering once, nothing is
//! recovered that is not a valid batch in its place, and what can be rebuilt from the log does not depend on the bytes.

mod recovery;

use bytes::Bytes;
use milena_log::checkpoint::{encode_epochs, encode_offsets, parse_epochs, parse_offsets};
use milena_log::producer::{decode_snapshot, encode_snapshot};
use milena_record::control::ControlRecord;
use milena_record::{batches, crc_is_valid, records, validate_records};
use milena_types::Offset;
pub(crate) use recovery::{FILES, recovery, sample};

/// What a compressed batch may unpack to.
const UNPACKED_BYTES_MAX: usize = 1 << 20;

/// Record batches as clients and leaders send them. Gives how many were whole.
pub(crate) fn batch(data: &[u8]) -> usize {
    let mut whole = 0;
    for found in batches(data) {
        let Ok((header, batch)) = found else { break };
        assert_eq!(header.size_bytes(), batch.len());
        assert!(header.base_offset.0 >= 0 && header.last_offset() >= header.base_offset);
        let valid = crc_is_valid(batch);
        let walked = validate_records(batch, UNPACKED_BYTES_MAX);
        if let Ok(all) = records(&Bytes::copy_from_slice(batch), UNPACKED_BYTES_MAX) {
            if walked.is_ok() {
                assert_eq!(i32::try_from(all.len()), Ok(header.records_count));
            }
            for record in &all {
                let _ = record.key.as_deref().map(ControlRecord::decode_key);
                let _ = record.value.as_deref().map(ControlRecord::decode_value);
            }
        }
        whole += usize::from(valid);
    }
    whole
}

/// A producer snapshot: what is accepted is written again as the same producers.
pub(crate) fn snapshot(data: &[u8]) -> usize {
    let Ok(state) = decode_snapshot(data) else {
        return 0;
    };
    let again = encode_snapshot(&state);
    let second = decode_snapshot(&again).map(|state| encode_snapshot(&state));
    assert_eq!(second.as_ref(), Ok(&again));
    let _ = state.lies_below(Offset(100));
    1
}

/// The checkpoint files: what is accepted is written again as the same entries.
pub(crate) fn checkpoints(data: &[u8]) -> usize {
    let mut accepted = 0;
    if let Ok(epochs) = parse_epochs(data) {
        assert_eq!(parse_epochs(encode_epochs(&epochs).as_bytes()), Ok(epochs));
        accepted += 1;
    }
    if let Ok(offsets) = parse_offsets(data) {
        assert_eq!(parse_offsets(encode_offsets(&offsets).as_bytes()), Ok(offsets));
        accepted += 1;
    }
    accepted
}
