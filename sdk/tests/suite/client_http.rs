//! What a client over HTTP promises that stays connected, against a script.

use std::time::Duration;

use orrery_sdk::{Client, ClientEvent, Event, NodeList, Pacing, ServerMessage, Transport};
use tokio::time::timeout;

use crate::script::{
    Act, Line, SENT, Script, WELCOME, answer, chunks, events, goodbye, message, welcome,
};

const BOTH: [Transport; 2] = [Transport::Poll, Transport::Sse];

const PACING: Pacing = Pacing { base: Duration::from_millis(20), cap: Duration::from_millis(50) };

/// A client whose list names three comets; all of them follow the one script.
fn client(script: &Script, transport: Transport) -> Client {
    let nodes = NodeList::new(["a:1", "b:1", "c:1"].map(str::to_owned)).unwrap();
    let options = script.options(transport).room("lobby");
    Client::new(script.net.clone(), options, nodes, PACING, 7)
}

/// The next session.
fn welcome_again() -> Line {
    let body = WELCOME.replace(r#""session":"S""#, r#""session":"T""#);
    ("POST /sub/poll HTTP/1.1", Act::Say(answer("200 OK", &body)))
}

/// One answer with these events, of which the first has this number; a stream ends behind them.
fn said(transport: Transport, first: usize, told: &[&str]) -> Line {
    let act = match transport {
        Transport::Poll => events(&(first + told.len() - 1).to_string(), &told.join(",")),
        _ => {
            let numbered = |(id, event): (usize, &&str)| format!("id: {id}\ndata: {event}\n\n");
            let blocks: String = (first..).zip(told).map(numbered).collect();
            chunks(&[&blocks, ""])
        }
    };
    ("GET /sub/", Act::Say(act))
}

async fn next(client: &mut Client) -> ClientEvent {
    timeout(Duration::from_secs(3600), client.next()).await.expect("an event")
}

/// Goes on until it is connected; returns where, and what failed on the way.
async fn connected(client: &mut Client) -> (String, usize) {
    let mut failed = 0;
    loop {
        match next(client).await {
            ClientEvent::Connected { address, .. } => return (address, failed),
            ClientEvent::Failed { .. } => failed += 1,
            ClientEvent::Connecting { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn gap(client: &mut Client) -> Duration {
    match next(client).await {
        ClientEvent::Gap { away } => away,
        other => panic!("{other:?}"),
    }
}

async fn expect(client: &mut Client, text: &'static str) {
    match next(client).await {
        ClientEvent::Device(Event::Message { op: 9, body }) => assert_eq!(body, text),
        other => panic!("{other:?}"),
    }
}

/// The hellos, and which comets they were for.
fn hellos(script: &Script) -> Vec<(String, String)> {
    let asked = script.asked();
    let hellos = asked.iter().filter(|asked| asked.starts_with("POST /sub/poll "));
    let hello = |asked: &String| {
        let (head, body) = asked.split_once("\r\n\r\n").unwrap();
        let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        (host.to_owned(), body.to_owned())
    };
    hellos.map(hello).collect()
}

fn hello(rooms: &str) -> String {
    format!(r#"{{"type":"hello","user":"5","rooms":[{rooms}]}}"#)
}

#[tokio::test(start_paused = true)]
async fn a_client_over_http_comes_back_where_it_is_sent_into_its_rooms_and_tells_the_gap() {
    let joined = r#"{"type":"joined","id":2,"rooms":["live"]}"#;
    let drain = r#"{"type":"drain","retry_after_ms":300,"nodes":["c:1"]}"#;
    let close = r#"{"type":"close","code":1012,"reason":"drain"}"#;
    for transport in BOTH {
        let script = Script::start(vec![
            welcome(),
            ("POST /sub/send?session=S ", Act::Say(SENT.to_owned())),
            said(transport, 2, &[joined]),
            said(transport, 3, &[&message("one"), drain, close]),
            welcome_again(),
            said(transport, 2, &[&message("two")]),
        ])
        .await;
        let mut client = client(&script, transport);
        assert_eq!(connected(&mut client).await, ("a:1".to_owned(), 0));
        client.join("live").await.unwrap();
        expect(&mut client, "one").await;
        let told = next(&mut client).await;
        let ClientEvent::Device(Event::Json(ServerMessage::Drain { .. })) = told else {
            panic!("{told:?}")
        };
        let lost = next(&mut client).await;
        let ClientEvent::Lost { code: Some(1012), pause, .. } = lost else { panic!("{lost:?}") };
        let asked = Duration::from_millis(300);
        assert!((asked..=asked + PACING.base).contains(&pause), "{pause:?}");

        assert_eq!(connected(&mut client).await, ("c:1".to_owned(), 0), "{transport:?}");
        assert!(gap(&mut client).await >= pause);
        expect(&mut client, "two").await;
        let [first, second] = ["a:1", "c:1"].map(str::to_owned);
        let rooms = [hello(r#""lobby""#), hello(r#""live","lobby""#)];
        let [before, after] = rooms;
        assert_eq!(hellos(&script), [(first, before), (second, after)], "{transport:?}");
        let asked = script.asked();
        assert!(asked.last().unwrap().contains("?session=T&cursor=1 "), "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_over_http_whose_comet_forgot_it_comes_back_there() {
    let gone = r#"{"type":"error","code":"NO_SUCH_SESSION","message":"gone"}"#;
    for transport in BOTH {
        let script = Script::start(vec![
            welcome(),
            said(transport, 2, &[&message("one")]),
            ("GET /sub/", Act::Say(answer("410 Gone", gone))),
            welcome_again(),
        ])
        .await;
        let mut client = client(&script, transport);
        connected(&mut client).await;
        expect(&mut client, "one").await;
        let lost = next(&mut client).await;
        assert!(matches!(lost, ClientEvent::Lost { code: None, .. }), "{lost:?}");
        assert_eq!(connected(&mut client).await, ("a:1".to_owned(), 0));
        assert!(gap(&mut client).await <= PACING.cap);
        assert_eq!(hellos(&script)[1], ("a:1".to_owned(), hello(r#""lobby""#)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_over_http_whose_comet_stays_away_goes_to_the_next_and_tells_all_of_the_gap() {
    let hang = || Act::SayAndHang(String::new());
    for transport in BOTH {
        let mut lines = vec![
            welcome(),
            said(transport, 2, &[&message("one")]),
            (goodbye().0, hang()),
            ("POST /sub/poll HTTP/1.1", hang()),
            welcome_again(),
        ];
        lines.extend(std::iter::repeat_n(("GET /sub/", hang()), 1000));
        let script = Script::start(lines).await;
        let mut client = client(&script, transport);
        connected(&mut client).await;
        expect(&mut client, "one").await;
        let lost = next(&mut client).await;
        assert!(matches!(lost, ClientEvent::Lost { code: None, .. }), "{lost:?}");
        // It is asked once more, by a hello, before another one is.
        assert_eq!(connected(&mut client).await, ("b:1".to_owned(), 1));
        let away = gap(&mut client).await;
        assert!((60..=66).contains(&away.as_secs()), "since it was first not answered: {away:?}");
        let hosts: Vec<String> = hellos(&script).into_iter().map(|(host, _)| host).collect();
        assert_eq!(hosts, ["a:1", "a:1", "b:1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_comet_without_a_place_for_a_session_is_left_alone_for_as_long_as_it_asks() {
    let full = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
        .to_owned();
    for transport in BOTH {
        let script = Script::start(vec![
            ("POST /sub/poll HTTP/1.1", Act::Say(full.clone())),
            welcome_again(),
        ])
        .await;
        let mut client = client(&script, transport);
        assert!(matches!(next(&mut client).await, ClientEvent::Connecting { .. }));
        let failed = next(&mut client).await;
        let ClientEvent::Failed { pause, .. } = failed else { panic!("{failed:?}") };
        let asked = Duration::from_secs(7);
        assert!((asked..=asked + PACING.base).contains(&pause), "{pause:?}");
        assert_eq!(connected(&mut client).await, ("b:1".to_owned(), 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_over_http_in_whose_place_another_came_stays_away() {
    let close = r#"{"type":"close","code":4001,"reason":"replaced"}"#;
    for transport in BOTH {
        let script = Script::start(vec![welcome(), said(transport, 2, &[close])]).await;
        let mut client = client(&script, transport);
        connected(&mut client).await;
        for _ in 0..2 {
            let ended = next(&mut client).await;
            let ClientEvent::Ended { reason } = ended else { panic!("{ended:?}") };
            assert_eq!(reason, "replaced");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_over_http_that_is_cut_says_nothing_and_comes_back_as_another_session() {
    for transport in BOTH {
        let script =
            Script::start(vec![welcome(), welcome_again(), said(transport, 2, &[&message("two")])])
                .await;
        let mut client = client(&script, transport);
        connected(&mut client).await;
        assert!(matches!(client.cut(), Some(ClientEvent::Lost { .. })));
        assert_eq!(connected(&mut client).await, ("a:1".to_owned(), 0));
        gap(&mut client).await;
        expect(&mut client, "two").await;
        assert!(script.asked()[2].contains("?session=T&"), "{:?}", script.asked());
    }
}
