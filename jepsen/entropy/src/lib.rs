//! Entropy: what the C library's `getrandom` and `clock_gettime` give in a process that runs a simulation.
//!
//! Hash maps and libraries draw randomness from the kernel by themselves. A program that links this crate
//! gets it from a seed once [`seed`] was called, so that the same seed gives the same run in every process;
//! before that, and in programs that never call it, from the kernel.

mod clock;

pub use clock::HeldClock;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static SEEDED: AtomicBool = AtomicBool::new(false);
static STATE: AtomicU64 = AtomicU64::new(0);

/// Makes this process's randomness follow a seed from now on. To be called first in `main`, before anything
/// can have drawn.
pub fn seed(seed: u64) {
    STATE.store(seed, Ordering::SeqCst);
    SEEDED.store(true, Ordering::SeqCst);
}

/// The next number of the stream: SplitMix64 (Steele, Lea and Flood, 2014).
fn next() -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut z = STATE.fetch_add(STEP, Ordering::SeqCst).wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The C library's function of this name, which this one takes the place of in the whole program.
///
/// # Safety
/// `buffer` must be valid for writes of `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, flags: u32) -> isize {
    if !SEEDED.load(Ordering::SeqCst) {
        // SAFETY: the caller's own promise, passed on to the kernel.
        let got = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
        return isize::try_from(got).unwrap_or(-1);
    }
    // SAFETY: the caller promises that so many bytes may be written there.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    for part in bytes.chunks_mut(8) {
        part.copy_from_slice(&next().to_le_bytes()[..part.len()]);
    }
    isize::try_from(length).unwrap_or(isize::MAX)
}
