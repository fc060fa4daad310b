//! A log against its model: random operations and crashes, everything compared.
//!
//! A failure prints the seed; `MILENA_LOG_SEED=<seed> cargo test -p milena-log --test it model` runs it alone.

mod check;
mod cleaned;
mod compact;
mod crashes;
mod entry;
mod operations;
mod random;
mod run;
mod state;

/// Prints how to repeat a run that fails.
struct Replay(u64, &'static str);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "replay: MILENA_LOG_SEED={} cargo test -p milena-log --test it model::{}",
                self.0, self.1
            );
        }
    }
}

/// The seed to run alone, if one was asked for.
fn asked_seed() -> Option<u64> {
    std::env::var("MILENA_LOG_SEED").ok()?.parse().ok()
}
