//! Wish: how the devices of a comet are to go, as it was last wished, and who is told.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Elsewhere;

/// How the devices are to go.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// Devices per second.
    pub(crate) per_second: u32,
    /// By when all must have been sent away: then those who are left go at once.
    pub(crate) until: Option<Instant>,
    pub(crate) elsewhere: Arc<Elsewhere>,
    /// The comet is stopping: this cannot be taken back.
    pub(crate) last: bool,
}

/// What is wished of a comet's devices, and how far it is.
#[derive(Debug)]
pub(crate) struct Drain {
    pub(super) wish: watch::Sender<Option<Wish>>,
}

/// The comet is stopping: its drain cannot be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the comet is stopping")]
pub(crate) struct Stopping;

impl Drain {
    pub(crate) fn new() -> Self {
        Self { wish: watch::Sender::new(None) }
    }

    /// Whether no devices are taken.
    pub(crate) fn is_on(&self) -> bool {
        self.wish.borrow().is_some()
    }

    /// Begins to send devices elsewhere, or changes how. What was said of other comets before holds on where nothing
    /// is said now.
    ///
    /// # Errors
    /// [`Stopping`], where it was begun for good; the last one is never refused.
    pub(crate) fn begin(&self, mut wish: Wish) -> Result<(), Stopping> {
        let mut begun = Err(Stopping);
        self.wish.send_if_modified(|now| {
            if let Some(before) = now.as_ref() {
                if before.last {
                    return false;
                }
                if wish.elsewhere.nodes.is_empty() && !before.elsewhere.nodes.is_empty() {
                    wish.elsewhere = before.elsewhere.clone();
                }
            }
            *now = Some(wish);
            begun = Ok(());
            true
        });
        begun
    }

    /// Takes devices again.
    ///
    /// # Errors
    /// [`Stopping`].
    pub(crate) fn end(&self) -> Result<(), Stopping> {
        let mut ended = Ok(());
        self.wish.send_if_modified(|now| {
            if now.as_ref().is_some_and(|wish| wish.last) {
                ended = Err(Stopping);
                return false;
            }
            now.take().is_some()
        });
        ended
    }

    /// Tells of changes.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Wish>> {
        self.wish.subscribe()
    }

    /// Has those who are left go at once, where the comet stops.
    pub(crate) fn hurry(&self) {
        self.wish.send_if_modified(|now| match now {
            Some(wish) if wish.last => {
                wish.until = Some(Instant::now());
                true
            }
            Some(_) | None => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn wish(per_second: u32, nodes: &[&str], last: bool) -> Wish {
        let nodes = nodes.iter().map(|&node| node.to_owned()).collect();
        let elsewhere = Arc::new(Elsewhere { spread: Duration::from_millis(100), nodes });
        Wish { per_second, until: None, elsewhere, last }
    }

    #[test]
    fn the_last_wish_is_changed_by_nobody_and_only_that_one_is_hurried() {
        let drain = Drain::new();
        drain.begin(wish(1, &["a"], false)).unwrap();
        drain.hurry();
        assert_eq!(drain.wish.borrow().as_ref().unwrap().until, None);
        drain.end().unwrap();
        assert!(!drain.is_on());

        drain.begin(wish(1, &["a"], false)).unwrap();
        drain.begin(wish(2, &[], true)).unwrap();
        assert_eq!(drain.begin(wish(3, &[], false)), Err(Stopping));
        assert_eq!(drain.end(), Err(Stopping));
        drain.hurry();
        let now = drain.wish.borrow().clone().unwrap();
        assert_eq!((now.per_second, now.elsewhere.nodes[0].as_str()), (2, "a"));
        assert!(now.until.is_some());
    }
}
