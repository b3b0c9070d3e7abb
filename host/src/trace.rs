//! Trace: the id by which spans of several processes are found to belong together, written as W3C Trace
//! Context has it (<https://www.w3.org/TR/trace-context/#traceparent-header>). It goes along with the task
//! that works for it, and in requests from one process to the next.

use std::fmt;
use std::future::Future;

use tokio::task::futures::TaskLocalFuture;
use tokio::task_local;
use tracing::{Span, field};

use crate::random::Random;

/// The header, or metadata key, under which a trace is handed over.
pub const TRACEPARENT: &str = "traceparent";

/// The only version whose form is known; a later one begins alike.
const VERSION: &str = "00";
/// Of version 0: version, id, parent and flags in hex, and three dashes.
const LENGTH: usize = 55;

task_local! {
    static TRACE: Option<Trace>;
}

/// Which trace some work belongs to, and below which of its spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    id: [u8; 16],
    parent: [u8; 8],
    flags: u8,
}

impl Trace {
    /// The trace that a span belongs to, which it tells in its field `trace`: the one of its cause, else a
    /// new one. Nothing, at no cost, where nobody follows the span.
    pub fn of(span: &Span, cause: Option<Self>, random: &dyn Random) -> Option<Self> {
        if span.is_disabled() {
            return None;
        }
        let mut trace = cause.unwrap_or_else(|| {
            let mut id = [0; 16];
            random.fill(&mut id);
            Self { id, parent: [0; 8], flags: 0 }
        });
        // What is asked for on its behalf lies below this very span.
        random.fill(&mut trace.parent);
        span.record("trace", field::display(trace.id()));
        Some(trace)
    }

    /// Reads a `traceparent`; nothing where it is none, which is to be treated like none at all.
    pub fn parse(text: &str) -> Option<Self> {
        let (version, rest) = text.split_at_checked(VERSION.len())?;
        let [version] = bytes(version)?;
        let whole = match version {
            0 => text.len() == LENGTH,
            0xff => false,
            _ => text.len() == LENGTH || text.as_bytes().get(LENGTH) == Some(&b'-'),
        };
        let mut fields = rest.strip_prefix('-')?.splitn(4, '-');
        let (id, parent) = (bytes(fields.next()?)?, bytes(fields.next()?)?);
        let [flags] = bytes(fields.next()?)?;
        (whole && id != [0; 16] && parent != [0; 8]).then_some(Self { id, parent, flags })
    }

    /// What all of its spans have in common, as 32 digits.
    pub fn id(&self) -> impl fmt::Display + use<> {
        Hex(self.id)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, parent, flags } = *self;
        write!(f, "{VERSION}-{}-{}-{}", Hex(id), Hex(parent), Hex([flags]))
    }
}

struct Hex<const N: usize>([u8; N]);

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Reads exactly so many bytes in lower-case hex.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// The trace for which the current task works just now.
pub fn current() -> Option<Trace> {
    TRACE.try_with(|trace| *trace).ok().flatten()
}

/// Does work for a trace, or for none.
pub fn within<F: Future>(trace: Option<Trace>, work: F) -> TaskLocalFuture<Option<Trace>, F> {
    TRACE.scope(trace, work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::SystemRandom;

    const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_written_alike() {
        let trace = Trace::parse(TEXT).unwrap();
        assert_eq!(trace.to_string(), TEXT);
        assert_eq!(trace.id().to_string(), &TEXT[3..35]);
        let later = format!("01{}-and more", &TEXT[2..]);
        assert_eq!(Trace::parse(&later), Some(trace));
    }

    #[test]
    fn nonsense_is_no_trace() {
        let no_id = format!("00-{:032}{}", 0, &TEXT[35..]);
        let no_parent = format!("{}-{:016}-01", &TEXT[..35], 0);
        let (long, forbidden) = (format!("{TEXT}-more"), format!("ff{}", &TEXT[2..]));
        let (upper, fat) = (TEXT.to_uppercase(), format!("01{}x", &TEXT[2..]));
        let (short, wide) = (&TEXT[..54], TEXT.replace('4', "é"));
        for text in
            ["", "00", "0é", short, &wide, &no_id, &no_parent, &long, &forbidden, &upper, &fat]
        {
            assert_eq!(Trace::parse(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn a_trace_is_current_in_the_work_that_is_done_for_it() {
        let trace = Trace::parse(TEXT);
        let inner = async {
            tokio::task::yield_now().await;
            current()
        };
        assert_eq!(within(trace, inner).await, trace);
        assert_eq!(within(trace, within(None, async { current() })).await, None);
        assert_eq!(current(), None);
    }

    #[test]
    fn a_span_that_nobody_follows_has_none() {
        assert_eq!(Trace::of(&Span::none(), Trace::parse(TEXT), &SystemRandom), None);
    }
}
