//! The cleaner's threads: how many there are, by which settings they go, and what they tell of themselves.
//!
//! The settings follow the metadata while the threads run. A thread that is too many ends, and abandons the compaction it is
//! at; one that has ended of itself is replaced when a setting changes, as in Kafka. Source: `LogCleaner.reconfigure`.

use super::figures::Figures;
use super::settings::{Altered, CleanerRefused, check_buffer, check_threads, effective};
use crate::config::CleanerConfig;
use crate::shard::mailbox::Mailboxes;
use crate::shard::pace::Pacer;
use milena_metrics::Metric;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// The cleaner of a broker; it stops when this is dropped.
pub(in crate::shard) struct Cleaners(Arc<Cleaner>);

impl Cleaners {
    /// Starts `log.cleaner.threads` threads; `dirs` is the path of each log directory.
    ///
    /// # Errors
    /// A thread could not be made.
    pub(in crate::shard) fn start(
        file: &CleanerConfig,
        dirs: Vec<String>,
        mailboxes: &Mailboxes,
    ) -> std::io::Result<Self> {
        let cleaners = Self(Arc::new(Cleaner::new(file, dirs, mailboxes)));
        if file.enable {
            let cleaner = &cleaners.0;
            cleaner.resize(&mut cleaner.pool(), file.threads)?;
        }
        Ok(cleaners)
    }

    /// The cleaner, for whoever asks it or tells it something.
    pub(in crate::shard) fn cleaner(&self) -> Arc<Cleaner> {
        Arc::clone(&self.0)
    }
}

impl Drop for Cleaners {
    fn drop(&mut self) {
        self.0.request_stop();
    }
}

impl std::ops::Deref for Cleaners {
    type Target = Cleaner;

    fn deref(&self) -> &Cleaner {
        &self.0
    }
}

/// What the threads share.
pub(in crate::shard) struct Cleaner {
    pub(super) mailboxes: Mailboxes,
    pub(super) pacer: Pacer,
    /// Held while a log is chosen, so that two threads do not choose the same.
    pub(super) choosing: Mutex<()>,
    /// What the properties file says.
    file: CleanerConfig,
    /// The paths of the directories.
    dirs: Vec<String>,
    /// Threads from this number on end; 0: all do. Changes under the lock of `pool` only.
    wanted: AtomicUsize,
    pool: Mutex<Pool>,
    changed: Condvar,
}

struct Pool {
    /// `None`: there is no cleaner, or it has stopped.
    settings: Option<CleanerConfig>,
    /// Grows with every change of the settings.
    version: u64,
    /// The metadata's settings hold: from now on the number of threads changes by half or double at most.
    is_following: bool,
    /// Whether the thread of this number runs.
    running: Vec<bool>,
    threads: Vec<JoinHandle<()>>,
    figures: Figures,
}

