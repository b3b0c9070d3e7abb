//! Connecting: the socket, the transport's handshake, the device's introduction.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use orrery_comet_core::json::{ClientMessage, Hello, ServerMessage};
use orrery_comet_core::{Dialect, Frame, ops};
use orrery_host::Net;
use orrery_model::Id;
use tokio::time::{Instant, timeout};

use super::{Device, Welcome};
use crate::error::ConnectError;
use crate::http::{HttpWire, Kind};
use crate::options::{Options, Transport};
use crate::tcp::TcpWire;
use crate::websocket::WebSocketWire;
use crate::wire::{Incoming, Outgoing, Wire};

/// Seq of the authentication frame.
const AUTH_SEQ: i32 = 1;

impl Device {
    /// Connects and authenticates. When it returns, every push to the device's user, key and rooms
    /// arrives.
    ///
    /// # Errors
    /// [`ConnectError`], which says whether to try again.
    pub async fn connect(net: &Arc<dyn Net>, options: Options) -> Result<Self, ConnectError> {
        let introduction = introduction(&options)?;
        let established = timeout(options.connect_timeout, async {
            let mut wire = open(net, &options).await?;
            wire.queue(introduction);
            let welcome =
                welcome(&mut wire).await.map_err(|error| match (error, wire.retry_after()) {
                    // It says more than that: where to go.
                    (error @ ConnectError::SentAway { .. }, _) | (error, None) => error,
                    (_, Some(retry_after)) => ConnectError::Overloaded { retry_after },
                })?;
            Ok::<_, ConnectError>((wire, welcome))
        });
        let (wire, welcome) = established.await.map_err(|_| ConnectError::Timeout)??;
        // A post that fails ends a device, and events that cannot be asked for do not, for a while.
        let heartbeat = options.heartbeat.filter(|_| !options.transport.is_http());
        Ok(Self {
            transport: options.transport,
            wire,
            welcome,
            heartbeat,
            heartbeat_due: Instant::now() + heartbeat.unwrap_or_default(),
            answer_timeout: options.answer_timeout,
            seq: AUTH_SEQ,
            waiting: VecDeque::new(),
            closed: None,
        })
    }
}

async fn open(net: &Arc<dyn Net>, options: &Options) -> Result<Wire, ConnectError> {
    let address = &options.address;
    let http = |kind| {
        let wire = HttpWire::new(net.clone(), address, kind, options.answer_timeout);
        Ok(Wire::Http(Box::new(wire)))
    };
    match options.transport {
        Transport::Poll => return http(Kind::Poll),
        Transport::Sse => return http(Kind::Sse),
        Transport::Tcp | Transport::WebSocket | Transport::Json => {}
    }
    let stream = net
        .connect(address)
        .await
        .map_err(|source| ConnectError::Unreachable { address: address.clone(), source })?;
    let dialect = match options.transport {
        Transport::Tcp => return Ok(Wire::Tcp(TcpWire::new(stream))),
        Transport::WebSocket => Dialect::WebSocket,
        _ => Dialect::Json,
    };
    let wire = WebSocketWire::connect(stream, address, dialect).await?;
    Ok(Wire::WebSocket(Box::new(wire)))
}

/// Waits for the comet's consent. Pushes may not arrive before it.
async fn welcome(wire: &mut Wire) -> Result<Welcome, ConnectError> {
    match wire.receive().await {
        Incoming::Frame(frame) if frame.op == ops::AUTH_REPLY && frame.seq == AUTH_SEQ => {
            Ok(Welcome::default())
        }
        Incoming::Json(ServerMessage::Welcome {
            key,
            user,
            seq,
            heartbeat_ms,
            heartbeat_max_ms,
            ..
        }) => Ok(Welcome {
            key: Some(key),
            user,
            seq,
            heartbeat: Some(Duration::from_millis(heartbeat_ms.into())),
            heartbeat_max: Some(Duration::from_millis(heartbeat_max_ms.into())),
        }),
        Incoming::Json(ServerMessage::Error { code, message, .. }) => {
            Err(ConnectError::Refused { code, message })
        }
        Incoming::Json(ServerMessage::Drain { retry_after_ms, nodes }) => {
            let retry_after = Duration::from_millis(retry_after_ms.into());
            Err(ConnectError::SentAway { retry_after, nodes })
        }
        Incoming::Closed { code, reason } => Err(ConnectError::Closed { code, reason }),
        other => Err(ConnectError::Closed {
            code: None,
            reason: format!("the comet answered the authentication with {other:?}"),
        }),
    }
}

fn introduction(options: &Options) -> Result<Outgoing, ConnectError> {
    match options.transport {
        Transport::Json | Transport::Poll | Transport::Sse => {
            hello(options).map_err(ConnectError::BadOptions).map(Outgoing::Json)
        }
        Transport::Tcp | Transport::WebSocket => {
            let body = token(options)?;
            Ok(Outgoing::Frame(Frame { version: 1, op: ops::AUTH, seq: AUTH_SEQ, body }))
        }
    }
}

fn hello(options: &Options) -> Result<ClientMessage, String> {
    let id = |text: &String| Id::new(text).map_err(|error| error.to_string());
    Ok(ClientMessage::Hello(Hello {
        id: None,
        user: options.user.as_ref().map(id).transpose()?,
        token: options.token.clone(),
        key: options.key.as_ref().map(id).transpose()?,
        rooms: ids(&options.rooms)?,
        platform: options.platform.clone(),
        device: options.device.clone(),
        labels: options.labels.clone(),
        accepts: options.accepts.clone(),
    }))
}

fn token(options: &Options) -> Result<Bytes, ConnectError> {
    let mid = match &options.user {
        Some(user) => {
            user.parse::<i64>().map_err(|_| ConnectError::NotInGoim("user that is no number"))?
        }
        None => 0,
    };
    if options.rooms.len() > 1 {
        return Err(ConnectError::NotInGoim("second room"));
    }
    let token = serde_json::json!({
        "mid": mid,
        "key": options.key.as_deref().unwrap_or_default(),
        "room_id": options.rooms.first().map_or("", String::as_str),
        "platform": options.platform,
        "accepts": options.accepts.as_deref().unwrap_or_default(),
    });
    Ok(token.to_string().into())
}

/// Checks texts as ids.
pub(super) fn ids<T: AsRef<str>>(texts: &[T]) -> Result<BTreeSet<Id>, String> {
    texts.iter().map(|text| Id::new(text).map_err(|error| error.to_string())).collect()
}
