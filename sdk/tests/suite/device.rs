//! What a device promises, on every transport.

use std::time::Duration;

use bytes::Bytes;
use orrery_comet_core::{Action, Dialect, Encoded, Frame, Token};
use orrery_model::message::{CloseReason, Message};
use orrery_sdk::{
    ConnectError, Device, ErrorCode, Event, Options, RequestError, ServerMessage, Transport,
};
use tokio::time::timeout;

use crate::peer::{ALL, Mood, Order, Peer};

fn push(transport: Transport, op: i32, body: &'static [u8]) -> Bytes {
    Encoded::new(Message { op, body: Bytes::from_static(body) }).bytes(match transport {
        Transport::Tcp => Dialect::Tcp,
        Transport::WebSocket => Dialect::WebSocket,
        Transport::Json | Transport::Poll | Transport::Sse => Dialect::Json,
    })
}

fn message(op: i32, body: &'static [u8]) -> Event {
    Event::Message { op, body: Bytes::from_static(body) }
}

async fn connected(transport: Transport) -> (Peer, Device) {
    let peer = Peer::start(transport, Mood::Kind, None).await;
    let device = Device::connect(&peer.host.net, peer.options(transport)).await.unwrap();
    (peer, device)
}

/// The next event, or a failure that says where it hung.
async fn next(device: &mut Device) -> Event {
    timeout(Duration::from_secs(10), device.next()).await.expect("an event in time")
}

