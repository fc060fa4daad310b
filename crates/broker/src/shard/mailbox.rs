//! How work reaches the data thread that owns a partition: at once on that thread, as one message from any other.

use super::id::{ShardId, owner_of};
use super::state::Shard;
use milena_types::TopicIdPartition;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Work on a shard's state. It must not block and must not await.
pub(crate) type Task = Box<dyn FnOnce(&mut Shard) + Send>;

/// Requests that may wait in front of one data thread. Connections bound their own requests in flight, so a full
/// mailbox means thousands of connections at once; the request is then refused.
const MAILBOX_TASKS_MAX: usize = 1 << 16;

/// A data thread did not take the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SendError {
    /// Its mailbox is full.
    #[error("the mailbox of the data thread is full")]
    Full,
    /// It has stopped.
    #[error("the data thread has stopped")]
    Stopped,
}

/// The mailboxes of all data threads.
#[derive(Clone)]
pub(crate) struct Mailboxes {
    senders: Arc<[Senders]>,
}

struct Senders {
    requests: mpsc::Sender<Task>,
    /// Metadata, flush results and the like: few at a time by their nature, and never to be refused.
    control: mpsc::UnboundedSender<Task>,
}

/// The receiving end of one data thread.
pub(crate) struct Mailbox {
    pub(crate) requests: mpsc::Receiver<Task>,
    pub(crate) control: mpsc::UnboundedReceiver<Task>,
}

thread_local! {
    static LOCAL: RefCell<Option<(ShardId, Rc<RefCell<Shard>>)>> = const { RefCell::new(None) };
}

/// Makes `shard` the one that this thread owns; `None` at its end.
pub(crate) fn set_local(shard: Option<(ShardId, Rc<RefCell<Shard>>)>) {
    LOCAL.with(|local| *local.borrow_mut() = shard);
}

/// Runs `work` on the shard that this thread owns; `None` on other threads.
pub(crate) fn with_local<R>(work: impl FnOnce(&mut Shard) -> R) -> Option<R> {
    let shard = LOCAL.with(|local| local.borrow().as_ref().map(|(_, shard)| Rc::clone(shard)))?;
    let mut shard = shard.borrow_mut();
    let result = work(&mut shard);
    shard.after_work();
    Some(result)
}

/// The data thread that is running, if one is.
#[must_use]
pub fn current_shard() -> Option<ShardId> {
    LOCAL.with(|local| local.borrow().as_ref().map(|(id, _)| *id))
}

impl Mailboxes {
    /// Mailboxes for `count` data threads.
    pub(crate) fn new(count: usize) -> (Self, Vec<Mailbox>) {
        let (senders, receivers) = (0..count)
            .map(|_| {
                let (requests, requests_received) = mpsc::channel(MAILBOX_TASKS_MAX);
                let (control, control_received) = mpsc::unbounded_channel();
                let mailbox = Mailbox {
                    requests: requests_received,
                    control: control_received,
                };
                (Senders { requests, control }, mailbox)
            })
            .unzip::<_, _, Vec<_>, Vec<_>>();
        (
            Self {
                senders: senders.into(),
            },
            receivers,
        )
    }

    /// How many data threads there are.
    pub(crate) fn len(&self) -> usize {
        self.senders.len()
    }

    /// The owner of a partition.
    pub(crate) fn owner_of(&self, id: TopicIdPartition) -> ShardId {
        owner_of(id, self.len())
    }

    /// Runs a request's work: now if this thread is `shard`, else as a message. Order is kept per caller.
    ///
    /// # Errors
    /// [`SendError`]: the work will not be done.
    pub(crate) fn run(
        &self,
        shard: ShardId,
        work: impl FnOnce(&mut Shard) + Send + 'static,
    ) -> Result<(), SendError> {
        if current_shard() == Some(shard) {
            return with_local(work).ok_or(SendError::Stopped);
        }
        let senders = self.senders.get(shard.0).ok_or(SendError::Stopped)?;
        senders
            .requests
            .try_send(Box::new(work))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => SendError::Full,
                mpsc::error::TrySendError::Closed(_) => SendError::Stopped,
            })
    }

    /// Runs work that must not be refused. False: the thread has stopped.
    pub(crate) fn run_control(&self, shard: ShardId, work: impl FnOnce(&mut Shard) + Send + 'static) -> bool {
        if current_shard() == Some(shard) {
            return with_local(work).is_some();
        }
        self.senders
            .get(shard.0)
            .is_some_and(|senders| senders.control.send(Box::new(work)).is_ok())
    }

    /// Runs work that must not be refused on every data thread but this one.
    pub(crate) fn run_on_others(&self, this: ShardId, work: impl Fn(&mut Shard) + Copy + Send + 'static) {
        for other in self.shards().filter(|other| *other != this) {
            self.run_control(other, work);
        }
    }

    /// Every data thread.
    pub(crate) fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.len()).map(ShardId)
    }
}

impl std::fmt::Debug for Mailboxes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailboxes").field("shards", &self.len()).finish()
    }
}
