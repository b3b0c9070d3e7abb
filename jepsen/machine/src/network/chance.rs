//! Chance: the stream of random numbers of one directed link.

/// SplitMix64 (Steele, Lea and Flood, 2014), so that a seed means the same in every version of this crate.
#[derive(Clone, Debug)]
pub(crate) struct Chance {
    state: u64,
}

impl Chance {
    /// The stream of one purpose: another purpose with the same seed has another stream.
    pub(crate) fn new(seed: u64, purpose: &[&str]) -> Self {
        // FNV-1a over the words, each ended, so that no two lists of words are one text.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for word in purpose {
            for byte in word.bytes().chain([0xff]) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        let mut chance = Self { state: seed };
        chance.state = chance.number() ^ hash;
        chance
    }

    /// The next number.
    pub(crate) fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next fraction, from 0 to below 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        // 53 bits are what a float holds exactly.
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.fraction() < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_follows_from_seed_and_purpose_alone() {
        let draw = |seed, purpose: &[&str]| {
            let mut chance = Chance::new(seed, purpose);
            [chance.number(), chance.number(), chance.number()]
        };
        assert_eq!(draw(7, &["a", "b"]), draw(7, &["a", "b"]));
        assert_ne!(draw(7, &["a", "b"]), draw(8, &["a", "b"]));
        assert_ne!(draw(7, &["a", "b"]), draw(7, &["b", "a"]));
        assert_ne!(draw(7, &["ab"]), draw(7, &["a", "b"]));
    }

    #[test]
    fn it_happens_as_often_as_asked() {
        let mut chance = Chance::new(1, &[]);
        let seen = (0..100_000).filter(|_| chance.happens(0.2)).count();
        assert!((19_000..21_000).contains(&seen), "{seen}");
        assert!(!(0..1000).any(|_| chance.happens(0.0)));
        assert!((0..1000).all(|_| chance.happens(1.0)));
    }
}
