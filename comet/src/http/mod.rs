//! HTTP: devices for which there is no WebSocket, by long-poll and SSE.
//!
//! A [session](session::PollSession) is an ordinary connection of a worker, admitted and bound like any other. Its
//! [stream](stream::SessionStream) leads to no socket: what is written to it becomes the session's events, which are
//! flushed when some response has taken them to the kernel; what is read from it is what the device has posted. So
//! outbox, limits, receipts and deadlines are those of every connection. The requests come over sockets of their own,
//! each [served](serve()) by the worker that accepted it, and find their session by its id.

mod body;
mod reply;
mod response;
mod serve;
mod session;
mod sessions;
mod socket;
mod stream;
mod visit;

pub(crate) use self::serve::serve;
pub(crate) use self::sessions::Sessions;
