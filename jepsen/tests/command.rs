//! The harness's commands on bad input: a clear message, and an exit code that nobody takes for a verdict.

#![allow(clippy::unwrap_used, reason = "clippy knows only #[test] functions as tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use judge::history::{self, Bind, Event, Kind, Locate, Op, Route};

/// What a command said and how it ended.
struct Said {
    code: Option<i32>,
    out: String,
    error: String,
}

fn jepsen(arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_jepsen")).args(arguments).output().unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        error: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Twenty binds of one address, each seen; the last read shows nothing unless `holds`.
fn events(holds: bool) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let mut push = |kind, op, index| {
        let at = events.len() as u64;
        let mut event = Event::new(at, at * 1_000_000, 1, kind, op);
        event.key = Some("user-1".into());
        if kind == Kind::Ok {
            (event.shard, event.log_index) = (Some(1), Some(index));
        }
        events.push(event);
    };
    let mut routes: Vec<Route> = Vec::new();
    for conn in 1..=20 {
        let asked = Bind { comet: "alpha".into(), incarnation: 1, conn, ..Bind::default() };
        let answered = Bind { seq: Some(conn), losers: Some(Vec::new()), ..asked.clone() };
        push(Kind::Invoke, Op::Bind(asked), 0);
        push(Kind::Ok, Op::Bind(answered), conn);
        routes.push(Route { comet: "alpha".into(), incarnation: 1, conn, seq: conn });
        push(Kind::Invoke, Op::Locate(Locate::default()), 0);
        let shown = if conn < 20 || holds { routes.clone() } else { Vec::new() };
        push(Kind::Ok, Op::Locate(Locate { stale: false, routes: Some(shown) }), conn);
    }
    events
}

/// A file in a folder that ends with it.
struct File {
    folder: tempfile::TempDir,
}

impl File {
    fn of(text: &[u8]) -> Self {
        let file = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(file.path(), text).unwrap();
        file
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("history.jsonl")
    }

    fn name(&self) -> String {
        self.path().display().to_string()
    }
}

fn lines(holds: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    history::write(&events(holds), &mut bytes).unwrap();
    bytes
}

#[test]
fn a_whole_history_is_judged() {
    let said = jepsen(&["check", &File::of(&lines(true)).name()]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.error);
    assert!(said.out.contains("binds-survive: holds"), "{}", said.out);
    let said = jepsen(&["check", &File::of(&lines(false)).name()]);
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.error);
    assert!(said.out.contains("binds-survive: VIOLATED 20 times"), "{}", said.out);
}

#[test]
fn log_entries_that_lie_beside_a_history_are_shown_and_none_are_told_as_none() {
    let file = File::of(&lines(false));
    let none = "log entries: none lie beside the history";
    let said = jepsen(&["check", &file.name()]);
    assert!(said.code == Some(1) && said.out.contains(none), "{}{}", said.out, said.error);
    let said = jepsen(&["report", &file.name()]);
    assert!(said.code == Some(0) && said.out.contains(none), "{}{}", said.out, said.error);
    let page = || fs::read_to_string(file.path().with_extension("html")).unwrap();
    assert!(page().contains("No entries of the routers' logs lie beside this history."));

    let lies = file.path().with_extension("entries.jsonl");
    let entry = r#"{"entry":{"shard":1,"index":20,"term":4,"nodes":[1,2],"says":{"blank":{}}}}"#;
    fs::write(&lies, format!("{{\"log\":{{\"shard\":1,\"node\":1,\"last\":20}}}}\n{entry}\n"))
        .unwrap();
    let told = format!("log entries: {} (1 of them)", lies.display());
    for command in ["check", "report"] {
        let said = jepsen(&[command, &file.name()]);
        assert!(said.out.contains(&told), "{}{}", said.out, said.error);
    }
    assert!(page().contains("node 1: the last entry is 20"));
    // Of a history that holds nobody asks.
    fs::write(file.path(), lines(true)).unwrap();
    assert!(!jepsen(&["check", &file.name()]).out.contains("log entries"));
    fs::write(&lies, "{\"entry\":7}\n").unwrap();
    fs::write(file.path(), lines(false)).unwrap();
    let said = jepsen(&["report", &file.name()]);
    assert_eq!(said.code, Some(2), "{}{}", said.out, said.error);
    assert!(said.error.contains("entries.jsonl: line 1: "), "{}", said.error);
}

#[test]
fn a_history_cut_in_the_middle_of_a_line_says_where_and_what_was_readable() {
    let whole = lines(false);
    let cut = &whole[..whole.len() - 30];
    let file = File::of(cut);
    let said = jepsen(&["check", &file.name()]);
    assert_eq!(said.code, Some(2), "{}{}", said.out, said.error);
    assert!(said.error.contains("line 80, the last one, is cut"), "{}", said.error);
    assert!(said.error.contains(&file.name()), "{}", said.error);
    let readable = "readable: 79 events until 0.078 s, 39 operations of which ended ok";
    assert!(said.out.contains(readable), "{}", said.out);
    // What is there holds, and still there is no verdict.
    assert!(said.out.contains("binds-survive: holds"), "{}", said.out);
}

#[test]
fn a_line_that_is_no_event_is_named_with_what_it_may_be() {
    let mut text = String::from_utf8(lines(true)).unwrap();
    text = text.replacen("\"f\":\"locate\"", "\"f\":\"teleport\"", 1);
    let said = jepsen(&["check", &File::of(text.as_bytes()).name()]);
    assert_eq!(said.code, Some(2), "{}{}", said.out, said.error);
    for told in ["line 3 is not an event", "teleport", "`locate`", "`bind`"] {
        assert!(said.error.contains(told), "{told} is not in {}", said.error);
    }
    assert!(said.out.contains("readable: 2 events"), "{}", said.out);
}

