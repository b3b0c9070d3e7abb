//! Request: what a device wants, by the method, path and query of its request.

use super::cursor::Cursor;
use super::refusal::Refusal;
use super::session_id::SessionId;

/// Where all of it is.
const ROOT: &str = "/sub/";
const POLL: &str = "/sub/poll";
const EVENTS: &str = "/sub/events";
const SEND: &str = "/sub/send";
const CLOSE: &str = "/sub/close";

/// Methods that a page of another origin may use, as `Access-Control-Allow-Methods` has it.
pub const ALLOWED_METHODS: &str = "GET, POST";
/// Headers that it may set, as `Access-Control-Allow-Headers` has it.
pub const ALLOWED_HEADERS: &str = "content-type, last-event-id";
/// Headers of an answer that it may read, as `Access-Control-Expose-Headers` has it.
pub const EXPOSED_HEADERS: &str = "retry-after";

/// Whether the first bytes of a connection begin a request that is answered in HTTP, or one for a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// More of the request line has to come.
    Unknown,
    /// The WebSocket's.
    WebSocket,
    /// It is, and more of its head has to come.
    Http,
    /// It is, and its head is there.
    HttpHead,
}

impl Opening {
    /// Judges by the path, and looks at nothing else.
    pub fn of(bytes: &[u8]) -> Self {
        let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
            return Self::Unknown;
        };
        let target = bytes[..end].split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        if !target.starts_with(ROOT.as_bytes()) {
            return Self::WebSocket;
        }
        match bytes[end..].windows(4).any(|four| four == b"\r\n\r\n") {
            true => Self::HttpHead,
            false => Self::Http,
        }
    }
}

/// What a device wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// A session: the body is a hello.
    Hello,
    /// The events after a cursor, as soon as there are any.
    Poll {
        /// Of this session.
        session: SessionId,
        /// What it has.
        cursor: Cursor,
        /// How long it would wait, in milliseconds.
        wait_ms: Option<u64>,
    },
    /// The same as a stream that goes on.
    Events {
        /// Of this session.
        session: SessionId,
        /// What it has.
        cursor: Cursor,
    },
    /// To say something: the body is a message.
    Send(SessionId),
    /// To end its session.
    Close(SessionId),
    /// To know what a page of another origin may do.
    Preflight,
}

impl Request {
    /// Reads a request. What names no known parameter of the query is ignored; `last_event_id` is what a browser
    /// remembers of a stream that it had, so that it is newer than what the query says.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn parse(
        method: &str,
        path: &str,
        query: &str,
        last_event_id: Option<&str>,
    ) -> Result<Self, Refusal> {
        let allowed: &[&str] = match path {
            POLL => &["GET", "POST"],
            EVENTS => &["GET"],
            SEND | CLOSE => &["POST"],
            _ => return Err(Refusal::NoSuchPath),
        };
        if method == "OPTIONS" {
            return Ok(Self::Preflight);
        }
        if !allowed.contains(&method) {
            return Err(Refusal::NoSuchMethod(allowed));
        }
        if (method, path) == ("POST", POLL) {
            return Ok(Self::Hello);
        }
        let query = Query(query);
        let session = query.get("session")?.and_then(SessionId::parse);
        let session = session.ok_or(Refusal::BadQuery("`session` is missing or malformed"))?;
        let cursor = || -> Result<Cursor, Refusal> {
            let text = query.get("cursor")?;
            let cursor = last_event_id.or(text).and_then(Cursor::parse);
            cursor.ok_or(Refusal::BadQuery("`cursor` is missing or malformed"))
        };
        Ok(match path {
            POLL => {
                let wait_ms = query.get("wait_ms")?.map(str::parse).transpose();
                let bad = |_| Refusal::BadQuery("`wait_ms` is not a number");
                Self::Poll { session, cursor: cursor()?, wait_ms: wait_ms.map_err(bad)? }
            }
            EVENTS => Self::Events { session, cursor: cursor()? },
            SEND => Self::Send(session),
            _ => Self::Close(session),
        })
    }
}

