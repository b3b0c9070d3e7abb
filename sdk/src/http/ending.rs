//! Ending: how a device learns of the end of its session, and says its own.

use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::HttpWire;
use crate::limits::HTTP_GOODBYE_MAX;
use crate::wire::Incoming;

/// What a comet said of a session that is over, to a device that had something to say.
pub(super) struct Over {
    pub(super) code: Option<u16>,
    pub(super) reason: String,
    /// How long the device asks for the rest: the comet keeps it for a minute.
    pub(super) until: BoxFuture<'static, ()>,
}

impl HttpWire {
    /// Says goodbye.
    pub(crate) async fn close(&mut self) {
        if let Some(leaving) = self.leaving.take() {
            return leaving.await;
        }
        if self.over.is_some() {
            return;
        }
        let Some(session) = self.session.take() else { return };
        let target = format!("/sub/close?session={session}");
        // The session ends all the same, only later.
        let _ = self.say(target, String::new(), None).await;
    }

    /// Ends a session that may be there: its comet is told, for which it would be bound until it is silent for too long.
    pub(super) fn give_up(&mut self, reason: String) {
        if self.ended.is_none() {
            self.end(None, reason);
            if self.over.is_none()
                && let Some(session) = self.session.take()
            {
                let target = format!("/sub/close?session={session}");
                let said = timeout(HTTP_GOODBYE_MAX, self.say(target, String::new(), None));
                self.leaving = Some(said.map(drop).boxed());
            }
        }
    }

    pub(super) fn end(&mut self, code: Option<u16>, reason: String) {
        self.ended.get_or_insert((code, reason));
    }

    /// The end, where there is one and the goodbye is said.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        let Some((mut code, mut reason)) = self.ended.clone() else { return Poll::Ready(None) };
        if let Some(leaving) = &mut self.leaving {
            ready!(leaving.poll_unpin(cx));
            self.leaving = None;
        }
        // What ended without a code says less than the comet did to what was said.
        if let (None, Some(over)) = (code, &self.over) {
            (code, reason) = (over.code, over.reason.clone());
        }
        Poll::Ready(Some(Incoming::Closed { code, reason }))
    }

    /// Ends a session that is over where nothing that is heard does so for too long.
    pub(super) fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(over) = &mut self.over else { return Poll::Pending };
        ready!(over.until.poll_unpin(cx));
        let (code, reason) = (over.code, over.reason.clone());
        self.end(code, reason);
        Poll::Ready(())
    }
}
