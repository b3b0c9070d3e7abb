//! Handshake: what comes before a device's first word, TLS and WebSocket, as its door wants it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use orrery_comet_core::Dialect;
use orrery_host::Stream;
use orrery_tls::Acceptor;
use tokio::time::{Instant, timeout_at};

use super::websocket;
use crate::comet::Comet;
use crate::mailbox::Transport;

/// What came of a handshake.
pub(crate) enum Shaken {
    /// The stream carries the dialect from now on.
    Hands(Box<dyn Stream>, Dialect),
    /// The stream began with the head of a request that is answered in [HTTP](crate::http), and maybe more: this.
    Http(Box<dyn Stream>, Bytes),
}

/// Shakes hands with a device that has until the deadline. `None` where nothing came of it; the device was told as
/// far as it can be, and its stream is gone. The caller boxes it, so that an idle connection does not keep its memory.
pub(crate) async fn shake_hands(
    comet: &Comet,
    stream: Box<dyn Stream>,
    transport: Transport,
    tls: Option<Acceptor>,
    deadline: Instant,
) -> Option<Shaken> {
    let stream = match tls {
        Some(tls) => secure(comet, &tls, stream, deadline).await?,
        None => stream,
    };
    match transport {
        Transport::Tcp => Some(Shaken::Hands(stream, Dialect::Tcp)),
        Transport::Http => Some(Shaken::Hands(stream, Dialect::Http)),
        Transport::WebSocket => in_time(deadline, websocket::upgrade(comet, stream)).await?.ok(),
    }
}

async fn secure(
    comet: &Comet,
    tls: &Acceptor,
    stream: Box<dyn Stream>,
    deadline: Instant,
) -> Option<Box<dyn Stream>> {
    let reason = match in_time(deadline, tls.accept(stream)).await {
        Some(Ok(stream)) => return Some(stream),
        Some(Err(refusal)) => {
            tracing::debug!(%refusal, "a device did not get through the handshake of TLS");
            refusal.name()
        }
        None => "timeout",
    };
    comet.metrics.tls_handshake_refused(reason);
    None
}

/// Works until the deadline. The clock is asked before each step: where more devices come than can be served in time, no
/// work goes into those whose time is over.
async fn in_time<T>(deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let steps = poll_fn(|cx| match Instant::now() < deadline {
        true => work.as_mut().poll(cx).map(Some),
        false => Poll::Ready(None),
    });
    timeout_at(deadline, steps).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn no_work_is_begun_or_gone_on_with_after_the_deadline() {
        let deadline = Instant::now() + Duration::from_millis(20);
        let long = async {
            while Instant::now() < deadline {}
            yield_now().await;
            panic!("it went on");
        };
        assert_eq!(in_time(deadline, long).await, None::<()>);
        assert_eq!(in_time(deadline, async { panic!("it was begun") }).await, None::<()>);
        let later = Instant::now() + Duration::from_secs(60);
        assert_eq!(in_time(later, async { yield_now().await }).await, Some(()));
        let never = in_time(Instant::now() + Duration::from_millis(20), pending::<()>());
        assert_eq!(never.await, None);
    }
}
