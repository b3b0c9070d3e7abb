//! Serve: the requests of one connection, one after the other.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use orrery_host::Stream;
use tokio::time::{Instant, timeout};

use super::socket::{OnFlush, Socket};
use super::visit::Visit;
use crate::admission::Handshake;
use crate::limits::{FLUSH_TIMEOUT, HANDSHAKE_BYTES_MAX, RESPONSE_STALL_MAX};
use crate::worker::Worker;

/// Serves a connection of which something was read until it ends, or the worker does. It has a place among those that
/// shake hands until then, unless it brings a hello or names a session. Each later request's head has to come within the
/// time of a handshake, counted from the end of the one before.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    stream: Box<dyn Stream>,
    read: Bytes,
    remote: SocketAddr,
    unnamed: (Handshake, Instant),
) {
    let on_flush = Rc::<OnFlush>::default();
    let visit = Rc::new(Visit::new(worker.clone(), remote, on_flush.clone(), unnamed));
    let socket = TokioIo::new(Socket::new(stream, read, on_flush, RESPONSE_STALL_MAX));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(worker.comet.config.handshake())
        .max_buf_size(HANDSHAKE_BYTES_MAX)
        // The wall clock decides nothing here, and nobody needs it.
        .auto_date_header(false);
    let service = service_fn(move |request| visit.clone().answer(request));
    let mut connection = pin!(builder.serve_connection(socket, service));
    tokio::select! {
        biased;
        // How it ended is nobody's business but the device's.
        _ = connection.as_mut() => return,
        () = worker.closing.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    // The sessions have as long for their own last words.
    let _ = timeout(2 * FLUSH_TIMEOUT, connection).await;
}
