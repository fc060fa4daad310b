//! Long polls: a parked Fetch is on the list of each of its partitions and is told which of them have news.

use std::sync::{Arc, Mutex, MutexGuard, Weak};
use tokio::sync::Notify;

/// One parked Fetch. Shared by the caller and the partitions that it waits for.
#[derive(Debug, Default)]
pub(crate) struct FetchWait {
    /// Indices (in the call) of partitions with news.
    ready: Mutex<Vec<u32>>,
    notify: Notify,
}

impl FetchWait {
    fn ready(&self) -> MutexGuard<'_, Vec<u32>> {
        // Nothing can panic under the lock.
        self.ready
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn wake(&self, index: u32) {
        self.ready().push(index);
        self.notify.notify_one();
    }

    /// Resolves with the partitions that have had news since the last call.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped.
    pub(crate) async fn news(&self) -> Vec<u32> {
        loop {
            self.notify.notified().await;
            let ready = std::mem::take(&mut *self.ready());
            if !ready.is_empty() {
                return ready;
            }
        }
    }
}

/// The Fetches that wait for one partition.
#[derive(Debug, Default)]
pub(crate) struct FetchWaiters(Option<Box<Waiting>>);

/// Boxed, because nothing waits for most partitions.
#[derive(Debug, Default)]
struct Waiting {
    waiting: Vec<(Weak<FetchWait>, u32)>,
    sweep_above: usize,
}

impl FetchWaiters {
    const SWEEP_MIN: usize = 8;

    /// Parks a Fetch until [`FetchWaiters::wake`].
    pub(crate) fn park(&mut self, wait: &Arc<FetchWait>, index: u32) {
        let Waiting { waiting, sweep_above } = &mut **self.0.get_or_insert_default();
        if waiting.len() >= (*sweep_above).max(Self::SWEEP_MIN) {
            // Only the caller holds a strong reference: without it the Fetch has been answered.
            waiting.retain(|(wait, _)| wait.strong_count() > 0);
            *sweep_above = waiting.len() * 2;
        }
        waiting.push((Arc::downgrade(wait), index));
    }

    /// Gives back spare memory.
    pub(crate) fn shrink(&mut self) {
        self.0.take_if(|waiting| waiting.waiting.is_empty());
    }

    /// There is news: all that wait are told once and must park again.
    pub(crate) fn wake(&mut self) {
        for (wait, index) in self.0.iter_mut().flat_map(|waiting| waiting.waiting.drain(..)) {
            if let Some(wait) = wait.upgrade() {
                wait.wake(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn news_name_the_partitions() {
        let (wait, mut a, mut b) = (
            Arc::new(FetchWait::default()),
            FetchWaiters::default(),
            FetchWaiters::default(),
        );
        a.park(&wait, 3);
        b.park(&wait, 5);
        b.wake();
        assert_eq!(wait.news().await, vec![5]);
        a.wake();
        b.wake();
        assert_eq!(wait.news().await, vec![3]);
    }

    #[test]
    fn answered_fetches_do_not_pile_up() {
        let mut waiters = FetchWaiters::default();
        for _ in 0..10_000 {
            waiters.park(&Arc::new(FetchWait::default()), 0);
        }
        let parked = waiters.0.map_or(0, |waiting| waiting.waiting.len());
        assert!(parked <= FetchWaiters::SWEEP_MIN + 1, "{parked}");
    }
}
