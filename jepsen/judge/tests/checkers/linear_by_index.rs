use orrery_judge::checker::linear_by_index::check;
use orrery_judge::verdict::Verdict;

use crate::script::{finds, holds, verdict};

#[test]
fn reads_that_show_the_state_at_their_index_hold() {
    holds(
        check,
        "1 bind u a1.1 = 4 @10
         2> locate u
         1 unbind u a1.1 = true @12
         2< = a1.1:4 @11
         2 locate u = @12
         2 locate~ u = a1.1:4 @10
         1 bind u a1.1 ! gone @14",
    );
}

#[test]
fn commands_of_one_entry_share_its_index() {
    holds(
        check,
        "1> bind u a1.1 newest1
         2> bind u b1.1 newest1
         3> unbind u b1.1
         1< = 4 @10
         2< = 5 - a1.1:4 @10
         3< = true @10
         4 locate u = @10",
    );
}

#[test]
fn a_write_that_was_repeated_took_effect_before_its_answer() {
    holds(
        check,
        "1> bind u a1.1
         2 locate u = a1.1:4 @12
         1< = 4 @15 x2",
    );
    finds(
        check,
        "1> bind u a1.1
         2 locate u = a1.1:4 @12
         1< = 4 @15 x1",
        "only bind took effect at 15",
    );
}

#[test]
fn an_unbind_after_one_of_unknown_outcome_may_tell_what_the_first_did() {
    let text = |first: &str| {
        format!(
            "1 bind u a1.1 = 4 @10 x1
             {first}
             2 locate u = @14
             1 unbind u a1.1 = true @15 x1"
        )
    };
    holds(check, &text("3 unbind u a1.1 ?"));
    finds(check, &text(""), "u seq 4");
}

#[test]
fn an_unknown_bind_is_placed_by_its_seq() {
    let text = |shown: &str| {
        format!(
            "1> bind u a1.1
             2 bind u b1.1 = 5 @11
             1< ?
             3 locate u = {shown} @12
             3 locate u = a1.1:4 b1.1:5 @13"
        )
    };
    holds(check, &text("a1.1:4 b1.1:5"));
    finds(check, &text("b1.1:5"), "not shown at index 12, but at index 13");
}

#[test]
fn a_lost_bind_is_found() {
    finds(check, "1 bind u a1.1 = 4 @10\n2 locate u = @11", "nothing removed it");
}

#[test]
fn a_stale_read_is_found_by_real_time() {
    let stale = "1 bind u a1.1 = 4 @10\n2 locate u = @9";
    finds(check, stale, "index 10 had been seen before it began");
    holds(check, &stale.replace("locate", "locate~"));
}

#[test]
fn a_write_at_an_index_that_was_seen_before_it_is_found() {
    finds(check, "1 bind u a1.1 = 4 @10\n1 bind v a1.2 = 5 @10", "had been seen before it began");
    holds(check, "1 bind u a1.1 = 4 @10\n1 bind v a1.2 = 5 @10 s2");
}

#[test]
fn a_removed_route_that_came_back_is_found() {
    finds(
        check,
        "1 bind u a1.1 = 4 @10
         1 unbind u a1.1 = true @11
         2 locate u = a1.1:4 @12",
        "was gone at index 11",
    );
    finds(
        check,
        "1 bind u a1.1 = 4 @10
         1 unbind u a1.1 ?
         2 locate u = @12
         2 locate u = a1.1:4 @13",
        "not shown at index 12, but at index 13",
    );
}

#[test]
fn phantoms_doubles_and_wrong_seqs_are_found() {
    finds(check, "2 locate u = a1.1:4 @12", "before any bind");
    finds(check, "1 bind u a1.1 = 4 @10\n2 locate u = a1.1:4 a1.1:4 @12", "twice");
    finds(check, "1 bind u a1.1 = 4 @10\n2 locate u = a1.1:5 @12", "with seq 5");
}

#[test]
fn two_lives_of_one_comet_are_found() {
    finds(
        check,
        "1 bind u a1.1 = 4 @10
         2 bind u a2.1 = 5 @11
         3 locate u = a1.1:4 a2.1:5 @12",
        "two lives of a",
    );
}

#[test]
fn a_fenced_route_may_vanish_and_must_not_be_shown() {
    let text = |shown: &str| {
        format!(
            "1 bind u a1.1 = 4 @10
             2 bind v a2.1 = 5 @11
             3 locate u = {shown} @12"
        )
    };
    holds(check, &text(""));
    finds(check, &text("a1.1:4"), "fenced below 2");
}

