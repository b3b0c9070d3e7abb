//! What a client promises that stays connected.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use orrery_comet_core::{Action, Token};
use orrery_host::Host;
use orrery_model::Id;
use orrery_model::message::CloseReason;
use orrery_sdk::{
    Client, ClientEvent, ConnectError, Event, NodeList, Options, Pacing, RequestError, Transport,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::peer::{ALL, Mood, Order, Peer};
use crate::script::{
    Act, SENT, Script, WELCOME, answer, events, goodbye, message, waiting, welcome,
};

const PACING: Pacing = Pacing { base: Duration::from_millis(20), cap: Duration::from_millis(50) };

/// A client whose list names these peers, each of which takes one connection.
fn client(transport: Transport, peers: &[&Peer]) -> Client {
    seeded(transport, peers, 7)
}

fn seeded(transport: Transport, peers: &[&Peer], seed: u64) -> Client {
    let nodes = NodeList::new(peers.iter().map(|peer| peer.address.clone())).unwrap();
    let mut options = peers[0].options(transport);
    options.address = "nowhere".to_owned();
    let net = Arc::new(orrery_host::system::SystemNet);
    Client::new(net, options, nodes, PACING, seed)
}

/// A client of a comet over HTTP that follows a script.
fn scripted(script: &Script) -> Client {
    let nodes = NodeList::new(["comet:1".to_owned()]).unwrap();
    Client::new(script.net.clone(), script.options(Transport::Poll), nodes, PACING, 7)
}

async fn next(client: &mut Client) -> ClientEvent {
    timeout(Duration::from_secs(10), client.next()).await.expect("an event in time")
}

/// Goes on until it is connected; returns where, and what failed on the way.
async fn connected(client: &mut Client) -> (String, usize) {
    let mut failed = 0;
    loop {
        match next(client).await {
            ClientEvent::Connected { address, .. } => return (address, failed),
            ClientEvent::Failed { pause, .. } => {
                assert!(pause <= PACING.cap, "{pause:?}");
                failed += 1;
            }
            ClientEvent::Connecting { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn introduction(peer: &mut Peer) -> String {
    match peer.actions.recv().await {
        Some(Action::Authenticate { credentials }) => {
            String::from_utf8(credentials.to_vec()).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_lost_client_comes_back_elsewhere_into_its_room_and_tells_the_gap() {
    for transport in ALL {
        let first = Peer::start(transport, Mood::Kind, None).await;
        let mut second = Peer::start(transport, Mood::Kind, None).await;
        let mut client = client(transport, &[&first, &second]);
        assert_eq!(connected(&mut client).await, (first.address.clone(), 0));
        client.join("live://1").await.unwrap();
        assert_eq!(client.rooms(), ["live://1"]);

        first.order(Order::Hang).await;
        match next(&mut client).await {
            ClientEvent::Lost { code: None, pause, .. } => assert!(pause <= PACING.base),
            other => panic!("{other:?} over {transport:?}"),
        }
        // The first takes nobody any more, so that it has to go on.
        let (address, failed) = connected(&mut client).await;
        assert_eq!(address, second.address, "{transport:?}");
        assert!(failed > 0);
        match next(&mut client).await {
            ClientEvent::Gap { away } => assert!(away > Duration::ZERO),
            other => panic!("{other:?} over {transport:?}"),
        }
        let introduction = introduction(&mut second).await;
        match transport {
            Transport::Json => assert!(introduction.contains(r#""rooms":["live://1"]"#)),
            _ => assert_eq!(Token::parse(introduction.as_bytes()).unwrap().room_id, "live://1"),
        }
    }
}

#[tokio::test]
async fn a_room_that_was_left_is_not_joined_again() {
    for transport in ALL {
        let first = Peer::start(transport, Mood::Kind, None).await;
        let mut second = Peer::start(transport, Mood::Kind, None).await;
        let mut client = client(transport, &[&first, &second]);
        connected(&mut client).await;
        client.join("a").await.unwrap();
        client.join("a").await.unwrap();
        if transport != Transport::Json {
            let refused = client.join("b").await;
            assert!(matches!(refused, Err(RequestError::NotInProtocol("second room"))));
        }
        client.leave("a").await.unwrap();
        assert!(client.rooms().is_empty());
        first.order(Order::Hang).await;
        assert!(matches!(next(&mut client).await, ClientEvent::Lost { .. }));
        connected(&mut client).await;
        assert!(!introduction(&mut second).await.contains("\"a\""), "{transport:?}");
    }
}

#[tokio::test]
async fn a_change_of_rooms_that_nobody_waited_for_is_asked_for_again() {
    for transport in ALL {
        for leaves in [false, true] {
            let mut peer = Peer::start(transport, Mood::Forgetful, None).await;
            let mut client = client(transport, &[&peer]);
            if leaves {
                client.join("a").await.unwrap();
            }
            connected(&mut client).await;
            introduction(&mut peer).await;
            for is_answered in [false, true, true] {
                let changed = async {
                    match leaves {
                        false => client.join("a").await,
                        true => client.leave("a").await,
                    }
                };
                // Long enough for what is answered, and what is not never would be.
                let limit = Duration::from_millis(if is_answered { 10_000 } else { 50 });
                let changed = timeout(limit, changed).await;
                assert_eq!(changed.is_ok(), is_answered, "{changed:?} over {transport:?}");
                changed.unwrap_or(Ok(())).unwrap();
                assert_eq!(client.rooms().is_empty(), leaves);
            }
            let mut asked = 0;
            while peer.actions.try_recv().is_ok() {
                asked += 1;
            }
            assert_eq!(asked, 2, "what is known is not asked for again, over {transport:?}");
        }
    }
}

#[tokio::test]
async fn on_goims_protocol_a_room_is_not_left_for_one_of_which_nobody_knows() {
    for transport in [Transport::Tcp, Transport::WebSocket] {
        let mut peer = Peer::start(transport, Mood::Forgetful, None).await;
        let mut client = client(transport, &[&peer]);
        client.join("a").await.unwrap();
        connected(&mut client).await;
        introduction(&mut peer).await;
        assert!(timeout(Duration::from_millis(50), client.leave("a")).await.is_err());
        assert!(client.join("b").now_or_never().is_none());
        client.leave("a").await.unwrap();
        client.join("b").await.unwrap();
        let mut rooms = Vec::new();
        while let Ok(Action::ChangeRoom { room, .. }) = peer.actions.try_recv() {
            rooms.push(room);
        }
        let b = Id::new("b").unwrap();
        assert_eq!(rooms, [None, Some(b.clone()), Some(b)], "{transport:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_rooms_without_an_answer_is_asked_for_again_and_may_be_refused_then() {
    let sent = || ("POST /sub/send", Act::Say(SENT.to_owned()));
    let late = Act::SaySlowly(Duration::from_secs(7), vec![events("2", &message("one"))]);
    let full = r#"{"type":"error","id":3,"code":"TOO_MANY_ROOMS","message":"full"}"#;
    let script = Script::start(vec![
        welcome(),
        sent(),
        sent(),
        ("GET /sub/poll?session=S&cursor=1 ", late),
        ("GET /sub/poll?session=S&cursor=2 ", Act::Say(events("3", full))),
    ])
    .await;
    let mut client = scripted(&script);
    connected(&mut client).await;
    let joined = client.join("a").await;
    assert!(matches!(joined, Err(RequestError::Timeout)), "{joined:?}");
    assert_eq!(client.rooms(), ["a"], "the next connection begins in it");
    let joined = client.join("a").await;
    assert!(matches!(joined, Err(RequestError::Refused { .. })), "{joined:?}");
    assert!(client.rooms().is_empty());
    // Nothing of it is left, so that nothing is asked.
    client.leave("a").await.unwrap();
    assert_eq!(script.posts().len(), 3);
}

#[tokio::test]
async fn rooms_that_change_while_it_connects_have_changed_before_it_is_connected() {
    for transport in ALL {
        let mut peer = Peer::start(transport, Mood::Kind, None).await;
        let mut client = client(transport, &[&peer]);
        client.join("old").await.unwrap();
        assert!(matches!(next(&mut client).await, ClientEvent::Connecting { .. }));
        client.leave("old").await.unwrap();
        client.join("new").await.unwrap();
        connected(&mut client).await;
        assert_eq!(client.rooms(), ["new"]);

        let said = introduction(&mut peer).await;
        assert!(said.contains("old") && !said.contains("new"), "{said}");
        let new = Id::new("new").unwrap();
        match (transport, peer.actions.try_recv().unwrap()) {
            (Transport::Json, Action::Leave { rooms, .. }) => {
                assert_eq!(rooms, BTreeSet::from([Id::new("old").unwrap()]));
                match peer.actions.try_recv().unwrap() {
                    Action::Join { rooms, .. } => assert_eq!(rooms, BTreeSet::from([new])),
                    other => panic!("{other:?}"),
                }
            }
            (_, Action::ChangeRoom { room, .. }) => assert_eq!(room, Some(new)),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_room_that_is_refused_while_it_connects_is_refused_as_one_in_the_hello() {
    let peer = Peer::start(Transport::Json, Mood::Full, None).await;
    let mut client = client(Transport::Json, &[&peer]);
    assert!(matches!(next(&mut client).await, ClientEvent::Connecting { .. }));
    client.join("new").await.unwrap();
    match next(&mut client).await {
        ClientEvent::Ended { reason } => assert!(reason.contains("TooManyRooms"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn giving_up_on_an_event_while_rooms_change_loses_neither_them_nor_the_connection() {
    let slowly = |bytes: String| Act::SaySlowly(Duration::from_secs(1), vec![bytes]);
    let joined =
        |id, room| events("1", &format!(r#"{{"type":"joined","id":{id},"rooms":["{room}"]}}"#));
    let script = Script::start(vec![
        ("POST /sub/poll HTTP/1.1", slowly(answer("200 OK", WELCOME))),
        ("POST /sub/send", slowly(SENT.to_owned())),
        ("GET /sub/poll", slowly(joined(2, "a"))),
        ("POST /sub/send", slowly(SENT.to_owned())),
        ("GET /sub/poll", slowly(joined(3, "b"))),
    ])
    .await;
    let mut client = scripted(&script);
    assert!(matches!(next(&mut client).await, ClientEvent::Connecting { .. }));
    for room in ["a", "b"] {
        let early = timeout(Duration::from_millis(500), client.next()).await;
        assert!(early.is_err(), "{early:?}");
        client.join(room).await.unwrap();
        let early = timeout(Duration::from_millis(600), client.next()).await;
        assert!(early.is_err(), "{early:?}");
    }
    connected(&mut client).await;
    assert_eq!(client.rooms(), ["a", "b"]);
    let said = script.posts();
    assert!(said[1].ends_with(r#"{"type":"join","id":2,"rooms":["a"]}"#), "{said:?}");
    assert!(said[2].ends_with(r#"{"type":"join","id":3,"rooms":["b"]}"#), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_while_rooms_change_is_told_with_what_it_brought() {
    let close = r#"{"type":"close","code":1012,"reason":"drain"}"#;
    let last = events("2", &[&message("one"), close].join(","));
    let script = Script::start(vec![
        welcome(),
        ("POST /sub/send", Act::Say(SENT.to_owned())),
        ("GET /sub/poll", Act::Say(last)),
    ])
    .await;
    let mut client = scripted(&script);
    assert!(matches!(next(&mut client).await, ClientEvent::Connecting { .. }));
    client.join("new").await.unwrap();
    connected(&mut client).await;
    match next(&mut client).await {
        ClientEvent::Device(Event::Message { body, .. }) => assert_eq!(body, "one"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(next(&mut client).await, ClientEvent::Lost { code: Some(1012), .. }));
    assert_eq!(client.rooms(), ["new"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_not_told_in_time_of_its_rooms_says_goodbye_and_tries_again() {
    let sent = ("POST /sub/send", Act::Say(SENT.to_owned()));
    let script = Script::start(vec![welcome(), sent, waiting(), goodbye(), welcome()]).await;
    let mut client = scripted(&script);
    assert!(matches!(next(&mut client).await, ClientEvent::Connecting { .. }));
    client.join("new").await.unwrap();
    match next(&mut client).await {
        ClientEvent::Failed { error: ConnectError::Timeout, .. } => {}
        other => panic!("{other:?}"),
    }
    connected(&mut client).await;
    let said = script.posts();
    assert!(said[3].ends_with(r#"{"type":"hello","user":"5","rooms":["new"]}"#), "{said:?}");
}

#[tokio::test]
async fn a_client_that_is_cut_comes_back() {
    for transport in ALL {
        let first = Peer::start(transport, Mood::Kind, None).await;
        let second = Peer::start(transport, Mood::Kind, None).await;
        let mut client = client(transport, &[&first, &second]);
        connected(&mut client).await;
        assert!(matches!(client.cut(), Some(ClientEvent::Lost { .. })));
        assert!(client.cut().is_none(), "there is nothing to cut");
        assert_eq!(connected(&mut client).await.0, second.address);
        assert!(matches!(next(&mut client).await, ClientEvent::Gap { .. }));
    }
}

#[tokio::test]
async fn a_client_in_whose_place_another_came_stays_away() {
    let peer = Peer::start(Transport::Json, Mood::Kind, None).await;
    let mut client = client(Transport::Json, &[&peer]);
    connected(&mut client).await;
    peer.order(Order::Close(CloseReason::Replaced)).await;
    for _ in 0..2 {
        match next(&mut client).await {
            ClientEvent::Ended { reason } => assert_eq!(reason, "replaced"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_comet_that_goes_away_is_left_at_once_for_the_next() {
    let first = Peer::start(Transport::Json, Mood::Kind, None).await;
    let second = Peer::start(Transport::Json, Mood::Kind, None).await;
    let mut client = client(Transport::Json, &[&first, &second]);
    connected(&mut client).await;
    first.order(Order::Close(CloseReason::Drain)).await;
    assert!(matches!(next(&mut client).await, ClientEvent::Lost { code: Some(1012), .. }));
    assert_eq!(connected(&mut client).await, (second.address.clone(), 0));
}

#[tokio::test]
async fn clients_that_are_sent_away_without_a_word_where_do_not_all_go_to_the_same() {
    let mut chosen = [0; 3];
    for seed in 0..16 {
        let peers = [
            Peer::start(Transport::Json, Mood::Kind, None).await,
            Peer::start(Transport::Json, Mood::Kind, None).await,
            Peer::start(Transport::Json, Mood::Kind, None).await,
        ];
        let mut client = seeded(Transport::Json, &[&peers[0], &peers[1], &peers[2]], seed);
        connected(&mut client).await;
        peers[0].order(Order::Drain(1, Vec::new())).await;
        assert!(matches!(next(&mut client).await, ClientEvent::Device(_)));
        assert!(matches!(next(&mut client).await, ClientEvent::Lost { code: Some(1012), .. }));
        let (address, failed) = connected(&mut client).await;
        assert_eq!(failed, 0, "seed {seed}");
        chosen[peers.iter().position(|peer| peer.address == address).unwrap()] += 1;
    }
    assert!(chosen[0] == 0 && chosen[1] > 0 && chosen[2] > 0, "{chosen:?}");
}

#[tokio::test]
async fn a_client_that_is_sent_away_comes_back_where_and_no_sooner_than_it_was_asked() {
    let peers = [
        Peer::start(Transport::Json, Mood::Kind, None).await,
        Peer::start(Transport::Json, Mood::Kind, None).await,
        Peer::start(Transport::Json, Mood::Kind, None).await,
    ];
    let mut client = client(Transport::Json, &[&peers[0], &peers[1], &peers[2]]);
    connected(&mut client).await;
    let nodes = vec!["127.0.0.1:1".to_owned(), peers[2].address.clone()];
    peers[0].order(Order::Drain(300, nodes)).await;
    assert!(matches!(next(&mut client).await, ClientEvent::Device(_)), "applications may look");
    let asked = Duration::from_millis(300);
    match next(&mut client).await {
        ClientEvent::Lost { code: Some(1012), pause, .. } => {
            assert!((asked..=asked + PACING.base).contains(&pause), "{pause:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(connected(&mut client).await, (peers[2].address.clone(), 0));
    match next(&mut client).await {
        ClientEvent::Gap { away } => assert!(away >= asked, "{away:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_client_that_is_sent_away_before_its_welcome_does_what_it_was_asked_too() {
    let mut leaving = Peer::start(Transport::Json, Mood::Mute, None).await;
    let next_one = Peer::start(Transport::Json, Mood::Kind, None).await;
    let named = Peer::start(Transport::Json, Mood::Kind, None).await;
    let mut client = client(Transport::Json, &[&leaving, &next_one, &named]);
    assert!(matches!(next(&mut client).await, ClientEvent::Connecting { .. }));
    let (failed, ()) = tokio::join!(next(&mut client), async {
        introduction(&mut leaving).await;
        leaving.order(Order::Drain(300, vec![named.address.clone()])).await;
    });
    let asked = Duration::from_millis(300);
    match failed {
        ClientEvent::Failed { error: ConnectError::SentAway { .. }, pause, .. } => {
            assert!((asked..=asked + PACING.base).contains(&pause), "{pause:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(connected(&mut client).await, (named.address.clone(), 0));
}

#[tokio::test]
async fn clients_that_are_closed_for_a_drain_before_their_welcome_do_not_all_go_to_the_same() {
    let mut chosen = [0; 3];
    for seed in 0..16 {
        let mut leaving = Peer::start(Transport::Json, Mood::Mute, None).await;
        let others = [
            Peer::start(Transport::Json, Mood::Kind, None).await,
            Peer::start(Transport::Json, Mood::Kind, None).await,
        ];
        let mut client = seeded(Transport::Json, &[&leaving, &others[0], &others[1]], seed);
        assert!(matches!(next(&mut client).await, ClientEvent::Connecting { .. }));
        let (failed, ()) = tokio::join!(next(&mut client), async {
            introduction(&mut leaving).await;
            leaving.order(Order::Close(CloseReason::Drain)).await;
        });
        assert!(matches!(failed, ClientEvent::Failed { .. }), "{failed:?}");
        let (address, _) = connected(&mut client).await;
        chosen[[&leaving, &others[0], &others[1]]
            .iter()
            .position(|it| it.address == address)
            .unwrap()] += 1;
    }
    assert!(chosen[0] == 0 && chosen[1] > 0 && chosen[2] > 0, "{chosen:?}");
}

#[tokio::test]
async fn a_refusal_that_stands_ends_a_client() {
    let peer = Peer::start(Transport::Json, Mood::Strict, None).await;
    let mut client = client(Transport::Json, &[&peer]);
    assert!(matches!(next(&mut client).await, ClientEvent::Connecting { .. }));
    assert!(matches!(next(&mut client).await, ClientEvent::Ended { .. }));
}

#[tokio::test]
async fn an_overloaded_comet_is_left_alone_for_as_long_as_it_asks() {
    let host = Host::system();
    let listener = host.net.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let _comet = host.tasks.spawn("overloaded comet", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let answer = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 30\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        // Until the client hangs up.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let options = Options::new(Transport::Json, "nowhere");
    let nodes = NodeList::new([address]).unwrap();
    let mut client = Client::new(host.net.clone(), options, nodes, PACING, 7);
    assert!(matches!(next(&mut client).await, ClientEvent::Connecting { .. }));
    match next(&mut client).await {
        ClientEvent::Failed { error: ConnectError::Handshake(_), pause, .. } => {
            let asked = Duration::from_secs(30);
            assert!((asked..=asked + PACING.base).contains(&pause), "{pause:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn giving_up_on_an_event_does_not_begin_a_connect_anew() {
    let peer = Peer::start(Transport::Json, Mood::Mute, None).await;
    let mut client = client(Transport::Json, &[&peer]);
    assert!(matches!(next(&mut client).await, ClientEvent::Connecting { .. }));
    // The peer takes one connection only: a second one would not find it.
    for _ in 0..5 {
        assert!(timeout(Duration::from_millis(5), client.next()).await.is_err());
    }
    drop(peer);
    match next(&mut client).await {
        ClientEvent::Failed { error: ConnectError::Closed { .. }, .. } => {}
        other => panic!("{other:?}"),
    }
}
