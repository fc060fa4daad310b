//! Fetch sessions (KIP-227): the partitions that a consumer reads, kept between its requests, so that requests and
//! answers carry only what changed. Source: `FetchManager`, `FetchSession`.
//!
//! Shared by all data threads: a client that reconnects may arrive at another one. One lock for the table, one for each
//! session; neither is held across an await.

use milena_types::{ErrorCode, TopicId};
use milena_wire::StrBytes;
use milena_wire::fetch::{FetchPartition, FetchPartitionResponse, FetchRequest};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Sessions that were not used for so long may be evicted. Source: `FetchSessionCache.minIncrementalFetchSessionEvictionMs`.
const EVICTION: Duration = Duration::from_secs(120);

/// The epoch that opens a session; with a session id it replaces that session.
const EPOCH_INITIAL: i32 = 0;
/// The epoch that wants no session, or closes one.
const EPOCH_FINAL: i32 = -1;

/// A partition as the client names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The name, up to version 12; empty afterwards.
    pub(super) name: StrBytes,
    /// The id, from version 13 on; zero before.
    pub(super) id: TopicId,
    /// The partition's number.
    pub(super) partition: i32,
}

#[derive(Debug)]
struct Cached {
    key: Key,
    wanted: FetchPartition,
    /// What the client was told last; -1 makes the next answer name the partition.
    high_watermark: i64,
    log_start_offset: i64,
}

/// The state of one session.
#[derive(Debug)]
pub(super) struct Session {
    id: i32,
    /// The epoch that the next request must have.
    epoch: i32,
    uses_topic_ids: bool,
    /// In the order in which they are read; a forgotten partition leaves a hole until the list is rebuilt.
    partitions: Vec<Option<Cached>>,
    positions: HashMap<Key, usize>,
    /// Where reading begins: after the partition that had records last, so that none starves.
    start: usize,
    created: Instant,
    used: Instant,
}

/// All sessions of a broker.
pub(super) struct FetchSessions {
    slots: usize,
    table: Mutex<HashMap<i32, Arc<Mutex<Session>>>>,
}

/// How one request is answered.
pub(super) enum FetchContext {
    /// Without a session: everything that was asked, and nothing is kept.
    Sessionless,
    /// The first request of a session: everything that was asked.
    Full(Arc<Mutex<Session>>),
    /// A later one: only what changed.
    Incremental(Arc<Mutex<Session>>),
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

/// The partitions that a request names, in its order.
pub(super) fn requested(request: &FetchRequest) -> Vec<(Key, FetchPartition)> {
    let topics = request.topics.iter();
    let all = topics.flat_map(|topic| {
        topic.partitions.iter().map(|wanted| {
            (
                Key {
                    name: topic.name.clone(),
                    id: topic.id,
                    partition: wanted.partition,
                },
                *wanted,
            )
        })
    });
    all.collect()
}

/// A name that outlives its frame: a slice would keep the whole read chunk alive.
fn owned(key: &Key) -> Key {
    Key {
        name: StrBytes::from_string(key.name.as_str().to_owned()),
        ..key.clone()
    }
}

impl FetchSessions {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            slots,
            table: Mutex::default(),
        }
    }

    /// Finds, opens or closes the session of a request.
    ///
    /// # Errors
    /// FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR: of the whole request.
    pub(super) fn context(
        &self,
        request: &FetchRequest,
        uses_topic_ids: bool,
        now: Instant,
    ) -> Result<FetchContext, ErrorCode> {
        if matches!(request.session_epoch, EPOCH_INITIAL | EPOCH_FINAL) {
            if request.session_id != 0 {
                locked(&self.table).remove(&request.session_id);
            }
            if request.session_epoch == EPOCH_FINAL || request.topics.is_empty() {
                return Ok(FetchContext::Sessionless);
            }
            let session = self.open(request, uses_topic_ids, now);
            return Ok(session.map_or(FetchContext::Sessionless, FetchContext::Full));
        }
        let session = locked(&self.table).get(&request.session_id).cloned();
        let session = session.ok_or(ErrorCode::FetchSessionIdNotFound)?;
        {
            let mut state = locked(&session);
            if state.epoch != request.session_epoch {
                return Err(ErrorCode::InvalidFetchSessionEpoch);
            }
            if state.uses_topic_ids != uses_topic_ids {
                return Err(ErrorCode::FetchSessionTopicIdError);
            }
            state.update(request);
            state.epoch = next_epoch(state.epoch);
            state.used = now;
        }
        Ok(FetchContext::Incremental(session))
    }

    fn open(
        &self,
        request: &FetchRequest,
        uses_topic_ids: bool,
        now: Instant,
    ) -> Option<Arc<Mutex<Session>>> {
        let mut table = locked(&self.table);
        let size: usize = request.topics.iter().map(|topic| topic.partitions.len()).sum();
        if table.len() >= self.slots && !evict(&mut table, size, now) {
            return None;
        }
        let mut session = Session {
            id: unused_id(&table),
            epoch: next_epoch(EPOCH_INITIAL),
            uses_topic_ids,
            partitions: Vec::with_capacity(size),
            positions: HashMap::with_capacity(size),
            start: 0,
            created: now,
            used: now,
        };
        session.update(request);
        let (id, session) = (session.id, Arc::new(Mutex::new(session)));
        table.insert(id, Arc::clone(&session));
        Some(session)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        locked(&self.table).len()
    }
}

