//! Host names of listeners as socket addresses.

use crate::config::{Address, Listener};
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};

/// A listener's host that is no address of this machine's resolver.
#[derive(Debug, thiserror::Error)]
#[error(
    "listener {listener}: host '{host}' cannot be resolved; use an address of this machine, or leave it out for all"
)]
pub struct ResolveError {
    /// As configured.
    pub listener: String,
    /// Its host.
    pub host: String,
    /// The resolver's answer.
    #[source]
    pub source: std::io::Error,
}

/// Where to bind a listener: the empty host is 0.0.0.0; of several addresses the first IPv4 one.
///
/// # Errors
/// [`ResolveError`] when the name is unknown.
pub(crate) fn bind_address(listener: &Listener) -> Result<SocketAddr, ResolveError> {
    resolve(&listener.address).map_err(|source| ResolveError {
        listener: listener.to_string(),
        host: listener.address.host.clone(),
        source,
    })
}

/// Resolves any address of the configuration.
///
/// # Errors
/// The resolver's.
pub(crate) fn resolve(address: &Address) -> std::io::Result<SocketAddr> {
    if address.host.is_empty() {
        return Ok((Ipv4Addr::UNSPECIFIED, address.port).into());
    }
    let found: Vec<SocketAddr> = (address.host.as_str(), address.port).to_socket_addrs()?.collect();
    let best = found.iter().find(|a| a.is_ipv4()).or(found.first());
    best.copied()
        .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::AddrNotAvailable))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_become_addresses_and_no_host_is_every_interface() {
        let at = |text| bind_address(&Listener::parse(text).unwrap());
        assert_eq!(at("P://:1").unwrap().to_string(), "0.0.0.0:1");
        assert_eq!(at("P://127.0.0.1:2").unwrap().to_string(), "127.0.0.1:2");
        assert_eq!(at("P://[::1]:3").unwrap().to_string(), "[::1]:3");
        assert!(
            at("P://no-such-host.invalid:4")
                .unwrap_err()
                .to_string()
                .contains("no-such-host.invalid")
        );
    }
}
