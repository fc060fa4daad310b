//! Random histories: every request is answered once, invariants hold, and the log rebuilds the state.

use super::harness::*;
use crate::api::{DescribedGroup, FetchTopicResult};
use crate::{Reply, Request};
use milena_types::ErrorCode;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Action {
    Join {
        who: usize,
        version: i16,
        protocols: u8,
        is_static: bool,
    },
    Sync {
        who: usize,
    },
    Heartbeat {
        who: usize,
    },
    Leave {
        who: usize,
    },
    Commit {
        who: usize,
        offset: i64,
        as_admin: bool,
    },
    FetchStable,
    Delete,
    Sleep {
        ms: u64,
    },
    Hold,
    Flush,
    Fail {
        error: Option<ErrorCode>,
    },
}

fn action() -> impl Strategy<Value = Action> {
    let who = || 0usize..4;
    prop_oneof![
        6 => (who(), prop_oneof![Just(3i16), Just(5), Just(9)], 0u8..3, any::<bool>())
            .prop_map(|(who, version, protocols, is_static)| Action::Join { who, version, protocols, is_static }),
        6 => who().prop_map(|who| Action::Sync { who }),
        3 => who().prop_map(|who| Action::Heartbeat { who }),
        1 => who().prop_map(|who| Action::Leave { who }),
        4 => (who(), 0i64..9, any::<bool>()).prop_map(|(who, offset, as_admin)| Action::Commit { who, offset, as_admin }),
        1 => Just(Action::FetchStable),
        1 => Just(Action::Delete),
        4 => prop_oneof![Just(0u64), Just(1), 0..12_000u64, Just(31_000), Just(8 * 24 * 3600 * 1000)]
            .prop_map(|ms| Action::Sleep { ms }),
        1 => Just(Action::Hold),
        1 => Just(Action::Flush),
        1 => prop_oneof![Just(None), Just(Some(ErrorCode::NotEnoughReplicas))].prop_map(|error| Action::Fail { error }),
    ]
}

/// Four clients that remember what they were told.
#[derive(Default)]
struct Client {
    member: String,
    generation: i32,
    leads: Vec<String>,
}

struct World {
    bench: Bench,
    clients: Vec<Client>,
    joining: BTreeMap<crate::Ticket, usize>,
    answered: u64,
}

impl World {
    fn new() -> Self {
        Self {
            bench: Bench::new(),
            clients: (0..4)
                .map(|_| Client {
                    generation: -1,
                    ..Client::default()
                })
                .collect(),
            joining: BTreeMap::new(),
            answered: 0,
        }
    }

    /// Hands the answers out.
    fn learn(&mut self) {
        for (ticket, reply) in std::mem::take(&mut self.bench.replies) {
            self.answered += 1;
            let Reply::Join(response) = reply else { continue };
            let Some(who) = self.joining.remove(&ticket) else {
                continue;
            };
            let client = &mut self.clients[who];
            match response.error {
                ErrorCode::None => {
                    client.member = response.member_id;
                    client.generation = response.generation_id;
                    client.leads = response.members.into_iter().map(|m| m.member_id).collect();
                }
                ErrorCode::MemberIdRequired => client.member = response.member_id,
                ErrorCode::RebalanceInProgress => {}
                _ => {
                    *client = Client {
                        generation: -1,
                        ..Client::default()
                    }
                }
            }
        }
    }

    fn step(&mut self, action: Action) {
        match action {
            Action::Join {
                who,
                version,
                protocols,
                is_static,
            } => self.join(who, version, protocols, is_static),
            Action::Sync { who } => self.sync(who),
            Action::Heartbeat { who } => {
                let (member, generation) = (self.clients[who].member.clone(), self.clients[who].generation);
                self.bench.heartbeat(&member, generation);
                self.answered += 1;
            }
            Action::Leave { who } => self.leave(who),
            Action::Commit {
                who,
                offset,
                as_admin,
            } => self.commit(who, offset, as_admin),
            Action::FetchStable => {
                self.bench.send_fetch(true);
            }
            Action::Delete => {
                self.bench.ask(Request::Delete(GROUP.to_owned()));
            }
            Action::Sleep { ms } => self.bench.sleep(ms),
            Action::Hold => self.bench.is_held = true,
            Action::Flush => {
                self.bench.is_held = false;
                self.bench.flush();
            }
            Action::Fail { error } => self.bench.fails_with = error,
        }
        self.learn();
    }