/// Makes room: by a session that is idle, else by an old one that reads fewer partitions than the new one.
fn evict(table: &mut HashMap<i32, Arc<Mutex<Session>>>, size: usize, now: Instant) -> bool {
    let summary = table.iter().map(|(id, session)| {
        let session = locked(session);
        (
            *id,
            now.duration_since(session.used),
            now.duration_since(session.created),
            session.positions.len(),
        )
    });
    let sessions: Vec<_> = summary.collect();
    let idle = sessions
        .iter()
        .filter(|(_, idle, ..)| *idle >= EVICTION)
        .max_by_key(|(_, idle, ..)| *idle);
    let smaller = || {
        let old = sessions
            .iter()
            .filter(|(_, _, age, partitions)| *age >= EVICTION && *partitions < size);
        old.min_by_key(|(.., partitions)| *partitions)
    };
    match idle.or_else(smaller) {
        Some((id, ..)) => table.remove(id).is_some(),
        None => false,
    }
}

fn unused_id(table: &HashMap<i32, Arc<Mutex<Session>>>) -> i32 {
    loop {
        // Random, so that a client of an earlier run of this broker does not meet a session of another client.
        let id = rand::random_range(1..i32::MAX);
        if !table.contains_key(&id) {
            return id;
        }
    }
}

impl Session {
    /// Takes over what a request adds, changes and forgets.
    fn update(&mut self, request: &FetchRequest) {
        for (key, wanted) in requested(request) {
            match self.positions.get(&key) {
                Some(at) => {
                    if let Some(Some(cached)) = self.partitions.get_mut(*at) {
                        cached.wanted = wanted;
                    }
                }
                None => {
                    let key = owned(&key);
                    self.positions.insert(key.clone(), self.partitions.len());
                    self.partitions.push(Some(Cached {
                        key,
                        wanted,
                        high_watermark: -1,
                        log_start_offset: -1,
                    }));
                }
            }
        }
        for topic in &request.forgotten {
            for partition in &topic.partitions {
                let key = Key {
                    name: topic.name.clone(),
                    id: topic.id,
                    partition: *partition,
                };
                if let Some(at) = self.positions.remove(&key) {
                    self.partitions[at] = None;
                }
            }
        }
        if self.partitions.len() > 2 * self.positions.len() + 16 {
            self.partitions.retain(Option::is_some);
            let positions = self.partitions.iter().flatten().enumerate();
            self.positions = positions.map(|(at, cached)| (cached.key.clone(), at)).collect();
            self.start = 0;
        }
    }

    /// Everything that the session reads, in the order of reading.
    fn wanted(&self) -> Vec<(Key, FetchPartition)> {
        let (before, from) = self.partitions.split_at(self.start.min(self.partitions.len()));
        let order = from.iter().chain(before).flatten();
        order.map(|cached| (cached.key.clone(), cached.wanted)).collect()
    }

    /// Notes what the client is told; false when an incremental answer may leave the partition out.
    fn note(&mut self, key: &Key, response: &FetchPartitionResponse) -> bool {
        let Some(at) = self.positions.get(key).copied() else {
            return true;
        };
        let Some(Some(cached)) = self.partitions.get_mut(at) else {
            return true;
        };
        let mut changed = !response.records.is_empty()
            || response.preferred_read_replica != -1
            || response.diverging.is_some()
            || cached.high_watermark != response.high_watermark
            || cached.log_start_offset != response.log_start_offset;
        cached.high_watermark = response.high_watermark;
        cached.log_start_offset = response.log_start_offset;
        if !response.error.is_none() {
            // Sent now, and again when the error is gone although nothing else changed.
            changed = true;
            cached.high_watermark = -1;
        }
        if !response.records.is_empty() {
            self.start = (at + 1) % self.partitions.len();
        }
        changed
    }
}

