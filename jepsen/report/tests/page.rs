//! A page is whole, tells everything, and stays small.

#![allow(clippy::unwrap_used, reason = "clippy knows only #[test] functions as tests")]

use std::collections::BTreeSet;

use judge::checker::{self, Judged};
use judge::history::{
    Bind, CometRoutes, Event, Fault, FaultOutcome, HarnessFailure, Heal, History, Kind, Locate,
    Member, NEMESIS, Op, Phase, PhaseName, Replica, Route, Standing, Unbind,
};
use judge::settings::Settings;
use report::{Entries, Entry, Log, Page, RunFacts, Shrunk, Unread};
use serde_json::json;

const MILLISECOND: u64 = 1_000_000;

/// A history that grows by whole operations.
#[derive(Default)]
struct Run {
    events: Vec<Event>,
    time: u64,
    index: u64,
}

impl Run {
    fn push(&mut self, process: i64, kind: Kind, op: Op) -> &mut Event {
        self.time += MILLISECOND;
        self.events.push(Event::new(self.events.len() as u64, self.time, process, kind, op));
        self.events.last_mut().unwrap()
    }

    fn mark(&mut self, op: Op) {
        self.push(NEMESIS, Kind::Info, op);
    }

    fn done(&mut self, process: i64, key: &str, asked: Op, answered: Op) {
        self.push(process, Kind::Invoke, asked).key = Some(key.into());
        self.time += 5 * MILLISECOND;
        self.index += 1;
        let index = self.index;
        let event = self.push(process, Kind::Ok, answered);
        event.key = Some(key.into());
        (event.shard, event.log_index) = (Some(1), Some(index));
    }

    fn bind(&mut self, key: &str, conn: u64) {
        let asked = Bind {
            comet: "alpha".into(),
            incarnation: 1,
            conn,
            settled: Some(1),
            ..Bind::default()
        };
        let answered = Bind { seq: Some(conn), losers: Some(Vec::new()), ..asked.clone() };
        self.done(1, key, Op::Bind(asked), Op::Bind(answered));
    }

    fn unbind(&mut self, key: &str, conn: u64) {
        let asked =
            Unbind { comet: "alpha".into(), incarnation: 1, conn, settled: Some(1), removed: None };
        let answered = Unbind { removed: Some(true), ..asked.clone() };
        self.done(1, key, Op::Unbind(asked), Op::Unbind(answered));
    }

    fn locate(&mut self, key: &str, conns: &[u64]) {
        let route =
            |conn: &u64| Route { comet: "alpha".into(), incarnation: 1, conn: *conn, seq: *conn };
        let routes = Some(conns.iter().map(route).collect());
        let answered = Op::Locate(Locate { stale: false, routes });
        self.done(2, key, Op::Locate(Locate::default()), answered);
    }

    fn fault(&mut self, family: &str, outcome: FaultOutcome) {
        self.mark(Op::Fault(Fault {
            family: family.into(),
            name: r#"{"id":4,"at_ms":1,"lasts_ms":2500,"fault":"pause","node":{"leader-of":3}}"#
                .into(),
            targets: vec!["router-2".into()],
            outcome: Some(outcome),
            reason: (outcome == FaultOutcome::Skipped).then(|| "nobody leads".into()),
        }));
    }
}

/// A run in which a user comes, is seen and goes, again and again, under a fault.
fn good() -> Run {
    let mut run = Run::default();
    run.mark(Op::Phase(Phase { name: PhaseName::WarmUp }));
    run.bind("user-1", 1);
    run.mark(Op::Phase(Phase { name: PhaseName::Main }));
    run.fault("pause", FaultOutcome::Installed);
    run.fault("admin", FaultOutcome::Skipped);
    for conn in 2..60 {
        run.bind("user-1", conn);
        run.locate("user-1", &[1, conn]);
        run.unbind("user-1", conn);
    }
    run.mark(Op::Heal(Heal { families: vec!["pause".into()] }));
    run.mark(Op::Phase(Phase { name: PhaseName::Heal }));
    run.mark(Op::Heal(Heal::default()));
    for conn in 60..80 {
        run.bind("user-2", conn);
    }
    run
}

