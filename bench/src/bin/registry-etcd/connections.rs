//! Connections: the ways of speaking to etcd's members.

use std::fmt;

use clap::ValueEnum;

/// Members that callers speak to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum To {
    /// Only the leader, so that no call is forwarded.
    Leader,
    /// All of them in turn.
    All,
}

/// A way of speaking to etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) to: To,
    /// HTTP/2 connections to each member that is spoken to.
    pub(crate) connections: usize,
}

impl Way {
    /// All ways that differ for so many callers, but for what is fixed.
    pub(crate) fn all(
        to: Option<To>,
        connections: Option<usize>,
        choices: &[usize],
        callers: usize,
    ) -> Vec<Self> {
        let tos = to.map_or_else(|| To::value_variants().to_vec(), |to| vec![to]);
        let connections = match connections {
            Some(fixed) => vec![fixed],
            // One more than callers would stay idle.
            None => choices.iter().copied().filter(|n| *n == 1 || *n <= callers).collect(),
        };
        let with = |to: To| connections.iter().map(move |&connections| Self { to, connections });
        tos.into_iter().flat_map(with).collect()
    }

    /// The members to connect to, one for each connection, in the order in which callers get them.
    pub(crate) fn members(self, members: usize, leader: usize) -> Vec<usize> {
        match self.to {
            To::Leader => vec![leader; self.connections],
            To::All => (0..members * self.connections).map(|nth| nth % members).collect(),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.connections == 1 { "" } else { "s" };
        let to = match self.to {
            To::Leader => "to the leader",
            To::All => "to each member",
        };
        write!(f, "{} connection{plural} {to}", self.connections)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_that_do_not_differ_are_tried_once() {
        let one_caller = Way::all(None, None, &[1, 4, 16], 1);
        assert_eq!(one_caller.len(), 2);
        assert!(one_caller.iter().all(|way| way.connections == 1));
        assert_eq!(Way::all(None, None, &[1, 4, 16], 1024).len(), 6);
        let fixed = Way::all(Some(To::All), Some(4), &[1, 16], 1);
        assert_eq!(fixed, [Way { to: To::All, connections: 4 }]);
    }

    #[test]
    fn connections_are_spread_evenly_over_the_members_spoken_to() {
        assert_eq!(Way { to: To::Leader, connections: 2 }.members(3, 1), [1, 1]);
        assert_eq!(Way { to: To::All, connections: 2 }.members(3, 1), [0, 1, 2, 0, 1, 2]);
    }
}
