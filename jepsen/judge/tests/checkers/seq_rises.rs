use orrery_judge::checker::seq_rises::check;

use crate::script::{finds, holds};

#[test]
fn seqs_that_rise_with_gaps_hold() {
    holds(
        check,
        "1 bind u a1.1 = 4
         2 bind v a1.2 = 4
         1 bind u a1.3 = 9 - a1.1:4
         3 locate u = a1.3:9
         1 bind u a1.3 = 9",
    );
}

#[test]
fn overlapping_binds_may_have_either_order() {
    holds(check, "1> bind u a1.1\n2> bind u b1.1\n1< = 5\n2< = 4");
}

#[test]
fn a_seq_that_falls_is_found() {
    finds(check, "1 bind u a1.1 = 4\n2 bind u b1.1 = 3", "4 was given before it began");
}

#[test]
fn a_seq_below_one_that_was_only_read_is_found() {
    finds(
        check,
        "1 bind u a1.1 ?
         3 locate u = a1.1:7
         2 bind u b1.1 = 6",
        "7 was given before",
    );
}

#[test]
fn a_seq_given_twice_is_found() {
    finds(check, "1> bind u a1.1\n2> bind u b1.1\n1< = 4\n2< = 4", "belongs to");
}

#[test]
fn a_repeated_bind_with_another_seq_is_found() {
    finds(check, "1 bind u a1.1 = 4\n1 bind u a1.1 = 5", "and had 4");
}

#[test]
fn a_read_and_a_loser_with_another_seq_are_found() {
    finds(check, "1 bind u a1.1 = 4\n2 locate u = a1.1:5", "and had 4");
    finds(check, "1 bind u a1.1 = 4\n2 bind u b1.1 = 6 - a1.1:5", "and had 4");
}

#[test]
fn an_answer_without_a_seq_is_found() {
    finds(check, "1 bind u a1.1 =", "without a seq");
}
