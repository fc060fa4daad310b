//! The controller's configuration.

use super::broker::topic_defaults;
use super::resolve::{ResolveError, bind_address};
use crate::config::NodeConfig;
use milena_controller::{ControllerConfig, Listen, Voter};
use milena_types::ClusterId;
use std::time::Duration;

/// Makes the controller's configuration; `cluster_id` is the one on disk or the one asked for.
///
/// # Errors
/// When a controller listener's host cannot be resolved.
pub fn controller_config(
    node: &NodeConfig,
    cluster_id: Option<ClusterId>,
) -> Result<ControllerConfig, ResolveError> {
    let settings = &node.settings;
    let voter = |v: &crate::config::Voter| Voter {
        id: milena_types::BrokerId(v.id),
        host: v.address.host.clone(),
        port: v.address.port,
    };
    let voters = node.voters.iter().map(voter).collect();
    let mut config = ControllerConfig::new(
        node.node_id,
        voters,
        node.metadata_log_dir.clone(),
        topic_defaults(node),
    );
    for listener in &node.controller_listeners {
        config.listen.push(Listen::Address(bind_address(listener)?));
    }
    config.cluster_id = cluster_id;
    config
        .inter_broker_listener
        .clone_from(&node.inter_broker_listener);
    let timing = crate::config::QuorumTiming::of(settings);
    config.heartbeat = timing.heartbeat;
    config.election_min = timing.election_min;
    config.election_max = timing.election_max;
    config.session_timeout = settings.millis("broker.session.timeout.ms");
    let seconds = settings
        .integer("leader.imbalance.check.interval.seconds")
        .max(1)
        .unsigned_abs();
    let is_automatic = settings.boolean("auto.leader.rebalance.enable");
    config.rebalance_interval = is_automatic.then(|| Duration::from_secs(seconds));
    config.unclean_interval = settings.millis("unclean.leader.election.interval.ms");
    Ok(config)
}
