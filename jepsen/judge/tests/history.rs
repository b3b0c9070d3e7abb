//! Histories: they survive their file, refuse a broken one by line, pair, and export.

#![allow(clippy::unwrap_used, reason = "clippy knows only #[test] functions as tests")]

use orrery_judge::history::{
    Bind, Event, Heal, History, Kind, Locate, NEMESIS, Op, PairError, ReadError, Refusal, Route,
    export_edn, export_porcupine, read, write,
};

fn bind(seq: Option<u64>) -> Op {
    Op::Bind(Bind { comet: "a".into(), incarnation: 1, conn: 7, seq, ..Bind::default() })
}

fn locate(routes: Option<Vec<Route>>) -> Op {
    Op::Locate(Locate { stale: false, routes })
}

fn history(events: Vec<(i64, Kind, Op)>) -> Vec<Event> {
    let mut history = Vec::new();
    for (process, kind, op) in events {
        let index = history.len() as u64;
        let mut event = Event::new(index, index * 10, process, kind, op);
        event.key = (process != NEMESIS).then(|| "user-1".to_owned());
        history.push(event);
    }
    history
}

/// A bind, a read, a heal, a refused bind, a bind of unknown outcome.
fn sample() -> Vec<Event> {
    let route = Route { comet: "a".into(), incarnation: 1, conn: 7, seq: 4 };
    let mut events = history(vec![
        (1, Kind::Invoke, bind(None)),
        (2, Kind::Invoke, locate(None)),
        (1, Kind::Ok, bind(Some(4))),
        (2, Kind::Ok, locate(Some(vec![route]))),
        (NEMESIS, Kind::Info, Op::Heal(Heal::default())),
        (1, Kind::Invoke, bind(None)),
        (1, Kind::Fail, bind(None)),
        (3, Kind::Invoke, bind(None)),
        (3, Kind::Info, bind(None)),
    ]);
    events[2].log_index = Some(10);
    events[2].shard = Some(1);
    events[2].attempts = Some(1);
    events[6].error = Some("fenced below 7".into());
    events
}

