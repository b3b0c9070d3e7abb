//! Shrink: the smallest beginning of a history that still fails.

use crate::history::{Event, History};
use crate::limits::SHRINK_LINEAR_MAX;

/// How many events, from the beginning, are enough for `fails` to say so; none where it does not fail on
/// the whole history, or the history does not pair.
///
/// Operations still open where the prefix ends count as unknown. Most properties, once broken, stay
/// broken, so the length is found by bisection; a history of up to [`SHRINK_LINEAR_MAX`] events is then
/// searched from its beginning, for properties that heal as the history goes on.
pub fn smallest_failing_prefix(
    events: &[Event],
    fails: impl Fn(&History<'_>) -> bool,
) -> Option<usize> {
    let fails =
        |length: usize| History::new(&events[..length]).is_ok_and(|history| fails(&history));
    if !fails(events.len()) {
        return None;
    }
    let (mut passes, mut shortest) = (0, events.len());
    while passes < shortest {
        let middle = passes + (shortest - passes) / 2;
        if fails(middle) {
            shortest = middle;
        } else {
            passes = middle + 1;
        }
    }
    if events.len() <= SHRINK_LINEAR_MAX {
        shortest = (0..shortest).find(|length| fails(*length)).unwrap_or(shortest);
    }
    Some(shortest)
}
