//! The frame of every checkpoint file: `0\n<count>\n<entry>\n...`. Source: `CheckpointFile.java`.

use std::fmt::Write as _;

/// What is wrong with a checkpoint's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not UTF-8.
    #[error("checkpoint is not text")]
    NotText,
    /// The first line is not the version that this code writes.
    #[error("checkpoint has version '{0}', expected 0")]
    Version(String),
    /// The second line is not the number of entries that follow.
    #[error("checkpoint announces '{announced}' entries and holds {found}")]
    Count {
        /// The second line.
        announced: String,
        /// Entries that follow it.
        found: usize,
    },
    /// An entry does not parse.
    #[error("checkpoint line {line} is malformed: '{text}'")]
    Entry {
        /// Line in the file, from 1.
        line: usize,
        /// The line, cut to 100 characters.
        text: String,
    },
}

/// Writes the frame around `lines`.
pub(crate) fn encode(lines: impl ExactSizeIterator<Item = String>) -> String {
    let mut text = format!("0\n{}\n", lines.len());
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
    text
}

/// Checks the frame and parses each entry with `parse`.
pub(crate) fn parse<T>(bytes: &[u8], parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, CheckpointError> {
    let text = std::str::from_utf8(bytes).map_err(|_| CheckpointError::NotText)?;
    let mut lines = text.lines();
    let version = lines.next().unwrap_or_default();
    if version != "0" {
        return Err(CheckpointError::Version(version.chars().take(20).collect()));
    }
    let announced = lines.next().unwrap_or_default();
    let mut entries = Vec::new();
    for (i, line) in lines.enumerate() {
        let entry = parse(line);
        let error = || CheckpointError::Entry {
            line: i + 3,
            text: line.chars().take(100).collect(),
        };
        entries.push(entry.ok_or_else(error)?);
    }
    if announced.parse() != Ok(entries.len()) {
        return Err(CheckpointError::Count {
            announced: announced.chars().take(20).collect(),
            found: entries.len(),
        });
    }
    Ok(entries)
}
