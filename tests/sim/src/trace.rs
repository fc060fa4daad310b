//! What happened: a hash of everything, and the last lines for people when somebody asks for them.

use std::collections::VecDeque;
use std::fmt::Arguments;

const LINES_MAX: usize = 20_000;

/// FNV-1a over 64-bit words.
#[must_use]
pub fn mix(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23)
}

/// A digest of some bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = mix(hash, u64::from_le_bytes(word));
    }
    mix(hash, bytes.len() as u64)
}

/// The trace of one run.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    lines: Option<VecDeque<String>>,
}

impl Trace {
    /// With `verbose` the last lines are kept.
    #[must_use]
    pub fn new(verbose: bool) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            lines: verbose.then(VecDeque::new),
        }
    }

    /// Takes words into the hash.
    pub fn note(&mut self, words: &[u64]) {
        for word in words {
            self.hash = mix(self.hash, *word);
        }
    }

    /// Keeps a line, if lines are kept.
    pub fn line(&mut self, now: u64, text: Arguments<'_>) {
        if let Some(lines) = &mut self.lines {
            if lines.len() == LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(format!("{:>10.3} ms  {text}", now as f64 / 1000.0));
        }
    }

    /// Everything that happened, as a number.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The last lines.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.iter().flatten().cloned().collect()
    }
}
