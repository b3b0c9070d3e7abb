//! A hostile device in a session over HTTP: whatever it posts arrives as it was posted, each answer is a line, and
//! whatever cursors it names, it gets the events that follow them, no other ones, and within the limits.

use std::collections::VecDeque;

use bytes::Bytes;
use orrery_comet_core::http::{self, Cursor, CursorError, Full, Inbox, Ring, Verdict};
use orrery_comet_core::json::ServerMessage;
use orrery_comet_core::limits::{
    HTTP_INBOX_BYTES_MAX, HTTP_KEPT_BYTES_MAX, HTTP_SHOWN_BYTES_MAX, HTTP_SHOWN_EVENTS_MAX,
    HTTP_SIGNS_MAX,
};
use orrery_comet_core::{Accepts, Action, Decoder, Dialect, Established, Input, Session};

/// Most bytes that a session is written, about: the fuzzer's memory.
const WRITTEN_MAX: usize = 8 << 20;

/// Holds for any bytes, or panics.
pub fn check(data: &[u8]) {
    // The first byte chooses what the others are, the second where to cut.
    let Some((&[kind, cut], bytes)) = data.split_first_chunk() else { return };
    match kind % 3 {
        0 => posted(bytes, usize::from(cut).max(1)),
        1 => answered(bytes),
        _ => asked(bytes),
    }
}

/// Posts texts, each of the length that a byte says and now and then that many times as long, with signs of life
/// between them, while a connection takes some of it now and then.
fn posted(mut bytes: &[u8], cut: usize) {
    let mut posted = Posted::default();
    while let Some((&len, rest)) = bytes.split_first() {
        let (text, rest) = rest.split_at(rest.len().min(usize::from(len)));
        bytes = rest;
        if text.is_empty() {
            posted.sign();
            continue;
        }
        let text = if len % 16 == 0 { text.repeat(usize::from(len)) } else { text.to_vec() };
        let fits = posted.post(text);
        if len % 8 == 2 {
            posted.take(cut);
        } else if !fits || len % 8 == 1 {
            posted.take_all(cut);
        }
    }
    posted.take_all(cut);
}

/// An inbox, and what must be in it.
struct Posted {
    inbox: Inbox,
    decoder: Decoder,
    expected: VecDeque<Input>,
    /// Bytes that wait, of texts and signs and the lengths in front of them.
    waiting: usize,
    /// Signs since nothing waited.
    signs: usize,
}

impl Default for Posted {
    fn default() -> Self {
        let (inbox, decoder) = (Inbox::default(), Decoder::new(Dialect::Http, 1));
        Self { inbox, decoder, expected: VecDeque::new(), waiting: 0, signs: 0 }
    }
}

impl Posted {
    fn post(&mut self, text: Vec<u8>) -> bool {
        let fits = self.waiting + 4 + text.len() <= HTTP_INBOX_BYTES_MAX;
        assert_eq!(self.inbox.post(&text), if fits { Ok(()) } else { Err(Full) });
        if fits {
            self.waiting += 4 + text.len();
            self.expected.push_back(Input::Text(text.into()));
        }
        fits
    }

    /// Each sign arrives, however many there are: whoever reads them counts them as frames.
    fn sign(&mut self) {
        let fits = self.signs < HTTP_SIGNS_MAX;
        assert_eq!(self.inbox.sign(), if fits { Ok(()) } else { Err(Full) });
        if fits {
            self.waiting += 4;
            self.signs += 1;
            self.expected.push_back(Input::Ping(Bytes::new()));
        }
    }

    /// Takes a piece, of as many bytes as there are.
    fn take(&mut self, cut: usize) {
        let piece = self.inbox.take(cut);
        assert_eq!(piece.len(), cut.min(self.waiting));
        self.waiting -= piece.len();
        if self.waiting == 0 {
            self.signs = 0;
        }
        assert_eq!(self.inbox.is_empty(), self.waiting == 0);
        self.decoder.feed(&piece);
        while let Some(input) = self.decoder.poll().expect("there is nothing to break") {
            assert_eq!(Some(input), self.expected.pop_front());
        }
    }

    fn take_all(&mut self, cut: usize) {
        while self.waiting > 0 {
            self.take(cut);
        }
        assert!(self.expected.is_empty(), "all that was taken has arrived");
    }
}

