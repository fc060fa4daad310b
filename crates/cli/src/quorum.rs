//! `milena quorum`: who leads the metadata quorum, and how far its voters are. Output as `kafka-metadata-quorum.sh`.

use crate::args::QuorumArguments;
use milena_node::quorum::{Quorum, describe};
use std::error::Error;

/// Asks and prints.
pub(crate) fn run(arguments: &QuorumArguments) -> Result<(), Box<dyn Error>> {
    let quorum = describe(&arguments.controllers)?;
    if arguments.leader {
        let leader = quorum.leader.ok_or("no controller leads at the moment")?;
        println!("{leader}");
        return Ok(());
    }
    print!("{}", shown(&quorum));
    Ok(())
}

fn shown(quorum: &Quorum) -> String {
    let or_unknown = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
    let ends: Vec<u64> = quorum
        .voters
        .iter()
        .filter_map(|voter| voter.log_end_offset)
        .collect();
    let lag = ends
        .iter()
        .max()
        .zip(ends.iter().min())
        .map(|(max, min)| (max - min).to_string());
    let contact = quorum
        .voters
        .iter()
        .filter_map(|voter| voter.last_contact_ms)
        .max();
    let voters: Vec<String> = quorum
        .voters
        .iter()
        .map(|v| format!("{}@{}", v.id, v.address))
        .collect();
    let leader = quorum.leader.map_or(-1, |id| id);
    [
        ("ClusterId", or_unknown(quorum.cluster.clone())),
        ("LeaderId", leader.to_string()),
        ("LeaderEpoch", quorum.leader_epoch.to_string()),
        ("HighWatermark", quorum.high_watermark.to_string()),
        ("MaxFollowerLag", or_unknown(lag)),
        (
            "MaxFollowerLagTimeMs",
            or_unknown(contact.map(|ms| ms.to_string())),
        ),
        ("CurrentVoters", format!("[{}]", voters.join(", "))),
        ("CurrentObservers", "[]".to_owned()),
    ]
    .iter()
    .map(|(name, value)| format!("{:<24}{value}\n", format!("{name}:")))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_node::quorum::QuorumMember;

    #[test]
    fn status_is_printed_in_kafkas_order() {
        let member = |id, end| QuorumMember {
            id,
            address: format!("h{id}:1"),
            log_end_offset: Some(end),
            last_contact_ms: Some(3),
        };
        let quorum = Quorum {
            cluster: Some("c".to_owned()),
            leader: Some(2),
            leader_epoch: 5,
            high_watermark: 10,
            voters: vec![member(1, 9), member(2, 11)],
        };
        let text = shown(&quorum);
        for line in [
            "ClusterId:              c\n",
            "LeaderId:               2\n",
            "MaxFollowerLag:         2\n",
            "CurrentVoters:          [1@h1:1, 2@h2:1]\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert!(shown(&Quorum::default()).contains("LeaderId:               -1\n"));
    }
}
