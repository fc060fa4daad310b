//! A consumer group over the wire: find, join, sync, heartbeat, commit, fetch, describe, leave.

use super::broker::TestBroker;
use super::client::{Client, text};
use bytes::Bytes;
use milena_wire::messages::join_group_request::JoinGroupRequestProtocol;
use milena_wire::messages::leave_group_request::MemberIdentity;
use milena_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use milena_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use milena_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use milena_wire::messages::{
    DescribeGroupsRequest, FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    ListGroupsRequest, OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
};
use std::time::Duration;

async fn find(client: &mut Client, group: &str) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let found = client
            .call(2, &FindCoordinatorRequest::default().with_key(text(group)))
            .await;
        match found.error_code {
            0 => return assert_eq!(found.node_id.0, 1),
            15 => assert!(
                tokio::time::Instant::now() < deadline,
                "the offsets topic is created"
            ),
            other => panic!("error {other}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn join(client: &mut Client, version: i16, group: &str) -> (i32, String) {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"\0\0"));
    let mut request = JoinGroupRequest::default()
        .with_group_id(text(group).into())
        .with_session_timeout_ms(30_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    if version >= 1 {
        request.rebalance_timeout_ms = 30_000;
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let joined = client.call(version, &request).await;
        match joined.error_code {
            0 => {
                assert_eq!((&joined.leader, joined.members.len()), (&joined.member_id, 1));
                return (joined.generation_id, joined.member_id.as_str().to_owned());
            }
            // Loading, or the id to come back with.
            14 | 16 | 79 => request.member_id = joined.member_id,
            other => panic!("error {other}"),
        }
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn old_and_new_versions_of_the_classic_protocol_work() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    client.create_topic("read", 1).await;
    // (join, sync, heartbeat, leave, commit, fetch): the lowest, kafkajs's, librdkafka's and the highest.
    for (n, (join_v, sync_v, beat_v, leave_v, commit_v, fetch_v)) in [
        (0, 0, 0, 0, 2, 1),
        (5, 3, 3, 3, 5, 4),
        (5, 3, 3, 1, 9, 9),
        (9, 5, 4, 5, 8, 8),
    ]
    .into_iter()
    .enumerate()
    {
        let group = format!("group-{n}");
        find(&mut client, &group).await;
        let (generation, member) = join(&mut client, join_v, &group).await;
        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(text(&member))
            .with_assignment(Bytes::from_static(b"mine"));
        let sync = SyncGroupRequest::default()
            .with_group_id(text(&group).into())
            .with_generation_id(generation)
            .with_member_id(text(&member))
            .with_assignments(vec![assignment]);
        let sync = match sync_v {
            5.. => sync
                .with_protocol_type(Some(text("consumer")))
                .with_protocol_name(Some(text("range"))),
            _ => sync,
        };
        let synced = client.call(sync_v, &sync).await;
        assert_eq!((synced.error_code, &synced.assignment[..]), (0, &b"mine"[..]));
        let beat = HeartbeatRequest::default()
            .with_group_id(text(&group).into())
            .with_generation_id(generation)
            .with_member_id(text(&member));
        assert_eq!(client.call(beat_v, &beat).await.error_code, 0);
        commit(&mut client, commit_v, &group, generation, &member).await;
        fetch(&mut client, fetch_v, &group).await;
        let described = client
            .call(
                4,
                &DescribeGroupsRequest::default().with_groups(vec![text(&group).into()]),
            )
            .await;
        assert_eq!(
            (
                described.groups[0].group_state.as_str(),
                described.groups[0].members.len()
            ),
            ("Stable", 1)
        );
        leave(&mut client, leave_v, &group, &member).await;
        let listed = client.call(4, &ListGroupsRequest::default()).await;
        let listed = listed
            .groups
            .iter()
            .find(|listed| listed.group_id.as_str() == group)
            .unwrap();
        assert_eq!(listed.group_state.as_str(), "Empty");
    }
}

async fn commit(client: &mut Client, version: i16, group: &str, generation: i32, member: &str) {
    let partition = |index| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(5)
    };
    let topic = OffsetCommitRequestTopic::default()
        .with_name(text("read").into())
        .with_partitions(vec![partition(0), partition(7)]);
    let request = OffsetCommitRequest::default()
        .with_group_id(text(group).into())
        .with_generation_id_or_member_epoch(generation)
        .with_member_id(text(member))
        .with_topics(vec![topic]);
    let response = client.call(version, &request).await;
    let codes: Vec<i16> = response.topics[0]
        .partitions
        .iter()
        .map(|partition| partition.error_code)
        .collect();
    assert_eq!(codes, [0, 3], "partition 7 does not exist");
}

async fn fetch(client: &mut Client, version: i16, group: &str) {
    if version < 8 {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(text("read").into())
            .with_partition_indexes(vec![0, 1]);
        let request = OffsetFetchRequest::default()
            .with_group_id(text(group).into())
            .with_topics(Some(vec![topic]));
        let response = client.call(version, &request).await;
        let offsets: Vec<i64> = response.topics[0]
            .partitions
            .iter()
            .map(|p| p.committed_offset)
            .collect();
        assert_eq!((response.error_code, offsets), (0, vec![5, -1]));
        return;
    }
    let topic = OffsetFetchRequestTopics::default()
        .with_name(text("read").into())
        .with_partition_indexes(vec![0, 1]);
    let one = OffsetFetchRequestGroup::default()
        .with_group_id(text(group).into())
        .with_topics(Some(vec![topic]));
    let all = OffsetFetchRequestGroup::default()
        .with_group_id(text(group).into())
        .with_topics(None);
    let response = client
        .call(
            version,
            &OffsetFetchRequest::default().with_groups(vec![one, all]),
        )
        .await;
    let offsets = |n: usize| {
        response.groups[n].topics[0]
            .partitions
            .iter()
            .map(|p| p.committed_offset)
            .collect::<Vec<_>>()
    };
    assert_eq!((offsets(0), offsets(1)), (vec![5, -1], vec![5]));
}

async fn leave(client: &mut Client, version: i16, group: &str, member: &str) {
    let request = LeaveGroupRequest::default().with_group_id(text(group).into());
    let request = match version {
        3.. => request.with_members(vec![MemberIdentity::default().with_member_id(text(member))]),
        _ => request.with_member_id(text(member)),
    };
    let response = client.call(version, &request).await;
    assert_eq!(response.error_code, 0);
    assert!(response.members.iter().all(|member| member.error_code == 0));
}

#[tokio::test]
async fn transactions_have_no_coordinator() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker).await;
    let request = FindCoordinatorRequest::default()
        .with_key(text("tx"))
        .with_key_type(1);
    assert_eq!(client.call(3, &request).await.error_code, 35);
    let keys = FindCoordinatorRequest::default()
        .with_coordinator_keys(vec![text("tx")])
        .with_key_type(1);
    assert_eq!(client.call(4, &keys).await.coordinators[0].error_code, 35);
}
