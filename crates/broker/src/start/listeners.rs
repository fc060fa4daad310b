//! Binds the broker's listeners, and serves them on the data threads.

use super::error::StartError;
use crate::config::{BrokerConfig, Listener};
use crate::kafka::{ConnectionSpread, Http2Handoff, KafkaContext, serve};
use crate::shard::{DataThreads, Router, link};
use milena_metadata::record::Endpoint;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// A listener with its socket.
pub(super) struct Bound {
    pub(super) listener: Listener,
    pub(super) socket: TcpListener,
    pub(super) address: SocketAddr,
}

/// Binds every listener of the broker.
pub(super) fn bind(config: &BrokerConfig) -> Result<Vec<Bound>, StartError> {
    config.listeners.iter().map(bind_one).collect()
}

fn bind_one(listener: &Listener) -> Result<Bound, StartError> {
    let failed = |source| StartError::Bind {
        listener: listener.name.clone(),
        address: listener.bind,
        source,
    };
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(listener.bind),
        socket2::Type::STREAM,
        None,
    )
    .map_err(failed)?;
    // A restarted broker must not wait for the connections of its former life to time out.
    socket.set_reuse_address(true).map_err(failed)?;
    if listener.bind.is_ipv6() {
        socket.set_only_v6(false).map_err(failed)?;
    }
    socket.bind(&listener.bind.into()).map_err(failed)?;
    socket.listen(BACKLOG).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    let socket: TcpListener = socket.into();
    let address = socket.local_addr().map_err(failed)?;
    Ok(Bound {
        listener: listener.clone(),
        socket,
        address,
    })
}

/// What the listeners are advertised as.
pub(super) fn endpoints(bound: &[Bound]) -> Vec<Endpoint> {
    let endpoint = |bound: &Bound| Endpoint {
        listener: bound.listener.name.clone(),
        host: bound.listener.advertised_host.clone(),
        port: match bound.listener.advertised_port {
            0 => bound.address.port(),
            port => port,
        },
        security_protocol: bound.listener.security_protocol.as_str().to_owned(),
    };
    bound.iter().map(endpoint).collect()
}

/// Serves every listener on every data thread until `shutdown`.
pub(super) fn serve_all(
    bound: Vec<Bound>,
    inter_broker_listener: &str,
    threads: &DataThreads,
    kafka: &Arc<KafkaContext>,
    shutdown: &CancellationToken,
) -> std::io::Result<()> {
    let router = threads.router();
    for Bound { listener, socket, .. } in bound {
        let spread = ConnectionSpread::new(router.shards());
        for shard in router.shard_ids() {
            let socket = socket.try_clone()?;
            let (name, spread, kafka) = (listener.name.clone(), spread.clone(), Arc::clone(kafka));
            let handoff = match listener.name == inter_broker_listener {
                true => take_over(router.clone(), shutdown.clone()),
                false => turn_away(),
            };
            let shutdown = shutdown.clone();
            threads.on(shard, move || {
                tokio::task::spawn_local(async move {
                    let served = serve(socket, &name, kafka, spread, shard.0, handoff, shutdown).await;
                    if let Err(error) = served {
                        let error: &dyn std::error::Error = &error;
                        tracing::error!(listener = name, thread = shard.0, error, "listener is not served");
                    }
                });
            });
        }
    }
    Ok(())
}

/// Clients' listeners replicate nothing: a stranger could acknowledge what no broker has.
fn turn_away() -> Http2Handoff {
    Arc::new(
        |_, peer| tracing::info!(%peer, "an HTTP/2 connection on a listener that is not the brokers' own"),
    )
}

/// Takes over connections of other brokers.
fn take_over(router: Router, shutdown: CancellationToken) -> Http2Handoff {
    Arc::new(move |stream: TcpStream, peer: SocketAddr| {
        let (router, shutdown) = (router.clone(), shutdown.clone());
        tokio::task::spawn_local(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                ended = link::serve_http2(stream, router) => {
                    if let Err(error) = ended {
                        tracing::debug!(%peer, %error, "http/2 connection ended");
                    }
                }
            }
        });
    })
}
