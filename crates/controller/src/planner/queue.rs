//! What is asked of the planner, on its way there. What brokers ask has a way of its own: it is not behind what clients ask.

use super::job::Job;
use super::waiting::Room;
use tokio::sync::mpsc;

/// How many jobs may wait on each way; more wait in front of it.
const QUEUE: usize = 1_024;

pub(super) fn channel() -> (JobSender, JobQueue) {
    let (lives, lives_end) = mpsc::channel(QUEUE);
    let (requests, requests_end) = mpsc::channel(QUEUE);
    let queue = JobQueue {
        lives: lives_end,
        requests: requests_end,
    };
    (JobSender { lives, requests }, queue)
}

/// The front's end; cheap to clone.
#[derive(Clone)]
pub(super) struct JobSender {
    lives: mpsc::Sender<Box<dyn Job>>,
    requests: mpsc::Sender<Box<dyn Job>>,
}

impl JobSender {
    /// Waits for room. False: the planner has stopped.
    pub(super) async fn send(&self, job: Box<dyn Job>) -> bool {
        let way = match job.terms().is_life {
            true => &self.lives,
            false => &self.requests,
        };
        way.send(job).await.is_ok()
    }
}

/// The planner's end.
pub(super) struct JobQueue {
    lives: mpsc::Receiver<Box<dyn Job>>,
    requests: mpsc::Receiver<Box<dyn Job>>,
}

impl JobQueue {
    /// The next job for which there is room; waits for ever when there is none for any. `None`: nobody can ask any more.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub(super) async fn recv(&mut self, room: Room) -> Option<Box<dyn Job>> {
        tokio::select! {
            biased;
            job = self.lives.recv(), if room.lives => job,
            job = self.requests.recv(), if room.requests => job,
            else => std::future::pending().await,
        }
    }

    /// Likewise; `None` when none is there.
    pub(super) fn try_recv(&mut self, room: Room) -> Option<Box<dyn Job>> {
        let life = room.lives.then(|| self.lives.try_recv().ok()).flatten();
        life.or_else(|| room.requests.then(|| self.requests.try_recv().ok()).flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::super::bound::Terms;
    use super::super::waiting::tests::job;
    use super::*;

    #[tokio::test]
    async fn what_brokers_ask_comes_however_much_clients_ask() {
        let (sender, mut queue) = channel();
        for _ in 0..QUEUE {
            assert!(sender.send(job(Terms::request("request"))).await);
        }
        assert!(sender.send(job(Terms::life("life"))).await);
        assert!(sender.send(job(Terms::life("another"))).await);
        let no_requests = Room {
            lives: true,
            requests: false,
        };
        let what = |job: Option<Box<dyn Job>>| job.map(|job| job.terms().what);
        assert_eq!(what(queue.recv(no_requests).await), Some("life"));
        assert_eq!(what(queue.try_recv(Room::ALL)), Some("another"));
        assert_eq!(what(queue.try_recv(no_requests)), None);
        assert_eq!(what(queue.recv(Room::ALL).await), Some("request"));
        drop(queue);
        assert!(!sender.send(job(Terms::life("late"))).await);
    }
}