#[test]
fn a_route_missing_as_if_fenced_while_its_comet_was_not_is_found() {
    finds(
        check,
        "9 attach a x 1 = 1
         1 bind u a1.1 = 4 @10
         9 attach a x 2 = 2
         3 locate u = @12
         1 bind v a1.2 = 5 @13",
        "not fenced at index 13",
    );
}

#[test]
fn a_late_copy_of_a_removed_bind_that_took_effect_is_found() {
    finds(
        check,
        "1 bind u a1.1 = 1 @10
         1 unbind u a1.1 = true @11
         1 bind u a1.1 = 2 @12",
        "was bound at index 12, but was gone at index 11",
    );
    finds(
        check,
        "1 bind u a1.1 newest1 = 1 @10
         2 bind u b1.1 newest1 = 2 - a1.1:1 @11
         1 bind u a1.1 newest1 = 3 - b1.1:2 @12",
        "was gone at index 11",
    );
    holds(check, "1 bind u a1.1 = 1 @10\n1 bind u a1.1 = 1 @11\n1 unbind u a1.1 = true @12");
}

#[test]
fn a_late_copy_that_nobody_answered_takes_nobodys_place() {
    holds(
        check,
        "1 bind u a1.1 oldest1 = 1 @10
         2 unbind u b1.1 = false @11
         2 bind u c1.1 oldest1 ! outranked @12
         3 bind u b1.1 oldest1 ?",
    );
}

#[test]
fn gone_without_a_reason_is_found() {
    finds(check, "1 bind u a1.1 ! gone @10", "nothing removed or settled it");
    holds(check, "2 bind v a1.9 settled=5 = 1 @9\n1 bind u a1.1 ! gone @10");
    holds(check, "1 unbind u a1.1 = false @9\n2 bind u a1.1 ! gone @10");
}

#[test]
fn two_winners_are_found() {
    finds(
        check,
        "1 bind u a1.1 newest1 = 4 @10
         2 bind u b1.1 newest1 = 5 @11
         3 locate u = a1.1:4 b1.1:5 @12",
        "leaves 1 places",
    );
    finds(
        check,
        "1 bind u a1.1 platform=ios = 4 @10
         2 bind u b1.1 platform=ios = 5 @11
         3 locate u = a1.1:4 b1.1:5 @12",
        "leaves 1 places",
    );
    holds(
        check,
        "1 bind u a1.1 platform=ios = 4 @10
         2 bind u b1.1 platform=web = 5 @11
         3 locate u = a1.1:4 b1.1:5 @12",
    );
}

#[test]
fn losing_to_an_older_one_is_found() {
    finds(
        check,
        "1> bind u a1.1 newest1
         2> bind u b1.1 newest1
         1< = 4 - b1.1:5 @10
         2< = 5 - a1.1:4 @10",
        "gave way to an older one",
    );
}

#[test]
fn giving_way_where_nobody_must_is_found() {
    let without = "1 bind u a1.1 = 4 @10\n2 bind u b1.1 = 5 - a1.1:4 @11";
    finds(check, without, "without a limit");
    let oldest = "1 bind u a1.1 = 4 @10\n2 bind u b1.1 oldest1 = 5 - a1.1:4 @11";
    finds(check, oldest, "keeps the oldest");
    let platform = "1 bind u a1.1 platform=ios = 4 @10
                    2 bind u b1.1 platform=web = 5 - a1.1:4 @11";
    finds(check, platform, "another platform");
}

#[test]
fn the_wrong_one_giving_way_is_found() {
    finds(
        check,
        "1 bind u a1.1 newest2 = 4 @10
         1 bind u a1.2 newest2 = 5 @11
         1 bind u a1.3 newest2 = 6 - a1.2:5 @12
         2 locate u = a1.1:4 a1.3:6 @12",
        "although a newer connection gave way",
    );
    // Bound again with the rank of an earlier life, it is the older one.
    holds(
        check,
        "1 bind u b1.1 newest2 = 4 @10
         1 bind u a2.1 newest2 rank=2 = 5 @11
         1 bind u b1.2 newest2 = 6 - a2.1:5 @12
         2 locate u = b1.1:4 b1.2:6 @12",
    );
}

#[test]
fn a_loser_that_was_already_unbound_is_found() {
    finds(
        check,
        "1 bind u a1.1 newest1 = 4 @10
         1 unbind u a1.1 = true @11
         2 bind u b1.1 newest1 = 5 - a1.1:4 @12",
        "after it was unbound",
    );
}

