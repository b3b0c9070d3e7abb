use orrery_judge::checker::sessions::check;

use crate::script::{finds, holds};

#[test]
fn indexes_that_rise_per_process_and_shard_hold() {
    holds(check, "1 locate u = @10\n2 locate u = @9\n1 locate v = @3 s2\n1 locate u = @10");
    holds(check, "1 locate u = @10\n1 locate~ u = @9");
}

#[test]
fn a_process_that_sees_the_past_is_found() {
    finds(check, "1 bind u a1.1 = 4 @10\n1 locate u = @9", "saw index 10");
}
