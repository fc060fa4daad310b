//! A node's life: storage, admin endpoint, controller, broker, signals, end. One thread, beside those of the roles.

use super::error::NodeError;
use super::limits::raise_open_files;
use super::mutant;
use super::readiness::Roles;
use super::signals::Signals;
use super::stop::stop_roles;
use crate::admin::{Watched, serve};
use crate::config::NodeConfig;
use crate::roles::{broker_config, controller_config, resolve};
use crate::storage;
use crate::telemetry::LogControl;
use milena_broker::Broker;
use milena_broker::loggers::Loggers;
use milena_controller::Controller;
use milena_types::ClusterId;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a node that is coming up looks whether it is ready.
const READY_POLL: Duration = Duration::from_millis(20);

/// Runs a node until a signal stops it. Blocks the calling thread.
///
/// `cluster_id` is what an empty directory is formatted for; without one the voters agree on a random id.
///
/// # Errors
/// When the node cannot start, or a role ends by itself; everything that was started has been stopped.
pub fn run(
    config: NodeConfig,
    warnings: &[String],
    cluster_id: Option<&str>,
    log: Arc<LogControl>,
) -> Result<(), NodeError> {
    let roles = match (config.roles.broker, config.roles.controller) {
        (true, true) => "broker,controller",
        (true, false) => "broker",
        (false, _) => "controller",
    };
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(
        node = config.node_id.0,
        roles,
        version,
        pid = std::process::id(),
        "node starting"
    );
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    mutant::from_environment().map_err(NodeError::Mutant)?;
    let limit = raise_open_files();
    tracing::debug!(?limit, "open files");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(life(config, cluster_id, log));
    // A role that is still starting on a blocking thread ends with the process.
    runtime.shutdown_background();
    match &result {
        Ok(()) => tracing::info!("node stopped"),
        Err(error) => tracing::error!(error = error as &dyn std::error::Error, "node failed"),
    }
    result
}

async fn life(config: NodeConfig, cluster_id: Option<&str>, log: Arc<LogControl>) -> Result<(), NodeError> {
    let began = Instant::now();
    let mut signals = Signals::register()?;
    let roles = Arc::new(Roles::default());
    open_admin(&config, &roles, Arc::clone(&log)).await?;
    let cluster = check_storage(&config, cluster_id)?;

    let controllers: Vec<String> = config
        .controller_addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    // A signal that arrives meanwhile is kept: a database that is being opened is not to be left in the middle.
    start_controller(&config, cluster.clone(), &roles).await?;
    let result = tokio::select! {
        started = start_broker(&config, cluster, &roles, log) => match started {
            Ok(()) => until_stopped(&config, &roles, &mut signals, began).await,
            Err(error) => Err(error),
        },
        signal = signals.next() => {
            tracing::info!(signal, "stopping before the start is complete");
            Ok(())
        }
    };
    stop_roles(&roles, &controllers, &mut signals).await;
    result
}

/// Opens the admin endpoint first: it shows a node that hangs in its start.
async fn open_admin(config: &NodeConfig, roles: &Arc<Roles>, log: Arc<LogControl>) -> Result<(), NodeError> {
    let Some(address) = &config.admin_listen else {
        return Ok(());
    };
    let error = |source| NodeError::Admin {
        address: address.to_string(),
        source,
    };
    let socket = resolve(address).map_err(error)?;
    let listener = tokio::net::TcpListener::bind(socket).await.map_err(error)?;
    tracing::info!(%address, "admin endpoint listens");
    let (roles, wanted) = (Arc::clone(roles), config.roles);
    let running = Arc::clone(&roles);
    let readiness = Box::new(move || roles.readiness(wanted));
    let kafkas = Box::new(move || {
        let mut metrics = running.controller_metrics();
        metrics.extend(running.broker().iter().flat_map(|broker| broker.metrics()));
        metrics
    });
    let watched = Arc::new(Watched {
        node_id: config.node_id.0,
        log: Some(log),
        readiness,
        kafkas,
    });
    tokio::spawn(serve(listener, watched));
    Ok(())
}

/// Refuses directories of another node or cluster; formats empty ones when the cluster is known.
fn check_storage(config: &NodeConfig, asked: Option<&str>) -> Result<Option<ClusterId>, NodeError> {
    let asked = asked.map(storage::cluster_id).transpose()?;
    let directories = storage::inspect(config);
    let cluster = storage::agreed_cluster(&directories, config.node_id, asked.as_ref())?;
    match &cluster {
        Some(cluster) => {
            let done = storage::format(config, &cluster.0, true)?;
            for path in done.written {
                tracing::info!(path = %path.display(), %cluster, "directory formatted");
            }
            for (path, reason) in done.failed {
                tracing::error!(path = %path.display(), reason, "directory cannot be used");
            }
            tracing::info!(%cluster, directories = directories.len(), "storage checked");
        }
        None => tracing::info!("directories are empty: the cluster's id will come from the voters"),
    }
    Ok(cluster)
}