#[test]
fn outranked_where_there_was_room_is_found() {
    finds(check, "1 bind u a1.1 oldest1 ! outranked @10", "at most 0 of 1 places");
    finds(check, "1 bind u a1.1 ! outranked @10", "without a limit was outranked");
    holds(check, "1 bind u a1.1 oldest1 = 4 @10\n2 bind u b1.1 oldest1 ! outranked @11");
}

#[test]
fn outranked_is_answered_again_and_for_good() {
    let text = |last: &str| {
        format!(
            "1 bind u a1.1 oldest1 = 4 @10
             2 bind u b1.1 oldest1 {last}"
        )
    };
    let once = "! outranked @11\n1 unbind u a1.1 = true @12";
    holds(check, &text(&format!("{once}\n2 bind u b1.1 oldest1 ! outranked @13")));
    // The first one may have been refused, whatever became of its answer.
    let lost = "?\n1 unbind u a1.1 = true @12";
    holds(check, &text(&format!("{lost}\n3 bind u b1.1 oldest1 ! outranked @13")));
    let other = format!("{lost}\n3 bind u c1.1 oldest1 ! outranked @13");
    // Or it took effect, and was there when another one came.
    holds(check, &text(&other));
    finds(check, &text(&format!("{once}\n3 bind u c1.1 oldest1 ! outranked @13")), "at most 0");
    finds(check, &text(&format!("{once}\n2 bind u b1.1 oldest1 = 5 @13")), "and bound");
    finds(check, &text(&format!("{once}\n3 locate u = b1.1:5 @13")), "and bound");
}

#[test]
fn an_unbind_that_found_nothing_is_found() {
    finds(
        check,
        "1 bind u a1.1 = 4 @10
         1 unbind u a1.1 = false @11",
        "nothing else removed it",
    );
    finds(check, "1 unbind u a1.1 = true @11", "before it was bound");
}

#[test]
fn removing_what_had_given_way_is_found() {
    finds(
        check,
        "1 bind u a1.1 newest1 = 4 @10
         2 bind u b1.1 newest1 = 5 - a1.1:4 @11
         1 unbind u a1.1 = true @12",
        "had given way at index 11",
    );
}

#[test]
fn a_bind_that_lets_too_many_stay_is_found() {
    finds(
        check,
        "1 bind u a1.1 newest1 = 4 @10
         2 bind u b1.1 newest1 = 5 @11",
        "made too few give way",
    );
}

#[test]
fn the_exact_removal_of_another_is_found() {
    finds(
        check,
        "1 bind u a1.1 = 4 @10
         2 bind u b1.1 = 5 @11
         1 unbind u a1.1 = true @12
         3 locate u = @13",
        "u seq 5 (b#1",
    );
}

#[test]
fn a_history_without_indexes_allows_no_verdict() {
    assert!(matches!(verdict(check, "1 bind u a1.1 = 4"), Verdict::Unknown(_)));
}

/// A comet with a connection at two addresses of one shard.
const TWO: &str = "9 attach a x 1 = 1\n1 bind u a1.1 = 4 @10\n1 bind v a1.2 = 5 @11";

/// Its life may be over from here on.
const OVER: &str = "9 attach a x 2 = 2";

#[test]
fn a_comet_that_shows_all_or_none_of_its_connections_holds() {
    holds(check, &format!("{TWO}\n3 routes a1 = u:4 v:5 @12\n{OVER}\n3 routes a1 = @14"));
    // What was unbound is gone alone.
    let unbound = "1 unbind u a1.1 = true @12\n3 routes a1 = v:5 @12";
    holds(check, &format!("{TWO}\n3 routes a1 = u:4 v:5 @11\n{unbound}"));
    holds(check, &format!("{TWO}\n1 unbind u a1.1 ?\n3 routes a1 = v:5 @12"));
    holds(check, &format!("{TWO}\n2 bind u b7.1 newest1 = 6 - a1.1:4 @12\n3 routes a1 = v:5 @12"));
    // What is bound later is there later, and another shard has others.
    let later = TWO.replace("\n1 bind v", "\n3 routes a1 = u:4 @10\n1 bind v");
    holds(check, &format!("{later}\n1 bind w a1.3 = 9 @11 s2\n3 routes a1 = w:9 @12 s2"));
}

