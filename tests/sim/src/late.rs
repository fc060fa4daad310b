//! What goes wrong in runs of [`Swarm::Late`](crate::settings::Swarm): messages are held on their way while their senders and
//! receivers begin new lives, the same one again and again.

use crate::faults::{Fault, Planned};
use crate::network::{Held, Place};
use crate::random::Random;
use crate::settings::Settings;
use crate::time::{MILLI, Micros, SECOND};
use milena_types::BrokerId;

const KINDS: u64 = 12;
/// The kinds that are more than one fault.
const RELAPSE: u64 = 9;
const ECHO: u64 = 10;
const BEHIND: u64 = 11;

/// Plans the faults of a run: some kinds only, most of them for one broker.
#[must_use]
pub fn plan(settings: &Settings, random: &mut Random) -> Vec<Planned> {
    let mut kinds: Vec<u64> = (0..KINDS).filter(|_| random.one_in(2)).collect();
    if kinds.is_empty() {
        kinds = vec![0, 6];
    }
    let victim = draw_broker(settings, random);
    let mut planned = Vec::new();
    while (planned.len() as u64) < settings.faults {
        let broker = match random.one_in(3) {
            true => draw_broker(settings, random),
            false => victim,
        };
        let at = 3 * SECOND + random.below(settings.chaos);
        match random.pick(&kinds) {
            Some(RELAPSE) => planned.extend(relapse(at, broker, settings, random)),
            Some(ECHO) => planned.extend(echo(at, broker, settings, random)),
            Some(BEHIND) => planned.extend(behind(at, broker, settings, random)),
            kind => planned.push(Planned {
                at,
                fault: draw(kind.unwrap_or(0), broker, settings, random),
            }),
        }
    }
    planned.sort_by_key(|planned| planned.at);
    planned
}

fn draw_broker(settings: &Settings, random: &mut Random) -> BrokerId {
    BrokerId(i32::try_from(random.below(u64::from(settings.brokers.unsigned_abs()))).unwrap_or(0))
}

/// A broker comes back, and stands still for longer than its session while those that have it back are about to say so.
fn relapse(at: Micros, broker: BrokerId, settings: &Settings, random: &mut Random) -> Vec<Planned> {
    let still = at + random.between(300, 1_500) * MILLI;
    let lasts = settings.session + random.between(0, 1_500) * MILLI;
    let held = (0..settings.brokers)
        .map(BrokerId)
        .filter(|other| *other != broker);
    let held = held.map(|other| (still - 200 * MILLI, Fault::Hold(Held::Alter(other), lasts)));
    let faults = [
        (at, Fault::Kill(broker, random.between(20, 300) * MILLI)),
        (still, Fault::Pause(broker, lasts)),
    ];
    let all = faults.into_iter().chain(held);
    all.map(|(at, fault)| Planned { at, fault }).collect()
}

/// A broker ends while what it said is still on its way, and what others say to it comes late.
fn echo(at: Micros, broker: BrokerId, settings: &Settings, random: &mut Random) -> Vec<Planned> {
    let ends = at + random.between(20, 300) * MILLI;
    let away = random.between(20, 200) * MILLI;
    let lasts = random.between(500, 2_000) * MILLI;
    let end = match random.below(3) {
        0 => Fault::LosePower(broker, away),
        _ => Fault::ExchangeDisk(broker, away),
    };
    let others = (0..settings.brokers)
        .map(BrokerId)
        .filter(|other| *other != broker);
    let held = others.flat_map(|other| {
        [
            (at, Fault::Hold(Held::OpenStreams(broker, other), lasts)),
            (ends, Fault::Hold(Held::Replication(other, broker), 2 * lasts)),
        ]
    });
    let all = std::iter::once((ends, end)).chain(held);
    all.map(|(at, fault)| Planned { at, fault }).collect()
}

/// A broker hears nothing of what happens to its partitions: another one ends, and then the controller hears nothing of it.
fn behind(at: Micros, broker: BrokerId, settings: &Settings, random: &mut Random) -> Vec<Planned> {
    let other = BrokerId((broker.0 + 1 + i32::from(random.one_in(2))) % settings.brokers);
    let later = at + random.between(500, 2_000) * MILLI;
    let lasts = settings.session + random.between(200, 1_000) * MILLI;
    let cut = Fault::Cut {
        from: Place::Broker(broker),
        to: Place::Controller,
        both: false,
        lasts,
    };
    let held = Fault::Hold(Held::Metadata(broker), later - at + 2 * lasts);
    let ends = Fault::Kill(other, random.between(20, 600) * MILLI);
    let soon = at + random.between(50, 500) * MILLI;
    let all = [(at, held), (soon, ends), (later, cut)];
    all.map(|(at, fault)| Planned { at, fault }).to_vec()
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
        _ if random.one_in(2) => Fault::Hold(Held::OpenStreams(broker, other), lasts),
        _ => Fault::Hold(Held::Replication(broker, other), lasts),
    }
}
