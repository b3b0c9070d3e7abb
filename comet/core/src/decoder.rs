//! Decoder: a connection's bytes in, what its device said out, alike for every dialect.

use bytes::Bytes;

use crate::dialect::Dialect;
use crate::error::Violation;
use crate::frame::Frame;
use crate::goim_message::Frames;
use crate::http::PostStream;
use crate::stream::FrameStream;
use crate::websocket::{Event, Rules, WebSocketDecoder};

/// What a device said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A goim frame.
    Frame(Frame),
    /// A message of `orrery.json.v1`: UTF-8, not yet known to be JSON.
    Text(Bytes),
    /// A WebSocket ping; over HTTP a sign of life.
    Ping(Bytes),
    /// A WebSocket pong.
    Pong,
    /// A WebSocket close, with the code it carries.
    Close(Option<u16>),
}

/// Incremental decoder of one connection: feed bytes as they come, then poll until there is no input
/// left. While nothing is under way it owns no buffer.
#[derive(Debug)]
pub struct Decoder {
    kind: Kind,
    // Boxed: a comet has very many decoders, and few of them fail.
    failed: Option<Box<Violation>>,
}

#[derive(Debug)]
enum Kind {
    Tcp(FrameStream),
    /// The frames are those of the last message that were not polled yet.
    WebSocket(WebSocketDecoder, Option<Frames>),
    Json(WebSocketDecoder),
    Http(PostStream),
}

impl Decoder {
    /// A decoder for a connection whose handshake (of the WebSocket, where there is one) is over.
    /// `json_message_max` limits the messages of `orrery.json.v1`, in bytes.
    pub fn new(dialect: Dialect, json_message_max: usize) -> Self {
        let kind = match dialect {
            Dialect::Tcp => Kind::Tcp(FrameStream::from_device()),
            Dialect::WebSocket => Kind::WebSocket(WebSocketDecoder::new(Rules::Goim), None),
            Dialect::Json => {
                Kind::Json(WebSocketDecoder::new(Rules::Json { message_max: json_message_max }))
            }
            // Whoever takes a request limits its body.
            Dialect::Http => Kind::Http(PostStream::default()),
        };
        Self { kind, failed: None }
    }

    /// Takes bytes from the socket, of which none are kept after an error. Poll until there is nothing
    /// left before feeding again: what is not polled is kept.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        match &mut self.kind {
            Kind::Tcp(stream) => stream.feed(bytes),
            Kind::WebSocket(decoder, _) | Kind::Json(decoder) => decoder.feed(bytes),
            Kind::Http(stream) => stream.feed(bytes),
        }
    }

    /// What the device said next, or none until more bytes come.
    ///
    /// # Errors
    /// [`Violation`] when the device broke the protocol, and for ever after; everything it said before
    /// has been returned by then.
    pub fn poll(&mut self) -> Result<Option<Input>, Violation> {
        if let Some(violation) = &self.failed {
            return Err(**violation);
        }
        let polled = match &mut self.kind {
            Kind::Tcp(stream) => {
                stream.poll().map(|frame| frame.map(Input::Frame)).map_err(Violation::from)
            }
            Kind::WebSocket(decoder, frames) => poll_goim(decoder, frames),
            Kind::Json(decoder) => {
                decoder.poll().map(|event| event.map(Input::from_event)).map_err(Violation::from)
            }
            Kind::Http(stream) => Ok(stream.poll()),
        };
        self.failed = polled.as_ref().err().map(|violation| Box::new(*violation));
        polled
    }

    /// WebSocket frames since the last call that ended no message. The caller limits their rate along with that of
    /// the inputs.
    pub fn take_parts(&mut self) -> u32 {
        match &mut self.kind {
            Kind::Tcp(_) | Kind::Http(_) => 0,
            Kind::WebSocket(decoder, _) | Kind::Json(decoder) => decoder.take_parts(),
        }
    }
}

/// The next frame of the message under way, else the next event; a message's frames take its place.
fn poll_goim(
    decoder: &mut WebSocketDecoder,
    frames: &mut Option<Frames>,
) -> Result<Option<Input>, Violation> {
    loop {
        if let Some(frame) = frames.as_mut().and_then(Frames::next) {
            return Ok(Some(Input::Frame(frame?)));
        }
        *frames = None;
        match decoder.poll()? {
            Some(Event::Message(message)) => *frames = Some(Frames::from_device(message)),
            event => return Ok(event.map(Input::from_event)),
        }
    }
}

impl Input {
    fn from_event(event: Event) -> Self {
        match event {
            Event::Message(payload) => Self::Text(payload),
            Event::Ping(payload) => Self::Ping(payload),
            Event::Pong => Self::Pong,
            Event::Close(code) => Self::Close(code),
        }
    }
}
