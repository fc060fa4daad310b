//! Brokers that died a moment ago. Clients are told of them for as long as Kafka would still take them for alive.
//!
//! Kafka lists a killed broker in Metadata until its session times out; here it is fenced within milliseconds, and its
//! partitions are led by others at once. Clients must not lose the broker in the same answer that gives its partitions a new
//! leader: librdkafka 2.11 and later then drops its handle of the broker and the partition's new leader with it, and asks
//! again after a second (`rd_kafka_broker_fail`, "remove `rktp_leader` references"). A broker that stops in good order has
//! handed over its partitions before, and is not listed from then on, as in Kafka.

use milena_metadata::MetadataImage;
use milena_types::BrokerId;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Who died, and when. Pure: told of images. Holds registered brokers only.
#[derive(Debug, Default)]
pub(super) struct Departures(BTreeMap<BrokerId, Instant>);

impl Departures {
    /// Follows the step from one image to the next.
    pub(super) fn follow(
        &mut self,
        before: &MetadataImage,
        after: &MetadataImage,
        changed: &[BrokerId],
        now: Instant,
    ) {
        for id in changed {
            match after.broker(*id) {
                Some(broker) if broker.fenced => {
                    let died =
                        before.broker(*id).is_some_and(|was| !was.fenced) && !broker.in_controlled_shutdown;
                    if died {
                        self.0.insert(*id, now);
                    }
                }
                Some(_) | None => {
                    self.0.remove(id);
                }
            }
        }
    }

    /// Those who died less than `span` ago and have not come back, by ascending id.
    pub(super) fn within(&self, span: Duration, now: Instant) -> Vec<BrokerId> {
        let recent = self
            .0
            .iter()
            .filter(|(_, since)| now.duration_since(**since) < span);
        recent.map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fenced, image, registered};
    use super::*;
    use milena_metadata::record::BrokerRegistration;

    const SPAN: Duration = Duration::from_secs(9);

    fn after(steps: &[&[BrokerRegistration]], now: Instant) -> Departures {
        let mut departures = Departures::default();
        for step in steps.windows(2) {
            let (before, after) = (image(step[0].to_vec()), image(step[1].to_vec()));
            departures.follow(&before, &after, &[BrokerId(2)], now);
        }
        departures
    }

    #[test]
    fn a_broker_that_died_is_remembered_for_a_while() {
        let now = Instant::now();
        let departures = after(&[&[registered(2, 7)], &[fenced(2, 7)]], now);
        let last = now + SPAN - Duration::from_millis(1);
        assert_eq!(departures.within(SPAN, last), [BrokerId(2)]);
        assert!(departures.within(SPAN, now + SPAN).is_empty());
    }

    #[test]
    fn who_was_never_alive_came_back_left_or_stopped_in_good_order_is_not() {
        let now = Instant::now();
        let stopping = |broker: BrokerRegistration| BrokerRegistration {
            in_controlled_shutdown: true,
            ..broker
        };
        let lives: [&[&[BrokerRegistration]]; 4] = [
            &[&[], &[fenced(2, 7)]],
            &[&[registered(2, 7)], &[fenced(2, 7)], &[registered(2, 8)]],
            &[&[registered(2, 7)], &[fenced(2, 7)], &[]],
            &[
                &[registered(2, 7)],
                &[stopping(registered(2, 7))],
                &[stopping(fenced(2, 7))],
            ],
        ];
        for life in lives {
            assert!(after(life, now).within(SPAN, now).is_empty(), "{life:?}");
        }
    }

    #[test]
    fn a_new_registration_that_is_still_fenced_stays_listed() {
        let now = Instant::now();
        let departures = after(&[&[registered(2, 7)], &[fenced(2, 7)], &[fenced(2, 8)]], now);
        assert_eq!(departures.within(SPAN, now), [BrokerId(2)]);
    }
}
