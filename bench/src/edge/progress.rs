//! Progress: tells whoever watches how far it is, about once a second.

use std::io::{IsTerminal as _, Write as _};
use std::pin::pin;

use tokio::time::{MissedTickBehavior, interval_at};

use super::limits::PROGRESS;

/// Says what begins.
pub fn say(what: &str) {
    // Nobody has to be able to read it.
    let _ = writeln!(std::io::stderr(), "bench: {what}");
}

/// Does work, and says how far it is until it is done. On a terminal each word takes the last one's place.
pub async fn during<T>(so_far: impl Fn() -> String, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut ticks = interval_at(tokio::time::Instant::now() + PROGRESS, PROGRESS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (before, after) = match std::io::stderr().is_terminal() {
        true => ("\r\x1b[K", ""),
        false => ("", "\n"),
    };
    loop {
        tokio::select! {
            biased;
            // Measuring goes first: progress may be late.
            done = &mut work => {
                let _ = write!(std::io::stderr(), "{before}");
                return done;
            }
            _ = ticks.tick() => {
                let _ = write!(std::io::stderr(), "{before}bench: {}{after}", so_far());
            }
        }
    }
}
