//! Greet: from the first byte of a device to the answer that it is connected.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use orrery_comet_core::{Accepts, Close, Dialect, Established};
use orrery_host::trace;
use orrery_model::message::CloseReason;
use orrery_model::{Id, Kind};
use orrery_proto::edge::authenticate::Protocol;
use orrery_proto::edge::edge_request::Kind as Request;
use orrery_proto::edge::edge_response::Kind as Response;
use orrery_proto::edge::{Authenticate, Identity};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::Connection;
use super::task::{End, Next, Task};
use crate::limits::REPEAT_PAUSE;
use crate::presence::{Names, Profile, Registration, first_rooms};

impl Task {
    /// Waits for the device's credentials, asks logic who it is, binds it and tells it so.
    ///
    /// # Errors
    /// How the connection ends instead.
    pub(super) async fn greet(
        &mut self,
        registration: &mut Registration,
        remote: IpAddr,
        deadline: Instant,
    ) -> Result<(), End> {
        let connection = self.member.connection.clone();
        let span = tracing::debug_span!("connect", conn = %registration.conn(), trace = Empty);
        let trace = self.member.worker.comet.presence.trace(&span);
        let greeting = async {
            let credentials = self.credentials().await?;
            let identity = self.authenticate(registration, credentials, remote).await?;
            let names = self.bind(registration, &identity).await?;
            self.welcome(&identity, names);
            Ok(())
        };
        let greeting = trace::within(trace, greeting).instrument(span);
        let in_time = timeout_at(deadline, async {
            tokio::select! {
                biased;
                close = closed(&connection) => Err(End::Closed(close)),
                greeted = greeting => greeted,
            }
        });
        match in_time.await {
            Ok(greeted) => greeted,
            Err(_) => {
                let close = connection.session.borrow_mut().close(CloseReason::HandshakeTimeout);
                Err(End::Closed(close))
            }
        }
    }

    async fn credentials(&mut self) -> Result<Bytes, End> {
        loop {
            match poll_fn(|cx| self.poll_io(cx)).await {
                Next::Continue => {}
                Next::Authenticate(credentials) => return Ok(credentials),
                Next::End(end) => return Err(end),
            }
        }
    }

    /// Asks logic until it answers; the caller's deadline ends it.
    async fn authenticate(
        &self,
        registration: &Registration,
        credentials: Bytes,
        remote: IpAddr,
    ) -> Result<Identity, End> {
        let protocol = match self.member.connection.dialect() {
            Dialect::Tcp | Dialect::WebSocket => Protocol::Goim,
            Dialect::Json | Dialect::Http => Protocol::Json,
        };
        let question = Authenticate {
            protocol: protocol.into(),
            credentials,
            remote: remote.to_string(),
            conn: registration.conn().0,
        };
        loop {
            let mut pause = REPEAT_PAUSE;
            match self
                .member
                .worker
                .comet
                .edge
                .request(Request::Authenticate(question.clone()))
                .await
            {
                Ok(Response::Identity(identity)) => return Ok(identity),
                Ok(Response::Refused(refused)) => {
                    tracing::debug!(reason = refused.reason, "a device was refused");
                    let close =
                        self.member.connection.session.borrow_mut().handle_refused(&refused.reason);
                    return Err(End::Closed(close));
                }
                Ok(Response::Failure(failure)) => {
                    pause = pause.max(Duration::from_millis(failure.retry_after_ms.into()));
                }
                Ok(_) => tracing::warn!("logic answered an authentication with something else"),
                Err(_) => {}
            }
            sleep(pause).await;
        }
    }

    async fn bind(
        &mut self,
        registration: &mut Registration,
        identity: &Identity,
    ) -> Result<Arc<Names>, End> {
        let known = Profile::try_from(identity);
        let known = known.and_then(|profile| Ok((Arc::new(profile), first_rooms(identity)?)));
        let (profile, rooms) = match known {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(%error, "logic sent an identity that cannot be bound");
                return Err(self.close(CloseReason::Unauthorized));
            }
        };
        self.member.identify(profile.clone(), &rooms);
        registration.identify(profile, rooms);
        registration.bind().await.map_err(|error| {
            tracing::debug!(%error, "a device was not bound");
            self.close(error.close_reason())
        })
    }

    fn welcome(&self, identity: &Identity, names: Arc<Names>) {
        let accepts = match identity.accepts_all {
            true => Accepts::All,
            false => Accepts::only(identity.accepts.iter().copied()),
        };
        let (primary, seq) = names.primary.clone();
        let user: Option<Id> = (primary.kind == Kind::User).then(|| primary.id.clone());
        let key = match &names.secondary {
            Some((address, _)) => address.id.clone(),
            None => primary.id,
        };
        let established = Established {
            user: user.as_ref(),
            key: &key,
            seq,
            heartbeat_ms: identity.heartbeat_ms,
            // Nothing said: silence is no reason to close.
            heartbeat_max_ms: match identity.heartbeat_max_ms {
                0 => u32::MAX,
                ms => ms,
            },
        };
        self.member.connection.greet(names, &established, accepts, self.member.worker.now_ms());
    }
}

/// Waits until somebody wants the connection closed.
async fn closed(connection: &Connection) -> Close {
    poll_fn(|cx| {
        connection.register(cx);
        match connection.take_closing() {
            Some(close) => Poll::Ready(close),
            None => Poll::Pending,
        }
    })
    .await
}
