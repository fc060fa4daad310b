//! Addresses in settings: `NAME://host:port` of listeners, `id@host:port` of voters, `host:port`.

use std::fmt;

/// A host, which may be empty or a wildcard, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// A name or number, without the brackets of IPv6; empty: all interfaces.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Upper case, as Kafka makes it.
    pub name: String,
    /// Where it listens or how it is advertised.
    pub address: Address,
}

/// One member of `controller.quorum.voters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Its `node.id`.
    pub id: i32,
    /// Its controller listener.
    pub address: Address,
}

/// The form that every listener must have.
pub(super) const LISTENER_FORM: &str = "items of the form NAME://host:port with a port from 1 to 65535";
/// The form that every voter must have.
pub(super) const VOTER_FORM: &str = "items of the form id@host:port, one for each controller";

impl Address {
    /// Reads `host:port`, `[v6]:port` or `:port`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.trim().rsplit_once(':')?;
        let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']')?,
            None if host.contains(':') => return None,
            None => host,
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        host.chars().all(is_host).then(|| Self {
            host: host.to_owned(),
            port,
        })
    }

    /// True for the empty host, 0.0.0.0 and ::.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        matches!(self.host.as_str(), "" | "0.0.0.0" | "::")
    }

    /// True when both can not be bound at the same time.
    #[must_use]
    pub fn collides_with(&self, other: &Self) -> bool {
        self.port == other.port && (self.host == other.host || self.is_wildcard() || other.is_wildcard())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

impl Listener {
    /// Reads `NAME://host:port`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, address) = text.trim().split_once("://")?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || !name.chars().all(is_name) {
            return None;
        }
        Some(Self {
            name: name.to_ascii_uppercase(),
            address: Address::parse(address)?,
        })
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.name, self.address)
    }
}

impl Voter {
    /// Reads `id@host:port`; the host must be one that others can reach.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, address) = text.trim().split_once('@')?;
        let id = id.parse().ok().filter(|id| *id >= 0)?;
        let address = Address::parse(address).filter(|address| !address.is_wildcard())?;
        Some(Self { id, address })
    }
}

impl fmt::Display for Voter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_voters_and_addresses_print_as_they_parse() {
        for text in [
            "PLAINTEXT://:9092",
            "A_B-C.1://h:1",
            "EXTERNAL://[::1]:65535",
            "X://0.0.0.0:9",
        ] {
            assert_eq!(Listener::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            Listener::parse(" internal://Kafka1:29092").unwrap().to_string(),
            "INTERNAL://Kafka1:29092"
        );
        for bad in [
            "PLAINTEXT",
            "://h:1",
            "P://h",
            "P://h:0",
            "P://h:65536",
            "P://h:x",
            "P://a:b:1",
            "P//h:1",
            "P://h/x:1",
        ] {
            assert_eq!(Listener::parse(bad), None, "{bad}");
        }
        assert_eq!(Voter::parse("0@h:1").unwrap().to_string(), "0@h:1");
        for bad in ["h:1", "-1@h:1", "x@h:1", "1@:1", "1@0.0.0.0:1", "1@h", "1@"] {
            assert_eq!(Voter::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn wildcards_collide_with_every_host_of_their_port() {
        let at = |text| Address::parse(text).unwrap();
        assert!(at(":1").collides_with(&at("h:1")) && at("h:1").collides_with(&at("[::]:1")));
        assert!(!at("a:1").collides_with(&at("b:1")) && !at(":1").collides_with(&at(":2")));
    }
}
