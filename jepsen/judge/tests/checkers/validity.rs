use orrery_judge::checker::validity::check;
use orrery_judge::history::History;
use orrery_judge::settings::{Gates, Settings};
use orrery_judge::verdict::Verdict;

use crate::script::events;

fn with_gates(text: &str) -> Verdict {
    let gates = Gates {
        ok_before: 1,
        ok_during: 1,
        ok_after: 2,
        tail: 2,
        faults: vec!["kill".into()],
        shards: vec![1, 2],
        compared: false,
    };
    let settings = Settings { gates, ..Settings::default() };
    check(&History::new(&events(text)).unwrap(), &settings)
}

const GOOD: &str = "1 bind u a1.1 = 4
    * fault kill installed
    1 bind u a1.2 = 5
    * heal
    1 bind u a1.3 = 6
    * serving 2
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
fn every_gate_is_needed() {
    unknown(&GOOD.replace("1 bind u a1.1 = 4", ""), "before the first fault");
    unknown(&GOOD.replace("1 bind u a1.2 = 5", ""), "during the faults");
    unknown(&GOOD.replace("1 locate u = a1.1:4 a1.2:5 a1.3:6", ""), "after the last heal");
    unknown(&GOOD.replace("installed", "skipped"), "no fault of the family kill");
    unknown(&GOOD.replace("kill installed", "cut installed"), "no fault of the family kill");
    unknown(&GOOD.replace("* serving 2", ""), "shard 2 acknowledged no write");
    unknown(&format!("{GOOD}\n1 locate u ! timeout"), "of the last 2 operations");
    unknown(&format!("{GOOD}\n* harness disk full"), "the harness failed: disk full");
    unknown("", "before the first fault");
}
