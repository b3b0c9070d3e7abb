use orrery_judge::checker::conservation::check;
use orrery_judge::verdict::Verdict;

use crate::script::{finds, holds, verdict};

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
    for count in [1, 2] {
        let unknown = run(&format!("{USERS}\n1 count r = {count}"));
        holds(
            check,
            &unknown.replace("1 bind v", "3 rooms u a1.1 4 v2 ?\n1 bind v").replace("= 1 s2", ""),
        );
    }
}

#[test]
fn without_final_reads_there_is_no_verdict() {
    assert!(matches!(verdict(check, "1 count r = 1"), Verdict::Unknown(_)));
    assert!(matches!(verdict(check, "* phase final\n1 count r = 1"), Verdict::Unknown(_)));
}
