//! Where the replicas of new partitions go.
//!
//! Goals: replicas of one partition on different racks as far as there are racks; leaders and replicas spread evenly
//! over brokers. Constraints: the first replica is on an unfenced broker; no broker holds two replicas of one
//! partition; fenced brokers are used last; brokers in controlled shutdown are not used.
//!
//! Algorithm: racks in a circle, brokers of each rack in a circle; each partition starts one rack further and, when its
//! rack comes again, one broker further. After as many partitions as there are unfenced brokers both circles are
//! shuffled, so that followers of one leader differ. All randomness comes from the seed.
//! Source: `StripedReplicaPlacer`. Pure.

use crate::image::MetadataImage;
use crate::plan::SeedRng;
use milena_types::BrokerId;
use std::collections::BTreeMap;

/// Why replicas cannot be placed; the texts are Kafka's. All mean INVALID_REPLICATION_FACTOR.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// A factor of zero or less.
    #[error("Invalid replication factor {0}: the replication factor must be positive.")]
    NotPositive(usize),
    /// Nobody can lead.
    #[error("All brokers are currently fenced.")]
    AllFenced,
    /// More replicas than brokers.
    #[error(
        "The target replication factor of {wanted} cannot be reached because only {registered} broker(s) are registered."
    )]
    TooFewBrokers {
        /// The factor asked for.
        wanted: usize,
        /// The brokers that could be used.
        registered: usize,
    },
}

/// A broker that may hold replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsableBroker {
    /// Which.
    pub id: BrokerId,
    /// Its rack; brokers without one share the rack "none".
    pub rack: Option<String>,
    /// Fenced brokers are used last.
    pub fenced: bool,
}

/// The brokers of an image that may hold replicas: all but those in controlled shutdown.
#[must_use]
pub fn usable_brokers(image: &MetadataImage) -> Vec<UsableBroker> {
    let usable = image
        .brokers
        .values()
        .filter(|b| !b.in_controlled_shutdown || b.fenced);
    usable
        .map(|b| UsableBroker {
            id: b.id,
            rack: b.rack.clone(),
            fenced: b.fenced,
        })
        .collect()
}

/// Places `partitions` partitions with `replicas` replicas each; the first of each list is the preferred leader.
///
/// # Errors
/// [`PlacementError`] when the brokers do not suffice.
pub fn place(
    brokers: &[UsableBroker],
    partitions: usize,
    replicas: usize,
    rng: &mut SeedRng,
) -> Result<Vec<Vec<BrokerId>>, PlacementError> {
    if replicas == 0 {
        return Err(PlacementError::NotPositive(replicas));
    }
    let mut racks = Racks::new(brokers, rng);
    if racks.unfenced == 0 {
        return Err(PlacementError::AllFenced);
    }
    if replicas > brokers.len() {
        return Err(PlacementError::TooFewBrokers {
            wanted: replicas,
            registered: brokers.len(),
        });
    }
    Ok((0..partitions).map(|_| racks.place(replicas, rng)).collect())
}

/// Brokers in a circle, given out once per round, each round starting one further.
#[derive(Default)]
struct Circle {
    brokers: Vec<BrokerId>,
    next: usize,
    offset: usize,
    round: usize,
}

impl Circle {
    fn begin(&mut self, rng: &mut SeedRng) {
        self.brokers.sort_unstable();
        self.offset = rng.below(self.brokers.len());
    }

    fn next(&mut self, round: usize) -> Option<BrokerId> {
        if self.brokers.is_empty() {
            return None;
        }
        if self.round != round {
            self.round = round;
            self.next = 0;
            self.offset = (self.offset + 1) % self.brokers.len();
        }
        if self.next >= self.brokers.len() {
            return None;
        }
        let broker = self.brokers[(self.next + self.offset) % self.brokers.len()];
        self.next += 1;
        Some(broker)
    }
}

#[derive(Default)]
struct Rack {
    fenced: Circle,
    unfenced: Circle,
}

impl Rack {
    fn next(&mut self, round: usize) -> Option<BrokerId> {
        self.unfenced.next(round).or_else(|| self.fenced.next(round))
    }
}

struct Racks {
    racks: Vec<Rack>,
    unfenced: usize,
    /// Grows with every partition, so that no circle takes a new round for one that it has served.
    round: usize,
    since_shuffle: usize,
    offset: usize,
}

impl Racks {
    fn new(brokers: &[UsableBroker], rng: &mut SeedRng) -> Self {
        let mut by_name: BTreeMap<Option<&str>, Rack> = BTreeMap::new();
        for broker in brokers {
            let rack = by_name.entry(broker.rack.as_deref()).or_default();
            let circle = if broker.fenced {
                &mut rack.fenced
            } else {
                &mut rack.unfenced
            };
            circle.brokers.push(broker.id);
        }
        let mut racks: Vec<Rack> = by_name.into_values().collect();
        for rack in &mut racks {
            rack.fenced.begin(rng);
            rack.unfenced.begin(rng);
        }
        let offset = rng.below(racks.len());
        Self {
            racks,
            unfenced: brokers.iter().filter(|b| !b.fenced).count(),
            round: 0,
            since_shuffle: 0,
            offset,
        }
    }