#[test]
fn a_history_with_a_missing_line_says_which() {
    let text = String::from_utf8(lines(true)).unwrap();
    let gap: Vec<&str> =
        text.lines().enumerate().filter(|(at, _)| *at != 9).map(|(_, l)| l).collect();
    let said = jepsen(&["check", &File::of(format!("{}\n", gap.join("\n")).as_bytes()).name()]);
    assert_eq!(said.code, Some(2), "{}{}", said.out, said.error);
    assert!(said.error.contains("line 10 has index 10 where 9 was expected"), "{}", said.error);
}

#[test]
fn a_file_that_is_not_there_is_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no-such-file").display().to_string();
    for command in ["check", "report"] {
        let said = jepsen(&[command, &missing]);
        assert_eq!(said.code, Some(2), "{}{}", said.out, said.error);
        assert!(said.error.contains("no-such-file"), "{}", said.error);
    }
}

#[test]
fn an_empty_file_is_no_pass() {
    let said = jepsen(&["check", &File::of(b"").name()]);
    assert_eq!(said.code, Some(3), "{}{}", said.out, said.error);
}

#[test]
fn an_unknown_property_is_answered_with_those_that_are_known() {
    let file = File::of(&lines(true));
    let said = jepsen(&["check", &file.name(), "--property", "binds-survived"]);
    assert_eq!(said.code, Some(2), "{}{}", said.out, said.error);
    assert!(said.error.contains("no property \"binds-survived\""), "{}", said.error);
    for property in judge::checker::ALL {
        assert!(said.error.contains(property.name), "{} is not in {}", property.name, said.error);
    }
}

#[test]
fn a_property_of_which_the_history_says_nothing_is_unknown() {
    let file = File::of(&lines(true));
    let said = jepsen(&["check", &file.name(), "--property", "rooms"]);
    assert_eq!(said.code, Some(3), "{}{}", said.out, said.error);
    assert!(said.out.contains("rooms: unknown"), "{}", said.out);
    assert!(!said.out.contains("seq-rises"), "{}", said.out);
    let said = jepsen(&["check", &file.name(), "--property", "seq-rises"]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.error);
}

#[test]
fn an_unknown_scenario_is_answered_with_those_that_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().display().to_string();
    for arguments in [&["sim"][..], &["sim", "--seed", "1"], &["shrink", "--seed", "1"]] {
        let all = [arguments, &["--scenario", "earthquake", "--folder", &folder]].concat();
        let said = jepsen(&all);
        assert_eq!(said.code, Some(2), "{}{}", said.out, said.error);
        for told in ["earthquake", "leader-pause", "membership-churn"] {
            assert!(said.error.contains(told), "{told} is not in {}", said.error);
        }
    }
}

#[test]
fn a_page_is_drawn_beside_its_history_or_where_it_is_wanted() {
    let file = File::of(&lines(false));
    let said = jepsen(&["report", &file.name()]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.error);
    let page = fs::read_to_string(file.path().with_extension("html")).unwrap();
    assert!(page.contains("the acknowledged bind of user-1"));
    let out = file.folder.path().join("elsewhere.html");
    let said = jepsen(&["report", &file.name(), "--out", &out.display().to_string()]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.error);
    assert_eq!(fs::read_to_string(out).unwrap(), page);
}

#[test]
fn a_page_of_a_history_that_is_cut_shows_what_is_readable() {
    let whole = lines(true);
    let file = File::of(&whole[..whole.len() - 30]);
    let said = jepsen(&["report", &file.name()]);
    assert_eq!(said.code, Some(2), "{}{}", said.out, said.error);
    assert!(said.error.contains("line 80"), "{}", said.error);
    let page = fs::read_to_string(file.path().with_extension("html")).unwrap();
    assert!(page.contains("cut after 79 events"));
}

#[test]
fn lines_of_many_runs_sum_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("soak.jsonl");
    let line = |seed: u64, ending: &str, violated: &str| {
        format!(
            "{{\"seed\":{seed},\"ending\":\"{ending}\",\"violated\":{{{violated}}},\"ok\":1000,\
             \"faults\":{{\"kill\":{{\"installed\":3}}}},\"simulated_s\":36.0,\"real_s\":2.0}}\n"
        )
    };
    let write = |text: String| fs::write(&path, text).unwrap();
    let sum = |path: &Path| jepsen(&["sum", &path.display().to_string()]);
    write(line(1, "holds", "") + &line(2, "holds", ""));
    let said = sum(&path);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.error);
    assert!(
        said.out.contains("| simulation, seeds 1 to 2 | 2 | 0.02 h | 2,000 | 6 |"),
        "{}",
        said.out
    );
    write(line(1, "holds", "") + &line(2, "violated", "\"rooms\":4"));
    let said = sum(&path);
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.error);
    assert!(said.out.contains("violated     rooms: seed 2"), "{}", said.out);
    write(String::new());
    assert_eq!(sum(&path).code, Some(3), "no run is no pass");
    write(line(1, "holds", "") + "{\"seed\":");
    let said = sum(&path);
    assert_eq!(said.code, Some(2), "{}{}", said.out, said.error);
    assert!(said.error.contains("line 2"), "{}", said.error);
}
