//! Client: a device that stays connected. It comes back by itself, by its node list and with a backoff, into
//! the rooms it was in, and says what it may have missed.

mod connecting;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use orrery_comet_core::close::codes;
use orrery_comet_core::json::ServerMessage;
use orrery_host::Net;
use tokio::time::{Instant, sleep_until};

use self::connecting::Connecting;
use crate::backoff::{Backoff, Pacing};
use crate::device::{Device, Welcome};
use crate::error::{ConnectError, RequestError};
use crate::event::Event;
use crate::limits::{HINT_MAX, STABLE_AFTER};
use crate::node_list::NodeList;
use crate::options::Options;

/// What happens to a client.
#[derive(Debug)]
pub enum ClientEvent {
    /// It begins to connect.
    Connecting {
        /// Where.
        address: String,
    },
    /// It is connected, and in its rooms.
    Connected {
        /// Where.
        address: String,
        /// What the comet said.
        welcome: Welcome,
    },
    /// It is back, and nothing that was pushed to it meanwhile reached it.
    Gap {
        /// From the loss of one connection until it was in its rooms on the next. Over HTTP a comet is asked for a while
        /// before it counts as lost: there it is from the first request in a row that failed.
        away: Duration,
    },
    /// Something came, but for the end of the connection.
    Device(Event),
    /// The connection is lost; it comes back by itself.
    Lost {
        /// The WebSocket close code, where the comet said one.
        code: Option<u16>,
        /// The comet's word, or the network's.
        reason: String,
        /// When it tries to come back.
        pause: Duration,
    },
    /// It did not get in; it tries again by itself.
    Failed {
        /// Where.
        address: String,
        /// Why.
        error: ConnectError,
        /// When it tries again, elsewhere where there is another comet.
        pause: Duration,
    },
    /// It does not try again: that cannot help, or is not wanted. Nothing else comes after this.
    Ended {
        /// Why.
        reason: String,
    },
}

/// A device that stays connected. Call [`Client::next`] all the time: everything happens inside it. Dropping
/// it closes the connection without a goodbye.
pub struct Client {
    net: Arc<dyn Net>,
    options: Options,
    nodes: NodeList,
    backoff: Backoff,
    state: State,
    /// When the last connection was lost, or began to be.
    lost_at: Option<Instant>,
    /// Told right after the connection it belongs to.
    gap: Option<Duration>,
    /// What the comet said that is about to end the connection.
    sent_away: Option<SentAway>,
}

/// When to come back, and where else.
struct SentAway {
    pause: Duration,
    nodes: Vec<String>,
}

enum State {
    Waiting {
        until: Instant,
    },
    Connecting {
        connecting: Connecting,
    },
    Connected {
        device: Box<Device>,
        since: Instant,
        /// Rooms that it asked to join or leave, and was not told whether it did.
        unsettled: BTreeSet<String>,
    },
    Ended {
        reason: String,
    },
}

impl Client {
    /// A client that connects when it is first asked for its events. The options' address does not count,
    /// the list does. Clients with the same seed pause and choose alike.
    pub fn new(
        net: Arc<dyn Net>,
        options: Options,
        nodes: NodeList,
        pacing: Pacing,
        seed: u64,
    ) -> Self {
        let state = State::Waiting { until: Instant::now() };
        let backoff = Backoff::new(pacing, seed);
        Self { net, options, nodes, backoff, state, lost_at: None, gap: None, sent_away: None }
    }

    /// Waits for the next event, connecting and pausing as it must. Cancel-safe.
    pub async fn next(&mut self) -> ClientEvent {
        if let Some(away) = self.gap.take() {
            return ClientEvent::Gap { away };
        }
        match &mut self.state {
            State::Waiting { until } => {
                sleep_until(*until).await;
                self.connect()
            }
            State::Connecting { connecting } => {
                let connected = connecting.connected(&self.options.rooms).await;
                self.handle_connected(connected)
            }
            State::Connected { device, .. } => match device.next().await {
                Event::Closed { code, reason } => self.handle_lost(code, reason),
                event => {
                    if let Event::Json(ServerMessage::Drain { retry_after_ms, nodes }) = &event {
                        let pause = Duration::from_millis((*retry_after_ms).into());
                        self.sent_away = Some(SentAway { pause, nodes: nodes.clone() });
                    }
                    ClientEvent::Device(event)
                }
            },
            State::Ended { reason } => ClientEvent::Ended { reason: reason.clone() },
        }
    }

    /// The connection, while there is one.
    pub fn device(&mut self) -> Option<&mut Device> {
        match &mut self.state {
            State::Connected { device, .. } => Some(device),
            _ => None,
        }
    }

    /// The rooms it is in, or will be in when it is connected.
    pub fn rooms(&self) -> &[String] {
        &self.options.rooms
    }

