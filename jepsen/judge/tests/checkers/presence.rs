use orrery_judge::checker::presence::check;
use orrery_judge::verdict::Verdict;

use crate::script::{finds, holds, verdict};

#[test]
fn whoever_is_connected_is_shown() {
    holds(
        check,
        "1 connect u 7 comet=a =
         9 online u = a1:4
         1 heartbeat u 7 =
         1 disconnect u 7 =
         + 60000
         9 online u =",
    );
}

#[test]
fn a_connected_device_shown_offline_is_found() {
    let text = "1 connect u 7 comet=a =\n9 online u =\n1 heartbeat u 7 =";
    finds(check, text, "its devices [7] were connected");
    let text = "1 connect u 7 comet=a =\n2 connect u 8 comet=b =
                9 online u = b1:4 b1:5\n1 heartbeat u 7 =";
    finds(check, text, "0 connections on a, but its devices [7] were connected");
}

#[test]
fn a_device_that_was_not_heard_again_may_be_missing() {
    holds(check, "1 connect u 7 comet=a =\n1 heartbeat u 7 =\n9 online u =");
    holds(check, "1 connect u 7 comet=a =\n9> online u\n1 heartbeat u 7 =\n9< =");
    holds(check, "1 connect u 7 comet=a =\n9 online u =\n1 heartbeat u 7 ?\n+ 500");
    holds(check, "9> online u\n1 connect u 7 comet=a =\n9< =\n1 heartbeat u 7 =");
}

#[test]
fn a_device_of_a_fenced_comet_may_be_missing_until_it_is_bound_again() {
    let text = |pause: u64| {
        format!(
            "8 attach a x 1 = 1
             1 connect u 7 comet=a =
             8 attach a x 2 = 2
             + {pause}
             8 alive a2 =
             9 online u =
             1 heartbeat u 7 ="
        )
    };
    holds(check, &text(2_000));
    finds(check, &text(21_000), "its devices [7] were connected");
}

#[test]
fn a_comet_seen_in_one_life_excuses_nothing() {
    let text = |before: &str, after: &str| {
        format!(
            "5 living x = {before}
             1 connect u 7 comet=a =
             9 online u =
             5 living x = {after}
             1 heartbeat u 7 ="
        )
    };
    finds(check, &text("a1", "a1"), "its devices [7] were connected");
    holds(check, &text("a1", "a2"));
    holds(check, &text("a1", ""));
}

#[test]
fn a_device_long_gone_is_found() {
    let text = |pause: u64| {
        format!("1 connect u 7 comet=a =\n1 disconnect u 7 ?\n+ {pause}\n9 online u = a1:4")
    };
    holds(check, &text(50_000));
    finds(check, &text(52_000), "at most 0 can be left");
}

#[test]
fn a_connection_shown_twice_or_where_it_never_was_is_found() {
    let text = |shown: &str| format!("1 connect u 7 comet=a =\n9 online u = {shown}");
    finds(check, &text("a1:4 a1:4"), "one connection twice");
    finds(check, &text("a1:4 a2:5"), "two of its lives: 1 and 2");
    finds(check, &text("b1:4"), "on b, where it never was");
    finds(check, &text("a1:4 a1:5"), "at most 1 can be left");
}

#[test]
fn nothing_expires_while_faults_go_on() {
    let text = |nemesis: &str| {
        format!(
            "1 connect u 7 comet=a =
             1 disconnect u 7 ?
             {nemesis}
             9 online u = a1:4"
        )
    };
    holds(check, &text("+ 52000\n* heal"));
    holds(check, &text("* fault admin announced\n+ 52000"));
    finds(check, &text("* heal\n+ 52000"), "at most 0 can be left");
}

#[test]
fn users_that_nobody_asked_about_allow_no_verdict() {
    assert!(matches!(verdict(check, "1 connect u 7 ="), Verdict::Unknown(_)));
}

/// A run whose faults end at the heal, with a tail of so many milliseconds in which one device of two goes, the
/// other stays, and who is online is asked again and again.
fn tail(tail_ms: u64, shown: &str) -> String {
    let mut text = "1 connect u 7 comet=a =
         2 connect u 8 comet=a =
         * fault network installed
         + 5000
         * heal
         1 disconnect u 7 =\n"
        .to_owned();
    for _ in 0..tail_ms / 1_000 {
        text += "+ 1000\n2 heartbeat u 8 =\n";
    }
    text + &format!("9 online u = {shown}\n2 heartbeat u 8 =\n")
}

#[test]
fn a_quiet_tail_shows_who_stays_online_too_long() {
    let settings = crate::script::settings();
    let bound = settings.silence + settings.lease * 2 + settings.margin;
    let bound = u64::try_from(bound.as_millis()).unwrap();
    finds(check, &tail(bound + 1_000, "a1:4 a1:5"), "at most 1 can be left");
    holds(check, &tail(bound + 1_000, "a1:5"));
    // Who stays is still there.
    finds(check, &tail(bound + 1_000, ""), "its devices [8] were connected");
    // Without it nothing says that the other one is too late.
    holds(check, &tail(bound - 5_000, "a1:4 a1:5"));
}

/// A device that is connected all the time, so that what is shown is at least possible.
fn watched(looks: &str) -> String {
    format!("1 connect u 7 comet=a ?\n2 connect u 8 comet=a ?\n{looks}")
}

#[test]
fn a_connection_that_comes_once_and_goes_once_holds() {
    let looks = "9 online u =\n9 online u = a1:4\n8 online u = a1:4 a1:5\n9 online u = a1:5";
    holds(check, &watched(looks));
    // Bound again in its comet's next life it is another one.
    holds(check, &watched("9 online u = a1:4\n9 online u =\n9 online u = a2:6"));
    // Who asks at the same time may see either.
    let looks = "9 online u = a1:4\n8> online u\n9 online u = a1:4\n8< =\n9 online u =";
    holds(check, &watched(looks));
    holds(check, &watched("8> online u\n9 online u = a1:4\n8< =\n9 online u = a1:4"));
    holds(check, &watched("9 online u = a1:4\n8> online u\n9> online u\n8< =\n9< = a1:4"));
}

#[test]
fn a_connection_that_comes_online_twice_is_found() {
    let twice = "9 online u = a1:4\n8 online u =\n7 online u = a1:4";
    finds(check, &watched(twice), "seq 4 of u on a went offline and came online once more");
    // Others of the same user do not hide it.
    let twice = "9 online u = a1:4 a1:5\n8 online u = a1:5\n7 online u = a1:4 a1:5";
    finds(check, &watched(twice), "seq 4 of u on a went offline");
}

#[test]
fn a_seq_that_comes_online_in_two_places_is_found() {
    let text = watched("3 connect u 9 comet=b ?\n9 online u = a1:4\n8 online u = b3:4");
    finds(check, &text, "seq 4 of u came online on a in life 1, and on b in life 3");
    let text = watched("9 online u = a1:4\n8 online u = a2:4");
    finds(check, &text, "on a in life 1, and on a in life 2");
}
