//! Answer: events as the body of an answer, or as the text of a stream.

use bytes::{BufMut, Bytes, BytesMut};

use super::cursor::Cursor;
use super::refusal::status_of;
use super::session_id::SessionId;
use crate::json::ServerMessage;

/// A line of a stream that means nothing: it keeps the networks in between from taking the stream for dead.
pub const COMMENT: &[u8] = b":\n\n";

/// What became of a hello, by the first events of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// That is not known yet.
    Open,
    /// The device is let in, and may be silent for so long.
    Welcome {
        /// In milliseconds.
        heartbeat_max_ms: u32,
    },
    /// It is not, for which this is the status.
    Refused(u16),
}

impl Verdict {
    /// Reads the events.
    pub fn of(events: &[Bytes]) -> Self {
        for event in events {
            match ServerMessage::parse(event) {
                Ok(ServerMessage::Welcome { heartbeat_max_ms, .. }) => {
                    return Self::Welcome { heartbeat_max_ms };
                }
                Ok(ServerMessage::Close { code, .. }) => return Self::Refused(status_of(code)),
                _ => {}
            }
        }
        Self::Open
    }
}

/// The lines of what a connection writes, each an event.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// The answer to a hello that is welcome.
pub fn welcome(session: SessionId, cursor: Cursor, wait_ms: u64, events: &[Bytes]) -> Bytes {
    let head = format!(r#"{{"session":"{session}","cursor":"{cursor}","wait_ms":{wait_ms},"#);
    object(&head, events)
}

/// The answer to a poll.
pub fn events(cursor: Cursor, events: &[Bytes]) -> Bytes {
    object(&format!(r#"{{"cursor":"{cursor}","#), events)
}

/// The answer to a hello that is refused.
pub fn end(events: &[Bytes]) -> Bytes {
    object("{", events)
}

fn object(head: &str, events: &[Bytes]) -> Bytes {
    let bytes: usize = events.iter().map(|event| event.len() + 1).sum();
    let mut out = BytesMut::with_capacity(head.len() + bytes + 12);
    out.put_slice(head.as_bytes());
    out.put_slice(br#""events":["#);
    for (number, event) in events.iter().enumerate() {
        if number > 0 {
            out.put_u8(b',');
        }
        out.put_slice(event);
    }
    out.put_slice(b"]}");
    out.freeze()
}

/// The first line of a stream: after how many milliseconds to come back when it ends.
pub fn begin_stream(retry_ms: u64) -> Bytes {
    format!("retry: {retry_ms}\n\n").into()
}

/// Events as a stream has them (WHATWG HTML, 9.2.6), each under its number; the first follows the cursor.
pub fn stream(Cursor(after): Cursor, events: &[Bytes]) -> Bytes {
    let mut out = BytesMut::new();
    for (number, event) in (after + 1..).zip(events) {
        out.put_slice(format!("id: {number}\ndata: ").as_bytes());
        out.put_slice(event);
        out.put_slice(b"\n\n");
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Bytes; 2] =
        [Bytes::from_static(br#"{"type":"pong"}"#), Bytes::from_static(br#"{"type":"x"}"#)];

    #[test]
    fn a_poll_is_answered_with_one_object() {
        assert_eq!(events(Cursor(3), &[]), r#"{"cursor":"3","events":[]}"#);
        let both = r#"{"cursor":"5","events":[{"type":"pong"},{"type":"x"}]}"#;
        assert_eq!(events(Cursor(5), &EVENTS), both);
        let id = SessionId::new([7; 16]);
        let found: serde_json::Value =
            serde_json::from_slice(&welcome(id, Cursor(2), 25_000, &EVENTS)).unwrap();
        assert_eq!(found["session"], id.to_string());
        assert_eq!((&found["cursor"], &found["wait_ms"]), (&"2".into(), &25_000.into()));
        assert_eq!(found["events"][1]["type"], "x");
        assert_eq!(end(&EVENTS[..1]), r#"{"events":[{"type":"pong"}]}"#);
    }

    #[test]
    fn a_stream_numbers_its_events() {
        let text = "id: 8\ndata: {\"type\":\"pong\"}\n\nid: 9\ndata: {\"type\":\"x\"}\n\n";
        assert_eq!(stream(Cursor(7), &EVENTS), text);
    }

    #[test]
    fn the_first_events_say_what_became_of_a_hello() {
        let parse = |text: &'static str| Verdict::of(&[EVENTS[0].clone(), text.into()]);
        assert_eq!(
            parse(r#"{"type":"error","code":"UNAUTHORIZED","message":"no"}"#),
            Verdict::Open
        );
        assert_eq!(
            parse(r#"{"type":"welcome","key":"k","heartbeat_ms":1,"heartbeat_max_ms":2}"#),
            Verdict::Welcome { heartbeat_max_ms: 2 }
        );
        for (code, status) in [(4006, 401), (4005, 503), (1013, 503), (1002, 400), (4001, 410)] {
            let close = ServerMessage::Close { code, reason: String::new() };
            assert_eq!(Verdict::of(&[close.to_text().into()]), Verdict::Refused(status), "{code}");
        }
    }

    #[test]
    fn what_a_connection_writes_is_cut_at_its_lines() {
        assert_eq!(lines(b"one\ntwo\n").collect::<Vec<_>>(), [b"one", b"two"]);
        assert_eq!(lines(b"").count(), 0);
    }
}