    /// Joins a room, on any protocol, and stays in it over reconnects. Returns when the cluster knows;
    /// without a connection at once, and it is in the room before the next one is told as
    /// [`ClientEvent::Connected`].
    ///
    /// # Errors
    /// [`RequestError`]. What was refused, or is not in the protocol, it is not in afterwards. Where the
    /// outcome is unknown, also because nobody waited for it, a repeat asks again and the next connection
    /// begins in the room.
    pub async fn join(&mut self, room: &str) -> Result<(), RequestError> {
        let goim = !self.options.transport.is_json();
        let rooms = &mut self.options.rooms;
        let was_in = rooms.iter().any(|known| known == room);
        if !was_in {
            if goim && !rooms.is_empty() {
                return Err(RequestError::NotInProtocol("second room"));
            }
            rooms.push(room.to_owned());
        }
        let State::Connected { device, unsettled, .. } = &mut self.state else { return Ok(()) };
        if was_in && !unsettled.contains(room) {
            return Ok(());
        }
        unsettled.insert(room.to_owned());
        let joined = match goim {
            true => device.change_room(Some(room)).await,
            false => device.join(&[room]).await,
        };
        match &joined {
            Ok(()) => settle(unsettled, room, goim),
            Err(RequestError::Refused { .. } | RequestError::BadRequest(_)) => {
                rooms.retain(|known| known != room);
                settle(unsettled, room, goim);
            }
            Err(_) => {}
        }
        joined
    }

    /// Leaves a room, on any protocol; no later connection begins in it. Returns when the cluster knows;
    /// without a connection at once.
    ///
    /// # Errors
    /// [`RequestError`]. It may still be in the room until the connection ends; a repeat asks again.
    pub async fn leave(&mut self, room: &str) -> Result<(), RequestError> {
        let goim = !self.options.transport.is_json();
        let rooms = &mut self.options.rooms;
        let before = rooms.len();
        rooms.retain(|known| known != room);
        let State::Connected { device, unsettled, .. } = &mut self.state else { return Ok(()) };
        if rooms.len() == before && !unsettled.contains(room) {
            return Ok(());
        }
        unsettled.insert(room.to_owned());
        match goim {
            // A change to another room, of which nobody knows either, has left this one.
            true => device.change_room(rooms.first().map(String::as_str)).await?,
            false => device.leave(&[room]).await?,
        }
        settle(unsettled, room, goim);
        Ok(())
    }

    /// Resets the connection, if there is one, as a network that fails would. The client learns of it as
    /// of any other loss: the returned event, and what follows from [`Client::next`].
    pub fn cut(&mut self) -> Option<ClientEvent> {
        self.device()?.reset_on_drop();
        Some(self.handle_lost(None, "cut by its owner".to_owned()))
    }

    /// Says goodbye, where the protocol has a word for it, and closes.
    pub async fn close(self) {
        if let State::Connected { device, .. } = self.state {
            device.close().await;
        }
    }

    fn connect(&mut self) -> ClientEvent {
        let address = self.nodes.current().to_owned();
        let (net, mut options) = (self.net.clone(), self.options.clone());
        options.address.clone_from(&address);
        let connecting = Connecting::new(net, options);
        self.state = State::Connecting { connecting };
        ClientEvent::Connecting { address }
    }

    fn handle_connected(&mut self, connected: Result<Device, ConnectError>) -> ClientEvent {
        let address = self.nodes.current().to_owned();
        match connected {
            Ok(device) => {
                let (welcome, since) = (device.welcome().clone(), Instant::now());
                self.gap = self.lost_at.take().map(|lost_at| since - lost_at);
                let (device, unsettled) = (Box::new(device), BTreeSet::new());
                self.state = State::Connected { device, since, unsettled };
                ClientEvent::Connected { address, welcome }
            }
            Err(error) if error.may_retry() => {
                match &error {
                    ConnectError::SentAway { nodes, .. } => self.go_elsewhere(nodes),
                    ConnectError::Closed { code: Some(codes::SERVICE_RESTART), .. } => {
                        self.go_elsewhere(&[]);
                    }
                    _ => self.nodes.advance(),
                }
                let pause = self.wait(error.retry_after());
                ClientEvent::Failed { address, error, pause }
            }
            Err(error) => self.end(error.to_string()),
        }
    }

    fn handle_lost(&mut self, code: Option<u16>, reason: String) -> ClientEvent {
        let now = Instant::now();
        let mut lost_at = now;
        if let State::Connected { device, since, .. } = &self.state {
            if now - *since >= STABLE_AFTER {
                self.backoff.reset();
            }
            lost_at = device.failing_since().unwrap_or(now);
        }
        self.lost_at = Some(lost_at);
        let sent_away = self.sent_away.take();
        if let Some(codes::REPLACED | codes::KICKED | codes::UNAUTHORIZED) = code {
            return self.end(reason);
        }
        if code == Some(codes::SERVICE_RESTART) || sent_away.is_some() {
            let named = sent_away.as_ref().map_or(&[][..], |sent_away| &sent_away.nodes);
            self.go_elsewhere(named);
        }
        let pause = self.wait(sent_away.map(|sent_away| sent_away.pause));
        ClientEvent::Lost { code, reason, pause }
    }

    /// Goes on to one of those that a comet named which goes away, or to any other.
    fn go_elsewhere(&mut self, named: &[String]) {
        let others = self.nodes.addresses().len().saturating_sub(1);
        let nth = self.backoff.choose(others.max(1));
        self.nodes.advance_to(named, nth);
    }

    /// Ends what it was doing and pauses.
    fn wait(&mut self, hint: Option<Duration>) -> Duration {
        let pause = self.backoff.pause(hint.map(|hint| hint.min(HINT_MAX)));
        self.state = State::Waiting { until: Instant::now() + pause };
        pause
    }

    fn end(&mut self, reason: String) -> ClientEvent {
        self.state = State::Ended { reason: reason.clone() };
        ClientEvent::Ended { reason }
    }
}

/// The outcome is known for a room, and on goim's protocol, where there is one at most, for all of them.
fn settle(unsettled: &mut BTreeSet<String>, room: &str, goim: bool) {
    unsettled.retain(|other| !goim && other != room);
}
