//! Clock: what the C library's `clock_gettime` says in a process that runs a simulation.
//!
//! Libraries look at the process's own clocks by themselves: HTTP/2 forgets a stream a second after it was
//! reset. In a simulation that must be a second of its own time, or runs differ by how busy the machine is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

static HELD: AtomicBool = AtomicBool::new(false);
static NANOS: AtomicU64 = AtomicU64::new(0);

/// What the clocks show when the simulation begins, in seconds: so much that nothing which looks back gets
/// below zero. Of the wall clock: some day in 2001.
const BEGIN_S: u64 = 1_000_000_000;

const NANOS_PER_S: u64 = 1_000_000_000;

/// This process's clocks while they are held. The drop lets them be the machine's again.
#[derive(Debug)]
pub struct HeldClock(());

impl HeldClock {
    /// Lets the monotonic and the wall clock stand still at their beginning.
    pub fn begin() -> Self {
        hold(Duration::ZERO);
        Self(())
    }

    /// Lets them stand still at so much after the beginning.
    pub fn set(&self, since_begin: Duration) {
        hold(since_begin);
    }
}

impl Drop for HeldClock {
    fn drop(&mut self) {
        HELD.store(false, Ordering::SeqCst);
    }
}

fn hold(since_begin: Duration) {
    let nanos = u64::try_from(since_begin.as_nanos()).unwrap_or(u64::MAX);
    NANOS.store(nanos, Ordering::SeqCst);
    HELD.store(true, Ordering::SeqCst);
}

/// The C library's function of this name, which this one takes the place of in the whole program.
///
/// # Safety
/// `time` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(
    clock: libc::clockid_t,
    time: *mut libc::timespec,
) -> libc::c_int {
    let is_held = HELD.load(Ordering::SeqCst)
        && matches!(clock, libc::CLOCK_MONOTONIC | libc::CLOCK_REALTIME | libc::CLOCK_BOOTTIME);
    if !is_held {
        // SAFETY: the caller's own promise, passed on to the kernel.
        let done = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
        return libc::c_int::try_from(done).unwrap_or(-1);
    }
    let nanos = NANOS.load(Ordering::SeqCst);
    let seconds = BEGIN_S + nanos / NANOS_PER_S;
    // SAFETY: the caller promises that it may be written.
    let time = unsafe { &mut *time };
    time.tv_sec = libc::time_t::try_from(seconds).unwrap_or(libc::time_t::MAX);
    time.tv_nsec = libc::c_long::try_from(nanos % NANOS_PER_S).unwrap_or(0);
    0
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "these are what is held")]
mod tests {
    use std::time::{Instant, SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn held_clocks_move_only_when_they_are_set() {
        let clock = HeldClock::begin();
        clock.set(Duration::from_millis(1_500));
        let (then, wall) = (Instant::now(), SystemTime::now());
        assert_eq!(then.elapsed(), Duration::ZERO);
        let since = wall.duration_since(UNIX_EPOCH).unwrap();
        assert_eq!(since, Duration::from_secs(BEGIN_S) + Duration::from_millis(1_500));
        clock.set(Duration::from_secs(4));
        assert_eq!(then.elapsed(), Duration::from_millis(2_500));
        drop(clock);
        assert!(SystemTime::now().duration_since(UNIX_EPOCH).unwrap() > since);
    }
}
