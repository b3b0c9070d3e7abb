//! Hostile requests of backends over HTTP: no panic, whatever is said.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orrery_logic::fuzzing::{goim_query, json};

fuzz_target!(|data: &[u8]| {
    json(data);
    if let Ok(text) = std::str::from_utf8(data) {
        goim_query(text);
    }
});
