//! Connections: accepted in a bounded number, each with time limits, and brought to an end in order.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

use super::limits::{HEAD_BYTES, HEAD_LINES, Limits, WRITE_LIMIT};
use super::running::Running;
use super::timed_io::TimedIo;
use crate::interrupt;

/// Connections that the system holds until they are accepted; of more, each would be late by a second.
const BACKLOG: u32 = 4096;
/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// How long connections may take to close when all answers are sent.
const CLOSING: Duration = Duration::from_secs(2);

/// Listens on an address.
///
/// # Errors
/// An address that is taken, or that this machine does not have.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A port of which old connections are still known can be taken; elsewhere the option lets two programs share one.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves `router` until a person or the system asks for the end: then what runs ends, and what comes is answered by the
/// router, which refuses it.
///
/// # Errors
/// A listener that the system takes away.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: &Limits,
    running: &Running,
) -> io::Result<()> {
    let connections = Arc::new(Semaphore::new(limits.max_connections));
    let (drain, drains) = watch::channel(false);
    let mut ends_by: Option<Instant> = None;
    loop {
        if interrupt::asked() && ends_by.is_none() {
            running.drain();
            drain.send_replace(true);
            // Every request has a time limit of its own, so this is never what ends them.
            ends_by = Some(Instant::now() + limits.request_time() + limits.read_time());
        }
        if ends_by.is_some_and(|end| running.count() == 0 || Instant::now() >= end) {
            break;
        }
        let Ok(Ok(permit)) = timeout(LOOK, Arc::clone(&connections).acquire_owned()).await else { continue };
        match timeout(LOOK, listener.accept()).await {
            Ok(Ok((stream, _))) => spawn(stream, permit, router.clone(), limits.read_time(), drains.clone()),
            // No more file descriptors, or a client that is gone already: both pass.
            Ok(Err(_)) => sleep(LOOK).await,
            Err(_) => {}
        }
    }
    drop(listener);
    let all = u32::try_from(limits.max_connections).unwrap_or(u32::MAX);
    let _ = timeout(CLOSING, connections.acquire_many(all)).await;
    Ok(())
}

/// Lets a connection go on by itself.
fn spawn(
    stream: TcpStream,
    permit: OwnedSemaphorePermit,
    router: Router,
    read_time: Duration,
    drains: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    tokio::spawn(async move {
        connection(stream, router, read_time, drains).await;
        drop(permit);
    });
}

/// One connection to its end; what breaks it concerns nobody else.
async fn connection(
    stream: TcpStream,
    router: Router,
    read_time: Duration,
    mut drains: watch::Receiver<bool>,
) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(read_time);
    builder.max_buf_size(HEAD_BYTES).max_headers(HEAD_LINES);
    // Whoever comes while the rest ends hears why nothing more is taken on, which an idle connection that is shut down
    // would not tell.
    let late = *drains.borrow();
    builder.keep_alive(!late);
    let io = TimedIo::new(stream, WRITE_LIMIT);
    let mut connection = pin!(builder.serve_connection(io, TowerToHyperService::new(router)));
    let mut drained = pin!(async move {
        let _ = drains.wait_for(|drains| *drains).await;
    });
    let mut told = late;
    poll_fn(|context| {
        if !told && drained.as_mut().poll(context).is_ready() {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(context).map(|_| ())
    })
    .await;
}
