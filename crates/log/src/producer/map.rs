//! The producers of one partition by their ids: none and one, as most partitions have, take as little memory as they can.

use super::entry::ProducerEntry;
use milena_types::ProducerId;
use std::collections::BTreeMap;

/// Producers by id.
#[derive(Clone, Debug, Default)]
pub(super) struct ProducerMap(Option<Box<Producers>>);

#[derive(Clone, Debug)]
enum Producers {
    One(ProducerId, ProducerEntry),
    /// Any number but none. Entries are boxed, because a node of the map has room for more than there are.
    Many(BTreeMap<ProducerId, Box<ProducerEntry>>),
}

impl ProducerMap {
    pub(super) fn len(&self) -> usize {
        match self.0.as_deref() {
            None => 0,
            Some(Producers::One(..)) => 1,
            Some(Producers::Many(map)) => map.len(),
        }
    }

    pub(super) fn get(&self, id: ProducerId) -> Option<&ProducerEntry> {
        match self.0.as_deref()? {
            Producers::One(one, entry) => (*one == id).then_some(entry),
            Producers::Many(map) => map.get(&id).map(Box::as_ref),
        }
    }

    pub(super) fn get_mut(&mut self, id: ProducerId) -> Option<&mut ProducerEntry> {
        match self.0.as_deref_mut()? {
            Producers::One(one, entry) => (*one == id).then_some(entry),
            Producers::Many(map) => map.get_mut(&id).map(Box::as_mut),
        }
    }

    /// The entry of this producer; one without any knowledge if it is new.
    pub(super) fn get_or_insert(&mut self, id: ProducerId) -> &mut ProducerEntry {
        let producers = self
            .0
            .get_or_insert_with(|| Box::new(Producers::One(id, ProducerEntry::unknown())));
        if let Producers::One(one, entry) = &mut **producers
            && *one != id
        {
            let first = (*one, Box::new(std::mem::take(entry)));
            **producers = Producers::Many(BTreeMap::from([first]));
        }
        match &mut **producers {
            Producers::One(_, entry) => entry,
            Producers::Many(map) => map
                .entry(id)
                .or_insert_with(|| Box::new(ProducerEntry::unknown())),
        }
    }

    /// Every producer, by ascending id: what is written and done by them is the same in every run.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ProducerId, &ProducerEntry)> {
        let (one, many) = match self.0.as_deref() {
            None => (None, None),
            Some(Producers::One(id, entry)) => (Some((*id, entry)), None),
            Some(Producers::Many(map)) => (None, Some(map)),
        };
        let many = many.into_iter().flatten();
        one.into_iter().chain(many.map(|(id, entry)| (*id, &**entry)))
    }

    /// Keeps the producers that `keep` names.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&ProducerEntry) -> bool) {
        let left = match self.0.as_deref_mut() {
            None => return,
            Some(Producers::One(_, entry)) => usize::from(keep(entry)),
            Some(Producers::Many(map)) => {
                map.retain(|_, entry| keep(entry));
                map.len()
            }
        };
        if left == 0 {
            self.0 = None;
        }
    }

    /// Gives back spare memory.
    pub(super) fn shrink(&mut self) {
        let Some(producers) = self.0.as_deref_mut() else {
            return;
        };
        let last = match producers {
            Producers::Many(map) if map.len() == 1 => map.pop_first(),
            Producers::One(..) | Producers::Many(_) => None,
        };
        if let Some((id, entry)) = last {
            *producers = Producers::One(id, *entry);
        }
        match producers {
            Producers::One(_, entry) => entry.shrink(),
            Producers::Many(map) => map.values_mut().for_each(|entry| entry.shrink()),
        }
    }
}

impl FromIterator<(ProducerId, ProducerEntry)> for ProducerMap {
    fn from_iter<T: IntoIterator<Item = (ProducerId, ProducerEntry)>>(entries: T) -> Self {
        let mut map = Self::default();
        for (id, entry) in entries {
            *map.get_or_insert(id) = entry;
        }
        map
    }
}

impl PartialEq for ProducerMap {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(id, entry)| other.get(id) == Some(entry))
    }
}

impl Eq for ProducerMap {}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_types::{ProducerEpoch, Timestamp};

    fn entry(epoch: i16) -> ProducerEntry {
        let mut entry = ProducerEntry::unknown();
        entry.move_to_epoch(ProducerEpoch(epoch));
        entry.last_timestamp = Timestamp(i64::from(epoch));
        entry
    }

    fn of(ids: &[i64]) -> ProducerMap {
        ids.iter().map(|id| (ProducerId(*id), entry(7))).collect()
    }

    #[test]
    fn it_is_a_map_of_any_size() {
        for count in 0..5 {
            let ids: Vec<i64> = (10..10 + count).collect();
            let mut map = of(&ids);
            assert_eq!(map.len(), ids.len());
            let descending: Vec<i64> = ids.iter().rev().copied().collect();
            for map in [&map, &of(&descending)] {
                assert_eq!(map.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), ids);
            }
            for id in 9..16 {
                let known = ids.contains(&id).then(|| entry(7));
                assert_eq!(map.get(ProducerId(id)), known.as_ref());
                assert_eq!(map.get_mut(ProducerId(id)), known.clone().as_mut());
                let mut more = map.clone();
                let expected = known.clone().unwrap_or_else(ProducerEntry::unknown);
                assert_eq!(more.get_or_insert(ProducerId(id)), &expected);
                assert_eq!(more == map, known.is_some());
            }
        }
    }

    #[test]
    fn one_that_is_left_is_equal_to_one_that_was_alone_and_takes_as_little() {
        let mut map = of(&[1]);
        *map.get_or_insert(ProducerId(2)) = entry(9);
        map.retain(|entry| entry.epoch == Some(ProducerEpoch(9)));
        let alone: ProducerMap = [(ProducerId(2), entry(9))].into_iter().collect();
        assert_eq!((&map, map.len()), (&alone, 1));
        map.shrink();
        assert!(matches!(map.0.as_deref(), Some(Producers::One(..))));
        assert_eq!((&map, map.get(ProducerId(2))), (&alone, Some(&entry(9))));
        map.retain(|_| false);
        assert!(map.0.is_none());
        // No larger than the one producer makes it.
        assert_eq!(
            size_of::<Producers>(),
            size_of::<ProducerEntry>() + size_of::<ProducerId>()
        );
    }
}
