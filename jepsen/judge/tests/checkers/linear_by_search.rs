use orrery_judge::checker::linear_by_search::{check, check_with_coverage};
use orrery_judge::history::History;
use orrery_judge::verdict::Verdict;

use crate::script::{events, finds, holds, settings, verdict};

const NO_ORDER: &str = "no order of the operations on u";

#[test]
fn histories_with_an_order_hold() {
    holds(
        check,
        "1> bind u a1.1 newest1
         2> bind u b1.1 newest1
         2< = 5 - a1.1:4
         1< = 4
         3 locate u = b1.1:5
         1 unbind u a1.1 = false
         1 bind u a1.1 newest1 ! gone",
    );
}

#[test]
fn an_unknown_bind_may_take_effect_late_or_never() {
    holds(check, "1 bind u a1.1 ?\n2 locate u =\n2 locate u = a1.1:4");
    holds(check, "1 bind u a1.1 ?\n2 locate u =\n2 locate u =");
    finds(check, "1 bind u a1.1 ?\n2 locate u = a1.1:4\n2 locate u =", NO_ORDER);
}

#[test]
fn a_stale_read_is_found() {
    finds(check, "1 bind u a1.1 = 4\n2 locate u =", NO_ORDER);
    holds(check, "1 bind u a1.1 = 4\n2 locate~ u =");
    finds(
        check,
        "1> bind u a1.1
         2 locate u = a1.1:4
         2 locate u =
         1< = 4",
        NO_ORDER,
    );
}

#[test]
fn a_route_that_came_back_is_found() {
    finds(check, "1 bind u a1.1 = 4\n1 unbind u a1.1 = true\n2 locate u = a1.1:4", NO_ORDER);
}

#[test]
fn two_winners_and_no_winner_are_found() {
    finds(check, "1 bind u a1.1 newest1 = 4\n2 bind u b1.1 newest1 = 5", NO_ORDER);
    finds(
        check,
        "1> bind u a1.1 newest1
         2> bind u b1.1 newest1
         1< = 4 - b1.1:5
         2< = 5 - a1.1:4",
        NO_ORDER,
    );
}

#[test]
fn a_seq_that_falls_is_found() {
    finds(check, "1 bind u a1.1 = 4\n2 bind u b1.1 = 3", NO_ORDER);
}

#[test]
fn refusals_need_a_reason() {
    finds(check, "1 bind u a1.1 ! gone", NO_ORDER);
    finds(check, "1 bind u a1.1 oldest1 ! outranked", NO_ORDER);
    holds(check, "1 bind u b1.1 oldest1 = 3\n2 bind u a1.1 oldest1 ! outranked");
}

#[test]
fn who_is_refused_by_the_policy_is_so_for_good() {
    let text = |first: &str, then: &str| {
        format!(
            "1 bind u b1.1 oldest1 = 3
             2 bind u a1.1 oldest1 {first}
             1 unbind u b1.1 = true
             3 {then}"
        )
    };
    let again = "bind u a1.1 oldest1 ! outranked";
    holds(check, &text("! outranked", again));
    // The first one may have been refused, whatever became of its answer.
    holds(check, &text("?", again));
    finds(check, &text("?", "bind u a1.2 oldest1 ! outranked\n3 locate u ="), NO_ORDER);
    finds(check, &text("! outranked", "bind u a1.1 oldest1 = 4"), NO_ORDER);
    finds(check, &text("! outranked", "bind u a1.1 oldest1 ! gone"), NO_ORDER);
    finds(check, &text("! outranked", "locate u = a1.1:4"), NO_ORDER);
    // Another connection of the same comet is another one.
    holds(check, &text("! outranked", "bind u a1.2 oldest1 = 4"));
}

