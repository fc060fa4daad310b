//! How a controller that does not lead says so: a gRPC status whose details name the leader.

use crate::proto;
use milena_types::BrokerId;
use prost::Message;
use tonic::{Code, Status};

/// The answer of a controller that is not the active one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotLeader {
    /// Who leads; `None` while that is being decided: ask any voter again soon.
    pub leader: Option<BrokerId>,
    /// `host:port` of the leader's controller listener, when it is known.
    pub address: Option<String>,
}

impl NotLeader {
    /// As a status: FAILED_PRECONDITION with details.
    #[must_use]
    pub fn to_status(&self) -> Status {
        let details = proto::NotLeader {
            leader_id: self.leader.map(|id| id.0),
            address: self.address.clone().unwrap_or_default(),
        };
        let text = match self.leader {
            Some(leader) => format!("not the active controller; that is node {leader}"),
            None => "not the active controller; none is known".to_owned(),
        };
        Status::with_details(Code::FailedPrecondition, text, details.encode_to_vec().into())
    }

    /// Reads it back; `None` when the status means something else.
    #[must_use]
    pub fn from_status(status: &Status) -> Option<Self> {
        if status.code() != Code::FailedPrecondition {
            return None;
        }
        let details = proto::NotLeader::decode(status.details()).ok()?;
        Some(Self {
            leader: details.leader_id.map(BrokerId),
            address: Some(details.address).filter(|address| !address.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_carries_the_hint_and_other_statuses_carry_none() {
        for hint in [
            NotLeader {
                leader: Some(BrokerId(0)),
                address: Some("host:9093".to_owned()),
            },
            NotLeader {
                leader: None,
                address: None,
            },
        ] {
            assert_eq!(NotLeader::from_status(&hint.to_status()), Some(hint));
        }
        assert_eq!(NotLeader::from_status(&Status::unavailable("gone")), None);
        let garbage = Status::with_details(Code::FailedPrecondition, "x", vec![0xff, 0xff].into());
        assert_eq!(NotLeader::from_status(&garbage), None);
    }
}
