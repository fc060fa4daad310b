//! The data threads: each runs one current-thread runtime, owns one shard and serves the connections it accepted.

use super::background::Background;
use super::checkpoints::CheckpointWriter;
use super::cleaner::Cleaners;
use super::context::ContextParts;
use super::control_plane::ControlPlane;
use super::id::ShardId;
use super::idle_logs::{Word, add_word};
use super::leadership::LeadershipSubscribers;
use super::log_dirs::LogDirs;
use super::mailbox::{Mailbox, Mailboxes, Task, set_local, with_local};
use super::opening::Openings;
use super::quarantine;
use super::replica_health::Unusable;
use super::retention::RETENTION_CHUNK;
use super::router::Router;
use super::state::Shard;
use crate::config::BrokerConfig;
use milena_metadata::{MetadataDelta, MetadataImage};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How often led partitions with uncommitted records are looked at.
const ISR_TICK: Duration = Duration::from_millis(500);
/// Threads for cold reads and removals, per data thread.
const BLOCKING_THREADS_MAX: usize = 4;
/// Messages that are taken from a mailbox before connections and streams have their turn.
const MAILBOX_BATCH: usize = 64;

/// What the data threads are started with.
pub struct DataThreadsConfig {
    /// The broker's configuration.
    pub config: Arc<BrokerConfig>,
    /// Its log directories.
    pub dirs: Arc<LogDirs>,
    /// The control side.
    pub control: Arc<dyn ControlPlane>,
}

/// The running data threads.
pub struct DataThreads {
    router: Router,
    dirs: Arc<LogDirs>,
    threads: Vec<std::thread::JoinHandle<()>>,
    checkpoints: CheckpointWriter,
    cleaners: Cleaners,
    stop: watch::Sender<bool>,
    /// One message per thread that has closed its logs: true when all of them cleanly.
    closed: mpsc::UnboundedReceiver<bool>,
}

impl DataThreads {
    /// Starts the threads. They hold no partition until an image is applied.
    ///
    /// # Errors
    /// A thread or runtime could not be made.
    pub fn start(start: DataThreadsConfig) -> std::io::Result<Self> {
        let DataThreadsConfig {
            config,
            dirs,
            control,
        } = start;
        let (mailboxes, receivers) = Mailboxes::new(config.data_threads());
        let leadership = Arc::new(LeadershipSubscribers::default());
        let (stop, stopped) = watch::channel(false);
        let (closed_sender, closed) = mpsc::unbounded_channel();
        let interval = config.replica.high_watermark_checkpoint_interval;
        let openings = Openings::new(config.log_work.recovery_threads);
        let checkpoints = CheckpointWriter::start(Arc::clone(&dirs), mailboxes.clone(), interval)?;
        let cleaners = Cleaners::start(&config.log_work.cleaner, dirs.paths(), &mailboxes)?;
        let background = Background::new(cleaners.cleaner(), mailboxes.len());
        let mut threads = Vec::with_capacity(receivers.len());
        for (shard, mailbox) in mailboxes.shards().zip(receivers) {
            let parts = ContextParts {
                shard,
                config: Arc::clone(&config),
                mailboxes: mailboxes.clone(),
                control: Arc::clone(&control),
                leadership: Arc::clone(&leadership),
                dirs: Arc::clone(&dirs),
                openings: Arc::clone(&openings),
                background: background.clone(),
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .max_blocking_threads(BLOCKING_THREADS_MAX)
                .enable_all()
                .build()?;
            let (stopped, closed) = (stopped.clone(), closed_sender.clone());
            threads.push(
                std::thread::Builder::new()
                    .name(format!("data-{}", shard.0))
                    .spawn(move || {
                        let tasks = tokio::task::LocalSet::new();
                        let clean = tasks.block_on(&runtime, run(parts, mailbox, stopped));
                        // Nobody listens when the broker gave up waiting.
                        let _ = closed.send(clean);
                    })?,
            );
        }
        Ok(Self {
            router: Router::new(mailboxes, leadership, openings, background),
            dirs,
            threads,
            checkpoints,
            cleaners,
            stop,
            closed,
        })
    }

    /// The handle for everybody else.
    #[must_use]
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Runs `start` on every data thread, inside its runtime: it may spawn local tasks there.
    pub fn on_each(&self, start: impl Fn(ShardId) + Clone + Send + 'static) {
        for shard in self.router.mailboxes.shards() {
            let start = start.clone();
            self.router.mailboxes.run_control(shard, move |_| {
                tokio::task::spawn_local(async move { start(shard) });
            });
        }
    }

    /// Runs `start` on one data thread, inside its runtime.
    pub fn on(&self, shard: ShardId, start: impl FnOnce() + Send + 'static) {
        on(&self.router, shard, start);
    }

    /// Stops the threads: every log is closed cleanly, checkpoints are written. True when all went well.
    ///
    /// Listeners must have stopped, and a controlled shutdown must have moved the leaders away, before.
    pub async fn shutdown(mut self) -> bool {
        // Logs that are closed end their compaction, but the cleaner should not begin another.
        self.cleaners.request_stop();
        // Fails only if all threads have ended already.
        let _ = self.stop.send(true);
        self.router.openings.stop();
        let shards = self.router.shards();
        let mut clean = true;
        for _ in 0..self.threads.len() {
            clean &= self.closed.recv().await.unwrap_or(false);
        }
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || {
            let all = threads.into_iter().map(|thread| thread.join().is_ok());
            let clean = all.fold(true, |clean, joined| clean & joined);
            self.cleaners.join();
            self.checkpoints.stop();
            // The next start takes the recovery points of a clean shutdown for the logs' ends.
            let written = self.dirs.write_last_checkpoints();
            self.dirs.write_last_words(shards);
            clean && written
        });
        joined.await.unwrap_or(false) && clean
    }
}

