use orrery_judge::checker::crashes::check;

use crate::script::{finds, holds};

#[test]
fn an_end_that_something_explains_is_none_of_our_business() {
    holds(check, "");
    holds(
        check,
        "* fault disk installed
         * excused router-1 a sync failed
         * heal",
    );
}

#[test]
fn an_end_that_nothing_explains_is_found() {
    let violations = finds(
        check,
        "* fault clock installed
         * ended router-1 the log has a gap
         * excused router-2 a sync failed",
        "router-1 ended by itself: the log has a gap",
    );
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].events, [1]);
}

#[test]
fn a_panic_is_found_wherever_it_was() {
    finds(
        check,
        "1 locate u =
         * panicked index 9 is out of range (router/src/a.rs:7:1)",
        "a task panicked: index 9",
    );
}
