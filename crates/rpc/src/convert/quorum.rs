//! The state of the quorum, as a broker tells it to its clients.

use super::{ConvertError, required};
use crate::proto;
use milena_metadata::quorum::{QuorumDescription, QuorumReplica};
use milena_types::{BrokerId, Offset};
use std::time::Duration;

impl TryFrom<proto::DescribeQuorumResponse> for QuorumDescription {
    type Error = ConvertError;

    fn try_from(message: proto::DescribeQuorumResponse) -> Result<Self, ConvertError> {
        let voters = message.voters.into_iter().map(QuorumReplica::try_from);
        let observers = message.observers.into_iter().map(QuorumReplica::try_from);
        Ok(Self {
            leader: BrokerId(required(message.leader_id, "leader_id")?),
            leader_epoch: message.leader_epoch,
            high_watermark: offset(message.high_watermark, "high_watermark")?,
            voters: voters.collect::<Result<_, _>>()?,
            observers: observers.collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<proto::QuorumVoter> for QuorumReplica {
    type Error = ConvertError;

    fn try_from(voter: proto::QuorumVoter) -> Result<Self, ConvertError> {
        let port = u16::try_from(voter.port).map_err(|_| ConvertError::Range {
            field: "port",
            value: i64::from(voter.port),
        })?;
        let end = voter.log_end_offset.map(|end| offset(end, "log_end_offset"));
        Ok(Self {
            id: BrokerId(voter.id),
            address: Some((voter.host, port)),
            log_end_offset: end.transpose()?,
            last_contact: voter.last_contact_ms.map(Duration::from_millis),
            last_caught_up: voter.last_caught_up_ms.map(Duration::from_millis),
        })
    }
}

impl TryFrom<proto::QuorumObserver> for QuorumReplica {
    type Error = ConvertError;

    fn try_from(observer: proto::QuorumObserver) -> Result<Self, ConvertError> {
        let end = observer.log_end_offset.map(|end| offset(end, "log_end_offset"));
        Ok(Self {
            id: BrokerId(observer.id),
            address: None,
            log_end_offset: end.transpose()?,
            last_contact: observer.last_contact_ms.map(Duration::from_millis),
            last_caught_up: observer.last_caught_up_ms.map(Duration::from_millis),
        })
    }
}

fn offset(value: u64, field: &'static str) -> Result<Offset, ConvertError> {
    let range = |_| ConvertError::Range {
        field,
        value: i64::MAX,
    };
    i64::try_from(value).map(Offset).map_err(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_a_leader_or_with_impossible_numbers_is_none() {
        let voter = proto::QuorumVoter {
            id: 1,
            host: "h".to_owned(),
            port: 9093,
            log_end_offset: Some(5),
            last_contact_ms: Some(7),
            last_caught_up_ms: None,
        };
        let good = proto::DescribeQuorumResponse {
            leader_id: Some(1),
            leader_epoch: 3,
            high_watermark: 5,
            voters: vec![voter.clone()],
            observers: vec![proto::QuorumObserver {
                id: 4,
                ..Default::default()
            }],
        };
        let described = QuorumDescription::try_from(good.clone()).unwrap();
        assert_eq!(
            (described.leader, described.high_watermark),
            (BrokerId(1), Offset(5))
        );
        assert_eq!(described.voters[0].address, Some(("h".to_owned(), 9093)));
        assert_eq!(described.voters[0].last_contact, Some(Duration::from_millis(7)));
        assert_eq!(described.observers[0].log_end_offset, None);
        let cases = [
            proto::DescribeQuorumResponse {
                leader_id: None,
                ..good.clone()
            },
            proto::DescribeQuorumResponse {
                high_watermark: u64::MAX,
                ..good.clone()
            },
            proto::DescribeQuorumResponse {
                voters: vec![proto::QuorumVoter {
                    port: 65_536,
                    ..voter
                }],
                ..good
            },
        ];
        for bad in cases {
            assert!(QuorumDescription::try_from(bad).is_err());
        }
    }
}
