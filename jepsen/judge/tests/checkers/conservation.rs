use orrery_judge::checker::conservation::check;
use orrery_judge::history::History;
use orrery_judge::settings::{Gates, Settings};
use orrery_judge::verdict::Verdict;

use crate::script::{events, finds, holds, verdict};

fn run(reads: &str) -> String {
    format!(
        "1 bind u a1.1 = 4
         1 rooms u a1.1 4 v1 r =
         1 bind v a1.2 = 5 s2
         1 rooms v a1.2 5 v1 r = s2
         * phase final
         {reads}"
    )
}

const USERS: &str = "1 locate u = a1.1:4
    1 locate v = a1.2:5 s2";

#[test]
fn sums_that_agree_hold() {
    holds(
        check,
        &run(&format!(
            "{USERS}
             1 routes a1 = u:4
             1 routes a1 = v:5 s2
             1 count r = 1
             1 count r = 1 s2"
        )),
    );
}

#[test]
fn a_route_that_only_its_user_shows_is_found() {
    finds(
        check,
        &run(&format!("{USERS}\n1 routes a1 = u:4\n1 routes a1 = s2")),
        "not by its comet",
    );
}

#[test]
fn a_shard_that_did_not_answer_shows_nothing_of_its_routes() {
    let silent = format!("{USERS}\n1 routes a1 = u:4\n1 routes a1 ! unavailable s2");
    holds(check, &run(&silent));
    // What another shard says is no answer of it, neither way.
    let other = format!("{USERS}\n1 routes a1 = u:4 v:5\n1 routes a1 = s2");
    finds(check, &run(&other), "not by its comet");
}

#[test]
fn a_route_that_only_its_comet_shows_is_found() {
    finds(
        check,
        &run("1 locate u = a1.1:4\n1 locate v = s2\n1 routes a1 = u:4\n1 routes a1 = v:5 s2"),
        "not by its user",
    );
}

#[test]
fn a_wrong_count_is_found() {
    for counts in ["1 count r = 1\n1 count r = 0 s2", "1 count r = 2\n1 count r = 1 s2"] {
        finds(check, &run(&format!("{USERS}\n{counts}")), "r counts");
    }
}

#[test]
fn a_set_of_unknown_outcome_may_count_or_not() {
    let unknown = |count: u32| {
        let counts = run(&format!("{USERS}\n1 count r = {count}\n1 count r = 1 s2"));
        counts.replace("1 bind v", "3 rooms u a1.1 4 v2 ?\n1 bind v")
    };
    holds(check, &unknown(0));
    holds(check, &unknown(1));
    finds(check, &unknown(2), "r counts 2 members of shard 1");
}

#[test]
fn a_room_that_counts_right_over_all_shards_only_is_found() {
    let crossed = format!("{USERS}\n1 count r = 0\n1 count r = 2 s2");
    finds(check, &run(&crossed), "r counts 0 members of shard 1, but its users show 1 to 1");
}

/// The same with all that is read of shard 1 at index 20, and what node 1 says that it holds there.
fn moment(reads: &str, held: u32) -> String {
    format!(
        "{}\n{reads}\n{}",
        run("1 locate u = a1.1:4\n1 locate v = s2"),
        format_args!("* standing n1 1=active s1=1 r1=1@20:{held}:9\n* digest 1 20 d n1")
    )
}

const MOMENT: &str = "1 living all = a1 b2
    1 locate u = a1.1:4 @20
    1 routes a1 = u:4 @20
    1 routes b2 = w:7 @20
    1 members r = u:4 @20
    1 count r = 1 @20";

#[test]
fn sums_at_one_index_that_agree_hold() {
    holds(check, &moment(MOMENT, 2));
    // Who does not stand still says nothing of one index.
    holds(check, &moment(MOMENT, 7).replace("digest 1 20", "digest 1 21"));
    // Where not all comets were asked, others may have the rest.
    holds(check, &moment(&MOMENT.replace("1 routes b2 = w:7 @20", ""), 2));
}

#[test]
fn routes_that_no_comet_shows_or_no_replica_counts_are_found() {
    finds(check, &moment(MOMENT, 3), "node 1 holds 3 routes, but its comets show 2 at index 20");
    finds(check, &moment(MOMENT, 1), "node 1 holds 1 routes, but its comets show 2 at index 20");
    let users = "1 locate u = a1.1:4 @20\n1 locate w = b2.1:7 @20";
    finds(check, &moment(users, 1), "node 1 holds 1 routes, but its users show 2");
}

#[test]
fn only_a_moment_of_the_final_phase_has_all_comets_that_live_in_it() {
    // Another comet lived at index 15, and was gone before anybody asked who lives.
    let early = "* standing n1 1=active s1=1 r1=1@15:3:9\n* digest 1 15 d n1
         1 routes a1 = u:4 @15\n1 routes b2 = w:7 @15\n* phase final";
    holds(check, &moment(MOMENT, 2).replace("* phase final", early));
    // One that was asked for at first and not at last counts as well.
    let last = format!("{MOMENT}\n1 living all = a1");
    finds(check, &moment(&last, 3), "node 1 holds 3 routes, but its comets show 2");
    holds(check, &moment(&last.replace("1 routes b2 = w:7 @20", ""), 2));
}

