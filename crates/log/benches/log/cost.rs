//! What work costs, in CPU time and in wall time.

use std::time::{Duration, Instant};

/// CPU time of this thread.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanos = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap();
    Duration::from_nanos(nanos)
}

/// CPU and wall time of what is measured.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    cpu: Duration,
    wall: Duration,
}

impl Cost {
    pub(crate) fn measure<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (cpu_before, began) = (cpu(), Instant::now());
        let result = work();
        self.wall += began.elapsed();
        self.cpu += cpu() - cpu_before;
        result
    }

    /// The one with less CPU time.
    pub(crate) fn least(self, other: Option<Cost>) -> Cost {
        match other {
            Some(other) if other.cpu < self.cpu => other,
            Some(_) | None => self,
        }
    }

    pub(crate) fn print(self, what: &str, bytes: usize, bare: Option<Cost>) {
        let rate = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
        let ratio = bare.map_or(String::new(), |bare| {
            format!("{:8.2} of bare", bare.cpu.as_secs_f64() / self.cpu.as_secs_f64())
        });
        println!(
            "{what:<52} {:8.0} MB/CPU-s {:8.0} MB/s {ratio}",
            rate(self.cpu),
            rate(self.wall)
        );
    }
}
