use orrery_judge::checker::membership::check;
use orrery_judge::checker::validity;
use orrery_judge::history::History;
use orrery_judge::settings::{Gates, Settings};
use orrery_judge::verdict::Verdict;

use crate::script::{events, finds, holds, verdict};

/// Node 1 was removed; 2, 3 and 4 hold shard 1, 5 only follows the control shard.
const CLUSTER: &str = "1=removed 2=active 3=active 4=active 5=active s0=2,3,4 s1=2,3,4";

fn standing(node: u64) -> String {
    match node {
        5 => format!("* standing n5 {CLUSTER} r0=2,3,4+5@9"),
        node => format!("* standing n{node} {CLUSTER} r0=2,3,4+5@9 r1=2,3,4@20"),
    }
}

fn good() -> String {
    let all: Vec<_> = (2..=5).map(standing).collect();
    format!("* phase final\n{}", all.join("\n"))
}

#[test]
fn a_cluster_that_agrees_holds() {
    holds(check, &good());
    // What was said before the final phase is of no interest.
    holds(check, &format!("* standing n2 2=leaving r7=2@1\n{}", good()));
    // Nor what was corrected later.
    let changing = standing(2).replace("r1=2,3,4@20", "r1=1,2,3*@20");
    holds(check, &good().replace("* phase final", &format!("* phase final\n{changing}")));
    holds(check, &format!("{}\n* standing n1 {CLUSTER}", good()));
}

#[test]
fn a_node_that_is_still_leaving_is_found() {
    finds(check, &good().replace("5=active", "5=leaving"), "node 5 is still leaving");
}

#[test]
fn a_node_that_is_still_drained_is_found_unless_the_cluster_was_not_told() {
    let drained = good().replace("5=active", "5=draining");
    finds(check, &drained, "node 5 is still drained");
    holds(check, &format!("{drained}\n* drained n5"));
    finds(check, &format!("{drained}\n* drained n4"), "node 5 is still drained");
    // What is said of it before the final phase is of another time.
    finds(check, &format!("* drained n5\n{drained}"), "node 5 is still drained");
}

#[test]
fn a_node_that_does_not_answer_is_found() {
    finds(check, &good().replace(&standing(3), ""), "node 3 of the cluster does not answer");
}

#[test]
fn nodes_that_know_different_clusters_are_found() {
    let other = standing(3).replace("s1=2,3,4", "s1=2,3,5");
    finds(check, &good().replace(&standing(3), &other), "node 3 knows other");
}

#[test]
fn a_zombie_is_found() {
    let removed = format!("{}\n* standing n1 {CLUSTER} r1=1,2,3@4", good());
    finds(check, &removed, "node 1 was removed, and holds [1]");
    holds(check, &format!("{}\n* standing n1 r0=@0", good()));
    // It may hear of its removal late, and end.
    let again = good().replace("* phase final\n", "");
    holds(check, &format!("{removed}\n+ 500\n{again}"));
    finds(
        check,
        &format!("{removed}\n+ 500\n{again}\n* standing n1 r1=1,2,3@4"),
        "node 1 was removed",
    );
    let outside = good().replace("+5@9", "+5@9 r1=2,3,4+5@20");
    finds(check, &outside, "node 5 holds a replica of shard 1, as it should not");
}

#[test]
fn a_replica_that_is_missing_is_found() {
    let without = standing(4).replace(" r1=2,3,4@20", "");
    finds(check, &good().replace(&standing(4), &without), "node 4 has no replica of shard 1");
}

#[test]
fn members_that_are_not_as_placed_are_found() {
    for members in ["1,2,3", "2,3,4,5", "2,3", "2,3,4+5", "2,3,4*"] {
        let other = standing(4).replace("r1=2,3,4@", &format!("r1={members}@"));
        finds(check, &good().replace(&standing(4), &other), "vote in shard 1");
    }
    let control = standing(4).replace("r0=2,3,4+5@9", "r0=2,3,4@9");
    finds(check, &good().replace(&standing(4), &control), "vote in shard 0");
}

