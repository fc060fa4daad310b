//! What a cut drops: packets in one direction, of one service or of all.
//!
//! TCP needs both directions: a connection with one direction cut stalls in both, sooner or later. What differs is what still arrives
//! until then, and which side notices.

/// An end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A node.
    Node(i32),
    /// All clients: they share the bridge's address.
    Clients,
}

/// Packets that are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Who sends them.
    pub from: Peer,
    /// Who does not get them.
    pub to: Peer,
    /// Only those of connections to this port of `to`; with [`Self::answers`], to this port of `from`.
    pub port: Option<u16>,
    /// They come from the side that serves.
    pub answers: bool,
}

impl Cut {
    /// Everything that `from` sends to `to`.
    #[must_use]
    pub fn all(from: Peer, to: Peer) -> Self {
        Self {
            from,
            to,
            port: None,
            answers: false,
        }
    }

    /// What `from` says on connections to that port of `to`.
    #[must_use]
    pub fn requests(from: Peer, to: Peer, port: u16) -> Self {
        Self {
            from,
            to,
            port: Some(port),
            answers: false,
        }
    }

    /// What `from` says on connections that `to` has made to that port of `from`.
    #[must_use]
    pub fn answers(from: Peer, to: Peer, port: u16) -> Self {
        Self {
            from,
            to,
            port: Some(port),
            answers: true,
        }
    }

    /// The node whose namespace drops them, and the rule for nft.
    ///
    /// # Panics
    /// When no end is a node.
    pub(super) fn rule(&self, address: impl Fn(Peer) -> String) -> (i32, String) {
        let (at, chain) = match (self.from, self.to) {
            (_, Peer::Node(id)) => (id, "in"),
            (Peer::Node(id), Peer::Clients) => (id, "out"),
            (Peer::Clients, Peer::Clients) => panic!("a cut has a node at one end"),
        };
        let port = match (self.port, self.answers) {
            (None, _) => String::new(),
            (Some(port), false) => format!(" tcp dport {port}"),
            (Some(port), true) => format!(" tcp sport {port}"),
        };
        let (from, to) = (address(self.from), address(self.to));
        let rule = format!("add rule inet drill {chain} ip saddr {from} ip daddr {to}{port} drop\n");
        (at, rule)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cut, Peer};

    fn address(peer: Peer) -> String {
        match peer {
            Peer::Node(id) => format!("node{id}"),
            Peer::Clients => "clients".to_owned(),
        }
    }

    #[test]
    fn a_cut_is_dropped_where_it_arrives_or_else_where_it_is_sent() {
        let requests = Cut::requests(Peer::Node(1), Peer::Node(2), 9093).rule(address);
        assert_eq!(requests.0, 2);
        assert_eq!(
            requests.1,
            "add rule inet drill in ip saddr node1 ip daddr node2 tcp dport 9093 drop\n"
        );
        let answers = Cut::answers(Peer::Node(1), Peer::Clients, 9092).rule(address);
        assert_eq!(answers.0, 1);
        assert_eq!(
            answers.1,
            "add rule inet drill out ip saddr node1 ip daddr clients tcp sport 9092 drop\n"
        );
    }
}
