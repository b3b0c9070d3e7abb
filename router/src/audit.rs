//! Audit: who had the cluster changed, and from where. A line says what is asked before it is done, another
//! one what came of it; the second is written even where whoever asked has gone.

use std::fmt::Display;
use std::net::SocketAddr;

use crate::limits::AUDIT_TEXT_BYTES_MAX;

/// Who asks for a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asker {
    /// By their own word.
    pub(crate) by: String,
    /// Where the connection comes from.
    pub(crate) peer: Option<SocketAddr>,
}

/// A change that was asked for. Dropped without an outcome it says that nobody knows it.
#[must_use = "dropping it says that the outcome is unknown"]
pub(crate) struct Asked {
    by: String,
    peer: String,
    change: String,
    told: bool,
}

impl Asked {
    /// Says that a change is asked for. To be called before anything is done.
    pub(crate) fn begin(asker: Asker, change: String) -> Self {
        let Asker { by, peer } = asker;
        let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
        let (by, change) = (cut(by), cut(change));
        tracing::info!(target: "audit", by, peer, change, "change asked");
        Self { by, peer, change, told: false }
    }

    /// It was made, where it is written at this index of the control shard's log.
    pub(crate) fn done(mut self, log_index: Option<u64>) {
        self.told = true;
        let Self { by, peer, change, .. } = &self;
        tracing::info!(target: "audit", by, peer, change, log_index, "change done");
    }

    /// It was certainly not made.
    pub(crate) fn refused(mut self, why: &impl Display) {
        self.told = true;
        let Self { by, peer, change, .. } = &self;
        tracing::info!(target: "audit", by, peer, change, %why, "change refused");
    }

    /// It may have been made, or may still be.
    pub(crate) fn unknown(mut self, why: &impl Display) {
        self.tell_unknown(why);
    }

    fn tell_unknown(&mut self, why: &impl Display) {
        self.told = true;
        let Self { by, peer, change, .. } = &*self;
        tracing::info!(target: "audit", by, peer, change, %why, "change unknown");
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.told {
            self.tell_unknown(&"nobody waited for the outcome");
        }
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(AUDIT_TEXT_BYTES_MAX));
    text
}