#[test]
fn a_replica_that_is_stuck_is_found() {
    let behind = standing(4).replace("@20", "@19");
    let stuck = good().replace(&standing(4), &behind);
    finds(check, &stuck, "node 4 is stuck at index 19 of shard 1, which was at 20");
    holds(check, &format!("{stuck}\n{}", standing(4)));
}

#[test]
fn nobody_who_says_anything_is_unknown() {
    assert!(matches!(verdict(check, "* phase final"), Verdict::Unknown(_)));
}

#[test]
fn a_run_whose_replicas_were_not_all_compared_does_not_count() {
    let gates = Gates { writes_before: 0, tail: 0, compared: true, ..Gates::default() };
    let settings = Settings { gates, ..Settings::default() };
    let judged = |text: &str| validity::check(&History::new(&events(text)).unwrap(), &settings);
    let control = "* digest 0 9 aa n2\n* digest 0 9 aa n3\n* digest 0 9 aa n4\n* digest 0 9 aa n5";
    let data = "* digest 1 20 bb n2\n* digest 1 20 bb n3\n* digest 1 20 bb n4";
    assert_eq!(judged(&format!("{}\n{control}\n{data}", good())), Verdict::Holds);
    for (one, other) in [("1 20 bb n4", "1 21 bb n4"), ("0 9 aa n5", "0 9 aa n4")] {
        let data = format!("{}\n{control}\n{data}", good()).replace(one, other);
        let Verdict::Unknown(why) = judged(&data) else { panic!("{one}") };
        assert!(why.contains(&format!("of shard {} were not", &one[..1])), "{why}");
    }
    // Before the final phase does not count.
    assert!(matches!(judged(&format!("{control}\n{data}\n{}", good())), Verdict::Unknown(_)));
}

#[test]
fn a_replica_without_what_was_acknowledged_is_found() {
    let answered = |index: u32| format!("1 bind u a1.1 = 4 @{index}\n{}", good());
    holds(check, &answered(20));
    let words = "node 2 is stuck at index 20 of shard 1, which was at 21 already";
    finds(check, &answered(21), words);
    holds(check, &answered(21).replace("@21", "@21 s2"));
}

/// Looks in which each node says `applied<committed<last` of its replica of shard 1; then all is well.
fn looks(looks: &[[&str; 3]]) -> String {
    let mut text = String::new();
    for (at, look) in looks.iter().enumerate() {
        for (node, said) in (2..).zip(look).filter(|(_, said)| !said.is_empty()) {
            text += &format!("* standing n{node} {CLUSTER} r1={said}\n");
        }
        text += if at + 1 < looks.len() { "+ 500\n" } else { "" };
    }
    format!("{text}{}", good())
}

#[test]
fn what_is_committed_is_on_a_majority() {
    let leader = "2,3,4@9<10<12";
    // At one look the others may have been asked before.
    holds(check, &looks(&[[leader, "2,3,4@8<8<8", "2,3,4@8<8<8"]]));
    holds(check, &looks(&[[leader, "", ""], ["", "2,3,4@8<8<8", "2,3,4@9<9<10"]]));
    holds(check, &looks(&[[leader, "", ""], ["", "2,3,4@8<8<8", ""]]));
    let words = "index 10 of shard 1 was committed, but of its voters {2, 3, 4} the logs of [3, 4] end before";
    finds(check, &looks(&[[leader, "", ""], ["", "2,3,4@8<8<8", "2,3,4@9<9<9"]]), words);
    // It must stay there.
    finds(
        check,
        &looks(&[[leader; 3], [leader; 3], [leader, "2,3,4@8<8<9", "2,3,4@8<8<9"]]),
        words,
    );
}

#[test]
fn a_majority_of_others_or_on_new_disks_is_none_of_those_who_lack_it() {
    let leader = "2,3,4@9<10<12";
    let others = ["", "3,4,5@8<8<8", "3,4,5@8<8<8"];
    holds(check, &looks(&[[leader, "", ""], others]));
    holds(check, &looks(&[[leader, "", ""], ["", "2,3,4*@8<8<8", "2,3,4@8<8<8"]]));
    // One that follows without a vote counts for nothing, one that lost its disk for anything.
    holds(check, &looks(&[["2,3+4@9<10<12", "", ""], ["", "2,3+4@9<9<10", "2,3+4@8<8<8"]]));
    holds(check, &looks(&[[leader, "", ""], ["", "@0<0<0", "2,3,4@8<8<8"]]));
}

