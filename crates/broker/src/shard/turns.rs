//! Whether the data threads still turn.
//!
//! A write to a disk that hangs does not come back, and its data thread does nothing else meanwhile: its partitions, its connections
//! and its replication streams stand still, and so does this broker's view of the metadata. Nothing has failed, and heartbeats go on;
//! so somebody else has to look, and to say that others should lead. See [`crate::controller::Registration::set_stuck`].
//!
//! Kafka has no such rule: KIP-501 (KAFKA-8733) tells what that costs.

use super::router::Router;
use std::time::Duration;
use tokio::sync::oneshot;

/// So often the threads are looked at, or more often where the bound is short.
const LOOK: Duration = Duration::from_millis(500);
/// Looks within the bound, at least.
const LOOKS_MIN: u32 = 4;

/// What a data thread was asked, and for how many looks it has not answered.
#[derive(Debug, Default)]
struct Asked {
    answer: Option<oneshot::Receiver<()>>,
    looks: u32,
}

impl Asked {
    /// Takes the answer, if it is there. True: ask again.
    fn look(&mut self) -> bool {
        let waits = self
            .answer
            .as_mut()
            .is_some_and(|answer| matches!(answer.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
        self.looks = if waits { self.looks.saturating_add(1) } else { 0 };
        !waits
    }
}

impl Router {
    /// Looks at the data threads for ever, and tells `changed` when one has not turned for `stall` (true), and when all do again
    /// (false). Time is counted in looks: a process that stood still as a whole has not looked either.
    pub async fn watch_turns(&self, stall: Duration, changed: impl Fn(bool)) {
        let pause = LOOK.min(stall / LOOKS_MIN);
        let mut ticks = tokio::time::interval(pause);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut asked: Vec<Asked> = self.shard_ids().map(|_| Asked::default()).collect();
        let mut was_stuck = false;
        loop {
            ticks.tick().await;
            let stuck: Vec<usize> = self.stuck(&mut asked, stall, pause);
            if stuck.is_empty() == was_stuck {
                was_stuck = !was_stuck;
                if was_stuck {
                    let stall_ms = stall.as_millis();
                    tracing::error!(
                        threads = ?stuck,
                        stall_ms,
                        "data threads do not come back from their disk: whoever else is in sync goes on without this broker"
                    );
                } else {
                    tracing::info!("all data threads turn again");
                }
                changed(was_stuck);
            }
        }
    }

    /// The threads that have not turned for so long.
    fn stuck(&self, asked: &mut [Asked], stall: Duration, pause: Duration) -> Vec<usize> {
        let mut stuck = Vec::new();
        for (shard, asked) in self.shard_ids().zip(asked) {
            if asked.look() {
                let (answer, answered) = oneshot::channel();
                self.mailboxes.run_control(shard, move |_| {
                    // Who asked may have ended.
                    let _ = answer.send(());
                });
                asked.answer = Some(answered);
            } else if pause * asked.looks >= stall {
                stuck.push(shard.0);
            }
        }
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_counts_while_the_answer_is_not_there() {
        let mut asked = Asked::default();
        assert!(asked.look(), "nothing was asked yet");
        let (answer, answered) = oneshot::channel();
        asked.answer = Some(answered);
        assert!(!asked.look() && !asked.look());
        assert_eq!(asked.looks, 2);
        answer.send(()).unwrap();
        assert!(asked.look());
        assert_eq!(asked.looks, 0);
        // A thread that has stopped is not stuck.
        let (answer, answered) = oneshot::channel();
        asked.answer = Some(answered);
        drop(answer);
        assert!(asked.look());
    }
}
