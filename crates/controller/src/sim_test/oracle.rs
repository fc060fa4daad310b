//! The judge: what must hold at every step, whatever the network and the disks do.
//!
//! It keeps the one history that all nodes must agree on: raft's committed entries by index, and the metadata batches by
//! version with the image that they make.

use super::trace::{FNV_BEGIN, Trace, fnv};
use crate::publish::Next;
use crate::raft::codec;
use crate::raft::types::LogId;
use crate::service::Quorum;
use crate::store::memory::MemoryDisk;
use bytes::Bytes;
use milena_metadata::image::MetadataImage;
use milena_metadata::invariants;
use milena_metadata::record::{ConfigResource, MetadataBatch, MetadataRecord};
use milena_types::MetadataVersion;
use openraft::async_runtime::WatchReceiver;
use openraft::entry::RaftEntry;
use std::collections::{BTreeMap, BTreeSet};

/// What was seen of a node in one of its lives.
#[derive(Debug, Default)]
struct Seen {
    life: u64,
    /// Raft's entries were compared up to here.
    index: u64,
    version: MetadataVersion,
    term: u64,
    leads: Option<u64>,
}

/// A committed entry.
#[derive(Debug, PartialEq, Eq)]
struct Mark {
    id: LogId,
    hash: u64,
}

/// An entry that was committed just now, and the majorities that must have it.
#[derive(Debug)]
struct Fresh {
    id: LogId,
    quorums: Vec<BTreeSet<u64>>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    failure: Option<String>,
    /// Who led, by term. openraft orders votes by (term, node): a term may have two leaders one after the other.
    leaders: BTreeSet<(u64, u64)>,
    /// The last vote that each voter gave.
    votes: BTreeMap<u64, (u64, u64)>,
    committed: BTreeMap<u64, Mark>,
    fresh: Vec<Fresh>,
    /// The batch that leads to version n at n - 1.
    history: Vec<Bytes>,
    /// The image at version n at n.
    images: Vec<u64>,
    reference: MetadataImage,
    seen: BTreeMap<u64, Seen>,
    topics: BTreeSet<String>,
    /// The last value of each key that counts up.
    counters: BTreeMap<(String, String), i64>,
}

fn image_hash(image: &MetadataImage) -> u64 {
    fnv(FNV_BEGIN, &milena_rpc::encode_image(image))
}

