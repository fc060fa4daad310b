//! What every part of the simulated world may use: time, chance, the network, and those who watch.

use crate::coverage::Coverage;
use crate::event::{BrokerTimer, Event, Host};
use crate::network::Network;
use crate::oracle::Oracle;
use crate::random::Random;
use crate::scheduler::Scheduler;
use crate::settings::Settings;
use crate::time::{Micros, moment, timestamp};
use crate::trace::Trace;
use milena_replication::Moment;
use milena_types::Timestamp;

/// The context of every step.
#[derive(Debug)]
pub struct Cx {
    /// The time of this step.
    pub now: Micros,
    /// What is going to happen.
    pub scheduler: Scheduler,
    /// The run's chance.
    pub random: Random,
    /// Who reaches whom.
    pub network: Network,
    /// Who judges.
    pub oracle: Oracle,
    /// What the run has met.
    pub coverage: Coverage,
    /// The run's own mix.
    pub settings: Settings,
    /// What happened.
    pub trace: Trace,
    /// True once nothing breaks any more.
    pub healed: bool,
}

impl Cx {
    /// Makes an event happen after a while.
    pub fn after(&mut self, delay: Micros, event: Event) {
        self.scheduler.at(self.now + delay, event);
    }

    /// Makes something of a process due after a while.
    pub fn timer(&mut self, host: Host, delay: Micros, timer: BrokerTimer) {
        self.after(delay, Event::Broker(host, timer));
    }

    /// The clock of decisions.
    #[must_use]
    pub fn moment(&self) -> Moment {
        moment(self.now)
    }

    /// The clock of logs and sessions.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        timestamp(self.now)
    }
}

/// Keeps a line of the trace, when lines are kept.
#[macro_export]
macro_rules! say {
    ($cx:expr, $($text:tt)*) => {{
        let now = $cx.now;
        $cx.trace.line(now, format_args!($($text)*));
    }};
}
