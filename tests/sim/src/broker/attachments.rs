//! What an end of a stream knows by the numbers of attachments.

use milena_types::TopicIdPartition;
use milena_types::mutants::{Mutant, on};
use std::collections::BTreeMap;

/// The attachments of one stream. What has ended is forgotten: a lock of its own on what comes late, which a mutant opens.
#[derive(Debug, Default)]
pub(super) struct Attachments {
    present: BTreeMap<u64, TopicIdPartition>,
    /// What would be forgotten; empty but for a mutant.
    former: BTreeMap<u64, TopicIdPartition>,
}

impl Attachments {
    pub(super) fn insert(&mut self, attach: u64, id: TopicIdPartition) {
        self.present.insert(attach, id);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    pub(super) fn contains(&self, attach: u64) -> bool {
        self.present.contains_key(&attach)
    }

    /// Which partition that is; with `mutant` switched off, also of one that has ended.
    pub(super) fn get(&self, attach: u64, mutant: Mutant) -> Option<TopicIdPartition> {
        let former = self.former.get(&attach).filter(|_| on(mutant));
        self.present.get(&attach).or(former).copied()
    }

    /// It has ended.
    pub(super) fn remove(&mut self, attach: u64) -> Option<TopicIdPartition> {
        let ended = self.present.remove(&attach)?;
        if on(Mutant::StaleFrameAccepted) || on(Mutant::NoReplyCorrelation) {
            self.former.insert(attach, ended);
        }
        Some(ended)
    }

    /// All have: the stream is gone.
    pub(super) fn take(&mut self) -> BTreeMap<u64, TopicIdPartition> {
        self.former.clear();
        std::mem::take(&mut self.present)
    }
}
