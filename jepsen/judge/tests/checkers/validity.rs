use orrery_judge::checker::validity::check;
use orrery_judge::history::History;
use orrery_judge::settings::{Gates, Settings};
use orrery_judge::verdict::Verdict;

use crate::script::events;

fn with_gates(text: &str) -> Verdict {
    let gates = Gates {
        writes_before: 1,
        writes_during: 2,
        writes_after: 1,
        reads_during: 1,
        reads_after: 1,
        tail: 2,
        faults: vec!["kill".into()],
        shards: vec![1, 2],
        control: true,
        compared: false,
    };
    let settings = Settings { gates, ..Settings::default() };
    check(&History::new(&events(text)).unwrap(), &settings)
}

const GOOD: &str = "1 bind u a1.1 = 4
    2 bind w b2.1 = 4 s2
    * fault kill installed
    1 bind u a1.2 = 5
    1 bind u a1.3 = 6
    2 bind w b2.2 = 5 s2
    2 unbind w b2.1 = true s2
    1 locate u = a1.1:4
    2 locate w = b2.2:5 s2
    * heal
    9 alive a1 =
    1 bind u a1.4 = 7
    2 bind w b2.3 = 6 s2
    2 locate w = b2.2:5 b2.3:6 s2
    1 locate u = a1.1:4 a1.2:5 a1.3:6";

fn unknown(text: &str, words: &str) {
    match with_gates(text) {
        Verdict::Unknown(why) => assert!(why.contains(words), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_that_passed_its_gates_counts() {
    assert_eq!(with_gates(GOOD), Verdict::Holds);
}

#[test]
fn a_run_that_tells_of_its_phases_must_come_to_its_last_one() {
    let main = GOOD.replace("* fault kill", "* phase main\n* fault kill");
    unknown(&main, "never came to its final phase");
    assert_eq!(with_gates(&format!("{main}\n* phase final")), Verdict::Holds);
}

#[test]
fn every_gate_is_needed() {
    let without = |line: &str| {
        assert!(GOOD.contains(line), "{line}");
        GOOD.replace(line, "")
    };
    unknown(&without("1 bind u a1.1 = 4"), "of shard 1 before the first fault");
    unknown(&without("2 unbind w b2.1 = true s2"), "only 1 of 2 writes");
    unknown(&without("2 locate w = b2.2:5 s2"), "of shard 2 during the faults");
    unknown(&without("2 bind w b2.3 = 6 s2"), "shard 2 acknowledged no write");
    unknown(&without("2 locate w = b2.2:5 b2.3:6 s2"), "of shard 2 after the last heal");
    unknown(&without("9 alive a1 ="), "the control shard answered no comet");
    unknown(&GOOD.replace("alive a1 =", "alive a1 ! timeout"), "the control shard answered");
    let writing =
        |end: &str| GOOD.replace("alive a1 =", &format!("alive a1 =\n8 attach c x 1 {end}"));
    unknown(&writing("! timeout"), "the control shard began and ended no life");
    assert_eq!(with_gates(&writing("= 3")), Verdict::Holds);
    assert_eq!(with_gates(&writing("! superseded")), Verdict::Holds);
    unknown(&GOOD.replace("installed", "skipped"), "no fault of the family kill");
    unknown(&GOOD.replace("kill installed", "cut installed"), "no fault of the family kill");
    unknown(&format!("{GOOD}\n1 locate u ! timeout"), "of the last 2 operations");
    unknown(&format!("{GOOD}\n* harness disk full"), "the harness failed: disk full");
    unknown("", "before the first fault");
}

#[test]
fn what_is_neither_a_write_nor_a_read_of_a_shard_does_not_count() {
    let text = GOOD.replace("1 bind u a1.3 = 6", "1 locate~ u =\n9 alive a1 =");
    unknown(&text, "only 1 of 2 writes were acknowledged of shard 1 during the faults");
}
