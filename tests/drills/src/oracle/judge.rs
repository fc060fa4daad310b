//! Which invariants a history keeps. Their numbers are those of a plain list of what a log must never do:
//! 1 nothing acknowledged is lost, 2 nothing is there that nobody sent, 3 nothing is there twice, 6 everybody sees the same record at an
//! offset, 7 a producer's records keep their order.

use super::history::{End, History, Id, Seen};
use serde::Serialize;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

/// How many findings of one invariant are told.
const TOLD_MAX: usize = 10;

/// An invariant, and whether it held.
#[derive(Clone, Debug, Serialize)]
pub struct Invariant {
    /// A short name.
    pub id: String,
    /// Whether it held.
    pub pass: bool,
    /// What was seen: how much was looked at, or the first things that are wrong.
    pub evidence: String,
}

/// What is wrong with a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Acknowledged, and in the end nowhere.
    Lost(Id),
    /// In the log, and never sent, or sent to another partition, or refused.
    Phantom(Seen),
    /// In the log twice: where it is first, and where it is again.
    Duplicate(Id, (i32, i64), (i32, i64)),
    /// As a duplicate, but the producer has taken another epoch in between and numbered its records anew: no broker can know them again.
    /// librdkafka does that when a batch is refused (NOT_ENOUGH_REPLICAS) and the next one, under way already, would leave a gap: with all
    /// that it has no answer for, in all partitions, though some of that may have been written.
    Renumbered(Id, (i32, i64), (i32, i64)),
    /// Two records were seen at one offset: by an acknowledgement, a consumer, or in the end.
    Disagreement(i32, i64, String),
    /// A producer's earlier record lies behind a later one.
    Reordered(Id),
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost(id) => write!(f, "{id} was acknowledged and is lost"),
            Self::Phantom(seen) => write!(
                f,
                "{}@{}: {:?} does not belong there",
                seen.partition, seen.offset, seen.id
            ),
            Self::Duplicate(id, (p, at), (again_p, again))
            | Self::Renumbered(id, (p, at), (again_p, again)) => {
                write!(f, "{id} is at {p}@{at} and again at {again_p}@{again}")
            }
            Self::Disagreement(partition, offset, who) => write!(f, "{partition}@{offset}: {who}"),
            Self::Reordered(id) => write!(f, "{id} lies behind a later record of its producer"),
        }
    }
}

/// The sums of a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Records handed to producers.
    pub invoked: usize,
    /// Acknowledged.
    pub ok: usize,
    /// Refused for certain.
    pub fail: usize,
    /// Given up, or never answered.
    pub info: usize,
    /// Findings of each kind.
    pub lost: usize,
    /// See [`Finding::Phantom`].
    pub phantom: usize,
    /// See [`Finding::Duplicate`].
    pub duplicated: usize,
    /// See [`Finding::Renumbered`]; not a fault of the cluster.
    pub renumbered: usize,
    /// See [`Finding::Reordered`].
    pub reordered: usize,
    /// See [`Finding::Disagreement`].
    pub offsets_inconsistent: usize,
}

impl Counts {
    /// Adds those of another history.
    pub fn add(&mut self, other: Self) {
        self.invoked += other.invoked;
        self.ok += other.ok;
        self.fail += other.fail;
        self.info += other.info;
        self.lost += other.lost;
        self.phantom += other.phantom;
        self.duplicated += other.duplicated;
        self.renumbered += other.renumbered;
        self.reordered += other.reordered;
        self.offsets_inconsistent += other.offsets_inconsistent;
    }
}

/// Judges a history of idempotent producers.
#[must_use]
pub fn judge(history: &History) -> (Counts, Vec<Invariant>) {
    let findings = findings(history);
    let of = |wanted: fn(&Finding) -> bool| {
        findings
            .iter()
            .filter(|finding| wanted(finding))
            .collect::<Vec<_>>()
    };
    let lost = of(|f| matches!(f, Finding::Lost(_)));
    let phantom = of(|f| matches!(f, Finding::Phantom(_)));
    let duplicated = of(|f| matches!(f, Finding::Duplicate(..)));
    let disagreement = of(|f| matches!(f, Finding::Disagreement(..)));
    let reordered = of(|f| matches!(f, Finding::Reordered(_)));
    let mut counts = ends(history);
    counts.lost = lost.len();
    counts.phantom = phantom.len();
    counts.duplicated = duplicated.len();
    counts.renumbered = of(|f| matches!(f, Finding::Renumbered(..))).len();
    counts.reordered = reordered.len();
    counts.offsets_inconsistent = disagreement.len();
    let looked_at: usize = history.in_the_end.values().map(Vec::len).sum();
    let seen = format!(
        "{} acknowledged, {looked_at} read back, {} polled",
        counts.ok,
        history.polled.len()
    );
    let invariants = vec![
        invariant("I1 acked-never-lost", &lost, &seen),
        invariant("I2 no-phantom", &phantom, &seen),
        invariant("I3 no-duplicates", &duplicated, &seen),
        invariant("I6 offset-agreement", &disagreement, &seen),
        invariant("I7 producer-order", &reordered, &seen),
    ];
    (counts, invariants)
}

