use orrery_judge::checker::seq_rises::check;

use orrery_judge::history::History;
use orrery_judge::settings::{Gates, Settings};
use orrery_judge::verdict::Verdict;

use crate::script::{events, finds, holds};

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

/// Two nodes hold shard 1; what each says of its replica, `@index:routes:next seq`.
fn nodes(one: &str, two: &str) -> String {
    let of = |node: u32, held: &str| {
        format!("* standing n{node} 1=active 2=active s0=1,2 s1=1,2 r0=1,2@9 r1=1,2@{held}\n")
    };
    of(1, one) + &of(2, two)
}

#[test]
fn a_next_seq_above_all_that_was_given_holds() {
    let given = "1 bind u a1.1 = 4 @10\n1 bind v b1.1 ?\n3 locate v = b1.1:5 @11";
    holds(check, &format!("{given}\n* phase final\n{}", nodes("12:2:6", "12:2:6")));
    // Who is behind while work goes on knows only what was given until there.
    holds(check, &format!("{given}\n{}", nodes("10:1:5", "9:0:1")));
    // Seqs of another shard are counted there.
    let elsewhere = given.replace("@11", "@11 s2");
    holds(check, &format!("{elsewhere}\n* phase final\n{}", nodes("12:1:5", "12:1:5")));
}

#[test]
fn a_next_seq_that_was_given_already_is_found() {
    let given = "1 bind u a1.1 = 4 @10\n1 bind v b1.1 ?\n3 locate v = b1.1:5 @11";
    let words = "node 2 would give seq 5 next in shard 1 at index 12, but v was shown with 5";
    finds(check, &format!("{given}\n{}", nodes("12:2:6", "12:2:5")), words);
    // At the end an index is no excuse, nor is it that the answer had none.
    let at_the_end = format!("{given}\n* phase final\n{}", nodes("12:2:6", "9:2:5"));
    finds(check, &at_the_end, "at the end node 2 would give seq 5 next");
    let unnumbered = at_the_end.replace(" @11", "").replace(" @10", "");
    finds(check, &unnumbered, "at the end node 2 would give seq 5 next");
    // A device's connection was shown by who is online, an evicted one by its winner.
    let online = format!("1 online w = a1:7\n* phase final\n{}", nodes("12:2:7", "12:2:8"));
    finds(check, &online, "at the end node 1 would give seq 7 next");
    let loser = "1 bind u b1.1 ?\n2 bind u a1.1 newest1 = 9 - b1.1:8 @10";
    finds(check, &format!("{loser}\n{}", nodes("10:1:9", "10:1:10")), "was shown with 9");
}

#[test]
fn a_next_seq_that_a_comet_or_a_room_showed_is_found() {
    for read in ["routes a1 = u:6", "members lobby = u:6"] {
        let given = format!("1 bind u a1.1 ?\n3 {read} @11");
        let words = "node 2 would give seq 6 next in shard 1 at index 12, but u was shown with 6";
        finds(check, &format!("{given}\n{}", nodes("12:2:7", "12:2:6")), words);
        holds(check, &format!("{given}\n* phase final\n{}", nodes("12:2:7", "12:2:7")));
        // By the index of the answer, and in its shard.
        holds(check, &format!("{given}\n{}", nodes("12:2:7", "10:2:6")));
        holds(check, &format!("{given} s2\n{}", nodes("12:2:6", "12:2:6")));
    }
}

#[test]
fn whoever_does_not_hold_the_shard_at_the_end_may_lack_what_was_given() {
    let given = "1 bind u a1.1 = 4 @10\n* phase final";
    let words = "at the end node 2 would give seq 3 next in shard 1, but u was shown with 4";
    let text = |nodes: &str, later: &str| {
        let of =
            |node: u32, held: &str| format!("* standing n{node} {nodes} r0=1@9 r1=1,2@{held}\n");
        format!("{given}\n{}{later}{}", of(2, "9:0:3"), of(1, "12:1:5"))
    };
    let placed = "1=active 2=active s0=1,2 s1=1,2";
    finds(check, &text(placed, ""), words);
    // It was removed; it is placed elsewhere; it no longer answers.
    holds(check, &text("1=active 2=removed s0=1 s1=1,2", ""));
    holds(check, &text("1=active 2=active s0=1,2 s1=1", ""));
    holds(check, &text(placed, "+ 101\n"));
}

#[test]
fn a_run_whose_replicas_do_not_say_what_comes_next_has_no_verdict() {
    let shards = Gates { shards: vec![1, 2], compared: true, ..Gates::default() };
    let settings = Settings { gates: shards, ..Settings::default() };
    let text = format!("1 bind u a1.1 = 4 @10\n* phase final\n{}", nodes("12:1:5", "12:1:5"));
    let verdict = |text: &str| check(&History::new(&events(text)).unwrap(), &settings);
    assert!(matches!(verdict(&text), Verdict::Unknown(why) if why.contains("[2]")));
    let both = text.replace("r1=1,2@12:1:5", "r1=1,2@12:1:5 r2=1,2@12:0:1");
    let both = both.replace("s1=1,2", "s1=1,2 s2=1,2");
    assert_eq!(verdict(&both), Verdict::Holds);
    // Something wrong is told all the same.
    assert!(verdict(&text.replace("@12:1:5", "@12:1:4")).is_violated());
}
