//! Stop: what ends a run before its time.

use std::future::Future;
use std::io;
use std::os::fd::AsFd as _;

use anyhow::Context as _;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{SignalKind, signal};

/// Somebody ended it.
#[derive(Debug, thiserror::Error)]
#[error("ended by {0}")]
pub(super) struct Stopped(pub(super) &'static str);

/// Waits until somebody wants an end, and says what told so. A child also ends with its standard input, whose
/// other end its parent holds: however the parent ends, the child hears of it.
///
/// # Errors
/// When it could not be heard.
pub(super) fn stopped(is_child: bool) -> anyhow::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let parent = is_child.then(parent).transpose().context("standard input is no pipe")?;
    Ok(async move {
        tokio::select! {
            biased;
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = hangup.recv() => "SIGHUP",
            () = is_gone(parent) => "the end of the process that began it",
        }
    })
}

fn parent() -> io::Result<Receiver> {
    Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)
}

async fn is_gone(parent: Option<Receiver>) {
    let Some(mut parent) = parent else { return std::future::pending().await };
    // It says nothing; an error is an end too.
    while let Ok(1..) = parent.read(&mut [0]).await {}
}