impl Cleaner {
    fn new(file: &CleanerConfig, dirs: Vec<String>, mailboxes: &Mailboxes) -> Self {
        let pool = Pool {
            settings: file.enable.then(|| file.clone()),
            version: 0,
            is_following: false,
            running: Vec::new(),
            threads: Vec::new(),
            figures: Figures::new(dirs.len(), Instant::now()),
        };
        Self {
            mailboxes: mailboxes.clone(),
            pacer: Pacer::new(file.io_bytes_per_second),
            choosing: Mutex::default(),
            file: file.clone(),
            dirs,
            wanted: AtomicUsize::new(0),
            pool: Mutex::new(pool),
            changed: Condvar::new(),
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the threads to stop; a compaction under way is abandoned.
    pub(in crate::shard) fn request_stop(&self) {
        let mut pool = self.pool();
        pool.settings = None;
        self.wanted.store(0, Ordering::Release);
        self.changed.notify_all();
    }

    /// Waits for the threads to end; [`Self::request_stop`] comes before.
    pub(in crate::shard) fn join(&self) {
        let threads = std::mem::take(&mut self.pool().threads);
        for thread in threads {
            // One that has panicked has said so.
            let _ = thread.join();
        }
    }

    /// Whether a running broker takes these settings of all brokers and of this one.
    ///
    /// # Errors
    /// [`CleanerRefused`].
    pub(in crate::shard) fn check(&self, all: Altered<'_>, own: Altered<'_>) -> Result<(), CleanerRefused> {
        let wanted = effective(&self.file, all, own);
        check_buffer(&wanted)?;
        match &self.pool().settings {
            Some(settings) => check_threads(settings.threads, wanted.threads),
            None => Ok(()),
        }
    }

    /// The settings of all brokers and of this one are these now. A number of threads that is refused is not taken, the rest is.
    pub(in crate::shard) fn follow(self: &Arc<Self>, all: Altered<'_>, own: Altered<'_>) {
        let mut wanted = effective(&self.file, all, own);
        let mut pool = self.pool();
        let is_following = std::mem::replace(&mut pool.is_following, true);
        let Some(current) = pool.settings.clone() else {
            return;
        };
        if is_following && let Err(error) = check_threads(current.threads, wanted.threads) {
            tracing::error!(%error, "a setting of the cleaner takes effect at the next start only");
            wanted.threads = current.threads;
        }
        if wanted == current {
            return;
        }
        tracing::info!(settings = ?wanted, "the cleaner has other settings");
        self.pacer.set_rate(wanted.io_bytes_per_second, Instant::now());
        if let Err(error) = self.resize(&mut pool, wanted.threads) {
            tracing::error!(%error, "cannot start a cleaner thread");
        }
        pool.settings = Some(wanted);
        pool.version += 1;
        self.changed.notify_all();
    }

    fn resize(self: &Arc<Self>, pool: &mut Pool, wanted: usize) -> std::io::Result<()> {
        self.wanted.store(wanted, Ordering::Release);
        pool.threads.retain(|thread| !thread.is_finished());
        pool.running.resize(pool.running.len().max(wanted), false);
        pool.figures.threads.truncate(wanted);
        pool.figures.threads.resize_with(wanted, Default::default);
        for number in 0..wanted {
            if pool.running[number] {
                continue;
            }
            pool.figures.threads[number] = Default::default();
            let cleaner = Arc::clone(self);
            let thread = std::thread::Builder::new().name(format!("log-cleaner-{number}"));
            pool.threads.push(thread.spawn(move || cleaner.run(number))?);
            pool.running[number] = true;
        }
        Ok(())
    }

    fn run(&self, number: usize) {
        let _end = End {
            cleaner: self,
            number,
        };
        while let Some((settings, version)) = self.settings(number) {
            // After a failure the same log would be chosen again at once.
            if self.compact_one(number, &settings) != Some(true) {
                self.pause(number, &settings, version);
            }
        }
    }

    /// The settings now; `None`: the thread is to end, and counts as ended.
    fn settings(&self, number: usize) -> Option<(CleanerConfig, u64)> {
        let mut pool = self.pool();
        match &pool.settings {
            Some(settings) if !self.is_over(number) => Some((settings.clone(), pool.version)),
            _ => {
                pool.running[number] = false;
                None
            }
        }
    }

    /// True when the thread is to end.
    pub(super) fn is_over(&self, number: usize) -> bool {
        number >= self.wanted.load(Ordering::Acquire)
    }

    /// Waits for `log.cleaner.backoff.ms`, or other settings.
    fn pause(&self, number: usize, settings: &CleanerConfig, version: u64) {
        let unchanged = |pool: &mut Pool| pool.version == version && !self.is_over(number);
        // What has changed is looked at next.
        let _ = self
            .changed
            .wait_timeout_while(self.pool(), settings.backoff, unchanged);
    }

    /// Notes figures of a thread; of one that is too many by now they do not count.
    pub(super) fn note(&self, note: impl FnOnce(&mut Figures)) {
        note(&mut self.pool().figures);
    }

    /// Kafka's metrics of the cleaner.
    pub(in crate::shard) fn metrics(&self) -> Vec<Metric> {
        let figures = self.pool().figures.clone();
        figures.metrics(&self.dirs, Instant::now())
    }
}

/// At a thread's end: one that panics is dead.
struct End<'a> {
    cleaner: &'a Cleaner,
    number: usize,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(thread = self.number, "a cleaner thread panicked");
            let mut pool = self.cleaner.pool();
            pool.running[self.number] = false;
            if let Some(thread) = pool.figures.threads.get_mut(self.number) {
                thread.is_dead = true;
            }
        }
    }
}

impl std::fmt::Debug for Cleaner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cleaner")
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn dead(cleaner: &Cleaner) -> f64 {
        let metrics = cleaner.metrics();
        let found = metrics.iter().find(|metric| metric.name == "DeadThreadCount");
        found.and_then(Metric::number).unwrap()
    }

    #[test]
    fn a_thread_that_panicked_is_dead_until_a_setting_changes() {
        // No data thread answers: the threads find nothing to do.
        let (mailboxes, _) = Mailboxes::new(1);
        let cleaners = Cleaners::start(&CleanerConfig::default(), Vec::new(), &mailboxes).unwrap();
        let cleaner = cleaners.cleaner();
        cleaner.follow(None, None);
        let victim = Arc::clone(&cleaner);
        let panicked = std::thread::spawn(move || {
            let _end = End {
                cleaner: &victim,
                number: 0,
            };
            panic!("for the test");
        });
        assert!(panicked.join().is_err());
        assert_eq!((dead(&cleaner), cleaner.pool().running[0]), (1.0, false));
        cleaner.follow(None, None);
        assert_eq!(dead(&cleaner), 1.0, "nothing has changed");
        let backoff = BTreeMap::from([("log.cleaner.backoff.ms".to_owned(), "10".to_owned())]);
        cleaner.follow(None, Some(&backoff));
        assert_eq!((dead(&cleaner), cleaner.pool().running[0]), (0.0, true));
        cleaner.request_stop();
        cleaner.join();
        assert!(cleaner.pool().running.iter().all(|runs| !runs));
        // What has stopped stays so.
        let threads = BTreeMap::from([("log.cleaner.threads".to_owned(), "2".to_owned())]);
        cleaner.follow(None, Some(&threads));
        assert!(cleaner.pool().threads.is_empty());
    }
}
