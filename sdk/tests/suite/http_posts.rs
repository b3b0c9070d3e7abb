//! What a device over HTTP says: requests, heartbeats and goodbyes, against a script.

use std::time::Duration;

use orrery_sdk::{Device, Event, RequestError, ServerMessage, Transport};
use tokio::time::{Instant, sleep, timeout};

use crate::script::{
    Act, SENT, STREAM, Script, WELCOME, answer, chunk, events, expect, goodbye, message, next,
    waiting, welcome,
};

#[tokio::test(start_paused = true)]
async fn what_it_says_goes_while_it_waits_and_its_end_is_told() {
    let joined = r#"{"type":"joined","id":2,"rooms":["r"]}"#;
    let close = r#"{"type":"close","code":4001,"reason":"replaced"}"#;
    let script = Script::start(vec![
        welcome(),
        ("POST /sub/send?session=S ", Act::Say(SENT.to_owned())),
        ("GET /sub/poll?session=S&cursor=1 ", Act::Say(events("2", joined))),
        ("GET /sub/poll?session=S&cursor=2 ", Act::Say(events("3", close))),
    ]);
    let script = script.await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    device.join(&["r"]).await.unwrap();
    let closed = Event::Closed { code: Some(4001), reason: "replaced".to_owned() };
    assert_eq!(next(&mut device).await, closed);
    assert_eq!(next(&mut device).await, closed, "it says so again and again");
    let sent = script.asked().into_iter().find(|asked| asked.contains("/sub/send")).unwrap();
    assert!(sent.ends_with(r#"{"type":"join","id":2,"rooms":["r"]}"#), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn a_post_does_not_meet_the_end_of_a_connection_that_was_idle() {
    let send = |act: fn(String) -> Act| ("POST /sub/send", act(SENT.to_owned()));
    let script = Script::start(vec![
        welcome(),
        send(Act::Say),
        send(Act::SayAndMiss),
        send(Act::SayAndMiss),
        send(Act::Say),
        waiting(),
    ]);
    let script = script.await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    device.send(4, b"one").await.unwrap();
    device.send(4, b"two").await.unwrap();
    assert_eq!(script.connections("POST /sub/send"), 1, "one right after the other");
    for (body, connections) in [(b"three", 2), (b"fours", 3)] {
        sleep(Duration::from_secs(5)).await;
        device.send(4, body).await.unwrap();
        assert_eq!(script.connections("POST /sub/send"), connections);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_and_never_answered_is_not_said_twice_and_ends_the_connection() {
    let script =
        Script::start(vec![welcome(), ("POST /sub/send", Act::Wait), waiting(), goodbye()]);
    let script = script.await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    let began = Instant::now();
    let sent = timeout(Duration::from_secs(3600), device.send(4, b"one")).await.unwrap();
    assert!(matches!(sent, Err(RequestError::Closed)), "{sent:?}");
    assert_eq!(began.elapsed().as_secs(), 5, "the answer timeout");
    let Event::Closed { code: None, reason } = next(&mut device).await else {
        panic!("not the end")
    };
    assert!(reason.contains("in time"), "{reason}");
    assert_eq!(script.posts().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_given_up_is_closed_before_its_end_is_told() {
    let passed = r#"{"type":"error","code":"BAD_CURSOR","message":"not kept any more"}"#;
    let broken = events("2", r#"{"type":"message","op":"nine"}"#);
    for (close, least_s) in [(goodbye().1, 0), (Act::SayAndHang(String::new()), 0), (Act::Wait, 2)]
    {
        for said in [answer("410 Gone", passed), answer("400 Bad Request", passed), broken.clone()]
        {
            let script = Script::start(vec![
                welcome(),
                ("GET /sub/poll", Act::Say(said)),
                ("POST /sub/close?session=S ", close.clone()),
            ]);
            let script = script.await;
            let mut device = script.connect(Transport::Poll).await.unwrap();
            let began = Instant::now();
            // Whoever waits for the end may give up on it, and the goodbye goes on.
            let early = timeout(Duration::from_millis(1), device.next()).await;
            assert_eq!(early.is_err(), least_s > 0, "{early:?}");
            assert!(matches!(next(&mut device).await, Event::Closed { code: None, .. }));
            assert_eq!(began.elapsed().as_secs(), least_s);
            assert_eq!(script.asked().len(), 3, "{:?}", script.asked());
            device.close().await;
            assert_eq!(script.asked().len(), 3, "it is said once");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_for_a_comet_is_said_again_for_a_minute() {
    let busy = r#"{"type":"error","code":"UNAVAILABLE","message":"too much"}"#;
    let busy = format!(
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{busy}",
        busy.len()
    );
    let again = ("GET /sub/poll?session=S&cursor=1 ", Act::Say(events("2", &message("one"))));
    let script = vec![welcome(), ("GET /sub/poll", Act::SayAndHang(busy.clone())), again];
    let script = Script::start(script).await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    let began = Instant::now();
    expect(&mut device, "one").await;
    assert_eq!(began.elapsed().as_secs(), 5);

    let busy = || ("POST /sub/send", Act::SayAndHang(busy.clone()));
    let sent = ("POST /sub/send", Act::Say(SENT.to_owned()));
    let script = Script::start(vec![welcome(), busy(), busy(), sent, waiting()]).await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    let began = Instant::now();
    device.send(4, b"one").await.unwrap();
    assert!((10..12).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let said = script.posts();
    assert!(said.len() == 4 && said[1] == said[2] && said[1] == said[3], "{said:?}");

    let mut lines = vec![welcome(), waiting(), waiting(), goodbye()];
    lines.extend(std::iter::repeat_n(busy(), 100));
    let script = Script::start(lines).await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    let began = Instant::now();
    let sent = timeout(Duration::from_secs(3600), device.send(4, b"one")).await.unwrap();
    assert!(matches!(sent, Err(RequestError::Closed)), "{sent:?}");
    assert!((60..70).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let closed = Event::Closed { code: None, reason: "too much".to_owned() };
    assert_eq!(next(&mut device).await, closed);
}

#[tokio::test(start_paused = true)]
async fn whoever_says_something_for_long_hears_what_is_said_meanwhile() {
    let busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n";
    let many: Vec<String> = (0..300).map(|_| message("two")).collect();
    let many = events("3", &many.join(","));
    let close = r#"{"type":"close","code":4001,"reason":"replaced"}"#;
    let script = vec![
        welcome(),
        ("POST /sub/send", Act::Say(busy.to_owned())),
        ("GET /sub/poll?session=S&cursor=1 ", Act::Say(events("2", &message("one")))),
        ("GET /sub/poll?session=S&cursor=2 ", Act::Say(many)),
        ("POST /sub/send", Act::Say(SENT.to_owned())),
        ("POST /sub/send", Act::Say(busy.to_owned())),
        ("GET /sub/poll?session=S&cursor=3 ", Act::Say(events("4", close))),
    ];
    let script = Script::start(script).await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    device.send(4, b"first").await.unwrap();
    assert_eq!(script.asked().len(), 5, "no more than there is room for");
    assert!(script.asked()[3].starts_with("GET /sub/poll?session=S&cursor=2 "));
    expect(&mut device, "one").await;
    for _ in 0..300 {
        expect(&mut device, "two").await;
    }
    let began = Instant::now();
    let sent = device.send(4, b"second").await;
    assert!(matches!(sent, Err(RequestError::Closed)), "{sent:?}");
    assert_eq!(began.elapsed().as_secs(), 0, "it does not go on with what is in vain");
    let closed = Event::Closed { code: Some(4001), reason: "replaced".to_owned() };
    assert_eq!(next(&mut device).await, closed);
}

#[tokio::test(start_paused = true)]
async fn whoever_says_something_to_a_session_that_is_over_learns_why_it_is() {
    let close = r#"{"type":"close","code":4001,"reason":"replaced"}"#;
    let forgotten = r#"{"type":"error","code":"NO_SUCH_SESSION","message":"gone"}"#;
    for asked in [close, forgotten] {
        let script = Script::start(vec![
            welcome(),
            ("POST /sub/send", Act::Say(answer("410 Gone", close))),
            ("GET /sub/poll?session=S&cursor=1 ", Act::Say(answer("410 Gone", asked))),
        ])
        .await;
        let mut device = script.connect(Transport::Poll).await.unwrap();
        let sent = device.send(4, b"one").await;
        assert!(matches!(sent, Err(RequestError::Closed)), "{sent:?}");
        let closed = Event::Closed { code: Some(4001), reason: "replaced".to_owned() };
        assert_eq!(next(&mut device).await, closed);
        device.close().await;
        assert_eq!(script.posts().len(), 2, "there is nothing to say goodbye to");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_says_something_to_a_session_that_is_over_hears_what_was_said_before() {
    let close = r#"{"type":"close","code":1012,"reason":"drain"}"#;
    let drain = r#"{"type":"drain","retry_after_ms":300,"nodes":["c2:3102"]}"#;
    let slowly = |pieces: Vec<String>| Act::SaySlowly(Duration::from_secs(1), pieces);
    let event = |id, event: &str| chunk(&format!("id: {id}\ndata: {event}\n\n"));
    let by_poll = [
        ("GET /sub/poll?session=S&cursor=1 ", slowly(vec![events("2", &message("one"))])),
        ("GET /sub/poll?session=S&cursor=2 ", slowly(vec![events("4", &[drain, close].join(","))])),
    ];
    let stream =
        vec![STREAM.to_owned(), event(2, &message("one")), event(3, drain), event(4, close)];
    let by_stream = [("GET /sub/events?session=S&cursor=1 ", slowly(stream))];
    for (transport, lines) in [(Transport::Poll, &by_poll[..]), (Transport::Sse, &by_stream[..])] {
        let over = ("POST /sub/send", Act::Say(answer("410 Gone", close)));
        let script = Script::start([&[welcome(), over], lines].concat()).await;
        let mut device = script.connect(transport).await.unwrap();
        for body in [b"one", b"two"] {
            let sent = device.send(4, body).await;
            assert!(matches!(sent, Err(RequestError::Closed)), "{sent:?} over {transport:?}");
        }
        assert_eq!(script.posts().len(), 2, "nothing more is said");
        expect(&mut device, "one").await;
        match next(&mut device).await {
            Event::Json(ServerMessage::Drain { retry_after_ms: 300, nodes }) => {
                assert_eq!(nodes, ["c2:3102"]);
            }
            other => panic!("{other:?} over {transport:?}"),
        }
        let closed = Event::Closed { code: Some(1012), reason: "drain".to_owned() };
        assert_eq!(next(&mut device).await, closed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_over_is_listened_to_for_a_minute_and_asked_in_vain_for_two_seconds() {
    let close = r#"{"type":"close","code":1012,"reason":"drain"}"#;
    let short = WELCOME.replace("480000", "40000");
    let slowly = Act::SaySlowly(Duration::from_secs(1), vec![events("1", "")]);
    let hang = Act::SayAndHang(String::new());
    for (welcome, act, lasts_s) in [
        (WELCOME, Act::Wait, 60..=60),
        (WELCOME, slowly.clone(), 60..=60),
        (&short, Act::Wait, 20..=20),
        (&short, slowly, 20..=20),
        (WELCOME, hang, 2..=4),
    ] {
        let mut lines = vec![
            ("POST /sub/poll HTTP/1.1", Act::Say(answer("200 OK", welcome))),
            ("POST /sub/send", Act::Say(answer("410 Gone", close))),
        ];
        lines.extend(std::iter::repeat_n(("GET /sub/poll?session=S&cursor=1 ", act), 100));
        let script = Script::start(lines).await;
        let mut device = script.connect(Transport::Poll).await.unwrap();
        let began = Instant::now();
        let sent = device.send(4, b"one").await;
        assert!(matches!(sent, Err(RequestError::Closed)), "{sent:?}");
        assert_eq!(began.elapsed().as_secs(), 0);
        let closed = Event::Closed { code: Some(1012), reason: "drain".to_owned() };
        assert_eq!(next(&mut device).await, closed);
        let lasted = began.elapsed().as_secs();
        assert!(lasts_s.contains(&lasted), "{lasted} s and not {lasts_s:?}");
        assert_eq!(script.posts().len(), 2, "there is nothing to say goodbye to");
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_before_a_device_gives_up_is_heard() {
    let wrong = r#"{"type":"error","code":"BAD_MESSAGE","message":"wrong"}"#;
    let after = |s: u64, bytes: String| Act::SaySlowly(Duration::from_secs(s), vec![bytes]);
    // As many as there is room for, and one that has come and was not looked at.
    let many: String = (2..258).map(|id| format!("id: {id}\ndata: {}\n\n", message("x"))).collect();
    let last = format!("id: 258\ndata: {}\n\n", message("one"));
    let stream = vec![STREAM.to_owned() + &chunk(&many), chunk(&last)];
    for (transport, asked, act, before) in [
        (Transport::Poll, "GET /sub/poll", after(2, events("2", &message("one"))), 0),
        (Transport::Sse, "GET /sub/ev", Act::SaySlowly(Duration::from_secs(1), stream), 256),
    ] {
        let script = Script::start(vec![
            welcome(),
            ("POST /sub/send", after(2, answer("413 Content Too Large", wrong))),
            (asked, act),
            goodbye(),
        ])
        .await;
        let mut device = script.connect(transport).await.unwrap();
        let sent = device.send(4, b"one").await;
        assert!(matches!(sent, Err(RequestError::Closed)), "{sent:?} over {transport:?}");
        for _ in 0..before {
            expect(&mut device, "x").await;
        }
        expect(&mut device, "one").await;
        let closed = Event::Closed { code: None, reason: "wrong".to_owned() };
        assert_eq!(next(&mut device).await, closed);
    }
}

#[tokio::test(start_paused = true)]
async fn no_heartbeats_are_sent_over_http_where_none_are_needed() {
    for (transport, events) in [(Transport::Poll, "GET /sub/poll"), (Transport::Sse, "GET /sub/ev")]
    {
        let script = Script::start(vec![welcome(), (events, Act::Wait)]).await;
        let options = script.options(transport).heartbeat(Duration::from_secs(1));
        let mut device = Device::connect(&script.net, options).await.unwrap();
        let none = timeout(Duration::from_secs(10), device.next()).await;
        assert!(none.is_err(), "{none:?}");
        assert_eq!(script.asked().len(), 2, "{:?}", script.asked());
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_says_goodbye_over_http() {
    let script = Script::start(vec![welcome(), goodbye()]).await;
    let device = script.connect(Transport::Poll).await.unwrap();
    device.close().await;
    assert_eq!(script.asked().len(), 2);
}