#[test]
fn a_node_that_holds_two_sums_at_one_index_is_found() {
    let again = |held: u32| {
        let then = format!("* standing n1 1=active s1=1 r1=1@20:{held}:9\n* digest 1 20 d n1");
        format!("{}\n{then}", moment(MOMENT, 2))
    };
    holds(check, &again(2));
    // Whichever of them is told last.
    finds(check, &again(3), "node 1 says that it holds 2 routes, and 3 at index 20");
    let other = moment(
        &format!("{MOMENT}\n* standing n1 1=active s1=1 r1=1@20:3:9\n* digest 1 20 d n1"),
        2,
    );
    finds(check, &other, "node 1 says that it holds 3 routes, and 2 at index 20");
}

/// A connection that was put into the lobby, and what is read at one index then.
fn lobby(sets: &str, reads: &str) -> String {
    run(USERS)
        .replace("* phase final", &format!("1 bind w a1.3 = 6 @15\n{sets}\n{reads}\n* phase final"))
}

#[test]
fn who_is_shown_and_missing_in_its_room_at_one_index_is_found() {
    let set = "7 rooms w a1.3 6 v1 lobby = @16";
    let (user, comet) = ("2 locate w = a1.3:6 @20", "2 routes a1 = u:4 w:6 @20");
    for shown in [user, comet] {
        for (read, words) in [
            (
                "3 members lobby = @20",
                r#"("w", 6) is shown, but not by lobby, in which it is at index 20"#,
            ),
            ("3 count lobby = 0 @20", "lobby counts 0 members, but 1 that are in it are shown"),
        ] {
            let text = |sets: &str, read: &str| lobby(sets, &format!("{shown}\n{read}"));
            finds(check, &text(set, read), words);
            // Nobody knows whether it had come in by then, or was still in.
            holds(check, &text(&set.replace("= @16", "?"), read));
            holds(check, &text(&set.replace("@16", "@21"), read));
            holds(check, &text(&format!("{set}\n8 rooms w a1.3 6 v2 other ?"), read));
            holds(check, &text(&format!("{set}\n8 rooms w a1.3 6 v2 other = @17"), read));
            // It was not shown at that index, or in that shard.
            holds(check, &text(set, &read.replace("@20", "@19")));
            holds(check, &text(set, &read.replace("@20", "@20 s2")));
            // Another change leaves it there.
            finds(check, &text(&format!("{set}\n8 rooms w a1.3 6 v2 other lobby ?"), read), words);
        }
    }
    let whole = "2 locate w = a1.3:6 @20\n3 members lobby = w:6 @20\n3 count lobby = 1 @20";
    holds(check, &lobby(set, whole));
}

#[test]
fn who_is_in_a_room_and_not_at_its_comet_is_found() {
    let set = "7 rooms w a1.3 6 v1 lobby = @16";
    let ghost = "2 routes a1 = u:4 @20\n3 members lobby = w:6 @20";
    finds(check, &lobby(set, ghost), "which its comet does not show at index 20");
    holds(check, &lobby(set, &ghost.replace("routes a1", "routes b1")));
    holds(check, &lobby(set, &ghost.replace("u:4 @20", "u:4 @21")));
}

#[test]
fn what_two_ways_show_differently_at_one_index_is_found() {
    // In whatever phase: nothing is written between two reads at one index.
    let early = |reads: &str| run(USERS).replace("* phase", &format!("{reads}\n* phase"));
    let hidden = "1 locate u = a1.1:4 @20\n2 routes a1 = @20";
    finds(check, &early(hidden), "by its user, but not by its comet at index 20 of shard 1");
    holds(check, &early(&hidden.replace("a1 = @20", "a1 = @21")));
    holds(check, &early(&hidden.replace("a1 = @20", "a1 = @20 s2")));
    let phantom = "1 locate u = @20\n2 routes a1 = u:4 @20";
    finds(check, &early(phantom), "by its comet, but not by its user at index 20");
    let torn = "1 routes a1 = u:4 @20\n2 routes a1 = @20";
    finds(check, &early(torn), "is shown with");
    let miscounted = "1 members r = u:4 @20\n2 count r = 2 @20";
    finds(check, &early(miscounted), "r counts 2 members and shows 1 at index 20");
    let ghost = "1 members r = u:4 @20\n2 locate u = a1.1:5 @20";
    finds(check, &early(ghost), "r shows u seq 4, whom u does not show");
}

#[test]
fn a_run_whose_routes_were_not_counted_in_all_ways_has_no_verdict() {
    let gates = Gates { shards: vec![1], compared: true, ..Gates::default() };
    let settings = Settings { gates, ..Settings::default() };
    let verdict = |text: &str| check(&History::new(&events(text)).unwrap(), &settings);
    assert_eq!(verdict(&moment(MOMENT, 2)), Verdict::Holds);
    for missing in ["1 living all = a1 b2", "1 routes b2 = w:7 @20"] {
        assert!(MOMENT.contains(missing));
        let text = moment(&MOMENT.replace(missing, ""), 2);
        assert!(
            matches!(verdict(&text), Verdict::Unknown(why) if why.contains("[1]")),
            "{missing}"
        );
    }
    assert!(matches!(verdict(&run(USERS)), Verdict::Unknown(_)));
}

#[test]
fn without_final_reads_there_is_no_verdict() {
    assert!(matches!(verdict(check, "1 count r = 1"), Verdict::Unknown(_)));
    assert!(matches!(verdict(check, "* phase final\n1 count r = 1"), Verdict::Unknown(_)));
}
