//! Lists of brokers, as short as a partition's replicas.

use milena_types::BrokerId;
use std::fmt;
use std::ops::Deref;

/// A list of brokers. Three, a partition's usual replicas, take 16 bytes and no memory of their own; there may be more.
#[derive(Clone, Default)]
pub struct BrokerIds(List);

#[derive(Clone)]
enum List {
    Few { count: u8, ids: [BrokerId; 3] },
    Many(Box<Many>),
}

/// Boxed as a whole, so that the list is not larger for it.
#[derive(Clone)]
struct Many {
    ids: Vec<BrokerId>,
}

impl Default for List {
    fn default() -> Self {
        List::Few {
            count: 0,
            ids: [BrokerId(0); 3],
        }
    }
}

impl BrokerIds {
    /// Appends one.
    pub fn push(&mut self, broker: BrokerId) {
        match &mut self.0 {
            List::Few { count, ids } => match ids.get_mut(usize::from(*count)) {
                Some(free) => {
                    *free = broker;
                    *count += 1;
                }
                None => {
                    let ids = ids.iter().copied().chain([broker]).collect();
                    self.0 = List::Many(Box::new(Many { ids }));
                }
            },
            List::Many(many) => many.ids.push(broker),
        }
    }
}

impl Deref for BrokerIds {
    type Target = [BrokerId];

    fn deref(&self) -> &[BrokerId] {
        match &self.0 {
            List::Few { count, ids } => ids.get(..usize::from(*count)).unwrap_or(ids),
            List::Many(many) => &many.ids,
        }
    }
}

impl FromIterator<BrokerId> for BrokerIds {
    fn from_iter<T: IntoIterator<Item = BrokerId>>(brokers: T) -> Self {
        let mut list = Self::default();
        for broker in brokers {
            list.push(broker);
        }
        list
    }
}

impl From<&[BrokerId]> for BrokerIds {
    fn from(brokers: &[BrokerId]) -> Self {
        brokers.iter().copied().collect()
    }
}

impl PartialEq for BrokerIds {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for BrokerIds {}

impl fmt::Debug for BrokerIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_list_of_any_length_and_small() {
        for length in 0..9 {
            let ids: Vec<BrokerId> = (10..10 + length).map(BrokerId).collect();
            let list = BrokerIds::from(&ids[..]);
            assert_eq!(&*list, &ids[..]);
            assert_eq!(list, ids.iter().copied().collect());
            assert_eq!(format!("{list:?}"), format!("{ids:?}"));
            let mut longer = list.clone();
            longer.push(BrokerId(0));
            assert_ne!(list, longer);
        }
        assert_eq!(size_of::<BrokerIds>(), 16);
    }
}
