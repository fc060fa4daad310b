//! Names of things: brokers, topics, partitions, producers, directories.

use crate::TopicName;
use std::fmt;

/// 128 random bits, written as Kafka does: 22 characters of URL-safe base64 without padding.
///
/// Source: `org.apache.kafka.common.Uuid`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

/// A text that is not 22 characters of URL-safe base64.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a uuid: 22 characters of URL-safe base64 are expected")]
pub struct ParseUuidError(pub String);

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Uuid {
    /// Sixteen zero bytes: Kafka's "no id".
    pub const ZERO: Uuid = Uuid([0; 16]);

    /// A fresh random (version 4) id that does not begin with `-`, so that it can be a command's argument.
    #[must_use]
    pub fn random() -> Self {
        loop {
            let id = Uuid(*uuid::Uuid::new_v4().as_bytes());
            if !id.to_string().starts_with('-') {
                return id;
            }
        }
    }

    /// True for [`Uuid::ZERO`].
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = u128::from_be_bytes(self.0);
        let mut text = [0u8; 22];
        for (i, c) in text.iter_mut().enumerate() {
            // 22 * 6 = 132 bits: the last character carries 2 bits and four zero bits.
            let bits = if i == 21 {
                (value & 0b11) << 4
            } else {
                (value >> (122 - 6 * i)) & 0x3f
            };
            *c = BASE64[usize::try_from(bits).unwrap_or_default()];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        let error = || ParseUuidError(text.chars().take(64).collect());
        if text.len() != 22 {
            return Err(error());
        }
        let mut value: u128 = 0;
        for (i, c) in text.bytes().enumerate() {
            let bits = BASE64.iter().position(|b| *b == c).ok_or_else(error)? as u128;
            value = if i == 21 {
                (value << 2) | (bits >> 4)
            } else {
                (value << 6) | bits
            };
        }
        Ok(Uuid(value.to_be_bytes()))
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh random id.
            #[must_use]
            pub fn random() -> Self {
                Self(Uuid::random())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

uuid_id! {
    /// Names one life of a topic: deleting and creating it again gives another id. Source: KIP-516.
    TopicId
}
uuid_id! {
    /// Names one log directory's content for ever: a replaced disk has another id. Source: KIP-858 `directory.id`.
    DirectoryId
}
uuid_id! {
    /// Names one run of a broker process. Source: `BrokerRegistrationRequest.IncarnationId`.
    IncarnationId
}

macro_rules! int_id {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

int_id! {
    /// `node.id`: names a broker or controller process of the cluster; 0 and above.
    BrokerId(i32)
}
int_id! {
    /// The number of a partition inside its topic, from 0.
    PartitionIndex(i32)
}
int_id! {
    /// Names one idempotent or transactional producer.
    ProducerId(i64)
}

/// The cluster's id: any text that `meta.properties` can hold; by default 22 characters of base64.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClusterId(pub String);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A partition by its topic's id: what replication, storage and the controller use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicIdPartition {
    /// The topic's id.
    pub topic: TopicId,
    /// The partition's number.
    pub partition: PartitionIndex,
}

impl fmt::Display for TopicIdPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A partition by its topic's name: what older protocol versions, directories and logs use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: TopicName,
    /// The partition's number.
    pub partition: PartitionIndex,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_print_and_parse_as_kafka_prints_them() {
        // org.apache.kafka.common.Uuid: METADATA_TOPIC_ID is 0,1 and prints so.
        let mut one = [0; 16];
        one[15] = 1;
        assert_eq!(Uuid(one).to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!("AAAAAAAAAAAAAAAAAAAAAQ".parse(), Ok(Uuid(one)));
        for _ in 0..100 {
            let id = Uuid::random();
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for bad in ["", "AAAA", "AAAAAAAAAAAAAAAAAAAAA+", "AAAAAAAAAAAAAAAAAAAAAQA"] {
            assert!(bad.parse::<Uuid>().is_err(), "{bad}");
        }
    }
}