fn lines(events: &[Event]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(events, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_history_survives_its_file() {
    let events = sample();
    assert_eq!(read(lines(&events).as_slice()).unwrap(), events);
}

#[test]
fn a_line_has_jepsens_field_names() {
    let text = String::from_utf8(lines(&sample())).unwrap();
    let third = text.lines().nth(2).unwrap();
    assert_eq!(
        third,
        r#"{"index":2,"time":20,"type":"ok","process":1,"f":"bind","value":{"comet":"a","incarnation":1,"conn":7,"seq":4},"key":"user-1","shard":1,"log_index":10,"attempts":1}"#
    );
}

#[test]
fn words_of_nodes_are_read_that_say_neither_their_look_nor_who_leads() {
    let line = r#"{"index":0,"time":0,"type":"info","process":-1,"f":"standing","value":{"nodes":[[1,"active"]],"placements":[],"replicas":[{"shard":1,"voters":[1],"learners":[],"applied":3}]},"node":1}"#;
    let events = read(format!("{line}\n").as_bytes()).unwrap();
    let Op::Standing(standing) = &events[0].op else { panic!("{events:?}") };
    assert_eq!((standing.look, standing.replicas[0].leads), (None, None));
    assert_eq!(String::from_utf8(lines(&events)).unwrap(), format!("{line}\n"));
}

#[test]
fn refusals_are_texts_and_back() {
    let all = ["gone", "fenced", "fenced below 7", "superseded", "outranked", "not bound", "stale"];
    for text in all {
        let refusal = Refusal::from(text);
        assert!(refusal.is_judgement());
        assert_eq!(refusal.to_string(), text);
    }
    assert_eq!(Refusal::from("fenced below x"), Refusal::Other("fenced below x".into()));
    assert!(!Refusal::from("connection refused").is_judgement());
}

#[test]
fn a_cut_file_is_refused_wherever_it_was_cut() {
    let bytes = lines(&sample());
    let last = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for length in last + 1..bytes.len() {
        let error = read(&bytes[..length]).unwrap_err();
        assert!(matches!(error, ReadError::Cut { line: 9 }), "{length}: {error}");
    }
    assert_eq!(
        read(&bytes[..last + 3]).unwrap_err().to_string(),
        "line 9, the last one, is cut: the history is not whole"
    );
}

#[test]
fn gaps_and_foreign_lines_are_refused_by_line() {
    let bytes = lines(&sample());
    let tail = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    assert!(matches!(read(&bytes[tail..]), Err(ReadError::Gap { line: 1, index: 1, expected: 0 })));
    let foreign = [&bytes[..tail], b"{\"index\":1}\n"].concat();
    assert!(matches!(read(foreign.as_slice()), Err(ReadError::NotAnEvent { line: 2, .. })));
    let unknown = String::from_utf8(bytes).unwrap().replace("\"locate\"", "\"teleport\"");
    assert!(matches!(read(unknown.as_bytes()), Err(ReadError::NotAnEvent { line: 2, .. })));
    let mut backwards = sample();
    backwards[3].time = 0;
    let backwards = lines(&backwards);
    assert!(matches!(read(backwards.as_slice()), Err(ReadError::TimeFell { line: 4 })));
}

#[test]
fn invocations_pair_with_their_ends() {
    let events = sample();
    let history = History::new(&events).unwrap();
    let kinds: Vec<_> = history.operations.iter().map(|o| (o.began(), o.kind())).collect();
    assert_eq!(kinds, [(0, Kind::Ok), (1, Kind::Ok), (5, Kind::Fail), (7, Kind::Info)]);
    assert_eq!(history.operations[0].log_index(), Some(10));
    assert_eq!(history.operations[3].ended(), u64::MAX);

    let open = History::new(&events[..2]).unwrap();
    assert!(open.operations.iter().all(|operation| operation.end.is_none()));
}

#[test]
fn a_process_that_breaks_the_rules_is_refused() {
    let two = history(vec![(1, Kind::Invoke, bind(None)), (1, Kind::Invoke, bind(None))]);
    assert_eq!(History::new(&two).unwrap_err(), PairError::Open { event: 1, process: 1, open: 0 });
    let end = history(vec![(1, Kind::Ok, bind(Some(1)))]);
    assert_eq!(History::new(&end).unwrap_err(), PairError::NotBegun { event: 0, process: 1 });
    let other = history(vec![(1, Kind::Invoke, bind(None)), (1, Kind::Ok, locate(None))]);
    assert!(matches!(History::new(&other).unwrap_err(), PairError::Other { open: 0, .. }));
    let retired = history(vec![
        (1, Kind::Invoke, bind(None)),
        (1, Kind::Info, bind(None)),
        (1, Kind::Invoke, bind(None)),
    ]);
    assert_eq!(
        History::new(&retired).unwrap_err(),
        PairError::Retired { event: 2, process: 1, unknown: 1 }
    );
}

#[test]
fn edn_says_the_same_in_jepsens_words() {
    let mut events = sample();
    events[6].error = Some("a \"quoted\" \\ error".into());
    let mut edn = Vec::new();
    export_edn(&events, &mut edn).unwrap();
    let edn = String::from_utf8(edn).unwrap();
    let lines: Vec<&str> = edn.lines().collect();
    assert_eq!(lines.len(), events.len());
    for part in [":index 2", ":type :ok", ":process 1", ":f :bind", ":log-index 10", ":seq 4"] {
        assert!(lines[2].contains(part), "{part} in {}", lines[2]);
    }
    assert!(lines[3].contains(":routes [{"), "{}", lines[3]);
    assert!(lines[4].contains(":process :nemesis"), "{}", lines[4]);
    assert!(lines[6].contains(r#":error "a \"quoted\" \\ error""#), "{}", lines[6]);
}

#[test]
fn porcupine_gets_calls_and_returns() {
    let events = sample();
    let mut json = Vec::new();
    export_porcupine(&History::new(&events).unwrap(), &mut json).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let operations = json.as_array().unwrap();
    assert_eq!(operations.len(), 4);
    assert_eq!(operations[0]["clientId"], 1);
    assert_eq!(operations[0]["input"]["f"], "bind");
    assert_eq!(operations[0]["output"]["seq"], 4);
    assert_eq!((&operations[0]["call"], &operations[0]["return"]), (&0.into(), &2.into()));
    assert_eq!(operations[2]["output"]["error"], "fenced below 7");
    assert!(operations[3]["output"].is_null());
    assert_eq!(operations[3]["return"], 9);

    let mut empty = Vec::new();
    export_porcupine(&History::new(&[]).unwrap(), &mut empty).unwrap();
    assert_eq!(empty, b"[]\n");
}