/// The part of a target behind its question mark. Nothing that is known there needs to be escaped.
struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    fn get(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        let pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        let mut values = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Refusal::BadQuery("a parameter is given twice")),
            (value, None) => Ok(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "000102030405060708090a0b0c0d0eff";

    fn parse(method: &str, target: &str) -> Result<Request, Refusal> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Request::parse(method, path, query, None)
    }

    #[test]
    fn the_path_alone_says_who_answers_a_connection() {
        let all = b"GET /sub/poll?session=1 HTTP/1.1\r\nHost: x\r\n\r\n{";
        let line = all.windows(2).position(|pair| pair == b"\r\n").unwrap() + 2;
        for len in 0..all.len() {
            let expected = match len {
                _ if len < line => Opening::Unknown,
                _ if len < all.len() - 1 => Opening::Http,
                _ => Opening::HttpHead,
            };
            assert_eq!(Opening::of(&all[..len]), expected, "{len}");
        }
        for request in ["GET /sub HTTP/1.1\r\n", "POST / HTTP/1.1\r\n", "nonsense\r\n", "\r\n"] {
            assert_eq!(Opening::of(request.as_bytes()), Opening::WebSocket, "{request}");
        }
        assert_eq!(Opening::of(b"POST /sub/any HTTP/1.0\r\n\r\n"), Opening::HttpHead);
    }

    #[test]
    fn each_path_has_its_methods() {
        assert_eq!(parse("POST", "/sub/poll"), Ok(Request::Hello));
        assert_eq!(parse("OPTIONS", "/sub/send"), Ok(Request::Preflight));
        assert_eq!(parse("POST", "/sub/events"), Err(Refusal::NoSuchMethod(&["GET"])));
        assert_eq!(parse("GET", "/sub/send"), Err(Refusal::NoSuchMethod(&["POST"])));
        assert_eq!(parse("PUT", "/sub/poll"), Err(Refusal::NoSuchMethod(&["GET", "POST"])));
        for path in ["/sub/", "/sub", "/sub/poll/", "/sub/Poll", "/"] {
            assert_eq!(parse("GET", path), Err(Refusal::NoSuchPath), "{path}");
        }
    }

    #[test]
    fn a_query_names_session_and_cursor() {
        let (session, cursor) = (SessionId::parse(ID).unwrap(), Cursor(7));
        let poll = |wait_ms| Ok(Request::Poll { session, cursor, wait_ms });
        assert_eq!(parse("GET", &format!("/sub/poll?session={ID}&cursor=7")), poll(None));
        let more = format!("/sub/poll?cursor=7&t=1&wait_ms=20&session={ID}");
        assert_eq!(parse("GET", &more), poll(Some(20)));
        assert_eq!(parse("POST", &format!("/sub/send?session={ID}")), Ok(Request::Send(session)));
        assert_eq!(parse("POST", &format!("/sub/close?session={ID}")), Ok(Request::Close(session)));
        for (method, target) in [
            ("GET", "/sub/poll?cursor=7".to_owned()),
            ("GET", format!("/sub/poll?session={ID}")),
            ("GET", format!("/sub/poll?session={ID}&cursor=")),
            ("GET", format!("/sub/poll?session={ID}&cursor=x")),
            ("GET", format!("/sub/poll?session={ID}&cursor=1&cursor=2")),
            ("GET", format!("/sub/poll?session={ID}&cursor=1&wait_ms=-1")),
            ("GET", "/sub/events?session=1&cursor=7".to_owned()),
            ("POST", "/sub/send".to_owned()),
        ] {
            assert!(matches!(parse(method, &target), Err(Refusal::BadQuery(_))), "{target}");
        }
    }

    #[test]
    fn what_a_browser_remembers_is_newer_than_the_address() {
        let query = format!("session={ID}&cursor=1");
        let events = |last| Request::parse("GET", EVENTS, &query, last);
        let session = SessionId::parse(ID).unwrap();
        assert_eq!(events(None), Ok(Request::Events { session, cursor: Cursor(1) }));
        assert_eq!(events(Some("9")), Ok(Request::Events { session, cursor: Cursor(9) }));
        assert!(events(Some("forged")).is_err());
    }
}
