//! What goes wrong in runs of [`Swarm::Late`](crate::settings::Swarm): messages are held on their way while their senders and
//! receivers begin new lives, the same one again and again.

use crate::faults::{Fault, Planned};
use crate::network::{Held, Place};
use crate::random::Random;
use crate::settings::Settings;
use crate::time::{MILLI, Micros, SECOND};
use milena_types::BrokerId;

const KINDS: u64 = 9;

/// Plans the faults of a run: some kinds only, most of them for one broker.
#[must_use]
pub fn plan(settings: &Settings, random: &mut Random) -> Vec<Planned> {
    let mut kinds: Vec<u64> = (0..KINDS).filter(|_| random.one_in(2)).collect();
    if kinds.is_empty() {
        kinds = vec![0, 6];
    }
    let victim = draw_broker(settings, random);
    let mut planned: Vec<Planned> = (0..settings.faults)
        .map(|_| {
            let broker = match random.one_in(3) {
                true => draw_broker(settings, random),
                false => victim,
            };
            Planned {
                at: 3 * SECOND + random.below(settings.chaos),
                fault: draw(random.pick(&kinds).unwrap_or(0), broker, settings, random),
            }
        })
        .collect();
    planned.sort_by_key(|planned| planned.at);
    planned
}

fn draw_broker(settings: &Settings, random: &mut Random) -> BrokerId {
    BrokerId(i32::try_from(random.below(u64::from(settings.brokers.unsigned_abs()))).unwrap_or(0))
}

fn draw(kind: u64, broker: BrokerId, settings: &Settings, random: &mut Random) -> Fault {
    let other = BrokerId((broker.0 + 1 + i32::from(random.one_in(2))) % settings.brokers);
    let away = random.between(20, 600) * MILLI;
    let lasts: Micros = random.between(100, 3_000) * MILLI;
    match kind {
        0 => Fault::Kill(broker, away),
        1 => Fault::LosePower(broker, away),
        2 => Fault::ExchangeDisk(broker, away),
        3 => Fault::Pause(broker, lasts),
        4 => {
            let peer = match random.one_in(2) {
                true => Place::Controller,
                false => Place::Broker(other),
            };
            let (from, to) = match random.one_in(2) {
                true => (Place::Broker(broker), peer),
                false => (peer, Place::Broker(broker)),
            };
            let both = random.one_in(4);
            Fault::Cut {
                from,
                to,
                both,
                lasts,
            }
        }
        5 => Fault::FailController,
        6 => Fault::Hold(Held::Metadata(broker), lasts * 2),
        7 => Fault::Hold(Held::Alter(other), lasts),
        _ => Fault::Hold(Held::Replication(broker, other), lasts),
    }
}
