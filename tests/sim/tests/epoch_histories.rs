//! Every pair of short epoch histories that can come about: the follower ends with exactly the longest common prefix.
//!
//! Four epochs with up to four records each, on a leader and on a follower whose last term may have left an epoch without
//! records (KIP-101, KIP-279). A follower that kept more would diverge; one that kept less would lose, if the others are gone,
//! what was acknowledged.

// Helpers of tests may panic as tests do.
#![allow(clippy::unwrap_used)]

use milena_log::EpochCache;
use milena_replication::{
    Attach, AttachAnswer, AttachmentId, Leader, LeaderRules, LeaderTerm, LogEnds, LogSummary, Moment,
    Truncation, truncation_for_divergence, truncation_out_of_range,
};
use milena_types::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, PartitionEpoch};
use std::time::Duration;

const EPOCHS: usize = 4;
const RECORDS_MAX: usize = 4;
/// The leader's own epoch: above all others, and without records.
const PRESENT: LeaderEpoch = LeaderEpoch(9);
/// Attaches until the logs match: one for each epoch, and the last.
const ROUNDS_MAX: usize = EPOCHS + 3;

/// How many records each epoch has: a log, as far as truncation goes.
type History = [usize; EPOCHS];

fn histories() -> Vec<History> {
    let count = (RECORDS_MAX + 1).pow(u32::try_from(EPOCHS).unwrap());
    (0..count)
        .map(|mut number| {
            [(); EPOCHS].map(|()| {
                let records = number % (RECORDS_MAX + 1);
                number /= RECORDS_MAX + 1;
                records
            })
        })
        .collect()
}

/// The epoch of each record.
fn records(history: &History) -> Vec<i32> {
    let of = |(epoch, count): (usize, &usize)| vec![i32::try_from(epoch).unwrap(); *count];
    history.iter().enumerate().flat_map(of).collect()
}

fn common(a: &[i32], b: &[i32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// An epoch has one leader: where both logs have records of it, they begin at one offset, after the same records.
fn can_come_about(a: &[i32], b: &[i32]) -> bool {
    (0..i32::try_from(EPOCHS).unwrap()).all(|epoch| {
        let start = |log: &[i32]| log.iter().position(|of| *of == epoch);
        match (start(a), start(b)) {
            (Some(in_a), Some(in_b)) => in_a == in_b && common(a, b) >= in_a,
            _ => true,
        }
    })
}

/// Whether a log may have begun to lead in `epoch` at its end: what the other one has of that epoch comes from it then, and it
/// has lost it since.
fn may_have_led(own: &[i32], epoch: i32, other: &[i32]) -> bool {
    let start = other.iter().position(|of| *of == epoch);
    own.last() == Some(&epoch) || start.is_none_or(|start| start == own.len() && common(own, other) == start)
}

fn cache(records: &[i32]) -> EpochCache {
    let mut cache = EpochCache::from_entries(Vec::new());
    for (offset, epoch) in records.iter().enumerate() {
        cache.observe(LeaderEpoch(*epoch), at(offset));
    }
    cache
}

fn at(offset: usize) -> Offset {
    Offset(i64::try_from(offset).unwrap())
}

struct Follower {
    records: Vec<i32>,
    epochs: EpochCache,
}

impl Follower {
    fn attach(&self, number: u64) -> Attach {
        Attach {
            broker: BrokerId(2),
            broker_epoch: BrokerEpoch(1),
            attachment: AttachmentId {
                stream: 1,
                attach: number,
            },
            leader_epoch: PRESENT,
            last_epoch: self.epochs.latest(),
            ends: LogEnds::at(at(self.records.len())),
        }
    }

    fn truncate(&mut self, truncation: Truncation) {
        let (Truncation::To(offset) | Truncation::FullyAndStartAt(offset)) = truncation;
        self.records.truncate(usize::try_from(offset.0).unwrap());
        self.epochs.truncate_from_end(offset);
    }
}

fn leader(end: usize) -> Leader {
    let replicas: milena_replication::BrokerIds = [1, 2].map(BrokerId).into_iter().collect();
    let term = LeaderTerm {
        leader: BrokerId(1),
        leader_epoch: PRESENT,
        partition_epoch: PartitionEpoch(1),
        isr: [BrokerId(1)].into_iter().collect(),
        replicas,
        recovering: false,
    };
    let rules = LeaderRules {
        min_insync_replicas: 1,
        lag_time_max: Duration::from_secs(30),
    };
    Leader::new(term, rules, LogEnds::at(at(end)), Offset(0), Moment(0))
}

/// The follower attaches until it is accepted: how many rounds that took, and what is left of its log.
fn follow(led: &[i32], mut follower: Follower) -> (usize, Vec<i32>) {
    let (mut leader, mut epochs) = (leader(led.len()), cache(led));
    epochs.assign(PRESENT, at(led.len()));
    for round in 1..=ROUNDS_MAX {
        let attach = follower.attach(u64::try_from(round).unwrap());
        let end_of = |epoch| epochs.end_offset_for(epoch, at(led.len()));
        let summary = LogSummary::new(Offset(0), epochs.latest(), attach.last_epoch, end_of);
        let own_end = attach.ends.log_end;
        match leader.attach(&attach, &summary, Moment(0)) {
            AttachAnswer::Accepted => return (round, follower.records),
            AttachAnswer::Diverged { epoch, end, .. } => {
                let own = follower.epochs.end_offset_for(epoch, own_end);
                let to = truncation_for_divergence(own, Offset(0), own_end, Offset(0), end, Offset(0));
                follower.truncate(to);
            }
            AttachAnswer::OutOfRange {
                log_start, log_end, ..
            } => {
                follower.truncate(truncation_out_of_range(Offset(0), own_end, log_start, log_end));
            }
            AttachAnswer::Refused(error) => panic!("{error}"),
        }
    }
    panic!("{led:?} never agrees with {:?}", follower.records)
}

#[test]
fn a_follower_keeps_exactly_what_it_shares_with_its_leader() {
    let all = histories();
    let (mut pairs, mut most) = (0, 0);
    for led in all.iter().map(records) {
        for own in all.iter().map(records).filter(|own| can_come_about(&led, own)) {
            let last = own.last().copied().unwrap_or(-1);
            // It may have led without a record in each later epoch.
            for assigned in (last..i32::try_from(EPOCHS).unwrap() + 1)
                .filter(|epoch| *epoch >= 0 && may_have_led(&own, *epoch, &led))
            {
                let mut epochs = cache(&own);
                epochs.assign(LeaderEpoch(assigned), at(own.len()));
                let follower = Follower {
                    records: own.clone(),
                    epochs,
                };
                let (rounds, left) = follow(&led, follower);
                let shared = common(&led, &own);
                assert_eq!(
                    left,
                    own[..shared],
                    "leader {led:?}, follower {own:?} then {assigned}"
                );
                (pairs, most) = (pairs + 1, most.max(rounds));
            }
        }
    }
    println!("{pairs} pairs, at most {most} rounds");
    assert!(pairs > 10_000 && most > 2, "{pairs} pairs, at most {most} rounds");
}
