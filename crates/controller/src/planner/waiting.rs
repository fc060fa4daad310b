//! What waits to be decided: the life of brokers goes before what clients ask. A heartbeat that waits for them would cost a session.

use super::job::Job;
use std::collections::VecDeque;

/// How many jobs of each kind may wait for the next round.
const WAITING_MAX: usize = 1_024;

/// For what there is room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) lives: bool,
    pub(super) requests: bool,
}

impl Room {
    pub(super) const ALL: Self = Self {
        lives: true,
        requests: true,
    };
}

/// In the order in which they came, each of both.
#[derive(Default)]
pub(super) struct Waiting {
    lives: VecDeque<Box<dyn Job>>,
    requests: VecDeque<Box<dyn Job>>,
}

impl Waiting {
    fn queue(&mut self, job: &dyn Job) -> &mut VecDeque<Box<dyn Job>> {
        match job.terms().is_life {
            true => &mut self.lives,
            false => &mut self.requests,
        }
    }

    pub(super) fn push_back(&mut self, job: Box<dyn Job>) {
        self.queue(&*job).push_back(job);
    }

    /// One that was taken, and has to wait again.
    pub(super) fn push_front(&mut self, job: Box<dyn Job>) {
        self.queue(&*job).push_front(job);
    }

    pub(super) fn front(&self) -> Option<&dyn Job> {
        let first = self.lives.front().or_else(|| self.requests.front());
        first.map(|job| &**job)
    }

    pub(super) fn pop_front(&mut self) -> Option<Box<dyn Job>> {
        self.lives.pop_front().or_else(|| self.requests.pop_front())
    }

    pub(super) fn room(&self) -> Room {
        Room {
            lives: self.lives.len() < WAITING_MAX,
            requests: self.requests.len() < WAITING_MAX,
        }
    }

    pub(super) fn all(self) -> impl Iterator<Item = Box<dyn Job>> {
        self.lives.into_iter().chain(self.requests)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::bound::Terms;
    use super::super::job::{Answer, TypedJob};
    use super::*;
    use milena_metadata::plan::Planned;
    use tokio::sync::oneshot;

    pub(in crate::planner) fn job(terms: Terms) -> Box<dyn Job> {
        let (answer, _) = oneshot::channel::<Answer<()>>();
        Box::new(TypedJob {
            plan: Box::new(|_| Planned::reply(())),
            terms,
            note: Box::new(|_, _, _, _| {}),
            reply: None,
            answer,
        })
    }

    #[test]
    fn the_life_of_brokers_goes_first() {
        let mut waiting = Waiting::default();
        for terms in [
            Terms::request("a"),
            Terms::life("b"),
            Terms::request("c"),
            Terms::life("d"),
        ] {
            waiting.push_back(job(terms));
        }
        assert_eq!(waiting.front().unwrap().terms().what, "b");
        let first = waiting.pop_front().unwrap();
        waiting.push_front(first);
        let order: Vec<&str> = std::iter::from_fn(|| waiting.pop_front())
            .map(|job| job.terms().what)
            .collect();
        assert_eq!(order, ["b", "d", "a", "c"]);
    }

    #[test]
    fn there_is_room_for_each_kind() {
        let mut waiting = Waiting::default();
        for _ in 0..WAITING_MAX {
            assert!(waiting.room().requests);
            waiting.push_back(job(Terms::request("r")));
        }
        assert!(!waiting.room().requests && waiting.room().lives);
    }
}
