//! Proxies that hold what passes through them for a time, and drop nothing.

mod holds;
mod relay;

pub use holds::{Hold, Side};

use crate::Outcome;
use crate::net::Network;
use crate::node::{CLIENT_PORT, CONTROLLER_PORT, Layout};
use holds::Holds;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Below the ports of outgoing connections; a broker's listener is 2000 and its id above, a controller's 3000.
const FIRST_PORT: u16 = 10_000;

/// One listener for each broker, and one for each controller, at the clients' address.
pub struct Proxies {
    holds: Arc<Holds>,
    brokers: BTreeMap<i32, String>,
    controllers: BTreeMap<i32, String>,
    /// The relays stop with it.
    _runtime: Runtime,
}

impl Proxies {
    /// Starts them.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub fn start(net: &Network, layout: &Layout) -> Outcome<Self> {
        let told = |error: std::io::Error| format!("proxy: {error}");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(told)?;
        let holds = Arc::new(Holds::default());
        let named = layout.nodes().into_iter().map(|id| (net.address(id), id));
        let hosts = Arc::new(named.collect());
        let gateway = net.gateway();
        let listen = |id: i32, side: Side, port: u16| -> Outcome<(i32, String)> {
            let target = format!("{}:{port}", net.address(id));
            // The address is this run's own, so that no port of it is taken.
            let own = format!(
                "{gateway}:{}",
                FIRST_PORT + u16::try_from(id).unwrap_or(0) + port % 10 * 1000
            );
            let listener = runtime.block_on(TcpListener::bind(&own)).map_err(told)?;
            runtime.spawn(relay::serve(
                listener,
                target,
                (id, side),
                Arc::clone(&hosts),
                Arc::clone(&holds),
            ));
            Ok((id, own))
        };
        let brokers = layout
            .brokers
            .iter()
            .map(|id| listen(*id, Side::Broker, CLIENT_PORT));
        let brokers = brokers.collect::<Outcome<_>>()?;
        let controllers = layout.controllers.iter();
        let controllers = controllers.map(|id| listen(*id, Side::Controller, CONTROLLER_PORT));
        let controllers = controllers.collect::<Outcome<_>>()?;
        Ok(Self {
            holds,
            brokers,
            controllers,
            _runtime: runtime,
        })
    }

    /// `host:port` in front of a broker; `None` for a node that is none.
    #[must_use]
    pub fn of_broker(&self, id: i32) -> Option<String> {
        self.brokers.get(&id).cloned()
    }

    /// `host:port` in front of a controller.
    #[must_use]
    pub fn of_controller(&self, id: i32) -> String {
        self.controllers[&id].clone()
    }

    /// From now on holds what this names; what is held already keeps its time.
    pub fn hold(&self, hold: Hold) {
        self.holds.add(hold);
    }

    /// Holds nothing new any more.
    pub fn release(&self) {
        self.holds.clear();
    }

    /// How many chunks were held so far.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.holds.count()
    }
}
