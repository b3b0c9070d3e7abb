//! A history that a test failed with.

use orrery_judge::history::Event;

/// Prints it, so that a failure shows it.
pub(crate) fn tell(events: &[Event]) {
    for event in events {
        println!("{}", serde_json::to_string(event).unwrap());
    }
}
