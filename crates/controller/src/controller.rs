//! Starting a controller: listeners, the control thread, the store, the runtime; and their end in the opposite order.

use crate::config::{ControllerConfig, ControllerError, Listen};
use crate::handle::{ControllerHandle, Shared, Stop};
use crate::raft::settings::raft_config;
use crate::running::Running;
use crate::store::Store;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// The folder in `metadata.log.dir`, as Kafka calls it.
pub const METADATA_FOLDER: &str = "__cluster_metadata-0";

/// Starts controllers.
#[derive(Debug)]
pub struct Controller;

type Started = Result<Arc<Shared>, ControllerError>;

impl Controller {
    /// Starts a controller on a thread of its own and returns once it serves. Blocking: opens the database.
    ///
    /// # Errors
    /// See [`ControllerError`]; nothing is left running.
    pub fn start(config: ControllerConfig) -> Result<ControllerHandle, ControllerError> {
        config.check_voters()?;
        raft_config(&config)?;
        let mut config = config;
        let listeners = std::mem::take(&mut config.listen)
            .into_iter()
            .map(bind)
            .collect::<Result<Vec<_>, _>>()?;
        let addresses: Vec<SocketAddr> = listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect();
        let (stop, stopped) = oneshot::channel();
        let (report, started) = std::sync::mpsc::sync_channel::<Started>(1);
        let (over, ended) = tokio::sync::watch::channel(None);
        let thread = std::thread::Builder::new()
            .name("controller".to_owned())
            .spawn(move || {
                let end = control_thread(config, listeners, &report, stopped);
                over.send_replace(Some(end));
            });
        let thread = thread.map_err(ControllerError::Thread)?;
        match started.recv() {
            Ok(Ok(shared)) => Ok(ControllerHandle::new(shared, addresses, stop, ended, thread)),
            Ok(Err(error)) => {
                let _ = thread.join();
                Err(error)
            }
            Err(_) => Err(ControllerError::Raft(
                "the control thread ended at its start".to_owned(),
            )),
        }
    }
}

fn bind(listen: Listen) -> Result<TcpListener, ControllerError> {
    let (listener, address) = match listen {
        Listen::Bound(listener) => (Ok(listener), "a bound listener".to_owned()),
        Listen::Address(address) => (TcpListener::bind(address), address.to_string()),
    };
    let nonblocking = listener.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    nonblocking.map_err(|source| ControllerError::Listen { address, source })
}

/// The thread's life; `Err` carries what stopped it without being asked.
fn control_thread(
    config: ControllerConfig,
    listeners: Vec<TcpListener>,
    report: &std::sync::mpsc::SyncSender<Started>,
    stop: oneshot::Receiver<Stop>,
) -> Result<(), String> {
    let path = config.metadata_dir.join(METADATA_FOLDER);
    let opened = Store::open(&path, &config.store).map_err(ControllerError::from);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (store, runtime) = match (opened, runtime.map_err(ControllerError::Thread)) {
        (Ok(store), Ok(runtime)) => (store, runtime),
        (Err(error), _) | (_, Err(error)) => {
            // The starter waits for exactly this.
            let _ = report.send(Err(error));
            return Ok(());
        }
    };
    let end = runtime.block_on(async {
        match Running::start(config, listeners, &store, path).await {
            Ok(running) => {
                let _ = report.send(Ok(Arc::clone(&running.shared)));
                running.until(stop).await
            }
            Err(error) => {
                let _ = report.send(Err(error));
                Ok(())
            }
        }
    });
    // In this order: tasks hold the database; the database's threads must be gone before the process ends.
    runtime.shutdown_timeout(Duration::from_secs(5));
    drop(store);
    end
}
