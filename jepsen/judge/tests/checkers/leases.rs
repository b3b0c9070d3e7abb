use orrery_judge::checker::leases::check;

use crate::script::{finds, holds};

#[test]
fn a_comet_that_attaches_again_lives_on() {
    holds(
        check,
        "9 attach a x 1 = 1
         1 bind u a1.1 = 4 @10
         9 attach a x 2 = 2
         1 bind u a1.2 ! fenced below 2 @12
         8 alive a1 ! superseded
         2 bind u a2.1 = 5 @12
         3 locate u = a2.1:5 @13
         9 attach a x 2 = 2
         7 attach b y 1 = 3",
    );
}

#[test]
fn a_fenced_write_that_is_admitted_is_found() {
    finds(
        check,
        "9 attach a x 2 = 2
         1 bind u a1.1 ! fenced @10
         2 bind v a1.2 = 5 @11",
        "admitted incarnation 1 of a at index 11",
    );
    // A later life wrote in the shard first.
    finds(check, "2 bind u a2.1 = 4 @10\n1 unbind v a1.1 = true @11", "fenced below 2");
    // What the registry judges by its state, it admitted first.
    finds(check, "2 bind u a2.1 = 4 @10\n1 bind v a1.1 ! gone @11", "fenced below 2");
    holds(check, "2 bind u a2.1 = 4 @10\n1 bind v a1.1 = 5 @11 s2");
}

#[test]
fn one_entry_may_hold_both_lives() {
    holds(check, "1> bind u a1.1\n2> bind u a2.1\n1< = 4 @10\n2< = 5 @10");
}

#[test]
fn a_read_that_shows_a_fenced_life_is_found() {
    finds(
        check,
        "1 bind v a1.1 = 3 @9
         2 bind u a2.1 = 4 @10
         3 locate v = a1.1:3 @10",
        "showed incarnation 1",
    );
    finds(check, "2 bind u a2.1 = 4 @10\n3 comets r = a1 @11", "showed incarnation 1");
}

#[test]
fn incarnations_given_twice_or_falling_are_found() {
    finds(check, "1> attach a x 1\n2> attach b y 1\n1< = 1\n2< = 1", "incarnation 1 was given to");
    finds(check, "1 attach a x 1 = 5\n2 attach b y 1 = 4", "5 was given before it began");
    finds(check, "1 attach a x 1 = 5\n1 attach a x 1 = 6", "and 5 before");
}

#[test]
fn a_false_expiry_is_found() {
    let text = |pause: u64| {
        format!(
            "9 attach a x 1 = 1
             + 4000
             9 alive a1 =
             + {pause}
             9 alive a1 ! fenced"
        )
    };
    finds(check, &text(8_000), "its lease ran for another");
    holds(check, &text(9_100));
}

#[test]
fn a_false_fence_at_a_shard_is_found() {
    finds(check, "9 attach a x 1 = 1\n1 bind u a1.1 ! fenced @10", "its lease ran for another");
    finds(check, "1 bind u a1.1 ! fenced @10", "nothing ended it");
}

#[test]
fn a_comet_that_detached_may_be_fenced() {
    holds(check, "9 attach a x 1 = 1\n9 detach a1 =\n9 alive a1 ! fenced");
}

#[test]
fn a_life_after_its_end_is_found() {
    finds(
        check,
        "9 attach a x 1 = 1
         + 20000
         9 alive a1 ! fenced
         9 alive a1 =",
        "lived on after it had ended",
    );
}

#[test]
fn an_instance_that_gives_way_to_another_is_told_so() {
    holds(
        check,
        "9 attach a x 1 = 1
         8 attach a y 1 = 2
         9 alive a1 ! superseded
         1 bind u a1.2 ! fenced below 2 @12
         9 attach a x 2 ! superseded
         8 attach a y 2 = 3",
    );
}

#[test]
fn an_instance_that_comes_back_after_it_was_superseded_is_found() {
    let text = "9 attach a x 1 = 1\n8 attach a y 1 = 2\n9 attach a x 2 = 3";
    finds(check, text, "x of a got a life, although y had superseded it");
    // Nobody knows which of the two was first.
    holds(check, "9 attach a x 1 = 1\n8> attach a y 1\n9 attach a x 2 = 2\n8< = 3");
}

#[test]
fn an_instance_superseded_by_nobody_is_found() {
    finds(check, "9 attach a x 1 ! superseded", "by nobody");
    finds(check, "9 attach a x 1 = 1\n9 attach a x 2 ! superseded", "by nobody");
    holds(check, "9 attach a x 1 = 1\n8 attach a y 1 ?\n9 attach a x 2 ! superseded");
}

#[test]
fn a_lease_renewed_after_its_life_had_ended_is_found() {
    finds(check, "9 attach a x 2 = 2\n1 alive a1 =", "lived on after it had ended");
    finds(check, "9 attach a x 1 = 1\n9 detach a1 =\n1 alive a1 =", "lived on after it had ended");
    holds(check, "9> attach a x 2\n1 alive a1 =\n9< = 2\n1 alive a2 =");
    holds(check, "1> alive a1\n9 attach a x 2 = 2\n1< =");
    holds(check, "9 attach a x 2 ?\n8 detach a1 ?\n1 alive a1 =");
}
