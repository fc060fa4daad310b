//! `leader-epoch-checkpoint`: one line `epoch startOffset` per leader epoch. Source: `LeaderEpochCheckpointFile.java`.

use super::{CheckpointError, text};
use milena_types::{LeaderEpoch, Offset};

/// The file's text for these epochs, oldest first.
#[must_use]
pub fn encode_epochs(entries: &[(LeaderEpoch, Offset)]) -> String {
    text::encode(entries.iter().map(|(epoch, start)| format!("{epoch} {start}")))
}

/// Inverse of [`encode_epochs`].
///
/// # Errors
/// [`CheckpointError`] says which line is wrong.
pub fn parse_epochs(bytes: &[u8]) -> Result<Vec<(LeaderEpoch, Offset)>, CheckpointError> {
    text::parse(bytes, |line| {
        let (epoch, start) = line.split_once(' ')?;
        Some((LeaderEpoch(epoch.parse().ok()?), Offset(start.parse().ok()?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kafkas_and_damage_is_named() {
        let entries = vec![(LeaderEpoch(0), Offset(0)), (LeaderEpoch(3), Offset(17))];
        assert_eq!(encode_epochs(&entries), "0\n2\n0 0\n3 17\n");
        assert_eq!(parse_epochs(b"0\n2\n0 0\n3 17\n"), Ok(entries));
        assert_eq!(parse_epochs(b"0\n0\n"), Ok(vec![]));
        let bad: [&[u8]; 6] = [
            b"",
            b"1\n0\n",
            b"0\n2\n0 0\n",
            b"0\nx\n",
            b"0\n1\n0 zero\n",
            b"\xff\xfe",
        ];
        for text in bad {
            assert!(parse_epochs(text).is_err(), "{text:?}");
        }
    }
}
