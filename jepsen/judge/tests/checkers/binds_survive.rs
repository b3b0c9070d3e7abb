use orrery_judge::checker::binds_survive::{PROPERTY, check};
use orrery_judge::checker::linear_by_index::check as linear_by_index;
use orrery_judge::history::History;

use crate::script::{events, finds, holds, settings};

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

#[test]
fn a_loss_under_a_lease_that_was_renewed_after_all_is_found() {
    // Somebody asked for another life and was not answered; another heard nothing of its goodbye.
    for asked in ["9 attach a x 2 ?", "9 detach a1 ?", "8 bind u a2.9 ! overloaded"] {
        let text = |then: &str| {
            format!(
                "7 attach a x 1 = 1
                 1 bind u a1.1 = 4
                 {asked}
                 2 locate u =
                 {then}"
            )
        };
        finds(check, &text("3 alive a1 ="), "is lost");
        finds(check, &text("3 bind w a1.2 = 5"), "is lost");
        finds(check, &text("3 locate u = a1.1:4"), "is lost");
        holds(check, &text(""));
        holds(check, &text("3 alive a1 ?"));
        holds(check, &text("3 bind w a1.2 = 5 s2"));
    }
}

#[test]
fn who_asked_to_live_on_before_the_read_may_have_ended_since() {
    holds(
        check,
        "7 attach a x 1 = 1
         1 bind u a1.1 = 4
         9 attach a x 2 ?
         3> alive a1
         2 locate u =
         3< =",
    );
}

#[test]
fn how_much_was_judged_is_told() {
    let share = |text: &str| {
        let events = events(text);
        let history = History::new(&events).unwrap();
        (PROPERTY.covers.unwrap())(&history, &settings()).1
    };
    let text = "7 attach a x 1 = 1
        1 bind u a1.1 = 4
        1 bind u b1.1 = 5
        9 attach a x 2 ?
        2 locate u = a1.1:4 b1.1:5
        2 locate u = a1.1:4 b1.1:5
        1 bind u c1.1 = 6";
    let shared = share(text);
    assert_eq!((shared.judged, shared.all), (2, 2));
    let shared = share(&text.replace("a1.1:4 b1.1:5", "b1.1:5"));
    assert_eq!((shared.judged, shared.all), (1, 2));
}

#[test]
fn a_bind_that_was_given_up_before_excuses_no_loss() {
    let text = |first: &str, then: &str| {
        format!("1 bind u a1.1 newest1 ?\n{first}\n{then}\n4 locate u = @12")
    };
    let (unbind, bind) = ("2 unbind u a1.1 = false @10", "3 bind u b1.1 newest1 = 5 @11");
    finds(check, &text(unbind, bind), "is lost");
    finds(linear_by_index, &text(unbind, bind), "nothing removed it");
    // It may have taken effect between the two, or may do so still.
    let (earlier, unknown) = ("3 bind u b1.1 newest1 = 5 @9", "2 unbind u a1.1 ?");
    for text in [text(earlier, unbind), text(unknown, bind)] {
        holds(check, &text);
        holds(linear_by_index, &text);
    }
}