    fn join(&mut self, who: usize, version: i16, names: u8, is_static: bool) {
        let mut request = at_version(join_request(&self.clients[who].member), version);
        request.protocols = protocols(&["range", "sticky"][..1 + usize::from(names % 2)]);
        if is_static && who.is_multiple_of(2) {
            request = as_static(request, &format!("instance-{who}"));
            request.member_id.clear();
        }
        let ticket = self.bench.send_join(request);
        self.joining.insert(ticket, who);
    }

    fn sync(&mut self, who: usize) {
        let client = &self.clients[who];
        let assignments: Vec<(&str, &'static [u8])> = client
            .leads
            .iter()
            .map(|id| (id.as_str(), &b"assigned"[..]))
            .collect();
        let mut request = sync_request(&client.member, client.generation, &assignments);
        request.context.api_version = 4;
        (request.protocol_name, request.protocol_type) = (None, None);
        self.bench.ask(Request::Sync(request));
    }

    fn leave(&mut self, who: usize) {
        let member = self.clients[who].member.clone();
        let request = crate::api::LeaveRequest {
            group_id: GROUP.to_owned(),
            members: vec![crate::api::LeaveMember {
                member_id: member,
                ..Default::default()
            }],
            ..Default::default()
        };
        self.bench.ask(Request::Leave(request));
    }

    fn commit(&mut self, who: usize, offset: i64, as_admin: bool) {
        let client = &self.clients[who];
        let request = if as_admin {
            commit_request("", -1, offset)
        } else {
            commit_request(&client.member, client.generation, offset)
        };
        self.bench.send_commit(request);
    }

    fn offsets(&mut self) -> Vec<FetchTopicResult> {
        let ticket = self.bench.send_fetch(false);
        self.answered += 1;
        self.bench.fetched(ticket).topics
    }

    fn describe(&mut self) -> DescribedGroup {
        self.answered += 1;
        self.bench.describe()
    }
}

proptest! {
    #[test]
    fn histories_keep_the_invariants_and_the_log_rebuilds_them(
        actions in proptest::collection::vec(action(), 1..80)
    ) {
        let mut world = World::new();
        // Heartbeats of a blocked group are parked; `Bench::heartbeat` wants an answer.
        for action in actions {
            if matches!(action, Action::Heartbeat { .. }) && world.bench.is_held {
                continue;
            }
            world.step(action);
        }
        world.bench.fails_with = None;
        world.step(Action::Flush);
        // Replay equivalence: offsets always; the group when what is in memory is what was written last.
        let offsets = world.offsets();
        let described = world.describe();
        let written = world.bench.log.iter().rev().find_map(|(_, _, record)| match record {
            crate::record::CoordinatorRecord::Group(_, value) => Some(value.clone()),
            crate::record::CoordinatorRecord::Offset(..) => None,
        });
        world.bench.reload();
        world.learn();
        prop_assert_eq!(world.offsets(), offsets);
        let again = world.describe();
        let is_written = match (&written, described.state) {
            (Some(Some(value)), "Stable") => {
                // A replacement that failed is undone in memory, and a rebalance that is not over is not written.
                value.members.iter().map(|m| &m.member_id).eq(described.members.iter().map(|m| &m.member_id))
            }
            _ => false,
        };
        if is_written {
            prop_assert_eq!(again, described);
        } else if described.state == "Stable" {
            prop_assert!(false, "a stable group is not in the log: {:?}", written);
        }
        // After a failover nothing is left unanswered.
        let parked_nowhere = std::mem::replace(&mut world.bench.shard, crate::GroupShard::new(Default::default()))
            .unload(ErrorCode::NotCoordinator);
        world.answered += parked_nowhere.len() as u64;
        prop_assert_eq!(world.answered, world.bench.asked());
    }
}
