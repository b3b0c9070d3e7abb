use orrery_judge::checker::recovery::check;
use orrery_judge::verdict::Verdict;

use crate::script::{finds, holds, verdict};

#[test]
fn shards_that_serve_in_time_hold() {
    holds(
        check,
        "* heal\n+ 9000\n* serving 1\n* serving 2\n+ 9000\n* heal\n* serving 1\n* serving 2",
    );
}

#[test]
fn a_shard_that_serves_too_late_is_found() {
    finds(check, "* serving 2\n* heal\n* serving 1\n+ 10001\n* serving 2", "shards [2]");
}

#[test]
fn a_heal_without_quiet_is_not_judged() {
    let text = "* heal\n* serving 1\n* heal\n+ 10\n* fault kill installed\n+ 20000\n* serving 1";
    holds(check, text);
    let nothing = "* heal\n+ 10\n* fault kill installed\n+ 20000\n* serving 1";
    assert!(matches!(verdict(check, nothing), Verdict::Unknown(_)));
}

/// Shard 1 is known to hold u, and the heal at the end lets the rest be judged.
fn changing(text: &str) -> String {
    format!("1 bind u a1.1 = 4\n{text}\n+ 20000\n* heal\n* serving 1")
}

#[test]
fn a_change_of_members_under_which_writes_go_on_holds() {
    holds(check, &changing("* fault admin installed\n1 bind u a1.2 = 5"));
    holds(check, &changing("* fault admin installed\n1 bind u a1.2 ! fenced"));
    holds(check, &changing("* fault admin installed\n+ 9000\n1 bind u a1.2 = 5"));
    // Nobody wrote, or only when it was too late to tell.
    holds(check, &changing("* fault admin installed"));
    holds(check, &changing("* fault admin installed\n+ 9000\n1 bind u a1.2 ?"));
    holds(check, &changing("* fault admin skipped\n1 bind u a1.2 ?"));
}

#[test]
fn a_change_of_members_that_stops_a_shard_is_found() {
    let words = "shards [1] answered no write within 10000 ms of a change";
    finds(check, &changing("* fault admin installed\n1 bind u a1.2 ?"), words);
    finds(check, &changing("* fault admin installed\n1 bind u a1.2 ! unavailable"), words);
    finds(
        check,
        &changing("* fault admin installed\n1 bind u a1.2 ?\n+ 10001\n2 bind u a1.3 = 6"),
        words,
    );
    // A wall clock that jumps is no excuse.
    let clock = "* fault clock installed\n* fault admin installed\n1 bind u a1.2 ?";
    finds(check, &changing(clock), words);
}

#[test]
fn a_change_of_members_while_something_else_is_broken_is_not_judged() {
    for text in [
        "* fault kill installed\n* fault admin installed\n1 bind u a1.2 ?",
        "* fault admin installed\n1 bind u a1.2 ?\n+ 5000\n* fault kill installed",
    ] {
        holds(check, &changing(text));
    }
    let after =
        "* fault kill installed\n* heal\n* serving 1\n* fault admin installed\n1 bind u a1.2 ?";
    finds(check, &changing(after), "answered no write");
}

#[test]
fn a_control_shard_that_renews_leases_and_writes_nothing_is_found() {
    let text =
        |then: &str| format!("* heal\n* serving 1\n1 alive a1 =\n{then}\n+ 20000\n* serving 1");
    let words = "the control shard began and ended no life within 10s of the heal";
    finds(check, &text("2 attach b x 1 ?"), words);
    finds(check, &text("2 detach a1 ! unavailable"), words);
    finds(check, &text("2> attach b x 1\n+ 10001\n2< = 7"), words);
    finds(check, &text("2 attach b x 1 ?\n3 alive a1 ! fenced"), words);
    for answered in ["3 attach c x 1 = 7", "3 attach b x 1 ! superseded", "3 detach a1 ="] {
        holds(check, &text(&format!("2 attach b x 1 ?\n{answered}")));
        // Asked again late, and answered in time.
        holds(check, &text(&format!("2 attach b x 1 ?\n+ 8000\n{answered}")));
    }
}

#[test]
fn a_change_of_members_that_stops_the_control_shard_is_found() {
    let words = "shards [0] answered no write within 10000 ms of a change";
    let change = |then: &str| changing(&format!("* fault admin installed\n1 alive a1 =\n{then}"));
    finds(check, &change("2 attach b x 1 ?"), words);
    finds(check, &change("2 detach a1 ?\n+ 10001\n3 detach a1 ="), words);
    holds(check, &change("2 attach b x 1 ?\n+ 9000\n3 attach b x 1 = 7"));
    holds(check, &change("2 attach b x 1 ! superseded"));
    holds(check, &change("+ 9000\n2 attach b x 1 ?"));
}

#[test]
fn a_silent_shard_points_to_how_it_stood() {
    let stood = "* standing n1 1=active s1=1 r1=1@7<8<9";
    let text = format!("{stood}\n* heal\n* serving 2\n{stood}\n+ 10001\n{stood}\n* serving 1");
    let violations = finds(check, &text, "shards [1]");
    assert_eq!(violations[0].events, [1, 3]);
}

#[test]
fn a_control_shard_that_answers_no_comet_is_found() {
    let text = |then: &str| format!("* heal\n* serving 1\n{then}\n+ 20000\n* serving 1");
    let words = "the control shard answered no comet";
    finds(check, &text("1 alive a1 ?"), words);
    finds(check, &text("1 attach a x 1 ! unavailable"), words);
    finds(check, &text("1> alive a1\n+ 10001\n1< ="), words);
    holds(check, &text("1 alive a1 ?\n2 attach b x 1 = 7"));
    holds(check, &text("1 alive a1 ! fenced"));
    // Asked again late, and answered in time.
    holds(check, &text("1 alive a1 ?\n+ 8000\n2 alive a1 ="));
    // Nobody asked, or only when it was too late to tell; or something was broken again.
    holds(check, &text(""));
    holds(check, &text("1 alive a1 =\n+ 9000\n2 attach b x 1 ?"));
    holds(check, &text("1 alive a1 =\n2 attach b x 1 ?\n* fault kill installed"));
    holds(check, &text("+ 9000\n1 alive a1 ?"));
    holds(check, &text("1 alive a1 ?\n* fault kill installed"));
}
