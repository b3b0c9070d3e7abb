//! WebSocket: finds messages and control frames in what a client sends (RFC 6455, 5), without IO.

use bytes::{Buf, Bytes, BytesMut};

use crate::close::may_be_sent;
use crate::error::WebSocketError;
use crate::limits::{
    CONTROL_BYTES_MAX, FRAGMENTS_MAX, GOIM_MESSAGE_BYTES_MAX, JSON_MESSAGE_BYTES_MAX,
};
use crate::websocket_frame::Opcode;

/// How strictly to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// As goim: data frames of any kind are bytes, in any order of opcodes, masked or not.
    Goim,
    /// As the RFC: masked, well-ordered, text only, UTF-8.
    Json {
        /// Longest message in bytes; above [`JSON_MESSAGE_BYTES_MAX`] counts as that.
        message_max: usize,
    },
}

/// What a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A whole message. Under [`Rules::Json`] it is UTF-8.
    Message(Bytes),
    /// A ping, to be answered at once with a pong of the same payload.
    Ping(Bytes),
    /// A pong, to be ignored.
    Pong,
    /// The client closes; nothing comes after this. The code is what it gave as reason.
    Close(Option<u16>),
}

/// Incremental decoder: feed bytes as they come, then poll until there is nothing left. It keeps at most
/// one message and one frame, and no buffer at all between messages.
#[derive(Debug)]
pub struct WebSocketDecoder {
    buffer: BytesMut,
    /// The parts so far of a message that comes in parts.
    parts: BytesMut,
    parts_count: u32,
    message_max: u32,
    /// Frames that ended no message and are not charged yet.
    uncharged: u32,
    strict: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Open,
    Closed,
    // Boxed: a comet has very many decoders, and few of them fail.
    Failed(Box<WebSocketError>),
}

/// A frame's header, checked.
struct Head {
    fin: bool,
    opcode: Opcode,
    mask: Option<[u8; 4]>,
    header_len: usize,
    payload_len: usize,
}

impl WebSocketDecoder {
    /// A decoder for a connection whose handshake is over.
    pub fn new(rules: Rules) -> Self {
        let (strict, message_max) = match rules {
            Rules::Goim => (false, GOIM_MESSAGE_BYTES_MAX),
            Rules::Json { message_max } => (true, message_max.min(JSON_MESSAGE_BYTES_MAX)),
        };
        Self {
            buffer: BytesMut::new(),
            parts: BytesMut::new(),
            parts_count: 0,
            message_max: u32::try_from(message_max).expect("limits fit 32 bits"),
            uncharged: 0,
            strict,
            state: State::Open,
        }
    }

