//! What goes wrong, and when: planned from the seed before the run begins, so that a run may leave some of it out.

use crate::network::{Held, Place};
use crate::random::Random;
use crate::settings::Settings;
use crate::time::{MILLI, Micros, SECOND};
use milena_types::BrokerId;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A process is killed, and starts again after a while.
    Kill(BrokerId, Micros),
    /// It dies amid a write, after so many bytes.
    KillAmidWrite(BrokerId, Micros, u64),
    /// Its machine loses power.
    LosePower(BrokerId, Micros),
    /// All machines do.
    LosePowerEverywhere(Micros),
    /// It comes back with an empty disk.
    ExchangeDisk(BrokerId, Micros),
    /// Its process stands still.
    Pause(BrokerId, Micros),
    /// A link is cut, in one direction or both.
    Cut {
        /// From here.
        from: Place,
        /// To there.
        to: Place,
        /// And back.
        both: bool,
        /// For so long.
        lasts: Micros,
    },
    /// It is stopped in order, and starts again.
    Stop(BrokerId, Micros),
    /// The active controller is gone.
    FailController,
    /// Messages of a kind are held somewhere on their way, in their order, and arrive after so long. Nobody takes that for a break.
    Hold(Held, Micros),
}

/// A fault and when it begins.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    /// When.
    pub at: Micros,
    /// What.
    pub fault: Fault,
}

const KINDS: u64 = 9;

/// Plans the faults of a run: some kinds only, so that each run looks deeper at fewer things.
#[must_use]
pub fn plan(settings: &Settings, random: &mut Random) -> Vec<Planned> {
    let mut kinds: Vec<u64> = (0..KINDS).filter(|_| random.one_in(2)).collect();
    if kinds.is_empty() {
        kinds = vec![0, 6];
    }
    // Those come often whose effect is short.
    let often = [0, 5, 6, 8];
    let weighted: Vec<u64> = kinds
        .iter()
        .flat_map(|kind| std::iter::repeat_n(*kind, if often.contains(kind) { 2 } else { 1 }))
        .collect();
    let mut planned: Vec<Planned> = (0..settings.faults)
        .map(|_| Planned {
            at: 3 * SECOND + random.below(settings.chaos),
            fault: draw(random.pick(&weighted).unwrap_or(0), settings, random),
        })
        .collect();
    planned.sort_by_key(|planned| planned.at);
    planned
}

fn draw(kind: u64, settings: &Settings, random: &mut Random) -> Fault {
    let brokers = u64::from(settings.brokers.unsigned_abs());
    let broker = BrokerId(i32::try_from(random.below(brokers)).unwrap_or(0));
    let away = match random.below(3) {
        0 => random.between(20, 400) * MILLI,
        1 => random.between(400, 4_000) * MILLI,
        _ => random.between(2, 12) * SECOND,
    };
    match kind {
        0 => Fault::Kill(broker, away),
        1 => Fault::KillAmidWrite(broker, away, random.between(1, 3_000)),
        2 => Fault::LosePower(broker, away),
        3 => Fault::LosePowerEverywhere(away),
        4 => Fault::ExchangeDisk(broker, away),
        5 => Fault::Pause(broker, away.min(settings.session * 2)),
        6 => {
            let other = BrokerId(
                (broker.0 + 1 + i32::try_from(random.below(brokers - 1)).unwrap_or(0)) % settings.brokers,
            );
            let peer = if random.one_in(3) {
                Place::Controller
            } else {
                Place::Broker(other)
            };
            let (here, both) = (Place::Broker(broker), random.one_in(3));
            let (from, to) = if random.one_in(2) {
                (here, peer)
            } else {
                (peer, here)
            };
            Fault::Cut {
                from,
                to,
                both,
                lasts: away,
            }
        }
        7 => Fault::Stop(broker, away),
        _ => Fault::FailController,
    }
}
