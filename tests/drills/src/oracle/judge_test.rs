//! Bad histories: each is noticed, and named as what it is.

use super::super::history::{End, History, Id, Op, Seen};
use super::{Counts, judge};
use std::time::Duration;

fn id(sequence: u64) -> Id {
    Id {
        producer: 0,
        sequence,
    }
}

/// Four records of one producer in partition 0, all acknowledged, all there, all polled.
fn good() -> History {
    let seen = |sequence: u64| Seen {
        partition: 0,
        offset: i64::try_from(sequence).unwrap(),
        id: Some(id(sequence)),
    };
    let op = |sequence: u64| Op {
        id: id(sequence),
        partition: 0,
        invoked: Duration::from_millis(sequence),
        end: Some((
            Duration::from_millis(sequence + 5),
            End::Ok(i64::try_from(sequence).unwrap()),
        )),
    };
    History {
        ops: (0..4).map(op).collect(),
        polled: (0..4).map(seen).collect(),
        in_the_end: [(0, (0..4).map(seen).collect())].into(),
        written_under: (0..4).map(|offset| ((0, offset), (7, 0))).collect(),
    }
}

/// The names of what does not hold.
fn wrong(history: &History) -> Vec<String> {
    let (_, invariants) = judge(history);
    let failed = invariants.into_iter().filter(|invariant| !invariant.pass);
    failed.map(|invariant| invariant.id).collect()
}

fn log(history: &mut History) -> &mut Vec<Seen> {
    history.in_the_end.get_mut(&0).unwrap()
}

#[test]
fn a_good_history_passes() {
    let (counts, invariants) = judge(&good());
    assert!(
        invariants.iter().all(|invariant| invariant.pass),
        "{invariants:?}"
    );
    let expected = Counts {
        invoked: 4,
        ok: 4,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
}

#[test]
fn a_lost_record_is_lost() {
    let mut history = good();
    history.polled.clear();
    log(&mut history).pop();
    assert_eq!(wrong(&history), ["I1 acked-never-lost", "I6 offset-agreement"]);
    assert_eq!(judge(&history).0.lost, 1);
}

#[test]
fn what_was_never_acknowledged_may_be_missing_or_there() {
    for there in [true, false] {
        let mut history = good();
        history.polled.clear();
        history.ops[3].end = Some((Duration::from_secs(1), End::Info("timed out".to_owned())));
        if !there {
            log(&mut history).pop();
        }
        assert!(wrong(&history).is_empty());
        history.ops[3].end = None;
        assert!(wrong(&history).is_empty());
        assert_eq!(history.pending(), [((0, 0), (1, id(3)))].into());
        assert_eq!(judge(&history).0.info, 1);
    }
}

#[test]
fn an_implied_acknowledgement_counts_without_an_offset() {
    let mut history = good();
    history.ops[2].end = Some((Duration::from_secs(1), End::Implied));
    assert!(wrong(&history).is_empty());
    assert_eq!(judge(&history).0.ok, 4);
    history.polled.clear();
    log(&mut history).remove(2);
    assert_eq!(wrong(&history), ["I1 acked-never-lost"]);
}

#[test]
fn what_was_refused_must_not_be_there() {
    let mut history = good();
    history.ops[3].end = Some((
        Duration::from_secs(1),
        End::Fail("NOT_ENOUGH_REPLICAS".to_owned()),
    ));
    assert_eq!(wrong(&history), ["I2 no-phantom"]);
}

#[test]
fn a_duplicate_is_a_duplicate() {
    let mut history = good();
    log(&mut history).push(Seen {
        partition: 0,
        offset: 4,
        id: Some(id(1)),
    });
    assert_eq!(wrong(&history), ["I3 no-duplicates"]);
}

#[test]
fn a_duplicate_under_another_epoch_of_its_producer_is_the_producers_own() {
    let mut history = good();
    log(&mut history).push(Seen {
        partition: 0,
        offset: 4,
        id: Some(id(1)),
    });
    history.written_under.insert((0, 4), (7, 0));
    assert_eq!(wrong(&history), ["I3 no-duplicates"]);
    history.written_under.insert((0, 4), (7, 1));
    assert!(wrong(&history).is_empty());
    assert_eq!(judge(&history).0.renumbered, 1);
}

#[test]
fn a_foreign_value_is_a_phantom() {
    let mut history = good();
    log(&mut history).push(Seen {
        partition: 0,
        offset: 4,
        id: None,
    });
    assert_eq!(wrong(&history), ["I2 no-phantom"]);
    let mut moved = good();
    moved.ops[2].partition = 1;
    assert!(wrong(&moved).contains(&"I2 no-phantom".to_owned()));
}

#[test]
fn two_records_in_the_wrong_order_are_reordered() {
    let mut history = good();
    history.polled.clear();
    let records = log(&mut history);
    (records[1].id, records[2].id) = (records[2].id, records[1].id);
    history.ops[1].end = Some((Duration::from_secs(1), End::Ok(2)));
    history.ops[2].end = Some((Duration::from_secs(1), End::Ok(1)));
    assert_eq!(wrong(&history), ["I7 producer-order"]);
    assert!(judge(&history).0.reordered > 0);
}

#[test]
fn another_offset_than_the_acknowledged_one_disagrees() {
    let mut history = good();
    history.ops[3].end = Some((Duration::from_secs(1), End::Ok(7)));
    assert_eq!(wrong(&history), ["I6 offset-agreement"]);
}

#[test]
fn what_a_consumer_saw_must_stay() {
    let mut history = good();
    history.polled[2].id = Some(id(3));
    assert_eq!(wrong(&history), ["I6 offset-agreement"]);
    // Seen, never acknowledged, and gone in the end: a committed record was lost all the same.
    let mut gone = good();
    gone.ops[3].end = None;
    log(&mut gone).pop();
    assert_eq!(wrong(&gone), ["I6 offset-agreement"]);
}

#[test]
fn a_value_says_which_record_it_is() {
    assert_eq!(
        Id::of("3:17 xxxx"),
        Some(Id {
            producer: 3,
            sequence: 17
        })
    );
    assert_eq!(Id::of("3 17"), None);
    assert_eq!(Id::of(""), None);
}