#[test]
fn words_that_say_of_which_look_they_are_belong_together_however_late_they_are_written_down() {
    let leader = format!("* standing n2 {CLUSTER} r1=2,3,4@9<10<12");
    let others = [3, 4].map(|node| format!("* standing n{node} {CLUSTER} r1=2,3,4@8<8<8"));
    let told = |looks: [&str; 2]| {
        let [first, second] = looks;
        let others = others.clone().map(|other| format!("{other}{second}")).join("\n");
        format!("{leader}{first}\n+ 150\n{others}\n+ 500\n{}", good())
    };
    holds(check, &told([" look=7", " look=7"]));
    finds(check, &told([" look=7", " look=8"]), "index 10 of shard 1 was committed");
    finds(check, &told(["", ""]), "index 10 of shard 1 was committed");
    // However soon.
    finds(check, &told([" look=7", " look=8"]).replace("+ 150", ""), "index 10 of shard 1");
}

/// The cluster at a look in which node 2 is drained and leads shard 1, with what the others say of that shard.
fn drained_look(others: &str) -> String {
    let cluster = CLUSTER.replace("2=active", "2=draining");
    let of = |node, replica: &str| format!("* standing n{node} {cluster} r0=2,3,4+5@9 {replica}\n");
    of(2, "r1=2,3,4@9<10<12 l1=7") + &of(3, others) + &of(4, others) + &of(5, "")
}

#[test]
fn a_drained_node_that_goes_on_leading_is_found() {
    let look = drained_look("r1=2,3,4@9<10<11");
    let long = |look: &str, between: &str| {
        format!(
            "* phase main\n{look}+ 6000\n{between}\n{look}+ 6000\n{look}* phase heal\n{}",
            good()
        )
    };
    finds(check, &long(&look, ""), "node 2 is drained and led shard 1 for 12");
    finds(check, &long(&look, "* fault clock installed"), "node 2 is drained");
    // It had not the time, or another term.
    holds(check, &long(&look, "").replace("+ 6000", "+ 4000"));
    holds(check, &long(&look, "").replacen("l1=7", "l1=6", 1));
    // Something else was going on.
    for fault in ["pause installed", "pause indeterminate", "kill announced", "admin installed"] {
        holds(check, &long(&look, &format!("* fault {fault}")));
    }
    holds(check, &long(&look, "* heal"));
    let broken = "* fault pause installed\n* phase main";
    holds(check, &long(&look, "").replacen("* phase main", &format!("* phase main\n{broken}"), 1));
    holds(check, &long(&look, "").replacen("* phase main", "* phase heal", 1));
    // It led nothing for a while, or was not drained.
    holds(check, &long(&look, "").replacen(" l1=7", "", 1));
    holds(check, &long(&look, "").replacen("2=draining", "2=active", 4));
}

#[test]
fn a_drained_node_may_lead_what_no_other_can() {
    let long =
        |look: String| format!("* phase main\n{look}+ 12000\n{look}* phase heal\n{}", good());
    let look = drained_look("r1=2,3,4@9<10<11");
    finds(check, &long(look.clone()), "node 2 is drained");
    holds(check, &long(look.replace("3=active 4=active", "3=draining 4=draining")));
    finds(check, &long(look.replace("3=active", "3=draining")), "node 2 is drained");
    // The others are behind, or do not answer, or the members are just changing.
    let ahead = "r1=2,3,4@200<200<200";
    let behind = look.replace("3=active", "3=draining").replace("r1=2,3,4@9<10<12", ahead);
    holds(check, &long(behind.replacen("r1=2,3,4@9<10<11", ahead, 1)));
    holds(check, &long(look.replace("r1=2,3,4@9<10<11", "")));
    holds(check, &long(look.lines().take(1).map(|line| format!("{line}\n")).collect()));
    holds(check, &long(look.replace("r1=2,3,4@9<10<12", "r1=2,3,4*@9<10<12")));
    holds(check, &long(look.replace("r1=2,3,4@9<10<12", "r1=2,3,4+5@9<10<12")));
}
