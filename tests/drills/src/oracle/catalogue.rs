//! What an administrator may believe of its topics after it was told something of each call. One client, one call after the other: what was
//! done for certain holds from then on, what was not answered may have been done or not.

use std::collections::{BTreeMap, BTreeSet};

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It was done.
    Done,
    /// It was refused because the topic was there, or was not.
    Refused,
    /// Anything else.
    Unknown,
}

/// What one name may be now: `None` for no topic, else a topic with that value.
type Possible = BTreeSet<Option<String>>;

/// All names.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    names: BTreeMap<String, Possible>,
    succeeded: usize,
    /// Answers that contradict what was certain.
    contradictions: Vec<String>,
}

impl Catalogue {
    /// A topic was to be created with that value.
    pub fn created(&mut self, name: &str, value: &str, told: Told) {
        self.step(name, "create", told, |was, told| match (was, told) {
            (None, Told::Done) => vec![Some(value.to_owned())],
            (None, Told::Unknown) => vec![None, Some(value.to_owned())],
            (Some(old), Told::Refused | Told::Unknown) => vec![Some(old.clone())],
            // Sent again after an answer was lost: it is there, and says so.
            (None, Told::Refused) => vec![Some(value.to_owned())],
            (Some(_), Told::Done) => vec![],
        });
    }

    /// A topic was to be deleted.
    pub fn deleted(&mut self, name: &str, told: Told) {
        self.step(name, "delete", told, |was, told| match (was, told) {
            (Some(_), Told::Done | Told::Refused) | (None, Told::Refused | Told::Unknown) => vec![None],
            (Some(old), Told::Unknown) => vec![None, Some(old.clone())],
            (None, Told::Done) => vec![],
        });
    }

    /// A topic was to have that value.
    pub fn configured(&mut self, name: &str, value: &str, told: Told) {
        self.step(name, "configure", told, |was, told| match (was, told) {
            (Some(_), Told::Done) => vec![Some(value.to_owned())],
            (Some(old), Told::Unknown) => vec![Some(old.clone()), Some(value.to_owned())],
            (None, Told::Refused | Told::Unknown) => vec![None],
            (Some(_), Told::Refused) | (None, Told::Done) => vec![],
        });
    }

    fn step(
        &mut self,
        name: &str,
        what: &str,
        told: Told,
        next: impl Fn(Option<&String>, Told) -> Vec<Option<String>>,
    ) {
        self.succeeded += usize::from(told == Told::Done);
        let before = self.names.entry(name.to_owned()).or_insert_with(|| [None].into());
        let after: Possible = before.iter().flat_map(|was| next(was.as_ref(), told)).collect();
        if after.is_empty() {
            self.contradictions.push(format!(
                "{what} {name} was {told:?} although it was one of {before:?}"
            ));
        } else {
            *before = after;
        }
    }

    /// Calls that were done.
    #[must_use]
    pub fn succeeded(&self) -> usize {
        self.succeeded
    }

    /// All names.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    /// What is wrong when the names are like this in the end, and what was contradictory before.
    #[must_use]
    pub fn judge(&self, in_the_end: &BTreeMap<String, Option<String>>) -> Vec<String> {
        let mut wrong = self.contradictions.clone();
        for (name, possible) in &self.names {
            let there = in_the_end.get(name).cloned().flatten();
            if !possible.contains(&there) {
                wrong.push(format!(
                    "{name} is {there:?}, and can only be one of {possible:?}"
                ));
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::{Catalogue, Told};

    fn judged(catalogue: &Catalogue, there: Option<&str>) -> usize {
        catalogue
            .judge(&[("t".to_owned(), there.map(str::to_owned))].into())
            .len()
    }

    #[test]
    fn what_was_done_is_there_and_nothing_else() {
        let mut catalogue = Catalogue::default();
        catalogue.created("t", "1", Told::Done);
        catalogue.configured("t", "2", Told::Done);
        assert_eq!(judged(&catalogue, Some("2")), 0);
        assert_eq!(judged(&catalogue, Some("1")), 1, "a configuration that was lost");
        assert_eq!(judged(&catalogue, None), 1, "a topic that was lost");
        catalogue.deleted("t", Told::Done);
        assert_eq!(judged(&catalogue, None), 0);
        assert_eq!(judged(&catalogue, Some("2")), 1, "a topic that came back");
        assert_eq!(catalogue.succeeded(), 3);
    }

    #[test]
    fn what_was_not_answered_may_be_done_or_not() {
        let mut catalogue = Catalogue::default();
        catalogue.created("t", "1", Told::Done);
        catalogue.configured("t", "2", Told::Unknown);
        assert_eq!(
            (judged(&catalogue, Some("1")), judged(&catalogue, Some("2"))),
            (0, 0)
        );
        assert_eq!(judged(&catalogue, Some("3")), 1);
        catalogue.deleted("t", Told::Unknown);
        assert_eq!(judged(&catalogue, None), 0);
        catalogue.configured("t", "4", Told::Done);
        assert_eq!(judged(&catalogue, Some("4")), 0);
        assert_eq!(judged(&catalogue, None), 1, "it was still there to be configured");
    }

    #[test]
    fn an_answer_that_cannot_be_is_a_contradiction() {
        let mut catalogue = Catalogue::default();
        catalogue.created("t", "1", Told::Done);
        catalogue.created("t", "2", Told::Done);
        assert_eq!(judged(&catalogue, Some("1")), 1);
    }
}
