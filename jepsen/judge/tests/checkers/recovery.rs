use orrery_judge::checker::recovery::check;
use orrery_judge::verdict::Verdict;

use crate::script::{finds, holds, verdict};

#[test]
fn shards_that_serve_in_time_hold() {
    holds(
        check,
        "* heal\n+ 9000\n* serving 1\n* serving 2\n+ 9000\n* heal\n* serving 1\n* serving 2",
    );
}

#[test]
fn a_shard_that_serves_too_late_is_found() {
    finds(check, "* serving 2\n* heal\n* serving 1\n+ 10001\n* serving 2", "shards [2]");
}

#[test]
fn a_heal_without_quiet_is_not_judged() {
    let text = "* heal\n* serving 1\n* heal\n+ 10\n* fault kill installed\n+ 20000\n* serving 1";
    holds(check, text);
    let nothing = "* heal\n+ 10\n* fault kill installed\n+ 20000\n* serving 1";
    assert!(matches!(verdict(check, nothing), Verdict::Unknown(_)));
}