/// Starts the controller, on a node that has that role. Opening its database blocks, so another thread does it.
async fn start_controller(
    config: &NodeConfig,
    cluster: Option<ClusterId>,
    roles: &Roles,
) -> Result<(), NodeError> {
    if !config.roles.controller {
        return Ok(());
    }
    let wanted = controller_config(config, cluster)?;
    let controller = match tokio::task::spawn_blocking(move || Controller::start(wanted)).await {
        Ok(started) => started.map_err(NodeError::ControllerStart)?,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    let voters = config.voters.len();
    tracing::info!(addresses = ?controller.addresses(), voters, "controller started");
    roles.set_controller(controller);
    Ok(())
}

/// Starts the broker, on a node that has that role: it waits for an active controller.
async fn start_broker(
    config: &NodeConfig,
    cluster: Option<ClusterId>,
    roles: &Roles,
    log: Arc<LogControl>,
) -> Result<(), NodeError> {
    if !config.roles.broker {
        return Ok(());
    }
    let mut wanted = broker_config(config, cluster)?;
    wanted.loggers = Loggers::new(log);
    let broker = Broker::start(wanted).await.map_err(NodeError::BrokerStart)?;
    tracing::info!(listeners = %shown(&config.advertised_listeners), "broker started");
    roles.set_broker(broker);
    Ok(())
}

fn shown(listeners: &[crate::config::Listener]) -> String {
    listeners
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

/// Waits for a signal, or for a role to end by itself.
async fn until_stopped(
    config: &NodeConfig,
    roles: &Roles,
    signals: &mut Signals,
    began: Instant,
) -> Result<(), NodeError> {
    let mut announcement = Announcement {
        config,
        roles,
        began,
        made: false,
    };
    let stopped = tokio::select! {
        () = announcement.wait() => Ok(()),
        () = keep_storage(config, roles) => Ok(()),
        signal = signals.next() => Err(Ok(signal)),
        error = role_ended(roles) => Err(Err(error)),
    };
    // What `/ready` has told by now is in the log too, however soon the signal came.
    announcement.make_if_ready();
    match stopped {
        Ok(()) => Ok(()),
        Err(Ok(signal)) => {
            tracing::info!(signal, "controlled shutdown begins; a second signal hurries");
            Ok(())
        }
        Err(Err(error)) => Err(error),
    }
}

/// One line when the node serves.
struct Announcement<'a> {
    config: &'a NodeConfig,
    roles: &'a Roles,
    began: Instant,
    made: bool,
}

impl Announcement<'_> {
    /// Announces when the node is ready, and waits for ever.
    async fn wait(&mut self) {
        while !self.made {
            self.make_if_ready();
            tokio::time::sleep(READY_POLL).await;
        }
        std::future::pending::<()>().await;
    }

    fn make_if_ready(&mut self) {
        if !self.made && self.roles.readiness(self.config.roles).is_ready() {
            tracing::info!(node = self.config.node_id.0, took = ?self.began.elapsed(), "node ready");
            self.made = true;
        }
    }
}

/// Binds a metadata directory that no broker formats to the cluster, once its id is known; then waits for ever.
async fn keep_storage(config: &NodeConfig, roles: &Roles) {
    let is_brokers = config.roles.broker && config.log_dirs.contains(&config.metadata_log_dir);
    if !is_brokers {
        let cluster = loop {
            // The voters have agreed on it, or the broker has learnt it and formatted its own directories.
            let agreed = roles.controller().and_then(|controller| controller.cluster_id());
            let learnt = || {
                storage::agreed_cluster(&storage::inspect(config), config.node_id, None)
                    .ok()
                    .flatten()
            };
            match agreed.or_else(learnt) {
                Some(cluster) => break cluster,
                None => tokio::time::sleep(READY_POLL).await,
            }
        };
        match storage::format_metadata_dir(config, &cluster) {
            Ok(true) => {
                let path = config.metadata_log_dir.display();
                tracing::info!(%path, %cluster, "directory formatted");
            }
            Ok(false) => {}
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "cannot format"),
        }
    }
    std::future::pending::<()>().await;
}

async fn role_ended(roles: &Roles) -> NodeError {
    let controller = async {
        match roles.controller() {
            Some(controller) => controller.ended().await,
            None => std::future::pending().await,
        }
    };
    let broker = async {
        match roles.broker() {
            Some(broker) => broker.wait().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = controller => match ended {
            Ok(()) => NodeError::Ended("controller"),
            Err(error) => NodeError::ControllerEnded(error),
        },
        _ = broker => NodeError::Ended("broker"),
    }
}
