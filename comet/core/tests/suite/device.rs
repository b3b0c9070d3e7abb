//! A scripted device at one end of a decoder and a session, with a cluster that says yes to everything.

use bytes::Bytes;
use orrery_comet_core::http::Inbox;
use orrery_comet_core::{
    Accepts, Action, Close, Decoder, Dialect, Established, Frame, Session, Violation,
};
use orrery_model::{Id, Seq};

/// When the handshake must be over, and how long silence may last afterwards.
pub(crate) const HANDSHAKE_MS: u64 = 8_000;
pub(crate) const HEARTBEAT_MAX_MS: u32 = 480_000;

pub(crate) struct Device {
    pub(crate) dialect: Dialect,
    pub(crate) decoder: Decoder,
    pub(crate) session: Session,
    pub(crate) now_ms: u64,
    /// Count that heartbeats are answered with.
    pub(crate) count: i32,
    /// Every action that is more than bytes.
    pub(crate) actions: Vec<Action>,
}

/// How a feed ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Open,
    Broken(Violation),
    Closed(Close),
    Goodbye,
}

impl Device {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            decoder: Decoder::new(dialect, 8192),
            session: Session::new(dialect, HANDSHAKE_MS),
            now_ms: 0,
            count: 1,
            actions: Vec::new(),
        }
    }

    /// A device that is past its authentication, and forgot it.
    pub(crate) fn ready(dialect: Dialect) -> Self {
        let mut device = Self::new(dialect);
        match dialect {
            Dialect::Json | Dialect::Http => device.says(br#"{"type":"hello","user":"alice"}"#),
            _ => device.says(&frame(1, 7, 1, b"{}")),
        };
        assert!(device.session.is_ready());
        device.actions.clear();
        device
    }

    /// Sends one frame or text, as the dialect carries it; returns what the server wrote.
    pub(crate) fn says(&mut self, payload: &[u8]) -> Vec<u8> {
        let wire = match self.dialect {
            Dialect::Tcp => payload.to_vec(),
            Dialect::WebSocket => client_frame(0x82, payload),
            Dialect::Json => client_frame(0x81, payload),
            Dialect::Http => posted(payload),
        };
        let (written, end) = self.feed(&wire);
        assert_eq!(end, End::Open, "after {payload:?}");
        written
    }

    /// Sends raw bytes; returns what the server wrote, and how it ended.
    pub(crate) fn feed(&mut self, wire: &[u8]) -> (Vec<u8>, End) {
        self.decoder.feed(wire);
        let mut written = Vec::new();
        loop {
            let input = match self.decoder.poll() {
                Ok(Some(input)) => input,
                Ok(None) => return (written, End::Open),
                Err(violation) => {
                    written.extend(self.session.handle_violation(&violation).farewell);
                    return (written, End::Broken(violation));
                }
            };
            let action = self.session.handle_input(input, self.now_ms);
            if !matches!(action, Action::Nothing | Action::Reply(_) | Action::Heartbeat(_)) {
                self.actions.push(action.clone());
            }
            match action {
                Action::Close(close) => {
                    written.extend(close.farewell.clone());
                    return (written, End::Closed(close));
                }
                Action::Goodbye(bytes) => {
                    written.extend(bytes);
                    return (written, End::Goodbye);
                }
                other => written.extend(self.carry_out(other)),
            }
        }
    }

    fn carry_out(&mut self, action: Action) -> Bytes {
        match action {
            Action::Nothing => Bytes::new(),
            Action::Reply(bytes) | Action::Subscribed(bytes) => bytes,
            Action::Authenticate { .. } => {
                let user = Id::new("alice").unwrap();
                let key = Id::new("key-1").unwrap();
                let established = Established {
                    user: Some(&user),
                    key: &key,
                    seq: Seq(7),
                    heartbeat_ms: 240_000,
                    heartbeat_max_ms: HEARTBEAT_MAX_MS,
                };
                let accepts = match self.dialect {
                    Dialect::Json | Dialect::Http => Accepts::All,
                    _ => Accepts::only([1000]),
                };
                self.session.handle_established(&established, accepts, self.now_ms).unwrap()
            }
            Action::Heartbeat(answer) => answer.with_count(self.count),
            Action::ChangeRoom { answer, .. }
            | Action::Join { answer, .. }
            | Action::Leave { answer, .. } => answer.done(),
            Action::Upstream { reply, .. } => reply,
            Action::Close(_) | Action::Goodbye(_) => unreachable!("handled by the caller"),
        }
    }
}

/// A text as an inbox hands it on.
fn posted(text: &[u8]) -> Vec<u8> {
    let mut inbox = Inbox::default();
    inbox.post(text).unwrap();
    inbox.take(usize::MAX).to_vec()
}

/// A goim frame.
pub(crate) fn frame(version: i16, op: i32, seq: i32, body: &[u8]) -> Vec<u8> {
    Frame { version, op, seq, body: Bytes::copy_from_slice(body) }.encode().to_vec()
}

/// A header as it is, true or not, and whatever follows it.
pub(crate) fn raw_frame(packet_length: i32, header_length: i16, op: i32, rest: &[u8]) -> Vec<u8> {
    let mut out = packet_length.to_be_bytes().to_vec();
    out.extend(header_length.to_be_bytes());
    out.extend(1i16.to_be_bytes());
    out.extend(op.to_be_bytes());
    out.extend(5i32.to_be_bytes());
    out.extend(rest);
    out
}

/// A masked frame of a WebSocket client, with the first byte as given.
pub(crate) fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x5a, 0x01, 0xff, 0x80];
    let mut out = client_header(first, 0x80, payload.len() as u64);
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// The same without a mask.
pub(crate) fn unmasked_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = client_header(first, 0, payload.len() as u64);
    out.extend(payload);
    out
}

/// A header that claims a length.
pub(crate) fn client_header(first: u8, mask_bit: u8, length: u64) -> Vec<u8> {
    let mut out = vec![first];
    match length {
        0..=125 => out.push(mask_bit | length as u8),
        126..=0xffff => {
            out.push(mask_bit | 126);
            out.extend((length as u16).to_be_bytes());
        }
        _ => {
            out.push(mask_bit | 127);
            out.extend(length.to_be_bytes());
        }
    }
    out
}

/// Bytes from a text like `00000010 0010 "text"`: hex words and quoted ASCII.
pub(crate) fn bytes(script: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, part) in script.split('"').enumerate() {
        if index % 2 == 1 {
            out.extend(part.as_bytes());
            continue;
        }
        let hex: Vec<u8> = part.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        for pair in hex.chunks(2) {
            out.push(u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
        }
    }
    out
}