    fn shuffle(&mut self, rng: &mut SeedRng) {
        rng.shuffle(&mut self.racks);
        for rack in &mut self.racks {
            rng.shuffle(&mut rack.fenced.brokers);
            rng.shuffle(&mut rack.unfenced.brokers);
        }
    }

    /// Needs an unfenced broker and at least `replicas` brokers in all; `place` has checked both.
    fn place(&mut self, replicas: usize, rng: &mut SeedRng) -> Vec<BrokerId> {
        let count = self.racks.len();
        if self.since_shuffle == self.unfenced && self.unfenced > 1 {
            self.shuffle(rng);
            self.since_shuffle = 0;
        }
        let (start, round) = (self.offset % count, self.round);
        let mut placed = Vec::with_capacity(replicas);
        let mut leader_rack = None;
        for rack in (0..count).map(|step| (start + step) % count) {
            if let Some(broker) = self.racks[rack].unfenced.next(round) {
                placed.push(broker);
                leader_rack = Some(rack);
                break;
            }
        }
        let mut rack = start;
        // The bound only ends the walk when the brokers do not suffice: each circle gives each broker once a round.
        let mut idle = 0;
        while placed.len() < replicas && idle <= 2 * count {
            // The leader's rack is passed over once: its turn has been taken.
            let found = if leader_rack.take_if(|r| *r == rack).is_some() {
                None
            } else {
                self.racks[rack].next(round)
            };
            rack = (rack + 1) % count;
            match found {
                Some(broker) => {
                    placed.push(broker);
                    idle = 0;
                }
                None => idle += 1,
            }
        }
        self.round += 1;
        self.since_shuffle += 1;
        self.offset = start + 1;
        placed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeSet, HashMap};

    fn broker(id: i32, rack: Option<&str>, fenced: bool) -> UsableBroker {
        UsableBroker {
            id: BrokerId(id),
            rack: rack.map(str::to_owned),
            fenced,
        }
    }

    #[test]
    fn refusals_say_what_kafka_says() {
        let brokers = [broker(0, None, false), broker(1, None, true)];
        let mut rng = SeedRng::new(1);
        assert_eq!(
            place(&brokers, 1, 3, &mut rng).unwrap_err().to_string(),
            "The target replication factor of 3 cannot be reached because only 2 broker(s) are registered."
        );
        assert_eq!(
            place(&brokers[1..], 1, 1, &mut rng),
            Err(PlacementError::AllFenced)
        );
        assert_eq!(place(&[], 1, 1, &mut rng), Err(PlacementError::AllFenced));
        assert_eq!(
            place(&brokers, 1, 0, &mut rng),
            Err(PlacementError::NotPositive(0))
        );
    }

    #[test]
    fn leaders_are_spread_evenly() {
        let brokers: Vec<_> = (0..3).map(|id| broker(id, None, false)).collect();
        for seed in 0..50 {
            let placed = place(&brokers, 12, 3, &mut SeedRng::new(seed)).unwrap();
            let mut leaders = HashMap::new();
            for replicas in &placed {
                *leaders.entry(replicas[0]).or_insert(0) += 1;
            }
            assert!(leaders.values().all(|n| *n == 4), "seed {seed}: {leaders:?}");
        }
    }

    #[test]
    fn a_fenced_broker_never_comes_first() {
        let brokers = [
            broker(0, None, true),
            broker(1, None, false),
            broker(2, None, true),
        ];
        for seed in 0..50 {
            for replicas in place(&brokers, 5, 3, &mut SeedRng::new(seed)).unwrap() {
                assert_eq!(replicas[0], BrokerId(1));
                assert_eq!(replicas.len(), 3);
            }
        }
    }

    proptest! {
        #[test]
        fn replicas_are_distinct_and_use_all_racks(
            racks in proptest::collection::vec((0u8..4, any::<bool>()), 1..9),
            partitions in 1usize..20, factor in 1usize..9, seed: u64,
        ) {
            let brokers: Vec<_> = racks.iter().enumerate()
                .map(|(id, (rack, fenced))| broker(id as i32, Some(&rack.to_string()), *fenced)).collect();
            prop_assume!(factor <= brokers.len() && brokers.iter().any(|b| !b.fenced));
            let placed = place(&brokers, partitions, factor, &mut SeedRng::new(seed)).unwrap();
            prop_assert_eq!(placed.len(), partitions);
            let names: BTreeSet<_> = racks.iter().map(|(r, _)| *r).collect();
            for replicas in placed {
                prop_assert_eq!(replicas.len(), factor);
                prop_assert_eq!(replicas.iter().collect::<BTreeSet<_>>().len(), factor);
                prop_assert!(!brokers[replicas[0].0 as usize].fenced);
                let used: BTreeSet<_> = replicas.iter().map(|b| racks[b.0 as usize].0).collect();
                prop_assert_eq!(used.len(), factor.min(names.len()), "{:?}", replicas);
            }
        }
    }
}
