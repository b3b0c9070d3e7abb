use orrery_judge::checker::binds_survive::check;

use crate::script::{finds, holds};

#[test]
fn what_is_acknowledged_is_shown_until_it_is_removed() {
    holds(
        check,
        "1 bind u a1.1 = 4
         2 bind u b1.1 = 5
         3 locate u = a1.1:4 b1.1:5
         1 unbind u a1.1 = true
         3 locate u = b1.1:5
         2 bind u b1.2 newest1 = 6 - b1.1:5
         3 locate u = b1.2:6",
    );
}

#[test]
fn an_unknown_outcome_may_be_either() {
    for shown in ["", "a1.1:4"] {
        holds(check, &format!("1 bind u a1.1 ?\n2 locate u = {shown}"));
        holds(check, &format!("1 bind u a1.1 = 4\n1 unbind u a1.1 ?\n2 locate u = {shown}"));
    }
}

#[test]
fn a_fenced_life_may_vanish() {
    holds(check, "1 bind u a1.1 = 4\n3 attach a x 2 = 2\n2 locate u =");
}

#[test]
fn a_lost_bind_is_found() {
    finds(check, "1 bind u a1.1 = 4\n2 locate u =", "is lost");
}

#[test]
fn a_bind_lost_to_a_lease_that_still_ran_is_found() {
    finds(
        check,
        "9 attach a x 1 = 1
         1 bind u a1.1 = 4
         + 3000
         9 alive a1 =
         + 8000
         2 locate u =",
        "is lost",
    );
    holds(
        check,
        "9 attach a x 1 = 1
         1 bind u a1.1 = 4
         + 9100
         2 locate u =",
    );
}

#[test]
fn a_route_that_came_back_is_found() {
    finds(
        check,
        "1 bind u a1.1 = 4
         1 unbind u a1.1 = true
         2 locate u = a1.1:4",
        "came back",
    );
}

#[test]
fn a_loser_that_came_back_is_found() {
    finds(
        check,
        "1 bind u a1.1 = 4
         2 bind u b1.1 newest1 = 5 - a1.1:4
         3 locate u = a1.1:4 b1.1:5",
        "came back",
    );
}

#[test]
fn phantoms_and_doubles_are_found() {
    finds(check, "1 bind u b1.1 = 4\n2 locate u = b1.1:4 a1.9:5", "before any bind");
    finds(check, "2 locate u = a1.1:5\n1 bind u a1.1 = 5", "before any bind");
    finds(check, "1 bind u a1.1 = 4\n2 locate u = a1.1:4 a1.1:4", "twice");
}

#[test]
fn a_bind_that_certainly_failed_is_not_shown() {
    finds(check, "1 bind u a1.1 ! overloaded\n2 locate u = a1.1:4", "before any bind");
}