impl FetchContext {
    /// What to read, in the order of reading.
    pub(super) fn wanted(&self, request: &FetchRequest) -> Vec<(Key, FetchPartition)> {
        match self {
            FetchContext::Sessionless | FetchContext::Full(_) => requested(request),
            FetchContext::Incremental(session) => locked(session).wanted(),
        }
    }

    /// The session id of the answer; 0 for none.
    pub(super) fn session_id(&self) -> i32 {
        match self {
            FetchContext::Sessionless => 0,
            FetchContext::Full(session) | FetchContext::Incremental(session) => locked(session).id,
        }
    }

    /// Notes the answers and drops those that an incremental answer leaves out.
    pub(super) fn retain_changed(&self, answers: &mut Vec<(Key, FetchPartitionResponse)>) {
        match self {
            FetchContext::Sessionless => {}
            FetchContext::Full(session) => {
                let mut session = locked(session);
                for (key, answer) in answers.iter() {
                    // The first answer names everything, changed or not.
                    let _ = session.note(key, answer);
                }
            }
            FetchContext::Incremental(session) => {
                let mut session = locked(session);
                answers.retain(|(key, answer)| session.note(key, answer));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use milena_wire::fetch::{FetchTopic, ForgottenTopic};

    fn request(session_id: i32, session_epoch: i32, partitions: &[i32], forgotten: &[i32]) -> FetchRequest {
        let partition = |partition: &i32| FetchPartition {
            partition: *partition,
            current_leader_epoch: -1,
            fetch_offset: 0,
            last_fetched_epoch: -1,
            max_bytes: 1,
        };
        let name = StrBytes::from_static_str("t");
        let id = TopicId::default();
        let topic = FetchTopic {
            name: name.clone(),
            id,
            partitions: partitions.iter().map(partition).collect(),
        };
        let gone = ForgottenTopic {
            name,
            id,
            partitions: forgotten.to_vec(),
        };
        FetchRequest {
            replica_id: -1,
            max_wait_ms: 0,
            min_bytes: 0,
            max_bytes: 1,
            isolation_level: 0,
            session_id,
            session_epoch,
            topics: if partitions.is_empty() {
                vec![]
            } else {
                vec![topic]
            },
            forgotten: if forgotten.is_empty() { vec![] } else { vec![gone] },
            rack_id: StrBytes::new(),
        }
    }

    fn answers(
        context: &FetchContext,
        request: &FetchRequest,
        records: &'static [u8],
    ) -> Vec<(Key, FetchPartitionResponse)> {
        let answer = |(key, wanted): (Key, FetchPartition)| {
            let mut response = FetchPartitionResponse::failed(wanted.partition, ErrorCode::None);
            (response.high_watermark, response.log_start_offset) = (5, 0);
            response.records = Bytes::from_static(records);
            (key, response)
        };
        context.wanted(request).into_iter().map(answer).collect()
    }

    fn numbers(answers: &[(Key, FetchPartitionResponse)]) -> Vec<i32> {
        answers.iter().map(|(key, _)| key.partition).collect()
    }

    #[test]
    fn a_session_is_opened_followed_and_closed() {
        let (sessions, now) = (FetchSessions::new(10), Instant::now());
        let first = request(0, 0, &[0, 1], &[]);
        let context = sessions.context(&first, false, now).unwrap();
        let id = context.session_id();
        assert_ne!(id, 0);
        let mut full = answers(&context, &first, b"");
        context.retain_changed(&mut full);
        assert_eq!(numbers(&full), [0, 1], "the first answer names everything");

        let second = request(id, 1, &[], &[]);
        let context = sessions.context(&second, false, now).unwrap();
        let mut unchanged = answers(&context, &second, b"");
        assert_eq!(numbers(&unchanged), [0, 1]);
        context.retain_changed(&mut unchanged);
        assert!(unchanged.is_empty(), "nothing changed");

        let third = request(id, 2, &[2], &[0]);
        let context = sessions.context(&third, false, now).unwrap();
        let mut changed = answers(&context, &third, b"x");
        context.retain_changed(&mut changed);
        assert_eq!(numbers(&changed), [1, 2]);

        let close = request(id, -1, &[], &[]);
        assert_eq!(sessions.context(&close, false, now).unwrap().session_id(), 0);
        let gone = sessions.context(&request(id, 3, &[], &[]), false, now);
        assert_eq!(gone.err(), Some(ErrorCode::FetchSessionIdNotFound));
    }

    #[test]
    fn wrong_epochs_ids_and_kinds_are_refused() {
        let (sessions, now) = (FetchSessions::new(10), Instant::now());
        let id = sessions
            .context(&request(0, 0, &[0], &[]), false, now)
            .unwrap()
            .session_id();
        let error = |id, epoch, by_id| sessions.context(&request(id, epoch, &[], &[]), by_id, now).err();
        assert_eq!(error(id, 7, false), Some(ErrorCode::InvalidFetchSessionEpoch));
        assert_eq!(error(id, 1, true), Some(ErrorCode::FetchSessionTopicIdError));
        assert_eq!(
            error(id.wrapping_add(1).max(1), 1, false),
            Some(ErrorCode::FetchSessionIdNotFound)
        );
        assert_eq!(error(id, 1, false), None);
    }

    #[test]
    fn errors_are_repeated_and_their_end_is_told() {
        let (sessions, now) = (FetchSessions::new(10), Instant::now());
        let open = request(0, 0, &[0], &[]);
        let context = sessions.context(&open, false, now).unwrap();
        let id = context.session_id();
        context.retain_changed(&mut answers(&context, &open, b""));
        let tell = |epoch, error| {
            let request = request(id, epoch, &[], &[]);
            let context = sessions.context(&request, false, now).unwrap();
            let mut list = answers(&context, &request, b"");
            list[0].1.error = error;
            context.retain_changed(&mut list);
            list.len()
        };
        assert_eq!(tell(1, ErrorCode::NotLeaderOrFollower), 1);
        assert_eq!(tell(2, ErrorCode::NotLeaderOrFollower), 1);
        assert_eq!(tell(3, ErrorCode::None), 1, "the error is gone");
        assert_eq!(tell(4, ErrorCode::None), 0);
    }

    #[test]
    fn the_partition_that_had_records_is_read_last_next_time() {
        let (sessions, now) = (FetchSessions::new(10), Instant::now());
        let open = request(0, 0, &[0, 1, 2], &[]);
        let context = sessions.context(&open, false, now).unwrap();
        let mut list = answers(&context, &open, b"");
        list[0].1.records = Bytes::from_static(b"x");
        context.retain_changed(&mut list);
        let next = request(context.session_id(), 1, &[], &[]);
        let context = sessions.context(&next, false, now).unwrap();
        assert_eq!(numbers(&answers(&context, &next, b"")), [1, 2, 0]);
    }

    #[test]
    fn a_full_table_evicts_idle_or_smaller_sessions_only() {
        let (sessions, start) = (FetchSessions::new(2), Instant::now());
        let open = |partitions: &[i32], now| {
            sessions
                .context(&request(0, 0, partitions, &[]), false, now)
                .unwrap()
                .session_id()
        };
        let (first, second) = (open(&[0], start), open(&[0, 1], start));
        assert_eq!(
            open(&[0, 1, 2], start + Duration::from_secs(1)),
            0,
            "both are young"
        );
        let later = start + EVICTION;
        for (id, epoch) in [(first, 1), (second, 1)] {
            sessions
                .context(
                    &request(id, epoch, &[], &[]),
                    false,
                    later - Duration::from_secs(1),
                )
                .unwrap();
        }
        assert_ne!(open(&[0, 1, 2], later), 0, "the smallest old one goes");
        assert_eq!(sessions.len(), 2);
        let gone = sessions.context(&request(first, 2, &[], &[]), false, later);
        assert_eq!(gone.err(), Some(ErrorCode::FetchSessionIdNotFound));
    }

    #[test]
    fn many_partitions_forgotten_and_added_do_not_grow_the_session() {
        let (sessions, now) = (FetchSessions::new(2), Instant::now());
        let id = sessions
            .context(&request(0, 0, &[0], &[]), false, now)
            .unwrap()
            .session_id();
        for epoch in 1..500 {
            let turn = request(id, epoch, &[epoch], &[epoch - 1]);
            let context = sessions.context(&turn, false, now).unwrap();
            assert_eq!(numbers(&answers(&context, &turn, b"")), [epoch]);
            if let FetchContext::Incremental(session) = &context {
                assert!(locked(session).partitions.len() <= 20);
            }
        }
    }
}
