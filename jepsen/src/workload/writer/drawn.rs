//! Drawn: what a new connection is like.

use orrery_model::{Keep, Policy, Scope};
use rand::Rng as _;
use rand::rngs::SmallRng;

use crate::plan::stream::stream;
use crate::workload::bed::Bed;

/// Of so many binds one asks for another policy than its user has.
const OTHER_POLICY_ONE_IN: u32 = 8;

/// Of so many connections one has a secondary address.
const SECOND_ONE_IN: u32 = 3;

/// Of so many secondary addresses one is that of another user's devices.
const STRANGE_KEY_ONE_IN: u32 = 4;

/// What a device may name itself.
const PLATFORMS: [&str; 3] = ["android", "ios", "web"];

/// Who may stay at an address.
const POLICIES: [Policy; 7] = [
    Policy { scope: Scope::All, keep: Keep::Newest },
    Policy::ONE_NEWEST,
    Policy { scope: Scope::PerAddress { n: 2 }, keep: Keep::Newest },
    Policy { scope: Scope::PerAddress { n: 1 }, keep: Keep::Oldest },
    Policy { scope: Scope::PerAddress { n: 3 }, keep: Keep::Oldest },
    Policy { scope: Scope::PerPlatform, keep: Keep::Newest },
    Policy { scope: Scope::PerPlatform, keep: Keep::Oldest },
];

/// The policy of a bind: mostly its user's, on which all writers agree.
pub(super) fn policy(seed: u64, chance: &mut SmallRng, user: &str) -> Policy {
    let other = chance.random_range(0..POLICIES.len());
    if chance.random_ratio(1, OTHER_POLICY_ONE_IN) {
        return POLICIES[other];
    }
    POLICIES[stream(seed, &format!("policy {user}")).random_range(0..POLICIES.len())]
}

/// A platform.
pub(super) fn platform(chance: &mut SmallRng) -> &'static str {
    PLATFORMS[chance.random_range(0..PLATFORMS.len())]
}

/// The secondary address of a connection of a user, if it is to have one.
pub(super) fn second(bed: &Bed, chance: &mut SmallRng, user: &str) -> Option<String> {
    if !chance.random_ratio(1, SECOND_ONE_IN) {
        return None;
    }
    let owner = match chance.random_ratio(1, STRANGE_KEY_ONE_IN) {
        true => bed.user(chance),
        false => user.to_owned(),
    };
    Some(Bed::key(chance, &owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_of_a_user_mostly_agree_and_users_do_not() {
        let mut chance = stream(1, "test");
        let mut of = |user: &str| {
            let drawn: Vec<Policy> = (0..100).map(|_| policy(1, &mut chance, user)).collect();
            let count = |policy: &Policy| drawn.iter().filter(|other| *other == policy).count();
            let most = POLICIES.iter().max_by_key(|policy| count(policy)).unwrap();
            assert!((75..100).contains(&count(most)), "{user}: {}", count(most));
            *most
        };
        let first = of("user-0");
        assert!((1..20).any(|user| of(&format!("user-{user}")) != first));
    }
}
