//! openraft's structs as bytes, on disk and on the wire: one format byte, then postcard.
//!
//! Postcard is not self-describing: what the structs look like is fixed by the exact openraft version that
//! [`FORMAT`] stands for. A release with other structs takes the next number and reads both.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;

/// openraft 0.10.0-alpha.37 in postcard 1.
pub(crate) const FORMAT: u8 = 1;

/// As bytes.
///
/// # Errors
/// Never for the types used here; kept an error because serde can express one.
pub(crate) fn encode<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    postcard::to_extend(value, vec![FORMAT])
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// From bytes.
///
/// # Errors
/// `InvalidData`: another format, or bytes that are not exactly one value.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    let Some((format, rest)) = bytes.split_first() else {
        return Err(invalid("raft data is empty".to_owned()));
    };
    if *format != FORMAT {
        return Err(invalid(format!(
            "raft data has format {format}, this build reads format {FORMAT}"
        )));
    }
    match postcard::take_from_bytes(rest) {
        Ok((value, [])) => Ok(value),
        Ok((_, left)) => Err(invalid(format!("raft data has {} bytes too many", left.len()))),
        Err(error) => Err(invalid(format!("raft data is malformed: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::types::{Entry, LogId, Proposal, TypeConfig, Vote};
    use openraft::alias::CommittedLeaderIdOf;
    use openraft::entry::RaftEntry;
    use openraft::vote::RaftLeaderId;

    #[test]
    fn values_survive_and_damage_is_refused() {
        let vote = Vote::new(3, 1);
        let bytes = encode(&vote).unwrap();
        assert_eq!(bytes[0], FORMAT);
        assert_eq!(decode::<Vote>(&bytes).unwrap(), vote);
        assert!(decode::<Vote>(&[]).is_err());
        assert!(decode::<Vote>(&[2, 0]).is_err());
        assert!(decode::<Vote>(&bytes[..bytes.len() - 1]).is_err());
        assert!(decode::<Vote>(&[bytes.as_slice(), &[0]].concat()).is_err());

        let log_id = LogId::new(CommittedLeaderIdOf::<TypeConfig>::new(4, 2), 9);
        let entry = Entry::new_normal(log_id, Proposal(vec![1, 2, 3].into()));
        assert_eq!(decode::<Entry>(&encode(&entry).unwrap()).unwrap(), entry);
    }

    /// The bytes that format 1 stands for. If this fails, openraft's structs have changed: raise [`FORMAT`].
    #[test]
    fn format_one_is_fixed() {
        assert_eq!(encode(&Vote::new(3, 1)).unwrap(), [1, 3, 1, 0]);
    }
}
