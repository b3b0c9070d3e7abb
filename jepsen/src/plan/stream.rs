//! Streams: independent sources of chance by purpose, all from one seed, so that what one part draws
//! never shifts what another does.

use std::hash::Hasher as _;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use twox_hash::XxHash64;

/// The number that begins the stream of a purpose.
pub fn seed_of(seed: u64, purpose: &str) -> u64 {
    let mut hasher = XxHash64::with_seed(seed);
    hasher.write(purpose.as_bytes());
    hasher.finish()
}

/// The stream of a purpose.
pub fn stream(seed: u64, purpose: &str) -> SmallRng {
    SmallRng::seed_from_u64(seed_of(seed, purpose))
}