/// The same, and then a read that lacks what was bound first.
fn bad() -> Run {
    let mut run = good();
    run.locate("user-1", &[]);
    run.bind("user-1", 90);
    run
}

fn facts() -> RunFacts {
    RunFacts {
        name: "seed 7".into(),
        world: "simulation".into(),
        seed: Some(7),
        replay: "target/release/jepsen sim --seed 7 --without 2,3".into(),
        drawn: vec![("routers".into(), "5".into())],
        ..RunFacts::default()
    }
}

fn judged(events: &[Event]) -> Vec<Judged> {
    checker::judge(&History::new(events).unwrap(), &Settings::default(), &[])
}

/// The page of a run beside which no entries lie.
fn page(run: &RunFacts, events: &[Event], judged: &[Judged]) -> String {
    Page::of(run, events, judged).draw(None)
}

fn drawn(run: &Run) -> String {
    page(&facts(), &run.events, &judged(&run.events))
}

/// What stands between elements, with a space for each element.
fn text(page: &str) -> String {
    let body = page.split("<script>").next().unwrap().split("</style>").nth(1).unwrap();
    let mut text = String::new();
    for part in body.split('<') {
        text.push_str(part.split_once('>').map_or(part, |(_, text)| text));
        text.push(' ');
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_page_needs_nothing_besides_itself() {
    let page = drawn(&bad());
    assert!(page.starts_with("<!doctype html>"));
    for outside in ["http:", "https:", "src=", "@import", "url(", "<link", "<iframe"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn every_element_that_opens_closes() {
    const VOID: [&str; 3] = ["meta", "br", "!doctype"];
    let page = drawn(&bad());
    let (before, after) = page.split_once("<script>").unwrap();
    let markup = before.split_once("<style>").map(|(head, _)| head).unwrap().to_owned()
        + before.split_once("</style>").unwrap().1
        + after.split_once("</script>").unwrap().1;
    let mut open: Vec<&str> = Vec::new();
    for tag in markup.split('<').skip(1) {
        let inside = tag.split_once('>').expect("every tag ends").0;
        let name = inside.trim_start_matches('/').split([' ', '/']).next().unwrap();
        if inside.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}> closes another");
        } else if !inside.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<&str>::new());
}

#[test]
fn every_property_is_named_with_what_it_says() {
    for run in [good(), bad(), Run::default()] {
        let text = text(&drawn(&run));
        for property in checker::ALL {
            assert!(text.contains(property.name), "{}", property.name);
        }
        assert!(text.contains("a seq is never given twice and rises per address"));
    }
}

#[test]
fn a_run_that_holds_says_so_and_shows_its_faults() {
    let run = good();
    let mut holding = judged(&run.events);
    // This little run does not count, which is not what is looked at here.
    holding.retain(|one| !matches!(one.property.name, "validity" | "recovery"));
    let page = page(&facts(), &run.events, &holding);
    let text = text(&page);
    assert!(page.contains("<title>✓ seed 7: holds</title>"));
    assert!(!page.contains("class=\"violation\""));
    for told in [
        "target/release/jepsen sim --seed 7 --without 2,3",
        "4 0.010 s pause pause leader of 3 for 2.5 s router-2 installed",
        "admin pause leader of 3 for 2.5 s router-2 ○ skipped: nobody leads",
        "First acknowledged write after a fault",
        "bind 79 0 0 79",
        "routers 5",
    ] {
        assert!(text.contains(told), "{told:?} is not in {text}");
    }
}

#[test]
fn a_run_that_fails_shows_what_is_wrong_and_how_to_see_it_again() {
    let run = bad();
    let page = drawn(&run);
    let text = text(&page);
    let wrong = run.events.len() - 2;
    assert!(page.contains("<title>✕ seed 7: violated</title>"));
    for told in [
        "target/release/jepsen sim --seed 7 --without 2,3".to_owned(),
        "the acknowledged bind of user-1 to alpha#1 conn 1 is lost".to_owned(),
        format!("Smallest failing prefix: the first {} of {} events", wrong, run.events.len()),
        "One event less is not enough.".to_owned(),
        format!("▸ {}", wrong - 1),
        "events of user-1 in the prefix".to_owned(),
        "The last 20 events of the prefix".to_owned(),
        "Answers of shard 1 around 196 of its log".to_owned(),
        "No entries of the routers' logs lie beside this history.".to_owned(),
        "What surrounds it is told under binds-survive".to_owned(),
    ] {
        assert!(text.contains(&told), "{told:?} is not in {text}");
    }
}

#[test]
fn the_smallest_plan_is_told() {
    let shrunk = Shrunk {
        property: "recovery".into(),
        kept: vec!["kill the leader of 3".into()],
        faults_before: 12,
        less: vec!["writers: 1 instead of 4".into()],
        runs: 17,
    };
    let run = RunFacts { shrunk: Some(shrunk), ..facts() };
    let text = text(&page(&run, &[], &[]));
    for told in ["1 of 12 faults", "kill the leader of 3", "writers: 1 instead of 4", "17 runs"] {
        assert!(text.contains(told), "{told:?} is not in {text}");
    }
}

#[test]
fn nothing_in_a_history_becomes_markup() {
    let evil = "<img src=x onerror=alert(1)>\"'&</script><!--";
    let mut run = Run::default();
    run.bind(evil, 1);
    run.locate(evil, &[]);
    run.push(3, Kind::Invoke, Op::Locate(Locate::default())).key = Some(evil.into());
    let failed = run.push(3, Kind::Fail, Op::Locate(Locate::default()));
    (failed.key, failed.error) = (Some(evil.into()), Some(evil.into()));
    run.mark(Op::Fault(Fault {
        family: evil.into(),
        name: evil.into(),
        targets: vec![evil.into()],
        outcome: Some(FaultOutcome::Indeterminate),
        reason: Some(evil.into()),
    }));
    run.mark(Op::HarnessFailure(HarnessFailure { text: evil.into() }));
    let run_facts = RunFacts {
        name: evil.into(),
        world: evil.into(),
        replay: evil.into(),
        drawn: vec![(evil.into(), evil.into())],
        shrunk: Some(Shrunk {
            property: evil.into(),
            kept: vec![evil.into()],
            ..Shrunk::default()
        }),
        ..RunFacts::default()
    };
    let says = json!({evil: {"commands": [{evil: {"address": evil, evil: [evil]}}]}});
    let entries = Entries {
        unread: vec![Unread { node: 1, why: evil.into() }],
        entries: vec![Entry { shard: 1, index: 1, says, ..Entry::default() }],
        ..Entries::default()
    };
    let judged = judged(&run.events);
    let page = Page::of(&run_facts, &run.events, &judged).draw(Some(&entries));
    assert!(page.contains("The entries of the log"));
    assert!(!page.contains("<img") && !page.contains("<!--"));
    assert_eq!(page.matches("</script>").count(), 1);
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;"));
}

#[test]
fn an_empty_history_has_a_page_that_passes_nothing() {
    let text = text(&page(&RunFacts::default(), &[], &[]));
    assert!(text.contains("This is never a pass."), "{text}");
    let judged = judged(&[]);
    let page = page(&RunFacts::default(), &[], &judged);
    assert!(!page.contains("verdict holds\""));
}

#[test]
fn a_history_that_does_not_pair_says_why() {
    let mut run = Run::default();
    run.push(1, Kind::Ok, Op::Locate(Locate::default()));
    run.fault("pause", FaultOutcome::Installed);
    let page = page(&facts(), &run.events, &[]);
    assert!(page.contains("harness failure"));
    assert!(page.contains("process 1 ends an operation that it never began"));
}

#[test]
fn any_beginning_of_a_history_has_a_page() {
    let run = bad();
    let judged = judged(&run.events);
    for length in (0..run.events.len()).step_by(7) {
        // The verdicts are those of the whole: a page may be asked to show events that it has not got.
        page(&facts(), &run.events[..length], &judged);
    }
}

#[test]
fn a_long_history_has_a_small_page() {
    let mut run = Run::default();
    run.mark(Op::Phase(Phase { name: PhaseName::Main }));
    for round in 0..12_000_u64 {
        if round % 50 == 0 {
            run.fault("pause", FaultOutcome::Installed);
        }
        let key = format!("user-{}", round % 500);
        run.bind(&key, round + 1);
        run.unbind(&key, round + 1);
        // Each process does one thing and is gone, as after unknown outcomes.
        run.push(100 + round as i64, Kind::Invoke, Op::Locate(Locate::default())).key = Some(key);
    }
    run.bind("user-1", 90_000);
    run.locate("user-1", &[]);
    let page = page(&facts(), &run.events, &judged(&run.events));
    assert!(run.events.len() > 60_000);
    assert!(page.contains("is lost"));
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
}

/// What routers kept: two agree, one differs at 196 and had purged what is before.
fn entries() -> Entries {
    let entry = |index: u64, nodes: &[u64], key: &str| Entry {
        shard: 1,
        index,
        term: Some(3),
        nodes: nodes.to_vec(),
        differs: index == 196,
        says: json!({"batch": {"elapsed_ms": 5, "commands": [
            {"unbind": {"address": "user-9", "comet": "beta", "incarnation": 1, "conn": 2}},
            {"bind": {"address": key, "comet": "alpha", "incarnation": 1, "conn": 7}},
        ]}}),
    };
    let log = |node, purged| Log { shard: 1, node, purged, last: Some(198), committed: Some(198) };
    Entries {
        logs: vec![log(1, None), log(2, None), log(3, Some(195))],
        unread: vec![Unread { node: 4, why: "its disk is gone".into() }],
        entries: vec![
            entry(150, &[1, 2], "user-1"),
            entry(195, &[1, 2], "user-1"),
            entry(196, &[1, 2], "user-1"),
            entry(196, &[3], "user-2"),
            Entry { says: json!({"blank": {}}), ..entry(197, &[1, 2, 3], "") },
        ],
        left_out: 0,
    }
}

#[test]
fn a_run_that_fails_shows_what_the_routers_kept_of_their_logs() {
    let (run, facts) = (bad(), facts());
    let judged = judged(&run.events);
    let page = Page::of(&facts, &run.events, &judged);
    assert!(page.places().contains(&(1, 196)), "{:?}", page.places());
    let text = text(&page.draw(Some(&entries())));
    for told in [
        "The entries of the log of shard 1 around 196",
        "node 1: the last entry is 198, committed 198",
        "node 3: purged up to 195, the last entry is 198, committed 198",
        "node 4: its disk is gone",
        // What is done with the address in question stands before all else.
        "195 3 1, 2 bind alpha#1.7, address user-1 unbind beta#1.2, address user-9",
        "▸ 196 3 1, 2 differs bind alpha#1.7, address user-1",
        "▸ 196 3 3 differs unbind beta#1.2, address user-9 bind alpha#1.7, address user-2",
        "197 3 1, 2, 3 blank",
    ] {
        assert!(text.contains(told), "{told:?} is not in {text}");
    }
    // It is far from every place in question.
    assert!(!text.contains("150 3 1, 2"), "{text}");
}

#[test]
fn every_violation_of_a_property_asks_for_its_places() {
    let mut run = bad();
    // Later another address lacks what was bound last.
    run.locate("user-2", &(60..79).collect::<Vec<_>>());
    let late = run.index;
    let (facts, mut judged) = (facts(), judged(&run.events));
    judged.retain(|one| one.property.name == "binds-survive");
    let places = Page::of(&facts, &run.events, &judged).places();
    let at = |index| places.iter().position(|asked| *asked == (1, index)).expect("it is asked for");
    // What shows the first one, and the other, then what was done with the addresses of both.
    assert!(at(196) < at(late) && at(late) < at(100) && at(100) < at(180), "{places:?}");
    let once: BTreeSet<_> = places.iter().collect();
    assert_eq!(once.len(), places.len());
}

#[test]
fn what_replicas_say_of_themselves_asks_for_their_places() {
    let mut run = Run::default();
    run.mark(Op::Phase(Phase { name: PhaseName::Final }));
    // Of what the first says that it is committed the logs of the others end before.
    for (node, committed, last) in [(1, Some(60), 60), (2, None, 40), (3, None, 40)] {
        let voters = vec![1, 2, 3];
        let (applied, last) = (30 + node, Some(last));
        let replica = Replica { shard: 1, voters, applied, committed, last, ..Replica::default() };
        let standing = Standing { replicas: vec![replica], ..Standing::default() };
        run.push(NEMESIS, Kind::Info, Op::Standing(standing)).node = Some(node);
        if node == 1 {
            run.time += 1_000 * MILLISECOND;
        }
    }
    let (facts, mut judged) = (facts(), judged(&run.events));
    judged.retain(|one| one.property.name == "membership");
    let places = Page::of(&facts, &run.events, &judged).places();
    for place in [(1, 31), (1, 32), (1, 33), (1, 60)] {
        assert!(places.contains(&place), "{places:?}");
    }
}

#[test]
fn what_only_a_part_of_a_history_lacks_is_not_told() {
    let mut run = Run::default();
    run.bind("user-1", 1);
    run.bind("user-2", 2);
    // Its comet shows another address too: without that one's events it would seem never bound.
    let read = |routes| {
        let comet = "alpha".into();
        Op::CometRoutes(CometRoutes { comet, incarnation: 1, routes })
    };
    let member = |key: &str, seq| Member { key: key.into(), seq };
    run.push(3, Kind::Invoke, read(None));
    let shown = read(Some(vec![member("user-1", 1), member("user-2", 2)]));
    let event = run.push(3, Kind::Ok, shown);
    (event.shard, event.log_index) = (Some(1), Some(2));
    // So long that it is looked at address by address.
    for _ in 0..100_000 {
        run.locate("user-9", &[]);
    }
    run.locate("user-1", &[]);
    let property = &checker::linear_by_index::PROPERTY;
    let history = History::new(&run.events).unwrap();
    let verdict = Some((property.check)(&history, &Settings::default()));
    let text = text(&page(&facts(), &run.events, &[Judged { property, verdict, share: None }]));
    assert!(text.contains("but nothing removed it"), "{text}");
    assert!(!text.contains("but was never bound there"), "{text}");
}

#[test]
fn entries_that_nobody_kept_are_told_as_purged() {
    let run = bad();
    let mut entries = entries();
    entries.entries.clear();
    let (facts, judged) = (facts(), judged(&run.events));
    let text = text(&Page::of(&facts, &run.events, &judged).draw(Some(&entries)));
    assert!(text.contains("No router kept an entry between 186 and 206."), "{text}");
    assert!(text.contains("purged up to 195"), "{text}");
}

#[test]
fn of_a_run_that_holds_no_place_in_a_log_is_asked_for() {
    let (run, facts) = (good(), facts());
    let mut holding = judged(&run.events);
    holding.retain(|one| !matches!(one.property.name, "validity" | "recovery"));
    assert_eq!(Page::of(&facts, &run.events, &holding).places(), []);
}
