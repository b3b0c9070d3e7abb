//! Descriptors: every connection is one, at the client and at its comet.

use anyhow::bail;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::edge::limits::DESCRIPTORS_BESIDE;

/// Asks for as many file descriptors as this process may have, for itself and those it starts, and says
/// whether so many connections fit.
///
/// # Errors
/// When they do not.
pub fn require(connections: usize) -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // What there is then is compared below.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    check(connections as u64, getrlimit(Resource::Nofile).current)
}

/// No limit is none.
fn check(connections: u64, limit: Option<u64>) -> anyhow::Result<()> {
    let Some(limit) = limit else { return Ok(()) };
    let needed = connections + DESCRIPTORS_BESIDE;
    if needed > limit {
        bail!(
            "{connections} connections need {needed} file descriptors, and a process may have {limit} \
             (ulimit -Hn): ask for {} at most, or spread them over several runs with --target-comet",
            limit.saturating_sub(DESCRIPTORS_BESIDE)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_connections_are_refused_with_what_would_fit() {
        assert!(check(19_700, Some(20_000)).is_ok());
        assert!(check(u64::MAX - DESCRIPTORS_BESIDE, None).is_ok());
        let words = check(20_000, Some(20_000)).unwrap_err().to_string();
        assert!(words.contains("20300") && words.contains("ask for 19700"), "{words}");
    }
}