#[test]
fn a_life_that_is_half_gone_is_found() {
    let words =
        "(a#1 conn 1) is gone at index 12 and nothing removed it, but its comet still has 1";
    finds(check, &format!("{TWO}\n{OVER}\n3 routes a1 = v:5 @12"), words);
    // The same of its user, at the index at which the comet shows another one.
    let crossed = format!("{TWO}\n{OVER}\n3 locate u = @12\n4 routes a1 = v:5 @12");
    finds(check, &crossed, words);
    let later = format!("{TWO}\n{OVER}\n3 routes a1 = @12\n4 locate v = a1.2:5 @13");
    finds(check, &later, "its comet were fenced, but the comet was not fenced at index 13");
}

#[test]
fn a_life_that_comes_back_is_found() {
    let back = format!("{TWO}\n{OVER}\n3 routes a1 = @12\n4 routes a1 = u:4 v:5 @12");
    finds(check, &back, "is shown by its comet at index 12, but was gone at index 12");
    let user = format!("{TWO}\n{OVER}\n3 routes a1 = @12\n4 locate u = a1.1:4 @12");
    finds(check, &user, "u seq 4 (a#1 conn 1) is not shown at index 12, but at index 12");
    let later = user.replace("u = a1.1:4 @12", "u = a1.1:4 @13");
    finds(check, &later, "is not shown at index 12, but at index 13");
}

#[test]
fn a_life_that_is_gone_without_an_end_is_found() {
    finds(check, &format!("{TWO}\n3 routes a1 = @12"), "but nothing removed it");
}

#[test]
fn what_a_comet_shows_and_nobody_bound_is_found() {
    finds(check, &format!("{TWO}\n3 routes a1 = u:4 u:9 v:5 @12"), "u seq 9 is shown by its comet");
    let unbound = "1 unbind u a1.1 = true @12\n3 routes a1 = u:4 v:5 @13";
    finds(check, &format!("{TWO}\n{unbound}"), "but was gone at index 12");
    // Its bind may have had any seq.
    holds(check, "9 attach a x 1 = 1\n1 bind u a1.1 ?\n3 routes a1 = u:4 @12");
}

#[test]
fn what_a_comet_shows_and_nobody_bound_in_that_life_is_found() {
    let binds = "1 bind u a1.1 = 4 @10\n2 bind w b2.1 = 5 @11";
    let phantom = |read: &str, words: &str| {
        finds(check, &format!("{binds}\n{read}"), words);
    };
    // Of another comet, of another life, at an address that nobody used, in another shard.
    phantom("3 routes b2 = w:5 u:4 @12", "u seq 4 is shown by its comet in shard 1, but was never");
    phantom("3 routes a2 = u:4 @12", "u seq 4 is shown by its comet in shard 1, but was never");
    phantom("3 routes a1 = u:4 x:9 @12", "x seq 9 is shown by its comet");
    phantom("3 routes b2 = w:5 @12 s2", "w seq 5 is shown by its comet in shard 2");
    // What a goodbye or a refused bind names was not bound by that.
    phantom("2 unbind u b2.7 = false @12\n3 routes b2 = w:5 u:4 @13", "u seq 4 is shown");
    phantom("2 bind u b2.7 ! unavailable\n3 routes b2 = w:5 u:4 @13", "u seq 4 is shown");
    // A bind that was never answered does not explain what was shown before it.
    phantom("3 routes b2 = w:5 u:6 @12\n2 bind u b2.7 ?", "u seq 6 is shown");
    holds(check, &format!("{binds}\n2 bind u b2.7 ?\n3 routes b2 = w:5 u:6 @12"));
    // What devices bind at their comets is no operation.
    holds(check, &format!("{binds}\n3 routes c1 = u:4 x:9 @12"));
}

#[test]
fn what_a_comet_shows_is_there_for_its_user_too() {
    let text = |reads: &str| {
        format!("1 bind u a1.1 = 4 @10\n1 unbind u a1.1 ?\n{reads}\n2 locate u = @60")
    };
    let back = "2 locate u = @40\n3 routes a1 = u:4 @50";
    finds(check, &text(back), "is not shown at index 40, but at index 50");
    holds(check, &text("3 routes a1 = u:4 @40\n2 locate u = @50"));
    // Nor was it there before its bind took effect.
    let early = "1> bind u a1.1\n3 routes a1 = u:4 @12\n1< = 4 @15 x1";
    finds(check, early, "although its only bind took effect at 15");
    holds(check, &early.replace("x1", "x2"));
    // Whatever became of its bind: by then it was there.
    let unknown =
        "1 bind u a1.1 ?\n3 routes a1 = u:4 @12\n2 locate u = @40\n2 locate u = a1.1:4 @50";
    finds(check, unknown, "is not shown at index 40, but at index 50");
}
