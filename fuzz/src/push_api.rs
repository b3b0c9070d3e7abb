//! Hostile requests of backends over HTTP: no panic, whatever is said.

use orrery_logic::fuzzing::{goim_query, json};

/// Holds for any bytes, or panics.
pub fn check(data: &[u8]) {
    json(data);
    if let Ok(text) = std::str::from_utf8(data) {
        goim_query(text);
    }
}