async fn connect_error(mood: Mood, transport: Transport) -> ConnectError {
    let peer = Peer::start(transport, mood, None).await;
    let mut options = peer.options(transport);
    options.connect_timeout = Duration::from_millis(200);
    match Device::connect(&peer.host.net, options).await {
        Ok(_) => panic!("connected over {transport:?}"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_connected_device_receives_pushes() {
    for transport in ALL {
        let (peer, mut device) = connected(transport).await;
        for (op, body) in [(1000, &b"text"[..]), (3, b""), (-1, b"\xff\0"), (9, b"nine")] {
            peer.order(Order::Write(push(transport, op, body))).await;
            assert_eq!(next(&mut device).await, message(op, body), "{transport:?}");
        }
    }
}

#[tokio::test]
async fn a_batch_in_one_websocket_message_is_several_events() {
    let (peer, mut device) = connected(Transport::WebSocket).await;
    let inner = [push(Transport::Tcp, 1, b"a"), push(Transport::Tcp, 2, b"b")].concat();
    let outer = Frame { version: 1, op: 9, seq: 0, body: inner.into() }.encode();
    let wire = orrery_comet_core::websocket_frame::binary(&outer);
    peer.order(Order::Write(wire)).await;
    assert_eq!(next(&mut device).await, message(1, b"a"));
    assert_eq!(next(&mut device).await, message(2, b"b"));
}

#[tokio::test]
async fn the_introduction_says_what_the_options_say() {
    for transport in [Transport::Tcp, Transport::WebSocket] {
        let mut peer = Peer::start(transport, Mood::Kind, None).await;
        let options = peer.options(transport).key("k").room("live://1").accepts([1, 2]);
        Device::connect(&peer.host.net, options.platform("web")).await.unwrap();
        let Some(Action::Authenticate { credentials }) = peer.actions.recv().await else {
            panic!("an authentication");
        };
        let expected = Token {
            mid: 5,
            key: "k".into(),
            room_id: "live://1".into(),
            platform: "web".into(),
            accepts: vec![1, 2],
        };
        assert_eq!(Token::parse(&credentials).unwrap(), expected);
    }
    let mut peer = Peer::start(Transport::Json, Mood::Kind, None).await;
    let mut options = peer.options(Transport::Json).room("a").room("b");
    options.labels.insert("v".into(), "1".into());
    let device = Device::connect(&peer.host.net, options).await.unwrap();
    let Some(Action::Authenticate { credentials }) = peer.actions.recv().await else {
        panic!("an authentication");
    };
    assert_eq!(credentials, r#"{"type":"hello","user":"5","rooms":["a","b"],"labels":{"v":"1"}}"#);
    let welcome = device.welcome();
    assert_eq!(welcome.key.as_deref(), Some("k1"));
    assert_eq!(welcome.seq, Some(9));
    assert_eq!(welcome.heartbeat, Some(Duration::from_secs(1)));
}

#[tokio::test]
async fn a_heartbeat_is_answered() {
    for transport in ALL {
        let (_peer, mut device) = connected(transport).await;
        device.heartbeat().await.unwrap();
        let count = (transport != Transport::Json).then_some(42);
        assert_eq!(next(&mut device).await, Event::HeartbeatReply { count });
    }
}

#[tokio::test]
async fn heartbeats_are_sent_by_themselves_when_asked_for() {
    for transport in ALL {
        let peer = Peer::start(transport, Mood::Kind, None).await;
        let options = peer.options(transport).heartbeat(Duration::from_millis(5));
        let mut device = Device::connect(&peer.host.net, options).await.unwrap();
        for _ in 0..3 {
            assert!(matches!(next(&mut device).await, Event::HeartbeatReply { .. }));
        }
    }
}

#[tokio::test]
async fn a_push_that_overtakes_an_answer_is_kept() {
    for transport in ALL {
        let first = push(transport, 1000, b"early");
        let peer = Peer::start(transport, Mood::Kind, Some(first)).await;
        let mut device = Device::connect(&peer.host.net, peer.options(transport)).await.unwrap();
        // The peer writes the push just before this request's answer.
        match transport {
            Transport::Json => device.join(&["a"]).await.unwrap(),
            _ => device.change_room(Some("live://2")).await.unwrap(),
        }
        assert_eq!(next(&mut device).await, message(1000, b"early"), "{transport:?}");
    }
}

#[tokio::test]
async fn rooms_and_subscriptions_are_changed_as_the_protocol_has_it() {
    for transport in [Transport::Tcp, Transport::WebSocket] {
        let (_peer, mut device) = connected(transport).await;
        device.change_room(Some("live://2")).await.unwrap();
        device.change_room(None).await.unwrap();
        device.subscribe(&[1, 2]).await.unwrap();
        device.unsubscribe(&[1]).await.unwrap();
        assert!(matches!(device.join(&["a"]).await, Err(RequestError::NotInProtocol("join"))));
        assert!(matches!(device.send_text("{}").await, Err(RequestError::NotInProtocol(_))));
    }
    let (_peer, mut device) = connected(Transport::Json).await;
    device.join(&["a", "b"]).await.unwrap();
    device.leave(&["a"]).await.unwrap();
    assert!(matches!(device.join(&[""]).await, Err(RequestError::BadRequest(_))));
    assert!(matches!(device.subscribe(&[1]).await, Err(RequestError::NotInProtocol(_))));
    let frame = Frame::default();
    assert!(matches!(device.send_frame(frame).await, Err(RequestError::NotInProtocol(_))));
}

#[tokio::test]
async fn a_refused_join_says_why() {
    let peer = Peer::start(Transport::Json, Mood::Full, None).await;
    let options = peer.options(Transport::Json);
    let mut device = Device::connect(&peer.host.net, options).await.unwrap();
    match device.join(&["a"]).await {
        Err(RequestError::Refused { code: ErrorCode::TooManyRooms, message }) => {
            assert_eq!(message, "full");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_sent_as_it_is_is_answered_as_it_is() {
    for transport in [Transport::Tcp, Transport::WebSocket] {
        let (_peer, mut device) = connected(transport).await;
        let frame = Frame { version: 7, op: 100, seq: 100, body: "q".into() };
        device.send_frame(frame.clone()).await.unwrap();
        let echo = Frame { body: Bytes::new(), ..frame };
        assert_eq!(next(&mut device).await, Event::Frame(echo));
    }
    let (_peer, mut device) = connected(Transport::Json).await;
    device.send_text("{}").await.unwrap();
    match next(&mut device).await {
        Event::Json(ServerMessage::Error { code: ErrorCode::BadMessage, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_message_to_the_backend_arrives() {
    for transport in ALL {
        let (mut peer, mut device) = connected(transport).await;
        device.send(4, b"up\xff").await.unwrap();
        let sent = timeout(Duration::from_secs(10), async {
            loop {
                if let Some(Action::Upstream { message, .. }) = peer.actions.recv().await {
                    return message;
                }
            }
        });
        let body = Bytes::from_static(b"up\xff");
        assert_eq!(sent.await.unwrap(), Message { op: 4, body }, "{transport:?}");
    }
}

#[tokio::test]
async fn a_message_of_an_unknown_type_is_ignored() {
    let (peer, mut device) = connected(Transport::Json).await;
    for text in [r#"{"type":"weather","is":{"hot":[1]}}"#, r#"{"rooms":7,"type":"w"}"#] {
        let unknown = orrery_comet_core::websocket_frame::text(text);
        peer.order(Order::Write(unknown)).await;
    }
    peer.order(Order::Write(push(Transport::Json, 9, b"known"))).await;
    assert_eq!(next(&mut device).await, message(9, b"known"));
    peer.order(Order::Write(orrery_comet_core::websocket_frame::text("{}"))).await;
    assert!(matches!(next(&mut device).await, Event::Closed { code: None, .. }));
}

#[tokio::test]
async fn the_end_has_a_reason_and_stays_the_end() {
    for transport in ALL {
        let (peer, mut device) = connected(transport).await;
        peer.order(Order::Close(CloseReason::Kicked)).await;
        let end = next(&mut device).await;
        match (&end, transport) {
            (Event::Closed { code: Some(4002), reason }, Transport::Json) => {
                assert_eq!(reason, "kicked");
            }
            (Event::Closed { code: None, .. }, Transport::Tcp | Transport::WebSocket) => {}
            _ => panic!("{end:?} over {transport:?}"),
        }
        assert_eq!(next(&mut device).await, end);
        assert!(matches!(device.heartbeat().await, Err(RequestError::Closed)));
    }
}

#[tokio::test]
async fn what_arrived_before_the_end_is_not_lost() {
    for transport in ALL {
        let (peer, mut device) = connected(transport).await;
        peer.order(Order::Write(push(transport, 1, b"last"))).await;
        peer.order(Order::Hang).await;
        assert_eq!(next(&mut device).await, message(1, b"last"));
        assert!(matches!(next(&mut device).await, Event::Closed { .. }));
    }
}

#[tokio::test]
async fn giving_up_on_an_event_loses_nothing() {
    for transport in ALL {
        let (peer, mut device) = connected(transport).await;
        let bytes = push(transport, 1000, b"in two halves");
        let half = bytes.len() / 2;
        peer.order(Order::Write(bytes.slice(..half))).await;
        // Whether the half has arrived by now or not: no event comes of it.
        assert!(timeout(Duration::from_millis(30), device.next()).await.is_err());
        peer.order(Order::Write(bytes.slice(half..))).await;
        assert_eq!(next(&mut device).await, message(1000, b"in two halves"));
    }
}

#[tokio::test]
async fn a_refusal_is_told_as_far_as_the_protocol_has_words() {
    for transport in [Transport::Tcp, Transport::WebSocket] {
        match connect_error(Mood::Strict, transport).await {
            ConnectError::Closed { code: None, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    match connect_error(Mood::Strict, Transport::Json).await {
        ConnectError::Refused { code: ErrorCode::Unauthorized, message } => {
            assert_eq!(message, "not today");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_mute_comet_is_given_up_on() {
    for transport in ALL {
        assert!(matches!(connect_error(Mood::Mute, transport).await, ConnectError::Timeout));
    }
}

#[tokio::test]
async fn a_port_nobody_listens_on_is_unreachable() {
    for transport in ALL {
        let host = orrery_host::Host::system();
        let listener = host.net.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let connected = Device::connect(&host.net, Options::new(transport, address)).await;
        assert!(matches!(connected.err(), Some(ConnectError::Unreachable { .. })));
    }
}

#[tokio::test]
async fn options_that_the_protocol_cannot_say_are_refused_before_connecting() {
    let host = orrery_host::Host::system();
    let nowhere = |transport| Options::new(transport, "127.0.0.1:1");
    for transport in [Transport::Tcp, Transport::WebSocket] {
        for options in [nowhere(transport).user("alice"), nowhere(transport).room("a").room("b")] {
            let connected = Device::connect(&host.net, options).await;
            assert!(matches!(connected.err(), Some(ConnectError::NotInGoim(_))));
        }
    }
    for options in [nowhere(Transport::Json).user(""), nowhere(Transport::Json).room("")] {
        let connected = Device::connect(&host.net, options).await;
        assert!(matches!(connected.err(), Some(ConnectError::BadOptions(_))));
    }
}

#[tokio::test]
async fn a_goodbye_reaches_the_comet() {
    let (mut peer, device) = connected(Transport::Json).await;
    device.close().await;
    let goodbye = timeout(Duration::from_secs(10), async {
        loop {
            match peer.actions.recv().await {
                Some(Action::Goodbye(_)) => return true,
                Some(_) => {}
                None => return false,
            }
        }
    });
    assert!(goodbye.await.unwrap());
}
