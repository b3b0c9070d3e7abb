use orrery_judge::checker::{ALL, judge, passes};
use orrery_judge::history::History;
use orrery_judge::shrink::smallest_failing_prefix;
use orrery_judge::verdict::Verdict;

use crate::script::{events, settings};

#[test]
fn properties_have_their_own_names_and_a_source() {
    for (at, property) in ALL.iter().enumerate() {
        assert!(!property.source.is_empty());
        assert!(ALL[..at].iter().all(|other| other.name != property.name), "{}", property.name);
    }
}

#[test]
fn only_what_applies_is_judged_and_what_is_required_must_apply() {
    let events = events("1 bind u a1.1 = 4 @10\n1 locate u = a1.1:4 @10");
    let history = History::new(&events).unwrap();
    let named = |required: &[&str], name: &str| {
        let judged = judge(&history, &settings(), required);
        judged.into_iter().find(|judged| judged.property.name == name).unwrap().verdict
    };
    assert_eq!(named(&[], "linear-by-index"), Some(Verdict::Holds));
    assert_eq!(named(&[], "presence"), None);
    assert!(matches!(named(&["presence"], "presence"), Some(Verdict::Unknown(_))));
}

#[test]
fn a_run_passes_only_if_all_required_properties_exist_and_hold() {
    let text = "1 bind u a1.1 = 4 @10\n".to_owned() + &"1 locate u = a1.1:4 @10\n".repeat(20);
    let events = events(&text);
    let history = History::new(&events).unwrap();
    let judged = judge(&history, &settings(), &["seq-rises"]);
    assert!(passes(&judged, &["seq-rises", "validity"]));
    assert!(!passes(&judged, &["presence"]));
    assert!(!passes(&judged, &["no-such-property"]));
}

#[test]
fn the_smallest_failing_prefix_ends_with_the_answer_that_fails() {
    let events = events(
        "1 bind u a1.1 = 4 @10
         2 locate u = a1.1:4 @10
         2 locate u = @11
         2 locate u = a1.1:4 @12
         1 bind u a1.2 = 5 @13",
    );
    let check = orrery_judge::checker::linear_by_index::check;
    let fails = |history: &History<'_>| check(history, &settings()).is_violated();
    assert_eq!(smallest_failing_prefix(&events, fails), Some(6));
    assert_eq!(smallest_failing_prefix(&events[..5], fails), None);
}

#[test]
fn a_checker_that_heals_still_gives_its_smallest_failing_prefix() {
    let events = events(&"1 locate u =\n".repeat(50));
    let fails = |history: &History<'_>| [7, 8, 100].contains(&history.events.len());
    assert_eq!(smallest_failing_prefix(&events, fails), Some(7));
}