    /// Takes bytes, of which none are kept after a close or an error.
    pub fn feed(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Open) {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Frames since the last call that ended no message: they make no event, and are work all the same. The caller
    /// limits their rate along with that of the events.
    pub fn take_parts(&mut self) -> u32 {
        std::mem::take(&mut self.uncharged)
    }

    /// The next message or control frame, or none until more bytes come (after a close: none for ever).
    ///
    /// # Errors
    /// [`WebSocketError`] as soon as the bytes that show it are there, and for ever after.
    pub fn poll(&mut self) -> Result<Option<Event>, WebSocketError> {
        match &self.state {
            State::Open => {}
            State::Closed => return Ok(None),
            State::Failed(error) => return Err(**error),
        }
        let polled = self.poll_frames();
        match &polled {
            Err(error) => self.end(State::Failed(Box::new(*error))),
            Ok(Some(Event::Close(_))) => self.end(State::Closed),
            Ok(_) if self.buffer.is_empty() => self.buffer = BytesMut::new(),
            Ok(_) => {}
        }
        polled
    }

    fn end(&mut self, state: State) {
        self.state = state;
        self.buffer = BytesMut::new();
        self.parts = BytesMut::new();
    }

    fn poll_frames(&mut self) -> Result<Option<Event>, WebSocketError> {
        while let Some(head) = self.poll_head()? {
            if self.buffer.len() < head.header_len + head.payload_len {
                return Ok(None);
            }
            self.buffer.advance(head.header_len);
            let mut payload = self.buffer.split_to(head.payload_len);
            if let Some(mask) = head.mask {
                payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
            }
            let event = if head.opcode.is_control() {
                Some(self.control(head.opcode, payload.freeze())?)
            } else {
                self.data(head.fin, payload)?
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// Reads the next frame's header. Each rule is checked as soon as its bytes are there.
    fn poll_head(&self) -> Result<Option<Head>, WebSocketError> {
        let Some(&first) = self.buffer.first() else { return Ok(None) };
        let fin = first & 0x80 != 0;
        let opcode = self.check_first(first, fin)?;
        let Some(&second) = self.buffer.get(1) else { return Ok(None) };
        let masked = second & 0x80 != 0;
        if self.strict && !masked {
            return Err(WebSocketError::Unmasked);
        }
        let (length_end, payload_len) = match second & 0x7f {
            126 => match self.buffer.get(2..4) {
                Some(b) => (4, u64::from(u16::from_be_bytes([b[0], b[1]]))),
                None => return Ok(None),
            },
            127 => match self.buffer[2..].first_chunk::<8>() {
                Some(b) => (10, u64::from_be_bytes(*b)),
                None => return Ok(None),
            },
            short => (2, u64::from(short)),
        };
        let payload_len = self.check_length(opcode, payload_len)?;
        if !masked {
            return Ok(Some(Head { fin, opcode, mask: None, header_len: length_end, payload_len }));
        }
        let Some(&mask) = self.buffer[length_end..].first_chunk::<4>() else { return Ok(None) };
        Ok(Some(Head { fin, opcode, mask: Some(mask), header_len: length_end + 4, payload_len }))
    }

    fn check_first(&self, first: u8, fin: bool) -> Result<Opcode, WebSocketError> {
        if first & 0x70 != 0 {
            return Err(WebSocketError::ReservedBits);
        }
        let number = first & 0x0f;
        let opcode = Opcode::of(number).ok_or(WebSocketError::Opcode(number))?;
        if opcode.is_control() {
            return if fin { Ok(opcode) } else { Err(WebSocketError::ControlFragmented) };
        }
        if self.parts_count >= FRAGMENTS_MAX {
            return Err(WebSocketError::TooManyFragments);
        }
        match opcode {
            Opcode::Binary if self.strict => Err(WebSocketError::Binary),
            Opcode::Continuation if self.strict && self.parts_count == 0 => {
                Err(WebSocketError::ContinuesNothing)
            }
            Opcode::Text if self.strict && self.parts_count > 0 => Err(WebSocketError::Interleaved),
            _ => Ok(opcode),
        }
    }

    fn check_length(&self, opcode: Opcode, payload_len: u64) -> Result<usize, WebSocketError> {
        if opcode.is_control() {
            return match usize::try_from(payload_len) {
                Ok(length) if length <= CONTROL_BYTES_MAX => Ok(length),
                _ => Err(WebSocketError::ControlTooLong),
            };
        }
        let max = self.message_max as usize;
        let bytes = payload_len.saturating_add(self.parts.len() as u64);
        if bytes > max as u64 {
            return Err(WebSocketError::TooLong { bytes, max });
        }
        Ok(usize::try_from(payload_len).expect("it is below a limit of 32 bits"))
    }

    fn data(&mut self, fin: bool, payload: BytesMut) -> Result<Option<Event>, WebSocketError> {
        if !fin {
            self.parts.extend_from_slice(&payload);
            self.parts_count += 1;
            self.uncharged = self.uncharged.saturating_add(1);
            return Ok(None);
        }
        let message = if self.parts_count == 0 {
            payload
        } else {
            self.parts_count = 0;
            let mut parts = std::mem::take(&mut self.parts);
            parts.extend_from_slice(&payload);
            parts
        };
        if self.strict && std::str::from_utf8(&message).is_err() {
            return Err(WebSocketError::Utf8);
        }
        Ok(Some(Event::Message(message.freeze())))
    }

    fn control(&self, opcode: Opcode, payload: Bytes) -> Result<Event, WebSocketError> {
        match opcode {
            Opcode::Ping => Ok(Event::Ping(payload)),
            Opcode::Pong => Ok(Event::Pong),
            _ if self.strict => close_code(&payload).map(Event::Close),
            _ => Ok(Event::Close(None)),
        }
    }
}

/// The code in a close frame's payload: none, or two bytes followed by a reason.
fn close_code(payload: &[u8]) -> Result<Option<u16>, WebSocketError> {
    match payload {
        [] => Ok(None),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !may_be_sent(code) {
                return Err(WebSocketError::BadClose);
            }
            std::str::from_utf8(reason).map_err(|_| WebSocketError::Utf8)?;
            Ok(Some(code))
        }
        [_] => Err(WebSocketError::BadClose),
    }
}
