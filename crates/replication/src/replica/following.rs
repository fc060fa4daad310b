//! A follower's attachment to its leader: which frames are taken, which acknowledgements are due.
//!
//! ```text
//!             attach                      a frame that ends it, its stream breaks, a failed append
//! not attached ─────► attached by a number ──────────────────────────────────────────────────► not attached
//!                      every frame and every ack names the number, or counts for nothing
//! ```

use milena_types::mutants::{Mutant, on};
use milena_types::{BrokerId, LeaderEpoch, Offset};

/// The numbers of a broker's attaches. They grow during a run of the process, whatever the partition and the stream: a leader
/// tells a late attach from a newer one by them.
#[derive(Clone, Debug, Default)]
pub struct AttachIds {
    last: u64,
}

impl AttachIds {
    /// One that was not given yet.
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// One partition that is followed, in one leader epoch.
#[derive(Clone, Debug)]
pub struct Following {
    leader: BrokerId,
    leader_epoch: LeaderEpoch,
    /// The attachment that frames must name; `None`: not attached.
    attachment: Option<u64>,
    /// An acknowledgement is going to be said.
    ack_queued: bool,
    replicated: Offset,
}

impl Following {
    /// Not attached yet.
    #[must_use]
    pub fn new(leader: BrokerId, leader_epoch: LeaderEpoch) -> Self {
        Self {
            leader,
            leader_epoch,
            attachment: None,
            ack_queued: false,
            replicated: Offset::ZERO,
        }
    }

    /// Who is followed.
    #[must_use]
    pub fn leader(&self) -> BrokerId {
        self.leader
    }

    /// In which epoch.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// The present attachment.
    #[must_use]
    pub fn attachment(&self) -> Option<u64> {
        self.attachment
    }

    /// True when it is to be attached to `leader`: it follows that broker, and is not attached.
    #[must_use]
    pub fn wants(&self, leader: BrokerId) -> bool {
        self.leader == leader && self.attachment.is_none()
    }

    /// Attaches by a stream to `leader`. `None`: it does not want that any more.
    pub fn attach(&mut self, leader: BrokerId, ids: &mut AttachIds) -> Option<u64> {
        if !self.wants(leader) {
            return None;
        }
        self.attachment = Some(ids.next());
        self.ack_queued = false;
        self.attachment
    }

    /// True for a frame that this attachment was sent; any other is not looked at.
    #[must_use]
    pub fn takes(&self, attachment: u64) -> bool {
        self.is_present(attachment) || on(Mutant::StaleFrameAccepted)
    }

    fn is_present(&self, attachment: u64) -> bool {
        self.attachment == Some(attachment)
    }

    /// The attachment has ended. False: it was not the present one.
    pub fn ended(&mut self, attachment: u64) -> bool {
        let is_present = self.is_present(attachment);
        if is_present {
            self.attachment = None;
        }
        is_present
    }

    /// There is something to acknowledge. Gives by which attachment, unless an acknowledgement is going to be said anyhow.
    pub fn queue_ack(&mut self) -> Option<u64> {
        let due = self.attachment.filter(|_| !self.ack_queued);
        self.ack_queued |= due.is_some();
        due
    }

    /// Now the acknowledgement that was queued is said, with the ends that the log has by now. False: of an attachment that has
    /// ended since.
    pub fn take_ack(&mut self, attachment: u64) -> bool {
        let is_present = self.is_present(attachment);
        self.ack_queued &= !is_present;
        is_present
    }

    /// Every replica's log reaches it, as the leader said last.
    #[must_use]
    pub fn replicated(&self) -> Offset {
        self.replicated
    }

    /// The leader said so.
    pub fn set_replicated(&mut self, offset: Offset) {
        self.replicated = offset;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER: BrokerId = BrokerId(2);

    fn following() -> (Following, AttachIds) {
        (Following::new(LEADER, LeaderEpoch(5)), AttachIds::default())
    }

    #[test]
    fn it_attaches_once_and_only_to_its_leader() {
        let (mut replica, mut ids) = following();
        assert_eq!(replica.attach(BrokerId(3), &mut ids), None);
        let first = replica.attach(LEADER, &mut ids).unwrap();
        assert_eq!(replica.attach(LEADER, &mut ids), None);
        assert_eq!(replica.attachment(), Some(first));
        assert!(replica.ended(first) && replica.wants(LEADER));
        assert!(replica.attach(LEADER, &mut ids).unwrap() > first);
        // Numbers grow over partitions and roles too: that of another one is never the present one.
        let (mut other, _) = following();
        assert!(!replica.takes(other.attach(LEADER, &mut ids).unwrap()));
    }

    #[test]
    fn frames_of_another_attachment_are_not_taken_and_end_nothing() {
        let (mut replica, mut ids) = following();
        assert!(!replica.takes(0) && !replica.takes(1));
        let first = replica.attach(LEADER, &mut ids).unwrap();
        assert!(replica.takes(first));
        assert!(replica.ended(first) && !replica.ended(first));
        let second = replica.attach(LEADER, &mut ids).unwrap();
        assert!(!replica.takes(first) && replica.takes(second));
        assert!(!replica.ended(first));
        assert_eq!(replica.attachment(), Some(second));
    }

    #[test]
    fn an_ack_is_queued_once_until_it_is_said() {
        let (mut replica, mut ids) = following();
        assert_eq!(replica.queue_ack(), None, "not attached");
        let first = replica.attach(LEADER, &mut ids).unwrap();
        assert_eq!(replica.queue_ack(), Some(first));
        assert_eq!(replica.queue_ack(), None);
        assert!(replica.take_ack(first));
        assert_eq!(replica.queue_ack(), Some(first));
        // What was queued for an attachment is void after it, and does not hold up acks of the next one.
        assert!(replica.ended(first));
        assert!(!replica.take_ack(first));
        let second = replica.attach(LEADER, &mut ids).unwrap();
        assert_eq!(replica.queue_ack(), Some(second));
        assert!(!replica.take_ack(first));
        assert_eq!(
            replica.queue_ack(),
            None,
            "the one for the present attachment waits still"
        );
        assert!(replica.take_ack(second));
    }
}
