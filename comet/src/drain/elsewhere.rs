//! Elsewhere: where the devices of a comet that is drained are to go, and when.

use std::time::Duration;

use orrery_host::Random;

/// What devices that are sent away are told.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere {
    /// Over what time they are to come back elsewhere.
    pub(crate) spread: Duration,
    /// Other comets.
    pub(crate) nodes: Vec<String>,
}

/// The word for one device.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) retry_after_ms: u32,
    pub(crate) nodes: Vec<String>,
}

impl Elsewhere {
    /// Draws a word for one device: not all come at once, nor to the same.
    pub(crate) fn hint(&self, random: &dyn Random) -> Hint {
        let spread_ms = u64::try_from(self.spread.as_millis()).unwrap_or(u64::MAX - 1);
        let retry_after_ms = u32::try_from(random.below(spread_ms + 1)).unwrap_or(u32::MAX);
        let mut nodes = self.nodes.clone();
        // Each order is as likely as any other (Fisher and Yates): where all of them began at another place and went on
        // alike, whoever comes behind a comet that is full would get all of its share.
        for last in (1..nodes.len()).rev() {
            nodes.swap(last, random.below(last as u64 + 1) as usize);
        }
        Hint { retry_after_ms, nodes }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use orrery_host::system::SystemRandom;

    use super::*;

    #[test]
    fn each_device_has_a_pause_and_an_order_of_the_others_of_its_own() {
        let nodes = ["a", "b", "c"].map(String::from).into();
        let elsewhere = Elsewhere { spread: Duration::from_millis(100), nodes };
        let hints: Vec<Hint> = (0..1000).map(|_| elsewhere.hint(&SystemRandom)).collect();
        let pauses: BTreeSet<u32> = hints.iter().map(|hint| hint.retry_after_ms).collect();
        assert!(pauses.iter().all(|pause| *pause <= 100) && pauses.len() > 50, "{pauses:?}");
        let orders: BTreeSet<String> = hints.iter().map(|hint| hint.nodes.concat()).collect();
        assert_eq!(orders, ["abc", "acb", "bac", "bca", "cab", "cba"].map(String::from).into());
    }
}
