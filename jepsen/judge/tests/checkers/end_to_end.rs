use orrery_judge::checker::end_to_end::check;

use orrery_judge::verdict::Verdict;

use crate::script::{finds, holds, verdict};

/// Two devices connect, and are there until the end.
fn connected(rest: &str) -> String {
    format!(
        "1 connect u 7 comet=a second=k room=r =
         2 connect v 8 comet=a =
         9 push m0 u = queued
         * deliver m0 u 7
         {rest}
         1 heartbeat u 7 =
         2 heartbeat v 8 ="
    )
}

/// Asserts that no push had to reach anybody.
fn nobody(text: &str) {
    let nobody = Verdict::Unknown("no push had to reach anybody".into());
    assert_eq!(verdict(check, text), nobody, "{text}");
}

#[test]
fn what_arrives_as_its_receipt_says_holds() {
    holds(
        check,
        &connected(
            "9> push m1 u
             * deliver m1 u 7
             9< = written:7
             9 push m2 k = queued
             * deliver m2 u 7
             9 push m3 r = queued
             * deliver m3 u 7
             2 join 8 r =
             9 push m4 r = queued acked:8
             * deliver m4 u 7
             * deliver m4 v 8",
        ),
    );
}

#[test]
fn a_push_that_never_arrived_is_found() {
    finds(check, &connected("9 push m1 u = queued:7"), "never reached connections [7]");
    finds(check, &connected("9 push m1 k ="), "never reached connections [7]");
    finds(check, &connected("9 push m1 r = queued"), "never reached connections [7]");
    finds(check, &connected("9 push m1 u = offline"), "never reached connections [7]");
    finds(check, &connected("9 push m1 u = gone"), "never reached connections [7]");
    finds(check, &connected("9 push m1 everybody ="), "never reached connections [7, 8]");
}

#[test]
fn a_receipt_may_say_why_not() {
    for receipt in ["dropped:7", "dropped", "filtered", "unknown", "incomplete"] {
        holds(
            check,
            &connected(
                &format!("9 push m1 u = {receipt}\n* deliver m0 u 7")
                    .replace("\n* deliver m0 u 7", ""),
            ),
        );
    }
    finds(check, &connected("9 push m1 u = dropped:8"), "never reached");
    holds(check, &connected("9 push m1 u ?"));
}

#[test]
fn receipts_that_excuse_everything_are_no_pass() {
    let text = "1 connect u 7 comet=a =\n9 push m1 u = dropped:7\n1 heartbeat u 7 =";
    assert!(matches!(verdict(check, text), Verdict::Unknown(why) if why.contains("never did")));
    holds(check, &text.replace("= dropped:7", "=\n* deliver m1 u 7"));
}

#[test]
fn offline_needs_an_end_of_the_comets_life() {
    let text = |attach: &str| {
        format!("5 attach a x 1 = 1\n{}", connected(&format!("{attach}\n9 push m1 u = offline")))
    };
    finds(check, &text(""), "never reached");
    holds(check, &text("5 attach a x 2 = 2"));
}

#[test]
fn a_comet_seen_in_one_life_excuses_nothing() {
    let text = |before: &str, after: &str| {
        let push = format!("5 living x = {before}\n9 push m1 u = offline\n5 living x = {after}");
        format!("5 living x = {before}\n{}", connected(&push))
    };
    finds(check, &text("a1", "a1"), "never reached");
    holds(check, &text("a1", "a2"));
    holds(check, &text("a1", ""));
    nobody(&text("b1", "a1"));
    nobody(&connected("9 push m1 u = offline\n5 living x ="));
}

#[test]
fn what_is_being_broken_does_not_excuse_a_comet_seen_in_one_life() {
    let push = "* fault admin announced\n9 push m1 u = offline\n5 living x = a1";
    let text = format!("5 living x = a1\n{}", connected(push));
    finds(check, &text, "never reached");
}

#[test]
fn a_comet_in_a_new_life_for_long_enough_excuses_nothing() {
    let text = |pause: u64, nemesis: &str| {
        connected(&format!(
            "5 living x = a2
             + {pause}
             {nemesis}
             9 push m1 u = offline
             5 living x = a2"
        ))
    };
    nobody(&text(19_000, ""));
    finds(check, &text(21_000, ""), "never reached");
    nobody(&text(21_000, "* heal"));
    nobody(&text(21_000, "* fault kill announced\n+ 21000"));
}

#[test]
fn a_device_that_left_or_came_later_need_not_be_reached() {
    for text in [
        "1 connect u 7 comet=a =\n9 push m1 u = queued\n1 disconnect u 7 =",
        "1 connect u 7 comet=a =\n1 heartbeat u 7 =\n9 push m1 u = queued",
        "1 connect u 7 comet=a =\n9 push m1 u = queued\n1 heartbeat u 7 ?",
        "9> push m1 u\n1 connect u 7 comet=a =\n9< =\n1 heartbeat u 7 =",
        "1 connect u 7 comet=a room=r =\n1 leave 7 r =\n9 push m1 r =\n1 heartbeat u 7 =",
        "1 connect u 7 comet=a room=r =\n9> push m1 r\n1 leave 7 r =\n9< =\n1 heartbeat u 7 =",
    ] {
        nobody(text);
    }
}

#[test]
fn a_room_may_be_joined_again() {
    holds(
        check,
        &connected(
            "9 push m1 r =
             * deliver m1 u 7
             1 leave 7 r =
             9 push m2 r =
             1 join 7 r =
             9 push m3 r =
             * deliver m3 u 7",
        ),
    );
}

#[test]
fn anothers_message_is_found() {
    finds(check, &connected("9 push m1 u =\n* deliver m1 u 7\n* deliver m1 v 8"), "m1 is for u");
    finds(check, &connected("9 push m1 r =\n* deliver m1 u 7\n* deliver m1 v 8"), "m1 is for r");
    let everybody = "9 push m1 everybody =\n* deliver m1 u 7\n* deliver m1 v 8";
    holds(check, &connected(everybody));
    finds(check, &connected("1 leave 7 r =\n9 push m1 r =\n* deliver m1 u 7"), "m1 is for r");
}

#[test]
fn a_message_from_nowhere_is_found() {
    finds(check, &connected("* deliver m1 u 7"), "never pushed");
    finds(check, &connected("9 push m1 u =\n* deliver m1 u 7\n* deliver m1 u 70"), "never was");
}

#[test]
fn a_failed_push_that_arrived_is_found() {
    finds(check, &connected("9 push m1 u ! overloaded\n* deliver m1 u 7"), "its push failed");
}

#[test]
fn a_duplicate_is_found() {
    finds(check, &connected("9 push m1 u =\n* deliver m1 u 7\n* deliver m1 u 7"), "twice");
}

#[test]
fn an_ack_of_what_never_arrived_is_found() {
    finds(check, &connected("9 push m1 u = acked:7"), "acked by 7");
}
