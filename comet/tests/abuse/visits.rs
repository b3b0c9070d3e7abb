//! Visits: devices over HTTP, each in its session, and those that were let in and are served meanwhile.

use orrery_model::{Address, Id};
use serde_json::json;

use crate::doors::{Doors, WAYS, Way};
use crate::support::device::{Device, frame};
use crate::support::session::Session;
use crate::support::web::{Reply, Web};

/// The doors for HTTP.
pub(crate) const HTTP: [Way; 2] = [WAYS[1], WAYS[3]];

/// A session, and how far its device has got.
pub(crate) struct Visit {
    session: String,
    cursor: String,
}

impl Visit {
    pub(crate) fn of(welcome: &Reply) -> Self {
        assert_eq!(welcome.status, 200, "{welcome:?}");
        let welcome = welcome.json();
        let value = |name: &str| welcome[name].as_str().unwrap().to_owned();
        Self { session: value("session"), cursor: value("cursor") }
    }

    pub(crate) fn post(&self) -> String {
        format!("/sub/send?session={}", self.session)
    }

    pub(crate) fn close(&self) -> String {
        format!("/sub/close?session={}", self.session)
    }

    pub(crate) fn events(&self, how: &str) -> String {
        format!("/sub/{how}?session={}&cursor={}", self.session, self.cursor)
    }
}

pub(crate) async fn greet(web: &mut Web, user: &str) -> Reply {
    let hello = json!({"type": "hello", "user": user}).to_string();
    web.fetch("POST", "/sub/poll", &hello).await
}

/// A device that was let in at a door.
pub(crate) async fn visit(doors: &Doors, way: Way, user: &str) -> Visit {
    Visit::of(&greet(&mut web(doors, way).await, user).await)
}

pub(crate) async fn web(doors: &Doors, way: Way) -> Web {
    Web::over(doors.open(way).await)
}

pub(crate) fn get(target: &str, headers: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: comet.test\r\n{headers}\r\n").into()
}

/// The head of a request with a body, of which it says so much.
pub(crate) fn head(target: &str, body: &str) -> Vec<u8> {
    format!("POST {target} HTTP/1.1\r\nHost: comet.test\r\n{body}\r\n\r\n").into()
}

/// Who was let in: a device over TCP, and one with a stream of events at each door.
pub(crate) struct Bystanders {
    device: Device,
    streams: Vec<(Web, Address)>,
    session: Session,
}

impl Bystanders {
    pub(crate) async fn new(doors: &Doors) -> Self {
        let device = doors.device(WAYS[0], "{}").await;
        let mut streams = Vec::new();
        for (number, way) in HTTP.into_iter().enumerate() {
            let mut web = web(doors, way).await;
            let user = format!("bystander-{number}");
            let visit = Visit::of(&greet(&mut web, &user).await);
            assert_eq!(web.fetch("GET", &visit.events("events"), "").await.status, 200);
            streams.push((web, Address::user(Id::new(user).unwrap())));
        }
        Self { device, streams, session: doors.stage.session().await }
    }

    /// All of them are served.
    pub(crate) async fn check(&mut self, doors: &Doors) {
        self.device.send(frame(2, 1, b"")).await;
        assert_eq!(self.device.receive().await.op, 3);
        for (web, user) in &mut self.streams {
            let route = doors.stage.logic.route(user);
            self.session.push(5, b"served", &[&route]).await;
            web.text_to("served").await;
        }
    }
}