fn invariant(id: &str, wrong: &[&Finding], seen: &str) -> Invariant {
    let told: Vec<String> = wrong.iter().take(TOLD_MAX).map(ToString::to_string).collect();
    Invariant {
        id: id.to_owned(),
        pass: wrong.is_empty(),
        evidence: match wrong.len() {
            0 => seen.to_owned(),
            many => format!("{many} of {seen}: {}", told.join("; ")),
        },
    }
}

fn ends(history: &History) -> Counts {
    let mut counts = Counts {
        invoked: history.ops.len(),
        ..Counts::default()
    };
    for op in &history.ops {
        match &op.end {
            Some((_, End::Ok(_) | End::Implied)) => counts.ok += 1,
            Some((_, End::Fail(_))) => counts.fail += 1,
            Some((_, End::Info(_))) | None => counts.info += 1,
        }
    }
    counts
}

fn findings(history: &History) -> Vec<Finding> {
    let mut found = Vec::new();
    in_the_log(history, &mut found);
    agreement(history, &mut found);
    let there: HashSet<Id> = history
        .in_the_end
        .values()
        .flatten()
        .filter_map(|seen| seen.id)
        .collect();
    for op in &history.ops {
        if op.end.as_ref().is_some_and(|(_, end)| end.is_ok()) && !there.contains(&op.id) {
            found.push(Finding::Lost(op.id));
        }
    }
    acknowledged_order(history, &mut found);
    found
}

/// Phantoms, duplicates and order within what is there in the end; phantoms among what was polled.
fn in_the_log(history: &History, found: &mut Vec<Finding>) {
    let may_be_at: HashMap<Id, i32> = history
        .ops
        .iter()
        .filter(|op| !matches!(op.end, Some((_, End::Fail(_)))))
        .map(|op| (op.id, op.partition))
        .collect();
    let is_phantom = |seen: &Seen| match seen.id {
        Some(id) => may_be_at.get(&id) != Some(&seen.partition),
        None => true,
    };
    found.extend(
        history
            .polled
            .iter()
            .filter(|seen| is_phantom(seen))
            .map(|seen| Finding::Phantom(*seen)),
    );
    let mut once: HashMap<Id, (i32, i64)> = HashMap::new();
    for records in history.in_the_end.values() {
        let mut last: HashMap<u8, u64> = HashMap::new();
        for seen in records {
            if is_phantom(seen) {
                found.push(Finding::Phantom(*seen));
            }
            let Some(id) = seen.id else { continue };
            let at = (seen.partition, seen.offset);
            match once.entry(id) {
                Entry::Occupied(first) => {
                    let under = |at| history.written_under.get(at);
                    let (before, now) = (under(first.get()), under(&at));
                    let anew = before.is_some() && now.is_some() && before != now;
                    let kind = if anew {
                        Finding::Renumbered
                    } else {
                        Finding::Duplicate
                    };
                    found.push(kind(id, *first.get(), at));
                    continue;
                }
                Entry::Vacant(free) => free.insert(at),
            };
            if last
                .insert(id.producer, id.sequence)
                .is_some_and(|before| before > id.sequence)
            {
                found.push(Finding::Reordered(id));
            }
        }
    }
}

/// One record an offset, for acknowledgements, for consumers during the run, and in the end.
fn agreement(history: &History, found: &mut Vec<Finding>) {
    let mut at: HashMap<(i32, i64), Option<Id>> = HashMap::new();
    for seen in history.in_the_end.values().flatten() {
        at.insert((seen.partition, seen.offset), seen.id);
    }
    let mut told = HashSet::new();
    let mut compare = |partition: i32, offset: i64, id: Option<Id>, who: &str, found: &mut Vec<Finding>| {
        let there = at.get(&(partition, offset));
        if there != Some(&id) && told.insert((partition, offset)) {
            let said = format!("{who} {id:?}, in the end {there:?}");
            found.push(Finding::Disagreement(partition, offset, said));
        }
    };
    for op in &history.ops {
        if let Some((_, End::Ok(offset))) = &op.end {
            compare(op.partition, *offset, Some(op.id), "acknowledged", found);
        }
    }
    for seen in &history.polled {
        compare(seen.partition, seen.offset, seen.id, "polled", found);
    }
}

/// Offsets that a producer was told ascend in the order in which it sent.
fn acknowledged_order(history: &History, found: &mut Vec<Finding>) {
    let mut last: BTreeMap<(u8, i32), i64> = BTreeMap::new();
    let mut ops: Vec<_> = history.ops.iter().collect();
    ops.sort_by_key(|op| op.id);
    for op in ops {
        let Some((_, End::Ok(offset))) = &op.end else {
            continue;
        };
        let before = last.insert((op.id.producer, op.partition), *offset);
        let known = Finding::Reordered(op.id);
        if before.is_some_and(|before| before >= *offset) && !found.contains(&known) {
            found.push(known);
        }
    }
}

#[cfg(test)]
#[path = "judge_test.rs"]
mod tests;