impl Oracle {
    /// Remembers the first thing that went wrong.
    pub(super) fn fail(&mut self, why: String) {
        self.failure.get_or_insert(why);
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// The image of the committed history, as far as any node has shown it.
    pub(super) fn image(&self) -> &MetadataImage {
        &self.reference
    }

    pub(super) fn elections(&self) -> usize {
        self.leaders.len()
    }

    /// Somebody acts as the leader of this vote.
    pub(super) fn leads(&mut self, term: u64, node: u64) -> bool {
        self.leaders.insert((term, node))
    }

    /// A voter never goes back to a lower vote, and gives no two in one place.
    pub(super) fn votes(&mut self, voter: u64, term: u64, candidate: u64) {
        let vote = (term, candidate);
        let last = self.votes.entry(voter).or_insert(vote);
        if *last > vote {
            let line = format!("voter {voter} voted for {vote:?} after it had voted for {last:?}");
            self.fail(line);
        } else {
            *last = vote;
        }
    }

    /// Compares what a node shows with the history; a line for the trace when it began to lead.
    pub(super) fn judge(&mut self, id: u64, life: u64, quorum: &Quorum, trace: &mut Trace) -> Option<String> {
        let seen = self.seen.remove(&id).filter(|seen| seen.life == life);
        let mut seen = seen.unwrap_or_else(|| Seen {
            life,
            ..Seen::default()
        });
        let line = self.judge_raft(id, &mut seen, quorum);
        self.judge_metadata(id, &mut seen, quorum, trace);
        self.seen.insert(id, seen);
        line
    }

    /// What a node applied before it ended.
    pub(super) fn last_words(&mut self, id: u64, quorum: &Quorum, trace: &mut Trace) {
        if let Some(mut seen) = self.seen.remove(&id) {
            self.judge_metadata(id, &mut seen, quorum, trace);
        }
    }

    fn judge_raft(&mut self, id: u64, seen: &mut Seen, quorum: &Quorum) -> Option<String> {
        let metrics = quorum.raft.metrics();
        let now = metrics.borrow_watched();
        let index = |id: Option<LogId>| id.map_or(0, |id| id.index + 1);
        let order = [now.purged, now.snapshot, now.last_applied, now.local_committed].map(index);
        if !order.is_sorted() || order[3] > now.last_log_index.map_or(0, |index| index + 1) {
            self.fail(format!(
                "node {id} has purged <= snapshot <= applied <= committed <= last as {order:?}, {:?}",
                now.last_log_index
            ));
        }
        let vote = (now.vote.leader_id.term, now.vote.leader_id.node_id);
        if vote.0 < seen.term {
            self.fail(format!(
                "node {id} went from term {} back to {}",
                seen.term, vote.0
            ));
        }
        seen.term = vote.0;
        let leads = (now.state.is_leader() && vote.1 == id).then_some(vote.0);
        if leads == seen.leads {
            return None;
        }
        seen.leads = leads;
        let term = leads?;
        self.leads(term, id)
            .then(|| format!("node {id} leads in term {term}"))
    }

    fn judge_metadata(&mut self, id: u64, seen: &mut Seen, quorum: &Quorum, trace: &mut Trace) {
        loop {
            match quorum.committed.next_after(seen.version) {
                Next::Nothing => return,
                Next::Batch(batch) => {
                    seen.version = seen.version.next();
                    self.batch(id, seen.version, &batch, trace);
                }
                Next::Image => {
                    let image = quorum.committed.image();
                    if image.version < seen.version {
                        self.fail(format!(
                            "node {id} went from version {} back to {}",
                            seen.version, image.version
                        ));
                        return;
                    }
                    seen.version = image.version;
                    self.compare(&format!("node {id}"), &image);
                }
            }
            if self.failure.is_some() {
                return;
            }
        }
    }

    /// A node has applied this batch, which led it to `version`.
    fn batch(&mut self, id: u64, version: MetadataVersion, batch: &Bytes, trace: &mut Trace) {
        let place = usize::try_from(version.0 - 1).unwrap();
        match self.history.get(place) {
            Some(known) if known == batch => {}
            Some(_) => self.fail(format!("node {id} applied another batch at version {version}")),
            None if place == self.history.len() => {
                trace.note("version", version.0, 0, batch);
                self.extend(batch);
            }
            None => self.fail(format!(
                "node {id} applied version {version} before the ones under it"
            )),
        }
    }

    fn extend(&mut self, batch: &Bytes) {
        let decoded = milena_rpc::decode_batch(batch).unwrap();
        let before = self.reference.clone();
        if self.images.is_empty() {
            self.images.push(image_hash(&before));
        }
        if let Err(error) = self.reference.apply(&decoded) {
            return self.fail(format!("a committed batch does not apply: {error:?}"));
        }
        let sound = invariants::check(&self.reference)
            .and_then(|()| invariants::check_step(&before, &self.reference));
        if let Err(violation) = sound {
            self.fail(format!("version {}: {violation:?}", self.reference.version));
        }
        self.judge_records(&decoded);
        self.history.push(batch.clone());
        self.images.push(image_hash(&self.reference));
    }

    /// No request is applied twice: a name is made once, and what counts up never goes down.
    fn judge_records(&mut self, batch: &MetadataBatch) {
        for record in &batch.records {
            match record {
                MetadataRecord::Topic { name, .. } if !self.topics.insert(name.to_string()) => {
                    self.fail(format!("topic {name} was created twice"));
                }
                MetadataRecord::Config {
                    resource: resource @ ConfigResource::Topic(_),
                    key,
                    value: Some(value),
                } => {
                    let place = (format!("{resource:?}"), key.clone());
                    let value: i64 = value.parse().unwrap();
                    let last = self.counters.entry(place.clone()).or_insert(value);
                    if value < *last {
                        let line = format!("{place:?} went from {last} back to {value}");
                        self.fail(line);
                    } else {
                        *last = value;
                    }
                }
                _ => {}
            }
        }
    }

    /// Everybody has the same image at the same version.
    pub(super) fn compare(&mut self, who: &str, image: &MetadataImage) {
        let place = usize::try_from(image.version.0).unwrap();
        let same = match self.images.get(place) {
            Some(hash) => *hash == image_hash(image),
            // Only before the first batch: an image comes from batches that somebody has shown.
            None => image.version.0 == 0,
        };
        if !same {
            self.fail(format!("{who} has another image at version {}", image.version));
        }
    }

    /// Raft's entries on one node, up to what it has applied.
    pub(super) fn judge_log(&mut self, id: u64, quorum: &Quorum, disk: &MemoryDisk) {
        let metrics = quorum.raft.metrics();
        let (applied, quorums) = {
            let now = metrics.borrow_watched();
            let members = now.membership_config.membership();
            (now.last_applied, members.get_joint_config().clone())
        };
        let Some(applied) = applied else { return };
        let Some(seen) = self.seen.get_mut(&id) else {
            return;
        };
        let from = seen.index;
        seen.index = applied.index + 1;
        for index in from..=applied.index {
            let Some(entry) = disk.entry(index) else { continue };
            let mark = Mark {
                id: entry.log_id(),
                hash: fnv(FNV_BEGIN, &codec::encode(&entry).unwrap()),
            };
            match self.committed.get(&index) {
                Some(known) if *known == mark => {}
                Some(known) => {
                    let line = format!("node {id} applied {mark:?} where {known:?} was committed");
                    self.fail(line);
                }
                None => {
                    self.fresh.push(Fresh {
                        id: mark.id,
                        quorums: quorums.clone(),
                    });
                    self.committed.insert(index, mark);
                }
            }
        }
    }

    /// What was committed just now is on the disks of a majority, whatever happens next.
    pub(super) fn judge_durability<'a>(
        &mut self,
        disks: impl Iterator<Item = (u64, &'a MemoryDisk)> + Clone,
    ) {
        for fresh in std::mem::take(&mut self.fresh) {
            let having: BTreeSet<u64> = disks
                .clone()
                .filter(|(_, disk)| disk.is_durable(fresh.id))
                .map(|(id, _)| id)
                .collect();
            // A change of members may have been applied in the same moment: one of the majorities is enough to look at.
            let durable = |quorum: &BTreeSet<u64>| quorum.intersection(&having).count() * 2 > quorum.len();
            if !fresh.quorums.iter().any(durable) {
                self.fail(format!(
                    "{} is committed, and durable on {having:?} only",
                    fresh.id
                ));
            }
        }
    }
}
