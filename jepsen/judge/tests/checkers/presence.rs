use orrery_judge::checker::presence::check;
use orrery_judge::verdict::Verdict;

use crate::script::{finds, holds, verdict};

#[test]
fn whoever_is_connected_is_shown() {
    holds(
        check,
        "1 connect u 7 comet=a =
         9 locate u = a1.1:4
         + 5000
         1 disconnect u 7 =
         + 60000
         9 locate u =",
    );
}

#[test]
fn a_connected_device_shown_offline_is_found() {
    finds(
        check,
        "1 connect u 7 comet=a =\n9 locate u =\n+ 5000\n* heal",
        "1 devices were connected",
    );
}

#[test]
fn a_device_about_to_leave_may_be_missing() {
    holds(
        check,
        "1 connect u 7 comet=a =\n9 locate u =\n+ 500\n1 disconnect u 7 =\n+ 5000\n* heal",
    );
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
             9 locate u =
             + 5000
             * heal"
        )
    };
    holds(check, &text(2_000));
    finds(check, &text(11_000), "1 devices were connected");
}

#[test]
fn a_device_long_gone_is_found() {
    let text = |pause: u64| {
        format!("1 connect u 7 comet=a =\n1 disconnect u 7 ?\n+ {pause}\n9 locate u = a1.1:4")
    };
    holds(check, &text(50_000));
    finds(check, &text(52_000), "at most 0 can be left");
}

#[test]
fn nothing_expires_while_faults_go_on() {
    holds(
        check,
        "1 connect u 7 comet=a =
         1 disconnect u 7 ?
         + 52000
         * heal
         9 locate u = a1.1:4",
    );
}

#[test]
fn users_that_nobody_read_allow_no_verdict() {
    assert!(matches!(verdict(check, "1 connect u 7 ="), Verdict::Unknown(_)));
}
