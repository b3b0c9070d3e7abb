//! Hostile requests at the HTTP device door: no panic, the same meaning in any cut, one form of each name.

use std::fmt::Write;

use orrery_comet_core::http::{Cursor, Opening, Refusal, Request, SessionId};
use orrery_comet_core::json::ServerMessage;

const PATHS: [&str; 4] = ["/sub/poll", "/sub/events", "/sub/send", "/sub/close"];
const METHODS: [&str; 4] = ["GET", "POST", "OPTIONS", "PUT"];
const SESSION: &str = "session=000102030405060708090a0b0c0d0eff&";

/// Holds for any bytes, or panics.
pub fn check(data: &[u8]) {
    opened(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(cursor) = Cursor::parse(text) {
        assert_eq!(cursor.to_string(), text);
    }
    if let Some(session) = SessionId::parse(text) {
        assert_eq!(session.to_string(), text);
    }
    // As its parts come: the method, the target, and what a browser remembers.
    let mut parts = text.splitn(3, ' ');
    let mut part = || parts.next().unwrap_or_default();
    let (method, (path, query)) = (part(), split(part()));
    judged(method, path, query, parts.next());
    // Most words are no method, no path and no session: take the text for a query, and for a cursor, of each.
    let (query, last) = text.split_once(' ').map_or((text, None), |(q, last)| (q, Some(last)));
    for (method, path) in METHODS.into_iter().flat_map(|method| PATHS.map(|path| (method, path))) {
        judged(method, path, query, last);
        judged(method, path, &format!("{SESSION}{query}"), last);
    }
}

/// Judges a connection by its first bytes: what it said once, it does not take back.
fn opened(bytes: &[u8]) {
    let whole = Opening::of(bytes);
    let mut so_far = Opening::Unknown;
    for len in 0..=bytes.len().min(256) {
        let now = Opening::of(&bytes[..len]);
        match so_far {
            Opening::Unknown => {}
            Opening::WebSocket | Opening::HttpHead => assert_eq!(now, so_far),
            Opening::Http => assert!(matches!(now, Opening::Http | Opening::HttpHead)),
        }
        so_far = now;
    }
    if so_far == Opening::HttpHead {
        assert_eq!(whole, so_far);
    }
}

fn split(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

/// Reads a request. What was understood is the same when it is said plainly; what was not has words for it.
fn judged(method: &str, path: &str, query: &str, last_event_id: Option<&str>) {
    match Request::parse(method, path, query, last_event_id) {
        Ok(request) => {
            let (method, target) = plainly(request, path);
            let (path, query) = split(&target);
            assert_eq!(Request::parse(method, path, query, None), Ok(request));
        }
        Err(refusal) => {
            assert!(matches!(refusal.status(), 400 | 404 | 405));
            assert!(!refusal.may_retry());
            assert!(matches!(
                ServerMessage::parse(&refusal.body()),
                Ok(ServerMessage::Error { .. })
            ));
            let nowhere = matches!(refusal, Refusal::NoSuchPath);
            assert_eq!(nowhere, !PATHS.contains(&path));
        }
    }
}

/// A request as a device of ours says it.
fn plainly(request: Request, path: &str) -> (&'static str, String) {
    let at = |path, session: SessionId| format!("{path}?session={session}");
    match request {
        Request::Hello => ("POST", PATHS[0].to_owned()),
        Request::Poll { session, cursor, wait_ms } => {
            let mut target = format!("{}&cursor={cursor}", at(PATHS[0], session));
            if let Some(wait_ms) = wait_ms {
                write!(target, "&wait_ms={wait_ms}").expect("memory");
            }
            ("GET", target)
        }
        Request::Events { session, cursor } => {
            ("GET", format!("{}&cursor={cursor}", at(PATHS[1], session)))
        }
        Request::Send(session) => ("POST", at(PATHS[2], session)),
        Request::Close(session) => ("POST", at(PATHS[3], session)),
        Request::Preflight => ("OPTIONS", path.to_owned()),
    }
}
