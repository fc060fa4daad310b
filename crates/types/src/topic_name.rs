//! Topic names as Kafka allows them.

use std::sync::Arc;

/// A legal topic name: 1 to 249 characters of `[a-zA-Z0-9._-]`, neither `.` nor `..`.
///
/// Cheap to clone. Source: `org.apache.kafka.common.internals.Topic.validate`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

/// Why a topic name was refused; the text is Kafka's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicNameError {
    /// No character at all.
    #[error("Topic name is invalid: the empty string is not allowed")]
    Empty,
    /// `.` or `..`.
    #[error("Topic name is invalid: '{0}' is not allowed")]
    Dots(String),
    /// Over 249 characters.
    #[error("Topic name is invalid: the length of '{0}' is longer than the max allowed length 249")]
    TooLong(String),
    /// A character outside `[a-zA-Z0-9._-]`.
    #[error(
        "Topic name is invalid: '{0}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    )]
    Characters(String),
}

impl TopicName {
    /// The longest legal name, in characters.
    pub const LENGTH_MAX: usize = 249;

    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`TopicNameError`] says which rule it breaks.
    pub fn new(name: &str) -> Result<Self, TopicNameError> {
        if name.is_empty() {
            return Err(TopicNameError::Empty);
        }
        if name == "." || name == ".." {
            return Err(TopicNameError::Dots(name.to_owned()));
        }
        if name.len() > Self::LENGTH_MAX {
            return Err(TopicNameError::TooLong(name.chars().take(300).collect()));
        }
        if !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        {
            return Err(TopicNameError::Characters(name.escape_debug().to_string()));
        }
        Ok(Self(Arc::from(name)))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when both names make the same metric name (`.` and `_` are one there), so that only one may exist.
    #[must_use]
    pub fn collides_with(&self, other: &TopicName) -> bool {
        let same = |(a, b): (u8, u8)| a == b || (matches!(a, b'.' | b'_') && matches!(b, b'.' | b'_'));
        self.0.len() == other.0.len() && self.0.bytes().zip(other.0.bytes()).all(same)
    }

    /// True for the topics that the brokers themselves write.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        matches!(
            self.as_str(),
            "__consumer_offsets" | "__transaction_state" | "__share_group_state"
        )
    }
}

impl std::fmt::Display for TopicName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for TopicName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kafka_refuses_are_refused() {
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "../../etc/x",
            "a b",
            "é",
            "a\0b",
            &"x".repeat(250),
        ] {
            assert!(TopicName::new(bad).is_err(), "{bad:?}");
        }
        for good in [
            "a",
            "hello.kafka.2",
            "__consumer_offsets",
            "...",
            &"x".repeat(249),
        ] {
            assert!(TopicName::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn dots_and_underscores_collide() {
        let name = |n: &str| TopicName::new(n).unwrap();
        assert!(name("a.b").collides_with(&name("a_b")));
        assert!(!name("a.b").collides_with(&name("a-b")));
        assert!(!name("a.b").collides_with(&name("a_bc")));
    }
}
