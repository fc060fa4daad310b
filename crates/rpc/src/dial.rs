//! Is anybody there? One dial, and what its outcome says about a process whose connections have just broken.
//!
//! ```text
//! connected                                  the process, or its host's backlog, lives
//! refused                                    the host lives, and nobody listens: the process is gone
//! name unknown, host unreachable             a container that is gone takes its name and address with it
//! no answer in time, anything else           nothing is known
//! ```

use std::io::ErrorKind;
use std::time::Duration;
use tokio::net::TcpStream;

/// What a dial found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialled {
    /// Somebody listens.
    Answered,
    /// The host says that nobody listens: proof by itself.
    Refused,
    /// The name does not resolve, or there is no way to the host: proof only together with connections that broke, since
    /// a name service may fail while all processes live.
    Vanished,
    /// No outcome in time, or one that says nothing.
    Unclear,
}

impl Dialled {
    /// The process is gone, for someone whose connection to it has broken.
    #[must_use]
    pub fn is_gone(self) -> bool {
        matches!(self, Self::Refused | Self::Vanished)
    }
}

/// Dials `host:port` once, at most for `patience`.
pub async fn dial(address: &str, patience: Duration) -> Dialled {
    let attempt = async {
        let Ok(addresses) = tokio::net::lookup_host(address).await else {
            return Dialled::Vanished;
        };
        let mut found = Dialled::Vanished;
        for address in addresses {
            found = match TcpStream::connect(address).await {
                Ok(_) => return Dialled::Answered,
                Err(error) => outcome(error.kind()),
            };
        }
        found
    };
    tokio::time::timeout(patience, attempt)
        .await
        .unwrap_or(Dialled::Unclear)
}

fn outcome(kind: ErrorKind) -> Dialled {
    match kind {
        ErrorKind::ConnectionRefused => Dialled::Refused,
        ErrorKind::HostUnreachable => Dialled::Vanished,
        _ => Dialled::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_dial_tells_the_living_from_the_dead() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(dial(&address, PATIENCE).await, Dialled::Answered);
        drop(listener);
        assert_eq!(dial(&address, PATIENCE).await, Dialled::Refused);
        assert_eq!(dial("no-such-node.invalid:1", PATIENCE).await, Dialled::Vanished);
    }

    #[tokio::test]
    async fn a_host_that_does_not_answer_says_nothing() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        // Nobody accepts: once the backlog is full, the host is silent.
        let mut waiting = Vec::new();
        let short = Duration::from_millis(100);
        while let Ok(stream) = tokio::time::timeout(short, TcpStream::connect(address)).await {
            waiting.push(stream.unwrap());
            assert!(waiting.len() < 100, "the backlog has an end");
        }
        assert_eq!(dial(&address.to_string(), short).await, Dialled::Unclear);
    }

    #[test]
    fn only_the_hosts_own_words_count() {
        assert!(outcome(ErrorKind::ConnectionRefused).is_gone());
        assert!(outcome(ErrorKind::HostUnreachable).is_gone());
        for kind in [
            ErrorKind::NetworkUnreachable,
            ErrorKind::TimedOut,
            ErrorKind::PermissionDenied,
        ] {
            assert!(!outcome(kind).is_gone(), "{kind}");
        }
    }
}