impl Router {
    /// Hands a newer image to every data thread. What is returned resolves when all of them have followed it; one that is stuck holds
    /// up neither the others nor what comes after.
    pub fn apply_metadata(
        &self,
        image: Arc<MetadataImage>,
        delta: Arc<MetadataDelta>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let version = image.version;
        let mut applied = Vec::with_capacity(self.mailboxes.len());
        for shard in self.mailboxes.shards() {
            let (done, waiting) = oneshot::channel();
            let (image, delta) = (Arc::clone(&image), Arc::clone(&delta));
            self.mailboxes.run_control(shard, move |shard| {
                shard.apply_metadata(&image, &delta);
                // The caller may not wait.
                let _ = done.send(());
            });
            applied.push(waiting);
        }
        let followed = self.followed.clone();
        async move {
            for waiting in applied {
                // A thread that has stopped follows nothing.
                let _ = waiting.await;
            }
            followed.send_if_modified(|now| {
                let is_newer = *now < version;
                *now = version.max(*now);
                is_newer
            });
        }
    }
}

/// Runs `start` on one data thread, inside its runtime: it may spawn local tasks there.
pub(super) fn on(router: &Router, shard: ShardId, start: impl FnOnce() + Send + 'static) {
    router.mailboxes.run_control(shard, move |_| {
        tokio::task::spawn_local(async move { start() });
    });
}

/// The life of one data thread. True when every log was closed cleanly.
async fn run(parts: ContextParts, mailbox: Mailbox, mut stopped: watch::Receiver<bool>) -> bool {
    let config = Arc::clone(&parts.config);
    let id = parts.shard;
    let shard = Rc::new(RefCell::new(Shard::new(parts)));
    set_local(Some((id, Rc::clone(&shard))));
    let retention = tokio::task::spawn_local(run_retention(Arc::clone(&config)));
    tokio::select! {
        () = serve(mailbox, &shard, &config) => {}
        // Fails only when the handle is gone: that is a stop as well.
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    retention.abort();
    let clean = shard.borrow_mut().close();
    set_local(None);
    clean
}

async fn serve(mut mailbox: Mailbox, shard: &Rc<RefCell<Shard>>, config: &BrokerConfig) {
    let mut isr = tokio::time::interval(ISR_TICK.min(config.replica.lag_time_max / 2));
    let mut checkpoints = tokio::time::interval(config.replica.high_watermark_checkpoint_interval);
    for tick in [&mut isr, &mut checkpoints] {
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    }
    loop {
        let first = tokio::select! {
            biased;
            Some(task) = mailbox.control.recv() => Some(task),
            Some(task) = mailbox.requests.recv() => Some(task),
            _ = isr.tick() => {
                with_local(Shard::tick_isr);
                with_local(|shard| shard.tick_at_risk());
                with_local(Shard::tick_flush_stall);
                None
            }
            _ = checkpoints.tick() => {
                with_local(Shard::note_checkpoints);
                None
            }
            else => return,
        };
        if let Some(first) = first {
            run_batch(first, &mut mailbox, shard);
            tokio::task::yield_now().await;
        }
    }
}

/// Does what waits in the mailbox, up to a bound.
fn run_batch(first: Task, mailbox: &mut Mailbox, shard: &RefCell<Shard>) {
    let mut shard = shard.borrow_mut();
    first(&mut shard);
    for _ in 1..MAILBOX_BATCH {
        let next = mailbox
            .control
            .try_recv()
            .ok()
            .or_else(|| mailbox.requests.try_recv().ok());
        let Some(task) = next else { break };
        task(&mut shard);
    }
    shard.after_work();
}

async fn run_retention(config: Arc<BrokerConfig>) {
    tokio::time::sleep(config.log_work.initial_task_delay).await;
    loop {
        let ids = with_local(|shard| shard.partition_ids()).unwrap_or_default();
        let mut word = Word::new();
        for chunk in ids.chunks(RETENTION_CHUNK) {
            with_local(|shard| shard.apply_retention(chunk, &mut word));
            tokio::task::yield_now().await;
        }
        with_local(|shard| shard.cx.dirs.leave_word(shard.cx.shard.0, word));
        if with_local(|shard| shard.cx.shard) == Some(ShardId(0)) {
            quarantine::sweep().await;
        }
        tokio::time::sleep(config.log_work.retention_check_interval).await;
    }
}

impl Shard {
    /// Ends all roles, waits for the flushers, closes every log. True when all went well.
    fn close(&mut self) -> bool {
        // A log that is still being opened was left by a crash, and stays as that left it.
        let unseen = |(_, why): &(_, Unusable)| why.is_unseen();
        let mut clean = self.cx.opening.is_empty() && !self.cx.unusable.values().any(unseen);
        let mut word = Word::new();
        for partition in self.partitions.values_mut() {
            partition.leave_role(&mut self.cx, milena_types::ErrorCode::NotLeaderOrFollower);
        }
        self.cx.flush.stop();
        for dir in 0..self.cx.dirs.count() {
            clean &= self.close_logs(dir);
        }
        for (id, partition) in &mut self.partitions {
            if self.cx.dirs.is_online(partition.dir) {
                self.cx.checkpoint_dirty.insert(*id);
                add_word(&mut word, partition.dir, &partition.log);
            }
        }
        self.cx.dirs.leave_word(self.cx.shard.0, word);
        self.note_checkpoints();
        clean
    }
}
