//! The `server.properties` of one node.

use super::layout::Layout;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Where a broker listens, in its own namespace.
pub const CLIENT_PORT: u16 = 9092;
/// Where a controller listens.
pub const CONTROLLER_PORT: u16 = 9093;
/// Where a node answers `/ready` and `/metrics`.
pub const ADMIN_PORT: u16 = 9644;

/// Where one node is to be found, and where it keeps what.
pub(super) struct Place {
    pub(super) id: i32,
    /// Its address in its namespace.
    pub(super) address: String,
    /// `host:port` that clients and other brokers are told.
    pub(super) advertised: String,
    /// `id@host:port` of all controllers.
    pub(super) voters: String,
    /// The directory of the metadata.
    pub(super) metadata: PathBuf,
    /// The directories of partitions.
    pub(super) log_dirs: Vec<PathBuf>,
}

/// Writes them.
pub(super) fn properties(layout: &Layout, place: &Place) -> String {
    let (mut roles, mut listeners) = (Vec::new(), Vec::new());
    let address = &place.address;
    let is_broker = layout.brokers.contains(&place.id);
    if is_broker {
        roles.push("broker");
        listeners.push(format!("PLAINTEXT://{address}:{CLIENT_PORT}"));
    }
    if layout.controllers.contains(&place.id) {
        roles.push("controller");
        listeners.push(format!("CONTROLLER://{address}:{CONTROLLER_PORT}"));
    }
    let dirs: Vec<String> = place
        .log_dirs
        .iter()
        .map(|dir| dir.display().to_string())
        .collect();
    let mut text = format!(
        "process.roles={roles}\nnode.id={id}\ncontroller.quorum.voters={voters}\ncontroller.listener.names=CONTROLLER\n\
         listeners={listeners}\nlistener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         metadata.log.dir={metadata}\nlog.dirs={dirs}\nmilena.admin.listen={address}:{ADMIN_PORT}\n\
         broker.session.timeout.ms={session}\nbroker.heartbeat.interval.ms=1000\nreplica.lag.time.max.ms={lag}\n\
         num.partitions=4\ndefault.replication.factor=3\nmin.insync.replicas=2\noffsets.topic.replication.factor=3\n\
         transaction.state.log.replication.factor=3\ntransaction.state.log.min.isr=2\ngroup.initial.rebalance.delay.ms=0\n",
        roles = roles.join(","),
        id = place.id,
        voters = place.voters,
        listeners = listeners.join(","),
        metadata = place.metadata.display(),
        dirs = dirs.join(","),
        session = Layout::SESSION.as_millis(),
        lag = Layout::LAG.as_millis(),
    );
    if is_broker {
        let _ = writeln!(text, "advertised.listeners=PLAINTEXT://{}", place.advertised);
    }
    text
}
