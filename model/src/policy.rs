//! Session policy: how many connections an address may have, and who gives way.

/// Which of an address's connections compete with each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scope {
    /// None: every connection stays.
    #[default]
    All,
    /// All of them: at most `n` stay (1 = one per user).
    PerAddress {
        /// How many may stay; 0 is treated as 1.
        n: u32,
    },
    /// Those of the same platform: one stays on each.
    PerPlatform,
}

/// Who stays when there are too many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keep {
    /// The new connection wins; the oldest ones (lowest seq) lose.
    #[default]
    Newest,
    /// The connections that are already there win; the new one is refused.
    Oldest,
}

/// The policy carried inside each bind, so that it is decided in the log and never raced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// Which connections compete.
    pub scope: Scope,
    /// Who stays.
    pub keep: Keep,
}

impl Policy {
    /// One connection per address, the newest wins: goim's rule for keys.
    pub const ONE_NEWEST: Self = Self { scope: Scope::PerAddress { n: 1 }, keep: Keep::Newest };

    /// Whether a connection may be refused for those that came before it.
    pub fn keeps_oldest(self) -> bool {
        self.scope != Scope::All && self.keep == Keep::Oldest
    }
}
