use orrery_judge::checker::rooms::check;
use orrery_judge::verdict::Verdict;

use crate::script::{finds, holds, verdict};

#[test]
fn listings_follow_their_versions() {
    holds(
        check,
        "1 list r a1 v1 = @10
         2 list r b1 v1 = @11
         3 comets r = a1 b1 @11
         1 unlist r a1 v2 = @12
         3 comets r = b1 @12
         1 list r a1 v1 ! stale @13
         3 comets r = b1 @13",
    );
}

#[test]
fn a_listing_of_unknown_outcome_may_be_either_but_not_both() {
    let text = |shown: &str| {
        format!(
            "1 list r a1 v1 = @10\n2 unlist r a1 v2 ?\n3 comets r = @12\n3 comets r = {shown} @13"
        )
    };
    holds(check, &text(""));
    finds(check, &text("a1"), "was taken off");
}

#[test]
fn a_lost_listing_is_found() {
    finds(check, "1 list r a1 v1 = @10\n3 comets r = @10", "lost a#1");
}

#[test]
fn a_listing_that_came_back_is_found() {
    finds(check, "1 list r a1 v1 = @10\n1 unlist r a1 v2 = @11\n3 comets r = a1 @12", "taken off");
    // The registry held version 2, whatever became of it, when it called version 1 stale.
    finds(
        check,
        "1 unlist r a1 v2 ?
         2 list r a1 v1 ! stale @11 x1
         3 comets r = a1 @12",
        "a#1",
    );
}

#[test]
fn a_phantom_listing_is_found() {
    finds(check, "3 comets r = a1 @12", "never listed");
    finds(check, "3 comets r = a1 @12\n1 list r a1 v1 = @13", "never listed");
    finds(check, "1 list r a1 v1 = @10\n3 comets r = a1 a1 @12", "twice");
}

#[test]
fn a_listing_shown_before_its_only_attempt_is_found() {
    let text = "1> list r a1 v1\n3 comets r = a1 @10\n1< = @12 x1";
    finds(check, text, "a#1");
    holds(check, &text.replace("x1", "x2"));
}

#[test]
fn a_fenced_comet_may_leave_the_listing() {
    holds(check, "1 list r a1 v1 = @10\n9 attach a x 2 = 2\n3 comets r = @12");
    finds(
        check,
        "1 list r a1 v1 = @10\n9 attach a x 2 = 2\n3 comets r = @12\n1 list q a1 v1 = @13",
        "lost a#1",
    );
}

#[test]
fn members_follow_their_versions_and_their_connections() {
    holds(
        check,
        "1 bind u a1.1 = 4 @10
         1 rooms u a1.1 4 v1 r = @11
         3 members r = u:4 @11
         1 rooms u a1.1 4 v2 q = @12
         3 members r = @12
         3 members q = u:4 @12
         1 unbind u a1.1 = true @13
         3 members q = @13",
    );
}

#[test]
fn a_lost_member_is_found() {
    finds(
        check,
        "1 bind u a1.1 = 4 @10
         1 rooms u a1.1 4 v1 r = @11
         3 members r = @12",
        "missing from r",
    );
}

#[test]
fn a_member_that_came_back_is_found() {
    finds(
        check,
        "1 bind u a1.1 = 4 @10
         1 rooms u a1.1 4 v1 r = @11
         1 rooms u a1.1 4 v2 = @12
         3 members r = u:4 @13",
        "is back in r",
    );
    finds(
        check,
        "1 bind u a1.1 = 4 @10
         1 rooms u a1.1 4 v1 r = @11
         1 unbind u a1.1 = true @12
         3 members r = u:4 @13",
        "is back in r",
    );
}

#[test]
fn a_member_whose_set_was_never_answered_may_be_shown() {
    let text = "1 bind u a1.1 = 4 @10\n1 rooms u a1.1 4 v1 r ? s0\n3 members r = u:4 @12";
    holds(check, text);
    holds(check, "1 bind u a1.1 = 4 @10\n1 rooms u a1.1 4 v1 r ? s0\n3 members r = @12");
    // It can be in its own shard only.
    finds(check, &text.replace("@12", "@12 s2"), "never joined");
}

#[test]
fn a_member_of_another_shard_is_not_missed() {
    holds(
        check,
        "1 bind u a1.1 = 4 @10
         1 rooms u a1.1 4 v1 r = @11
         3 members r = @12 s2",
    );
}

#[test]
fn a_phantom_member_is_found() {
    finds(check, "3 members r = u:4 @12", "never joined");
}

#[test]
fn rooms_that_nobody_read_allow_no_verdict() {
    assert!(matches!(verdict(check, "1 list r a1 v1 = @10"), Verdict::Unknown(_)));
}
