//! Panics: what any task of the simulation said when it panicked. A task's panic ends only that task, and nobody
//! who waits for it need notice.

use std::panic::{self, PanicHookInfo};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::recorder::Recorder;

/// Where the harness's own sources lie: a panic there says nothing about the system.
const HARNESS: &str = "jepsen/";

/// A panic.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Panic {
    /// Source file and line.
    at: String,
    words: String,
}

/// Panics since the last look.
#[derive(Debug, Clone, Default)]
pub(super) struct Panics(Arc<Mutex<Vec<Panic>>>);

impl Panics {
    /// Watches this process from now on. What was said of panics before is still said.
    pub(super) fn watch() -> Self {
        let (panics, before) = (Self::default(), panic::take_hook());
        let seen = panics.clone();
        panic::set_hook(Box::new(move |info| {
            seen.0.lock().push(Panic::of(info));
            before(info);
        }));
        panics
    }

    /// Writes them down.
    pub(super) fn tell(&self, recorder: &Recorder) {
        for panic in std::mem::take(&mut *self.0.lock()) {
            panic.tell(recorder);
        }
    }
}

impl Panic {
    fn of(info: &PanicHookInfo<'_>) -> Self {
        let payload = info.payload();
        let words = payload.downcast_ref::<&str>().map(|words| (*words).to_owned());
        let words = words.or_else(|| payload.downcast_ref::<String>().cloned());
        Self {
            at: info.location().map(ToString::to_string).unwrap_or_default(),
            words: words.unwrap_or_default(),
        }
    }

    fn tell(self, recorder: &Recorder) {
        let Self { at, words } = self;
        match at.starts_with(HARNESS) {
            true => recorder.harness_failure(format!("it panicked at {at}: {words}")),
            false => recorder.panicked(format!("{words} ({at})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use judge::history::Op;

    use super::*;

    #[test]
    fn a_panic_of_the_product_is_not_one_of_the_harness() {
        let recorder = Recorder::begin();
        for at in ["router/src/lib.rs:7:1", "jepsen/src/lib.rs:7:1"] {
            Panic { at: at.to_owned(), words: "index 9".to_owned() }.tell(&recorder);
        }
        let told: Vec<&str> = recorder.events().iter().map(|event| event.op.name()).collect();
        assert_eq!(told, ["panicked", "harness-failure"]);
        let Op::Panicked(panicked) = &recorder.events()[0].op else { panic!("it is the first") };
        assert_eq!(panicked.text, "index 9 (router/src/lib.rs:7:1)");
    }
}
