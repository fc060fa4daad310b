//! What happened in one run: a hash over everything, the last lines, and how often each thing was met.

use std::collections::{BTreeMap, VecDeque};
use tokio::time::Instant;

/// How many lines a failure shows.
const LINES: usize = 200;

#[derive(Debug)]
pub(super) struct Trace {
    begin: Instant,
    pub(super) hash: u64,
    lines: VecDeque<String>,
    print: bool,
    pub(super) counts: BTreeMap<&'static str, u64>,
}

/// FNV-1a: the same everywhere, for ever.
pub(super) fn fnv(mut hash: u64, bytes: &[u8]) -> u64 {
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

pub(super) const FNV_BEGIN: u64 = 0xcbf2_9ce4_8422_2325;

impl Trace {
    pub(super) fn new(print: bool) -> Self {
        Self {
            begin: Instant::now(),
            hash: FNV_BEGIN,
            lines: VecDeque::new(),
            print,
            counts: BTreeMap::new(),
        }
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_micros()).unwrap()
    }

    /// Something small that happens often: hashed only.
    pub(super) fn note(&mut self, what: &str, from: u64, to: u64, payload: &[u8]) {
        let head = [self.micros(), from, to];
        for word in head {
            self.hash = fnv(self.hash, &word.to_be_bytes());
        }
        self.hash = fnv(fnv(self.hash, what.as_bytes()), payload);
    }

    /// Something that a reader wants to see.
    pub(super) fn tell(&mut self, line: &str) {
        self.note(line, 0, 0, &[]);
        let micros = self.micros();
        let line = format!("{:>6}.{:03} {line}", micros / 1_000_000, micros / 1_000 % 1_000);
        if self.print {
            println!("{line}");
        }
        self.lines.push_back(line);
        if self.lines.len() > LINES {
            self.lines.pop_front();
        }
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}