#[test]
fn a_fence_explains_what_vanished_only_with_a_reason() {
    holds(check, "1 bind u a1.1 = 4\n9 attach a x 2 = 2\n2 locate u =");
    finds(check, "1 bind u a1.1 = 4\n2 locate u =\n9 attach a x 2 = 2", NO_ORDER);
    // Nor does one that was refused at its only attempt need another explanation.
    let refused = "9 attach a x 2 = 2\n1 bind u a1.1 ! fenced below 2 x1";
    holds(check, refused);
    finds(check, &format!("{refused}\n2 locate u = a1.1:4"), NO_ORDER);
    finds(
        check,
        "1 bind u a1.1 = 4
         9 attach a x 2 = 2
         2 locate u =
         2 locate u = a1.1:4",
        NO_ORDER,
    );
    finds(
        check,
        "1 bind u a1.1 = 4
         2 bind u a2.1 = 5
         1 unbind u a1.1 = true",
        NO_ORDER,
    );
}

#[test]
fn a_rank_makes_a_connection_as_old_as_it_was() {
    let text = |loser: &str| {
        format!(
            "1 bind u b1.1 newest2 = 4
             1 bind u a2.1 newest2 rank=2 = 5
             1 bind u b1.2 newest2 = 6 - {loser}"
        )
    };
    holds(check, &text("a2.1:5"));
    finds(check, &text("b1.1:4"), NO_ORDER);
}

#[test]
fn on_a_secondary_address_the_later_login_of_one_user_wins() {
    holds(
        check,
        "1 bind u a1.1 newest1 primary=x:9 = 4
         2 bind u b1.1 newest1 primary=x:7 ! outranked
         3 bind u c1.1 newest1 primary=y:1 = 5 - a1.1:4",
    );
}

#[test]
fn addresses_beyond_the_bounds_are_counted_and_never_pass_alone() {
    let many: String = (0..1_001).map(|at| format!("1 locate u = # {at}\n")).collect();
    assert!(matches!(verdict(check, &many), Verdict::Unknown(_)));
    let unknown: String = (0..13)
        .map(|at| format!("{at} bind u a1.{at} newest1 ?\n"))
        .chain(["19 locate u =".to_owned()])
        .collect();
    assert!(matches!(verdict(check, &unknown), Verdict::Unknown(_)));

    let with_another = many + &unknown.replace(" u ", " w ") + "\n21 bind v b1.1 = 1";
    let events = events(&with_another);
    let (violations, coverage) = check_with_coverage(&History::new(&events).unwrap(), &settings());
    assert_eq!(violations, []);
    assert_eq!((coverage.judged, coverage.too_many, coverage.too_unknown), (1, 1, 1));
}

#[test]
fn a_refused_unbind_of_a_connection_that_nothing_else_speaks_of_says_nothing() {
    holds(check, "1 unbind u a1.7 ! fenced @10 x1\n2 locate u = @11");
}

#[test]
fn a_run_of_which_too_little_was_searched_has_no_verdict() {
    let beyond = "1 locate u =\n".repeat(1_001);
    let within = |count: usize| -> String {
        (0..count).map(|at| format!("1 bind v{at} b1.{at} = {}\n", at + 1)).collect()
    };
    assert_eq!(verdict(check, &(within(4) + &beyond)), Verdict::Holds);
    match verdict(check, &(within(3) + &beyond)) {
        Verdict::Unknown(why) => {
            assert!(why.contains("3 of 4 addresses; 1 with too many operations"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    // What was searched and is wrong is wrong.
    finds(
        check,
        &(beyond + "1 bind u2 a1.1 = 4\n2 locate u2 ="),
        "no order of the operations on u2",
    );
}

#[test]
fn who_comes_back_with_a_rank_is_older_than_one_that_came_after_and_whose_seq_nobody_knows() {
    let outranked = "1 bind u a2.1 newest1 rank=4 ! outranked";
    holds(
        check,
        &format!(
            "1 bind u a1.1 newest1 = 4
             2 bind u b1.1 newest1 ?
             {outranked}
             3 unbind u b1.1 = true"
        ),
    );
    finds(check, &format!("1 bind u a1.1 newest1 = 4\n{outranked}"), NO_ORDER);
}
