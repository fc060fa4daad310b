//! openraft's runtime in tests: tokio, but with nothing left to chance where the thread has a seed.
//!
//! Tokio's watch channel wakes its waiters in a random order, and openraft draws election timeouts from the thread's
//! generator. Here waiters wake in the order in which they came, and the generator can be seeded.

use futures::FutureExt;
use milena_metadata::plan::SeedRng;
use openraft::rt::deterministic_rng::DeterministicRng;
use openraft::rt::watch::{RecvError, SendError, Watch, WatchReceiver, WatchSender};
use openraft::{AsyncRuntime, OptionalSend, OptionalSync};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

type Tokio = openraft::impls::TokioRuntime;
type Seeded = DeterministicRng<Tokio>;

thread_local! {
    static SEEDS: RefCell<Option<SeedRng>> = const { RefCell::new(None) };
}

/// From here on this thread draws the same numbers in every run.
pub(crate) fn seed_thread(seed: u64) {
    SEEDS.set(Some(SeedRng::new(seed)));
}

fn next_seed() -> u64 {
    SEEDS.with_borrow_mut(|seeds| seeds.as_mut().map_or_else(rand::random, SeedRng::next_u64))
}

/// See the module.
#[derive(Debug)]
pub(crate) struct TestRuntime(Tokio);

impl AsyncRuntime for TestRuntime {
    type JoinError = <Tokio as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <Tokio as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <Tokio as AsyncRuntime>::Sleep;
    type Instant = <Tokio as AsyncRuntime>::Instant;
    type TimeoutError = <Tokio as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <Tokio as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = <Seeded as AsyncRuntime>::ThreadLocalRng;
    type Mpsc = <Tokio as AsyncRuntime>::Mpsc;
    type Watch = FairWatch;
    type Oneshot = <Tokio as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <Tokio as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        Tokio::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        Tokio::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        Tokio::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        Tokio::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        Tokio::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        Tokio::is_panic(join_error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        let generator = Seeded::scope(next_seed(), async { Seeded::thread_rng() });
        generator.now_or_never().unwrap()
    }

    fn new(threads: usize) -> Self {
        Self(Tokio::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }

    fn spawn_blocking<F, T>(f: F) -> impl Future<Output = Result<T, io::Error>> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Tokio::spawn_blocking(f)
    }
}

/// A watch channel that wakes in order.
#[derive(Debug)]
pub(crate) struct FairWatch;

struct Channel<T> {
    value: RwLock<T>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    version: u64,
    senders: usize,
    receivers: usize,
    next_waiter: u64,
    waiting: VecDeque<(u64, Waker)>,
}

impl<T> Channel<T> {
    fn state<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn value(&self) -> RwLockReadGuard<'_, T> {
        self.value.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, change: impl FnOnce(&mut State)) {
        let waiting = self.state(|state| {
            change(state);
            std::mem::take(&mut state.waiting)
        });
        for (_, waker) in waiting {
            waker.wake();
        }
    }
}

/// The sending end.
pub(crate) struct Sender<T>(Arc<Channel<T>>);

/// A receiving end and what it has seen.
pub(crate) struct Receiver<T> {
    channel: Arc<Channel<T>>,
    seen: u64,
}

impl<T> Receiver<T> {
    fn new(channel: &Arc<Channel<T>>, seen: Option<u64>) -> Self {
        let seen = channel.state(|state| {
            state.receivers += 1;
            seen.unwrap_or(state.version)
        });
        Self {
            channel: Arc::clone(channel),
            seen,
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.state(|state| state.senders += 1);
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.wake(|state| state.senders -= 1);
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self::new(&self.channel, Some(self.seen))
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.channel.state(|state| state.receivers -= 1);
    }
}

impl Watch for FairWatch {
    type Sender<T: OptionalSend + OptionalSync> = Sender<T>;
    type Receiver<T: OptionalSend + OptionalSync> = Receiver<T>;
    type Ref<'a, T: OptionalSend + 'a> = RwLockReadGuard<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(init: T) -> (Sender<T>, Receiver<T>) {
        let channel = Arc::new(Channel {
            value: RwLock::new(init),
            state: Mutex::new(State {
                senders: 1,
                ..State::default()
            }),
        });
        let receiver = Receiver::new(&channel, None);
        (Sender(channel), receiver)
    }
}

impl<T: OptionalSend + OptionalSync> WatchSender<FairWatch, T> for Sender<T> {
    fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.0.state(|state| state.receivers == 0) {
            return Err(SendError(value));
        }
        *self.0.value.write().unwrap_or_else(PoisonError::into_inner) = value;
        self.0.wake(|state| state.version += 1);
        Ok(())
    }

    fn send_if_modified<F>(&self, modify: F) -> bool
    where
        F: FnOnce(&mut T) -> bool,
    {
        let modified = modify(&mut self.0.value.write().unwrap_or_else(PoisonError::into_inner));
        if modified {
            self.0.wake(|state| state.version += 1);
        }
        modified
    }

    fn borrow_watched(&self) -> RwLockReadGuard<'_, T> {
        self.0.value()
    }

    fn subscribe(&self) -> Receiver<T> {
        Receiver::new(&self.0, None)
    }
}

impl<T: OptionalSend + OptionalSync> WatchReceiver<FairWatch, T> for Receiver<T> {
    async fn changed(&mut self) -> Result<(), RecvError> {
        let place = self.channel.state(|state| {
            state.next_waiter += 1;
            state.next_waiter
        });
        let change = Change {
            channel: &self.channel,
            seen: self.seen,
            place,
        };
        self.seen = change.await?;
        Ok(())
    }

    fn borrow_watched(&self) -> RwLockReadGuard<'_, T> {
        self.channel.value()
    }

    fn borrow_and_update(&mut self) -> RwLockReadGuard<'_, T> {
        let value = self.channel.value();
        self.seen = self.channel.state(|state| state.version);
        value
    }
}

/// Waits in line for another version.
struct Change<'a, T> {
    channel: &'a Channel<T>,
    seen: u64,
    place: u64,
}

impl<T> Future for Change<'_, T> {
    type Output = Result<u64, RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.channel.state(|state| {
            if state.version != self.seen {
                return Poll::Ready(Ok(state.version));
            }
            if state.senders == 0 {
                return Poll::Ready(Err(RecvError(())));
            }
            let waker = context.waker().clone();
            match state.waiting.iter_mut().find(|(place, _)| *place == self.place) {
                Some(own) => own.1 = waker,
                None => state.waiting.push_back((self.place, waker)),
            }
            Poll::Pending
        })
    }
}

impl<T> Drop for Change<'_, T> {
    fn drop(&mut self) {
        self.channel
            .state(|state| state.waiting.retain(|(place, _)| *place != self.place));
    }
}
