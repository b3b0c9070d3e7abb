//! Seeded bugs: places where the product may be broken on purpose, so that the harness proves that it would
//! find out.
//!
//! The product asks [`is`] at the place where a bug would be. Without the feature `on` the answer is a constant
//! and nothing of it is left in the program; with it one bug may be turned on for the process. A build for
//! users cannot have the feature: it does not compile without debug assertions.

mod bug;
#[cfg(feature = "on")]
mod switch;

pub use bug::Bug;
#[cfg(feature = "on")]
pub use switch::{VARIABLE, chance, is, on, turn_on};

#[cfg(all(feature = "on", not(debug_assertions)))]
compile_error!("seeded bugs must never get into a release: build with `--profile seeded`");

/// Whether the product is to have this bug.
#[cfg(not(feature = "on"))]
#[inline(always)]
pub const fn is(_bug: Bug) -> bool {
    false
}

/// A number of which no two replicas agree; always the same where no bug can be turned on.
#[cfg(not(feature = "on"))]
#[inline(always)]
pub const fn chance() -> u64 {
    0
}

#[cfg(all(test, not(feature = "on")))]
mod tests {
    use super::*;

    #[test]
    fn no_bug_is_on_without_the_feature() {
        // Known to the compiler, which leaves nothing of it.
        const { assert!(!is(Bug::AckBeforeSync)) };
        assert!(Bug::ALL.iter().all(|bug| !is(*bug)));
    }
}
