//! What a device over HTTP makes of answers and events, against a script.

use std::time::Duration;

use orrery_sdk::{ConnectError, ErrorCode, Event, Transport};
use tokio::time::{Instant, timeout};

use crate::script::{
    Act, STREAM, Script, WELCOME, answer, chunk, chunks, events, expect, goodbye, message, next,
    welcome,
};

#[tokio::test(start_paused = true)]
async fn a_poll_that_breaks_off_is_repeated_with_the_same_cursor() {
    let half = events("3", &message("lost"));
    let half = half[..half.len() - 5].to_owned();
    let script = Script::start(vec![
        welcome(),
        ("GET /sub/poll?session=S&cursor=1 ", Act::Say(events("2", &message("one")))),
        ("GET /sub/poll?session=S&cursor=2 ", Act::Say(events("2", ""))),
        ("GET /sub/poll?session=S&cursor=2 ", Act::SayAndHang(half)),
        ("GET /sub/poll?session=S&cursor=2 ", Act::SayAndHang(String::new())),
        (
            "GET /sub/poll?session=S&cursor=2 ",
            Act::Say(events("4", &[message("two"), message("three")].join(","))),
        ),
        ("GET /sub/poll?session=S&cursor=4 ", Act::Wait),
    ]);
    let script = script.await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    assert_eq!(device.welcome().key.as_deref(), Some("k"));
    for body in ["one", "two", "three"] {
        expect(&mut device, body).await;
    }
    let hello = &script.asked()[0];
    assert!(hello.ends_with(r#"{"type":"hello","user":"5"}"#), "{hello}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_taken_up_where_it_broke_however_it_was_cut() {
    let one = format!("retry: 1000\n\nid: 2\ndata: {}\n\n:\n\nid: 3\nda", message("one"));
    let rest = format!("ta: {}\n\n", message("two"));
    let lost = format!("id: 4\ndata: {}", message("lost"));
    let again = format!("id: 4\ndata: {}\n\n", message("three"));
    let script = Script::start(vec![
        welcome(),
        ("GET /sub/events?session=S&cursor=1 ", Act::SayAndHang(chunks(&[&one, &rest, &lost]))),
        ("GET /sub/events?session=S&cursor=3 ", Act::Say(chunks(&[&again, ""]))),
        ("GET /sub/events?session=S&cursor=4 ", Act::Wait),
    ]);
    let script = script.await;
    let mut device = script.connect(Transport::Sse).await.unwrap();
    for body in ["one", "two", "three"] {
        expect(&mut device, body).await;
    }
    let none = timeout(Duration::from_millis(300), device.next()).await;
    assert!(none.is_err(), "{none:?}");
    assert!(script.asked()[2].contains("last-event-id: 3\r\n"), "{}", script.asked()[2]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_gone_is_an_end() {
    let gone = r#"{"type":"error","code":"NO_SUCH_SESSION","message":"gone"}"#;
    let script =
        Script::start(vec![welcome(), ("GET /sub/poll", Act::Say(answer("410 Gone", gone)))]).await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    let closed = Event::Closed { code: None, reason: "gone".to_owned() };
    assert_eq!(next(&mut device).await, closed);
}

#[tokio::test(start_paused = true)]
async fn a_comet_that_stays_away_is_asked_for_a_minute_with_growing_pauses() {
    let hang = || Act::SayAndHang(String::new());
    for (kind, nothing) in [
        (Transport::Poll, ("GET /sub/poll", hang())),
        (Transport::Sse, ("GET /sub/events", hang())),
        (Transport::Sse, ("GET /sub/events", Act::Say(chunks(&[""])))),
        (Transport::Sse, ("GET /sub/events", Act::Say(chunks(&["retry: 1000\n\n", ""])))),
        (Transport::Sse, ("GET /sub/events", Act::SayAndHang(chunks(&["retry: 1000\n\n"])))),
    ] {
        let mut lines = vec![welcome(), goodbye()];
        lines.extend(std::iter::repeat_n(nothing, 1000));
        let script = Script::start(lines).await;
        let mut device = script.connect(kind).await.unwrap();
        let began = Instant::now();
        assert!(matches!(next(&mut device).await, Event::Closed { code: None, .. }));
        let lasted = began.elapsed();
        assert!((60..=65).contains(&lasted.as_secs()), "{lasted:?}");
        // Pauses of up to five seconds, 2.5 on average.
        let asked = script.asked().len();
        assert!((15..=60).contains(&asked), "{asked} requests");
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_the_network_forgot_is_repeated_with_the_same_cursor() {
    let without = WELCOME.replace(r#""wait_ms":25000,"#, "");
    let short = WELCOME.replace("25000", "1000");
    let endless = WELCOME.replace("25000", &u64::MAX.to_string());
    let waits = [(WELCOME, 35), (&without, 35), (&short, 11), (&endless, 130)];
    for (welcome, silence_s) in waits {
        let script = Script::start(vec![
            ("POST /sub/poll HTTP/1.1", Act::Say(answer("200 OK", welcome))),
            ("GET /sub/poll?session=S&cursor=1 ", Act::Wait),
            ("GET /sub/poll?session=S&cursor=1 ", Act::Say(events("2", &message("one")))),
        ]);
        let script = script.await;
        let mut device = script.connect(Transport::Poll).await.unwrap();
        let began = Instant::now();
        expect(&mut device, "one").await;
        assert_eq!(began.elapsed().as_secs(), silence_s, "{welcome}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_take_long_as_long_as_more_of_it_comes() {
    let whole = events("2", &message("one"));
    let pieces =
        whole.as_bytes().chunks(20).map(|piece| String::from_utf8(piece.to_vec()).unwrap());
    let script = Script::start(vec![
        welcome(),
        ("GET /sub/poll", Act::SaySlowly(Duration::from_secs(10), pieces.collect())),
    ]);
    let script = script.await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    let began = Instant::now();
    expect(&mut device, "one").await;
    assert!(began.elapsed().as_secs() > 35, "{:?} is what silence may last", began.elapsed());
    assert_eq!(script.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_falls_silent_is_taken_up_and_a_quiet_one_is_left_alone() {
    let one = format!("id: 2\ndata: {}\n\n", message("one"));
    let two = format!("id: 3\ndata: {}\n\n", message("two"));
    let mut quiet = vec![STREAM.to_owned()];
    quiet.extend(std::iter::repeat_n(chunk(":\n\n"), 10));
    quiet.push(chunk(&two));
    let script = Script::start(vec![
        welcome(),
        ("GET /sub/events?session=S&cursor=1 ", Act::Say(chunks(&[&one]))),
        ("GET /sub/events?session=S&cursor=2 ", Act::SaySlowly(Duration::from_secs(25), quiet)),
    ]);
    let script = script.await;
    let mut device = script.connect(Transport::Sse).await.unwrap();
    expect(&mut device, "one").await;
    let began = Instant::now();
    expect(&mut device, "two").await;
    assert_eq!(began.elapsed().as_secs(), 35 + 12 * 25);
    assert_eq!(script.asked().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_a_proxy_says_in_place_of_the_comet_is_no_end() {
    let says = |status, body| ("GET /sub/", Act::Say(answer(status, body)));
    for kind in [Transport::Poll, Transport::Sse] {
        let script = Script::start(vec![
            welcome(),
            says("502 Bad Gateway", "<html>bad gateway</html>"),
            says("504 Gateway Timeout", ""),
            says("503 Service Unavailable", r#"{"error":"no upstream"}"#),
            says("200 OK", "<html>do you accept our terms?</html>"),
            says("200 OK", r#"{"cursor":"2","events":[{"type":"message","op":9,"data":"one"}]}"#),
        ]);
        let script = script.await;
        let mut device = script.connect(kind).await.unwrap();
        expect(&mut device, "one").await;
        assert!(script.asked()[5].contains("cursor=1 "), "{}", script.asked()[5]);
    }
    // Before there is a session it is one.
    let script = Script::start(vec![(
        "POST /sub/poll",
        Act::Say(answer("502 Bad Gateway", "<html>bad gateway</html>")),
    )])
    .await;
    let error = script.connect(Transport::Poll).await.err().unwrap();
    assert!(matches!(&error, ConnectError::Closed { .. }) && error.may_retry(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn events_of_an_unknown_type_are_ignored_and_unreadable_ones_are_not() {
    let weather = r#"{"type":"weather","is":{"hot":[1]}}"#;
    let broken = r#"{"type":"message","op":"nine"}"#;
    let all = [weather, &message("one"), broken].join(",");
    let stream = format!(
        "id: 2\ndata: {weather}\n\nid: 3\ndata: {}\n\nid: 4\ndata: {broken}\n\n",
        message("one")
    );
    for (kind, said) in [(Transport::Poll, events("4", &all)), (Transport::Sse, chunks(&[&stream]))]
    {
        let script = Script::start(vec![welcome(), ("GET /sub/", Act::Say(said)), goodbye()]).await;
        let mut device = script.connect(kind).await.unwrap();
        expect(&mut device, "one").await;
        let end = next(&mut device).await;
        let Event::Closed { code: None, reason } = end else { panic!("{end:?}") };
        assert!(reason.contains("unreadable"), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_hello_and_a_full_comet_are_told_apart() {
    let refused = r#"{"events":[{"type":"error","code":"UNAUTHORIZED","message":"no"},{"type":"close","code":4006,"reason":"unauthorized"}]}"#;
    let script =
        Script::start(vec![("POST /sub/poll", Act::Say(answer("401 Unauthorized", refused)))])
            .await;
    let error = script.connect(Transport::Poll).await.err().unwrap();
    assert!(matches!(&error, ConnectError::Refused { .. }) && !error.may_retry(), "{error}");

    let full = r#"{"type":"close","code":1013,"reason":"overload"}"#;
    let no_words =
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
    let words = format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: {}\r\n\r\n{full}",
        full.len()
    );
    for answer in [no_words.to_owned(), words] {
        let script = Script::start(vec![("POST /sub/poll", Act::Say(answer))]).await;
        let error = script.connect(Transport::Sse).await.err().unwrap();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)), "{error}");
        assert!(error.may_retry());
    }
}

#[tokio::test(start_paused = true)]
async fn a_hello_that_no_comet_takes_is_not_said_again_and_one_that_did_not_arrive_is() {
    let error = |code| format!(r#"{{"type":"error","code":"{code}","message":"no"}}"#);
    for (status, code, may_retry) in [
        ("400 Bad Request", "BAD_MESSAGE", false),
        ("413 Content Too Large", "BAD_MESSAGE", false),
        ("408 Request Timeout", "BAD_REQUEST", true),
    ] {
        let refused = ("POST /sub/poll", Act::Say(answer(status, &error(code))));
        let script = Script::start(vec![refused]).await;
        let failed = script.connect(Transport::Poll).await.err().unwrap();
        assert_eq!(failed.may_retry(), may_retry, "{failed}");
        match failed {
            ConnectError::Refused { code: ErrorCode::BadMessage, message } if !may_retry => {
                assert_eq!(message, "no");
            }
            ConnectError::Closed { code: None, .. } if may_retry => {}
            other => panic!("{other:?} after {status}"),
        }
        assert_eq!(script.asked().len(), 1, "there is no session to say goodbye to");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hello_that_is_sent_elsewhere_says_where_and_when() {
    let away = r#"{"events":[{"type":"drain","retry_after_ms":300,"nodes":["c2:3102"]},{"type":"close","code":1012,"reason":"drain"}]}"#;
    let said = format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: {}\r\n\r\n{away}",
        away.len()
    );
    let script = Script::start(vec![("POST /sub/poll", Act::Say(said))]).await;
    let error = script.connect(Transport::Poll).await.err().unwrap();
    let ConnectError::SentAway { retry_after, nodes } = &error else { panic!("{error}") };
    assert_eq!(
        (*retry_after, &nodes[..]),
        (Duration::from_millis(300), &["c2:3102".to_owned()][..])
    );
}

#[tokio::test(start_paused = true)]
async fn giving_up_on_an_event_over_http_loses_nothing() {
    let pieces: Vec<String> =
        (2..50).map(|id| format!("id: {id}\ndata: {}\n\n", message("x"))).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let script =
        Script::start(vec![welcome(), ("GET /sub/events", Act::Say(chunks(&pieces)))]).await;
    let mut device = script.connect(Transport::Sse).await.unwrap();
    let mut got = 0;
    let all = async {
        while got < 48 {
            match timeout(Duration::ZERO, device.next()).await {
                Ok(event) => {
                    assert!(matches!(event, Event::Message { .. }), "{event:?}");
                    got += 1;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    };
    timeout(Duration::from_secs(10), all).await.expect("all of them");
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_one_however_its_type_is_written() {
    let one = format!("id: 2\ndata: {}\n\n", message("one"));
    for kind in ["text/event-stream; charset=utf-8", "Text/Event-Stream ;charset=UTF-8"] {
        let stream = chunks(&[&one]).replace("text/event-stream", kind);
        let script = Script::start(vec![welcome(), ("GET /sub/events", Act::Say(stream))]).await;
        let mut device = script.connect(Transport::Sse).await.unwrap();
        expect(&mut device, "one").await;
    }
}
