//! Free ports below the ephemeral range, so that no client's own port can take them meanwhile.

use rand::Rng;
use std::net::TcpListener;

/// Finds `count` ports in `[10000, 32000)` that are free now.
///
/// # Panics
/// When a thousand tries find none.
#[must_use]
pub fn free_ports(count: usize) -> Vec<u16> {
    let mut held = Vec::new();
    for _ in 0..1000 {
        if held.len() == count {
            break;
        }
        let port = rand::rng().random_range(10_000..32_000);
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            held.push((port, listener));
        }
    }
    assert_eq!(held.len(), count, "no free ports");
    held.into_iter().map(|(port, _)| port).collect()
}
