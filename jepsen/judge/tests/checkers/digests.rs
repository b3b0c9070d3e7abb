use orrery_judge::checker::digests::check;

use crate::script::{finds, holds};

#[test]
fn replicas_at_other_indexes_may_differ() {
    holds(
        check,
        "* digest 1 10 aa n1
         * digest 1 10 aa n2
         * digest 1 11 bb n2
         * digest 2 10 cc n1",
    );
}

#[test]
fn replicas_that_differ_at_one_index_are_found() {
    finds(check, "* digest 1 10 aa n1\n* digest 1 10 ab n2", "node 1 has digest aa, node 2 has ab");
}
