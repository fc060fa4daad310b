//! A short list without memory of its own: of most lists in an idle log there is no element, or one.

use std::ops::{Deref, DerefMut};

/// A list that takes heap memory from the second element on, until [`Few::shrink`].
#[derive(Clone, Debug)]
pub(crate) struct Few<T>(List<T>);

#[derive(Clone, Debug)]
enum List<T> {
    None,
    One([T; 1]),
    /// Any number. Boxed, so that the list itself is no larger than its one element makes it.
    #[expect(
        clippy::box_collection,
        reason = "three words would be more than most elements take"
    )]
    Many(Box<Vec<T>>),
}

impl<T> Few<T> {
    /// Appends one.
    pub(crate) fn push(&mut self, value: T) {
        self.insert(self.len(), value);
    }

    /// Puts one before the element `at`; at most the length.
    pub(crate) fn insert(&mut self, at: usize, value: T) {
        self.0 = match std::mem::replace(&mut self.0, List::None) {
            List::None => List::One([value]),
            List::One([one]) => List::Many(Box::new(match at {
                0 => vec![value, one],
                _ => vec![one, value],
            })),
            List::Many(mut many) => {
                many.insert(at.min(many.len()), value);
                List::Many(many)
            }
        };
    }

    /// Keeps what `keep` names.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        match &mut self.0 {
            List::None => {}
            List::One([one]) => {
                if !keep(one) {
                    self.0 = List::None;
                }
            }
            List::Many(many) => many.retain(keep),
        }
    }

    /// Drops the first `count`; at most the length.
    pub(crate) fn drop_first(&mut self, mut count: usize) {
        self.retain(|_| {
            let keep = count == 0;
            count = count.saturating_sub(1);
            keep
        });
    }

    /// Gives back spare memory.
    pub(crate) fn shrink(&mut self) {
        if let List::Many(many) = &mut self.0 {
            if many.len() > 1 {
                many.shrink_to_fit();
            } else {
                self.0 = many.pop().map_or(List::None, |one| List::One([one]));
            }
        }
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self(List::None)
    }
}

impl<T> From<Vec<T>> for Few<T> {
    fn from(values: Vec<T>) -> Self {
        let mut list = Self(List::Many(Box::new(values)));
        list.shrink();
        list
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        values.into_iter().collect::<Vec<_>>().into()
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            List::None => &[],
            List::One(one) => one,
            List::Many(many) => many,
        }
    }
}

impl<T> DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            List::None => &mut [],
            List::One(one) => one,
            List::Many(many) => many,
        }
    }
}

impl<T: PartialEq> PartialEq for Few<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Few<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_what_a_vec_does() {
        for length in 0..4_u64 {
            let plain: Vec<u64> = (10..10 + length).collect();
            let few: Few<u64> = plain.iter().copied().collect();
            assert_eq!(&*few, &plain[..]);
            for at in 0..=plain.len() {
                let (mut plain, mut few) = (plain.clone(), few.clone());
                plain.insert(at, 5);
                few.insert(at, 5);
                assert_eq!(&*few, &plain[..]);
                plain.retain(|value| *value != 11);
                few.retain(|value| *value != 11);
                assert_eq!(&*few, &plain[..]);
                few.shrink();
                assert_eq!(few, Few::from(plain.clone()));
                plain.push(6);
                few.push(6);
                few[0] += 1;
                plain[0] += 1;
                assert_eq!(&*few, &plain[..]);
            }
            for count in 0..=plain.len() {
                let mut few = few.clone();
                few.drop_first(count);
                assert_eq!(&*few, &plain[count..]);
            }
        }
    }

    #[test]
    fn one_that_is_left_takes_no_heap() {
        let mut few = Few::from(vec![1_u64, 2]);
        few.drop_first(1);
        few.shrink();
        assert!(matches!(few.0, List::One([2])));
        few.retain(|_| false);
        assert!(matches!(few.0, List::None));
        assert_eq!(size_of::<Few<u64>>(), 16);
    }
}
