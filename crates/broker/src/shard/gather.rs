//! Collects the answers of several partitions, from any thread, into one call's result.

use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A fixed number of slots, each filled at most once; the last one filled wakes the caller.
#[derive(Debug)]
pub(crate) struct Gather<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    slots: Vec<Option<T>>,
    open: usize,
    turns: Turns,
    done: Option<oneshot::Sender<()>>,
}

/// Which answers' work has had to wait for its turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turns {
    /// So much of it waits.
    pub(crate) held: usize,
    /// When the last of it had its turn.
    pub(crate) released_at: Option<Instant>,
}

/// One slot of a [`Gather`]: where one partition's answer goes.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    gather: Arc<Gather<T>>,
    index: usize,
}

impl<T> Gather<T> {
    /// `count` empty slots, and what resolves when all are filled (at once for 0).
    pub(crate) fn new(count: usize) -> (Arc<Self>, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        let mut state = State {
            slots: std::iter::repeat_with(|| None).take(count).collect(),
            open: count,
            turns: Turns::default(),
            done: Some(sender),
        };
        state.finish_if_complete();
        (
            Arc::new(Self {
                state: Mutex::new(state),
            }),
            receiver,
        )
    }

    /// The slot with that index.
    pub(crate) fn slot(self: &Arc<Self>, index: usize) -> Slot<T> {
        Slot {
            gather: Arc::clone(self),
            index,
        }
    }

    /// Takes what there is and closes the rest: a later answer is dropped.
    pub(crate) fn take(&self) -> Vec<Option<T>> {
        let mut state = self.lock();
        state.done = None;
        state.open = 0;
        std::mem::take(&mut state.slots)
    }

    /// What has had to wait for its turn, and what still does.
    pub(crate) fn turns(&self) -> Turns {
        self.lock().turns
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // A panic while the lock is held is impossible: only moves happen under it.
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn finish_if_complete(&mut self) {
        if self.open == 0
            && let Some(done) = self.done.take()
        {
            // The caller may have given up; then nobody waits.
            let _ = done.send(());
        }
    }
}

impl<T> Slot<T> {
    /// Fills the slot.
    pub(crate) fn set(self, value: T) {
        let mut state = self.gather.lock();
        if let Some(slot) = state.slots.get_mut(self.index)
            && slot.is_none()
        {
            *slot = Some(value);
            state.open = state.open.saturating_sub(1);
            state.finish_if_complete();
        }
    }

    /// What the answer is for has to wait for its turn, until [`Slot::release`].
    pub(crate) fn hold(&self) {
        self.gather.lock().turns.held += 1;
    }

    /// Its turn has come.
    pub(crate) fn release(&self) {
        let turns = &mut self.gather.lock().turns;
        turns.held = turns.held.saturating_sub(1);
        turns.released_at = Some(Instant::now());
    }

    /// True when the caller has gone or has taken its results.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.gather
            .lock()
            .done
            .as_ref()
            .is_none_or(oneshot::Sender::is_closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_completes_with_the_last_slot_and_drops_late_answers() {
        let (gather, mut done) = Gather::new(2);
        let late = gather.slot(1);
        gather.slot(0).set(7);
        assert!(done.try_recv().is_err());
        assert!(!late.is_abandoned());
        assert_eq!(gather.take(), vec![Some(7), None]);
        assert!(late.is_abandoned());
        late.set(8);
        assert!(gather.take().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_has_not_come_is_known() {
        let (gather, _done) = Gather::<u8>::new(2);
        let slot = gather.slot(1);
        let turns = |held, released_at| Turns { held, released_at };
        assert_eq!(gather.turns(), turns(0, None));
        slot.hold();
        gather.slot(0).set(7);
        assert_eq!(gather.turns(), turns(1, None));
        slot.release();
        assert_eq!(gather.turns(), turns(0, Some(Instant::now())));
    }

    #[test]
    fn nothing_to_wait_for_is_complete() {
        let (_, mut done) = Gather::<u8>::new(0);
        assert!(done.try_recv().is_ok());
    }
}
