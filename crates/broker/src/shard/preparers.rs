//! The threads that do the heavy work of clients' batches, so that no data thread does.
//!
//! Two lanes: what has to be walked takes half a second at most, what has to be compressed anew may take a minute, and the one
//! does not wait for the other. Each lane has at most as many threads as there are data threads, which exist while there is work.
//! Topics take turns in it, a batch each: one whose settings are dear, or that gets much at once, delays others by one batch.
//! A rewrite holds the records twice, a walk none (`milena_record`). Rewrites give way to other threads.
//!
//! The work is pure: nobody waits for it at a shutdown, and what nobody waits for any more is not begun.

use milena_types::TopicId;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Does one batch's work and hands the result to its owner.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The niceness of rewrites: a data thread that has work goes first.
const NICENESS: i32 = 5;

/// How long the work may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Records are walked.
    Walk,
    /// Records are compressed anew.
    Rewrite,
}

/// Both lanes.
#[derive(Debug)]
pub(super) struct Preparers {
    threads_max: usize,
    walks: Mutex<Queue>,
    rewrites: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Of each topic in the order in which they came; none is empty.
    jobs: HashMap<TopicId, VecDeque<Job>>,
    /// The topics that have jobs, in the order of their turns.
    turns: VecDeque<TopicId>,
    threads: usize,
}

impl Queue {
    fn push(&mut self, topic: TopicId, job: Job) {
        let jobs = self.jobs.entry(topic).or_default();
        if jobs.is_empty() {
            self.turns.push_back(topic);
        }
        jobs.push_back(job);
    }

    fn pop(&mut self) -> Option<Job> {
        let topic = self.turns.pop_front()?;
        let jobs = self.jobs.get_mut(&topic)?;
        let job = jobs.pop_front();
        if jobs.is_empty() {
            self.jobs.remove(&topic);
        } else {
            self.turns.push_back(topic);
        }
        job
    }

    fn len(&self) -> usize {
        self.jobs.values().map(VecDeque::len).sum()
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Queue");
        shown.field("jobs", &self.len()).field("threads", &self.threads);
        shown.finish()
    }
}

impl Preparers {
    /// At most so many threads for each lane.
    pub(super) fn new(threads_max: usize) -> Arc<Self> {
        Arc::new(Self {
            threads_max: threads_max.max(1),
            walks: Mutex::default(),
            rewrites: Mutex::default(),
        })
    }

    fn lock(&self, lane: Lane) -> MutexGuard<'_, Queue> {
        let queue = match lane {
            Lane::Walk => &self.walks,
            Lane::Rewrite => &self.rewrites,
        };
        // No job runs under the lock.
        queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `job` on a thread of the lane, after those of the topic that came before. It must not panic.
    ///
    /// # Errors
    /// There is no thread, and none can be made: the job is dropped.
    pub(super) fn submit(self: &Arc<Self>, lane: Lane, topic: TopicId, job: Job) -> std::io::Result<()> {
        let mut queue = self.lock(lane);
        if queue.threads < self.threads_max {
            let preparers = Arc::clone(self);
            let name = match lane {
                Lane::Walk => format!("walk-{}", queue.threads),
                Lane::Rewrite => format!("rewrite-{}", queue.threads),
            };
            let thread = std::thread::Builder::new().name(name);
            match thread.spawn(move || preparers.work(lane)) {
                Ok(_) => queue.threads += 1,
                // The others come to it.
                Err(_) if queue.threads > 0 => {}
                Err(error) => return Err(error),
            }
        }
        queue.push(topic, job);
        Ok(())
    }

    /// The life of a thread: until nothing waits.
    fn work(&self, lane: Lane) {
        if lane == Lane::Rewrite {
            // Of this thread only, on Linux. Without it the work is done all the same.
            let _ = rustix::process::nice(NICENESS);
        }
        loop {
            let mut queue = self.lock(lane);
            let Some(job) = queue.pop() else {
                queue.threads -= 1;
                return;
            };
            drop(queue);
            job();
        }
    }

    /// The most threads of a lane.
    #[cfg(test)]
    pub(super) fn threads_max(&self) -> usize {
        self.threads_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_types::Uuid;
    use std::sync::mpsc;

    const TOPICS: [TopicId; 3] = [
        TopicId(Uuid([1; 16])),
        TopicId(Uuid([2; 16])),
        TopicId(Uuid([3; 16])),
    ];

    #[test]
    fn topics_take_turns() {
        let mut queue = Queue::default();
        let (done, told) = mpsc::channel();
        for (topic, number) in [(0, 0), (0, 1), (0, 2), (1, 10), (2, 20), (1, 11)] {
            let done = done.clone();
            queue.push(TOPICS[topic], Box::new(move || done.send(number).unwrap()));
        }
        while let Some(job) = queue.pop() {
            job();
        }
        let order: Vec<i32> = told.try_iter().collect();
        assert_eq!(order, [0, 10, 20, 1, 11, 2]);
        assert!(queue.jobs.is_empty() && queue.turns.is_empty());
    }

    #[test]
    fn the_lanes_do_not_wait_for_each_other_and_keep_to_their_order() {
        let preparers = Preparers::new(1);
        let (release, held) = mpsc::channel::<()>();
        let (done, told) = mpsc::channel();
        let begun = done.clone();
        let hold = Box::new(move || {
            begun.send(0).unwrap();
            let _ = held.recv();
        });
        preparers.submit(Lane::Rewrite, TOPICS[0], hold).unwrap();
        assert_eq!(told.recv(), Ok(0));
        for (lane, number) in [(Lane::Rewrite, 1), (Lane::Rewrite, 2), (Lane::Walk, 3)] {
            let done = done.clone();
            preparers
                .submit(lane, TOPICS[0], Box::new(move || done.send(number).unwrap()))
                .unwrap();
        }
        assert_eq!(told.recv(), Ok(3));
        assert_eq!(preparers.lock(Lane::Rewrite).len(), 2);
        drop(release);
        assert_eq!((told.recv(), told.recv()), (Ok(1), Ok(2)));
    }
}