/// Says lines to a session, first of all what might be a hello; it is let in by the first that is one.
fn answered(bytes: &[u8]) {
    let mut session = Session::new(Dialect::Http, 1);
    for text in bytes.split(|byte| *byte == 0).filter(|text| !text.is_empty()) {
        // Whoever takes a request looks whether its body is UTF-8.
        let Ok(text) = std::str::from_utf8(text) else { continue };
        let said = match session.handle_input(Input::Text(text.to_owned().into()), 1) {
            Action::Authenticate { .. } => let_in(&mut session),
            Action::Reply(reply) => reply,
            Action::Join { answer, .. } | Action::Leave { answer, .. } => answer.done(),
            Action::Upstream { reply, .. } => {
                assert!(reply.is_empty());
                continue;
            }
            other => panic!("a text does not lead to {other:?}"),
        };
        assert_eq!(said.iter().filter(|byte| **byte == b'\n').count(), 1, "an answer is a line");
        let lines: Vec<Bytes> = http::lines(&said).map(Bytes::copy_from_slice).collect();
        assert_eq!(lines.len(), 1);
        assert!(ServerMessage::parse(&lines[0]).is_ok());
        assert!(!matches!(Verdict::of(&lines), Verdict::Refused(_)), "nobody has refused it");
        let body = http::events(Cursor(1), &lines);
        assert_eq!(body.len(), r#"{"cursor":"1","events":[]}"#.len() + lines[0].len());
        let stream = http::stream(Cursor(0), &lines);
        assert_eq!(stream.len(), "id: 1\ndata: \n\n".len() + lines[0].len());
    }
}

fn let_in(session: &mut Session) -> Bytes {
    let key = "key".try_into().expect("a good id");
    let established = Established {
        user: None,
        key: &key,
        seq: orrery_model::Seq(1),
        heartbeat_ms: 1,
        heartbeat_max_ms: 2,
    };
    session.handle_established(&established, Accepts::default(), 0).expect("it is waited for")
}

/// Asks for the events of a session by whatever cursors, while a connection writes some as an outbox does.
fn asked(bytes: &[u8]) {
    let mut ring = Ring::default();
    // All that was ever written, of which what nobody was shown may be dropped at the end.
    let mut all: Vec<Bytes> = Vec::new();
    let (mut shown, mut at, mut upto) = (0_u64, None, Cursor(0));
    let (mut written, mut is_over) = (0, false);
    for pair in bytes.chunks_exact(2) {
        let (op, number) = (pair[0], u64::from(pair[1]));
        match op % 8 {
            // A device asks, for what it might have or for what it cannot.
            0 | 1 => {
                let cursor = Cursor(if op < 128 { number } else { shown.saturating_sub(number) });
                let passed = ring.is_passed(cursor);
                match ring.acknowledge(cursor) {
                    Ok(_) => {
                        assert!(!passed && cursor.0 <= shown);
                        at = Some(cursor);
                    }
                    Err(CursorError::NeverShown) => assert!(cursor.0 > shown),
                    Err(CursorError::Passed) => assert!(passed),
                }
            }
            // Its response begins, or goes on.
            2 | 3 => {
                let Some(cursor) = at.filter(|cursor| !ring.is_passed(*cursor)) else { continue };
                let (events, behind) = ring.show(cursor);
                let from = usize::try_from(cursor.0).expect("small");
                assert_eq!(events, all[from..from + events.len()]);
                assert_eq!(behind.0, cursor.0 + events.len() as u64);
                assert_eq!(events.is_empty(), !ring.has_after(cursor));
                let bytes: usize = events.iter().map(Bytes::len).sum();
                assert!(events.len() <= HTTP_SHOWN_EVENTS_MAX);
                assert!(bytes <= HTTP_SHOWN_BYTES_MAX || events.len() == 1);
                shown = shown.max(behind.0);
                (at, upto) = (Some(behind), behind);
            }
            // A socket has taken the newest response, or only said so.
            4 => ring.give(upto),
            5 => {
                ring.give(Cursor(number));
                assert!(ring.is_given() || (all.len() as u64) > shown.min(number));
            }
            // The connection writes.
            6 if ring.is_given() && !is_over && written < WRITTEN_MAX => {
                for _ in 0..=number % 64 {
                    let large = if op >= 128 { 1 << (number % 18) } else { 0 };
                    let mut event = format!("event {} ", all.len()).into_bytes();
                    event.resize(event.len() + large, b'x');
                    written += event.len();
                    let event = Bytes::from(event);
                    ring.push(event.clone());
                    all.push(event);
                }
            }
            6 => {}
            // It closes, and is over.
            _ if number % 2 == 0 && !is_over => {
                ring.cut();
                all.truncate(usize::try_from(shown).expect("small"));
            }
            _ => {
                is_over = true;
                ring.shrink();
                // What is kept may be asked for, and no more is kept than that.
                let oldest = (0..=shown).find(|cursor| !ring.is_passed(Cursor(*cursor)));
                let oldest =
                    oldest.map_or(all.len(), |oldest| usize::try_from(oldest).expect("small"));
                let kept: usize = all[oldest.min(all.len())..].iter().map(Bytes::len).sum();
                assert!(kept <= HTTP_KEPT_BYTES_MAX);
            }
        }
    }
}
