//! How much may be going on at once, over all connections: bytes of requests being worked on, connections, and
//! connections per address. Counters only; shared by all data threads.

use crate::config::NetworkConfig;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The limits and how much of them is used.
pub(super) struct Admission {
    request_bytes: Arc<AtomicUsize>,
    request_bytes_max: usize,
    connections: Arc<Mutex<Connections>>,
    connections_max: usize,
    connections_per_ip_max: usize,
}

#[derive(Default)]
struct Connections {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("max.connections ({0}) is reached")]
    Total(usize),
    #[error("max.connections.per.ip ({0}) is reached")]
    PerAddress(usize),
}

impl Admission {
    pub(super) fn new(config: &NetworkConfig) -> Self {
        Self {
            request_bytes: Arc::default(),
            request_bytes_max: config.queued_max_request_bytes.max(1),
            connections: Arc::default(),
            connections_max: config.max_connections,
            connections_per_ip_max: config.max_connections_per_ip,
        }
    }

    /// True while no further request should be read from any socket.
    pub(super) fn is_full(&self) -> bool {
        self.request_bytes.load(Ordering::Relaxed) >= self.request_bytes_max
    }

    /// Counts a request of `bytes` until the guard is dropped. Never refuses: whoever reads asks [`Self::is_full`] first.
    pub(super) fn admit_request(&self, bytes: usize) -> RequestBytes {
        self.request_bytes.fetch_add(bytes, Ordering::Relaxed);
        RequestBytes {
            total: Arc::clone(&self.request_bytes),
            bytes,
        }
    }

    /// Counts a connection until the guard is dropped.
    pub(super) fn admit_connection(&self, address: IpAddr) -> Result<ConnectionSlot, Refused> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if connections.total >= self.connections_max {
            return Err(Refused::Total(self.connections_max));
        }
        let of_address = connections.by_address.entry(address).or_default();
        if *of_address >= self.connections_per_ip_max {
            return Err(Refused::PerAddress(self.connections_per_ip_max));
        }
        *of_address += 1;
        connections.total += 1;
        drop(connections);
        Ok(ConnectionSlot {
            connections: Arc::clone(&self.connections),
            address,
        })
    }
}

/// The bytes of one request that is being worked on.
#[derive(Debug)]
pub(super) struct RequestBytes {
    total: Arc<AtomicUsize>,
    bytes: usize,
}

impl RequestBytes {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for RequestBytes {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// One open connection.
pub(super) struct ConnectionSlot {
    connections: Arc<Mutex<Connections>>,
    address: IpAddr,
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.total -= 1;
        if let Some(count) = connections.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                connections.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn admission(total: usize, per_ip: usize) -> Admission {
        Admission::new(&NetworkConfig {
            max_connections: total,
            max_connections_per_ip: per_ip,
            queued_max_request_bytes: 100,
            ..NetworkConfig::default()
        })
    }

    #[test]
    fn connections_are_limited_in_total_and_by_address() {
        let admission = admission(3, 2);
        let address = |last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        let first = admission.admit_connection(address(1)).unwrap();
        let _second = admission.admit_connection(address(1)).unwrap();
        assert!(matches!(
            admission.admit_connection(address(1)),
            Err(Refused::PerAddress(2))
        ));
        let _third = admission.admit_connection(address(2)).unwrap();
        assert!(matches!(
            admission.admit_connection(address(3)),
            Err(Refused::Total(3))
        ));
        drop(first);
        assert!(admission.admit_connection(address(1)).is_ok());
    }

    #[test]
    fn request_bytes_are_given_back() {
        let admission = admission(1, 1);
        let request = admission.admit_request(100);
        assert!(admission.is_full());
        drop(request);
        assert!(!admission.is_full());
    }
}
