//! Policy: who gives way when a connection is bound where others are.
//!
//! *Rank.* A comet that was fenced binds its living connections again, and a connection so bound is as
//! old as its first bind was: its rank is the seq that its *primary* address gave it then, and stays the
//! same however often its comet is fenced. All its binds carry it, those of secondary addresses too, for
//! only the primary's seqs say in which order one user's connections came. (Where the primary's policy
//! keeps the oldest, comets name none on secondary addresses: who came first is not what counts there.)
//!
//! - On a primary address the rank is a seq of that very address, so it is compared with the seqs of
//!   those who are there.
//! - On a secondary address the rank stands in for the primary's seq when connections of one user are
//!   compared. It says nothing about connections of other users, whose order is that of arrival: among
//!   them a ranked connection counts as older than all that have no rank, since whoever was bound while
//!   its comet was fenced came later.

use orrery_model::command::Refusal;
use orrery_model::{Details, Keep, Policy, Scope, Seq};
use seeded_bugs::Bug;

use super::route_texts::{AddressRef, RouteKey};
use super::stored_route::StoredRoute;

/// A connection as a policy sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rival<'a> {
    /// Its seq; the newcomer's is the one it would get, above all others.
    seq: Seq,
    rank: Option<Seq>,
    platform: &'a str,
    primary: Option<RouteKey<'a>>,
}

impl<'a> Rival<'a> {
    /// The connection that a bind with this rank would make.
    pub(super) fn newcomer(seq: Seq, rank: Option<Seq>, details: &'a Details) -> Self {
        let primary = details.primary.as_ref();
        let primary = primary.map(|p| RouteKey { address: (&p.address).into(), seq: p.seq });
        Self { seq, rank, platform: &details.platform, primary }
    }

    /// When it came, compared with all others of the address. Where the seqs or ranks are equal, which
    /// correct comets never make them, the present seqs decide.
    fn arrival(&self) -> impl Ord {
        match (self.rank, self.primary) {
            (Some(_), Some(_)) => (false, self.seq, self.seq),
            (Some(rank), None) => (true, rank, self.seq),
            (None, _) => (true, self.seq, self.seq),
        }
    }

    /// On a secondary address, its user.
    fn user(&self) -> Option<AddressRef<'a>> {
        self.primary.map(|primary| primary.address)
    }

    /// When it came, compared with other connections of its user.
    fn login(&self) -> impl Ord {
        (self.rank.or(self.primary.map(|primary| primary.seq)), self.seq)
    }
}

impl<'a> From<&'a StoredRoute> for Rival<'a> {
    fn from(route: &'a StoredRoute) -> Self {
        let (platform, primary) = (route.platform(), route.primary());
        Self { seq: route.seq, rank: route.rank(), platform, primary }
    }
}

/// Decides which of `present` give way to the newcomer: their seqs in ascending order.
///
/// While there are too many, the side that must give way is the oldest connection (newest wins) or the
/// newest one (oldest wins), which is the newcomer unless it has a rank. On a secondary address a side
/// is a whole user: of its connections here the one that logged in first goes, so that which of them
/// stays never depends on the order in which their binds arrive.
///
/// # Errors
/// [`Refusal::Outranked`] when the newcomer itself has to give way.
pub(super) fn decide(
    policy: Policy,
    present: &[Rival<'_>],
    newcomer: &Rival<'_>,
) -> Result<Vec<Seq>, Refusal> {
    if seeded_bugs::is(Bug::PolicyIgnored) {
        return Ok(Vec::new());
    }
    let (places, by_platform) = match policy.scope {
        Scope::All => return Ok(Vec::new()),
        Scope::PerAddress { n } => (n.max(1) as usize, false),
        Scope::PerPlatform => (1, true),
    };
    let competes = |rival: &&Rival<'_>| !by_platform || rival.platform == newcomer.platform;
    let mut staying: Vec<_> = present.iter().filter(competes).chain([newcomer]).collect();
    let mut losers = Vec::new();
    while staying.len() > places {
        let place = gives_way(policy.keep, &staying);
        let loser = staying.remove(place).seq;
        if loser == newcomer.seq {
            return Err(Refusal::Outranked);
        }
        losers.push(loser);
    }
    losers.sort_unstable();
    Ok(losers)
}

/// The place of the connection that goes first.
fn gives_way(keep: Keep, staying: &[&Rival<'_>]) -> usize {
    let places = 0..staying.len();
    let side = match keep {
        Keep::Newest => places.clone().min_by_key(|place| staying[*place].arrival()),
        Keep::Oldest => places.clone().max_by_key(|place| staying[*place].arrival()),
    };
    let side = side.expect("the newcomer is among them");
    match staying[side].user() {
        None => side,
        user => places
            .filter(|place| staying[*place].user() == user)
            .min_by_key(|place| staying[*place].login())
            .expect("the side itself is of its user"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_model::{Address, Id};

    const NEWCOMER: u64 = 1000;

    fn user(name: &str) -> Address {
        Address::user(Id::new(name).unwrap())
    }

    /// A connection on its primary address.
    fn plain(seq: u64) -> Rival<'static> {
        Rival { seq: Seq(seq), rank: None, platform: "", primary: None }
    }

    /// A connection on a secondary address.
    fn second(seq: u64, user: &Address, primary: u64) -> Rival<'_> {
        let primary = RouteKey { address: user.into(), seq: Seq(primary) };
        Rival { primary: Some(primary), ..plain(seq) }
    }

    fn ranked(rank: u64, rival: Rival<'_>) -> Rival<'_> {
        Rival { rank: Some(Seq(rank)), ..rival }
    }

    fn newest(n: u32) -> Policy {
        Policy { scope: Scope::PerAddress { n }, keep: Keep::Newest }
    }

    fn oldest(n: u32) -> Policy {
        Policy { scope: Scope::PerAddress { n }, keep: Keep::Oldest }
    }

    fn losers(seqs: &[u64]) -> Result<Vec<Seq>, Refusal> {
        Ok(seqs.iter().copied().map(Seq).collect())
    }

    #[test]
    fn oldest_go_first_until_there_is_room() {
        let present = [plain(1), plain(4), plain(9)];
        let newcomer = plain(NEWCOMER);
        assert_eq!(decide(newest(2), &present, &newcomer), losers(&[1, 4]));
        assert_eq!(decide(newest(0), &present, &newcomer), losers(&[1, 4, 9]));
        assert_eq!(decide(newest(4), &present, &newcomer), losers(&[]));
        assert_eq!(decide(oldest(3), &present, &newcomer), Err(Refusal::Outranked));
        assert_eq!(decide(oldest(4), &present, &newcomer), losers(&[]));
    }

    #[test]
    fn one_users_higher_primary_seq_wins_in_either_order() {
        let user = user("u");
        for policy in [newest(1), oldest(1)] {
            let (low, high) = (second(1, &user, 5), second(NEWCOMER, &user, 10));
            assert_eq!(decide(policy, &[low], &high), losers(&[1]));
            let (high, low) = (second(1, &user, 10), second(NEWCOMER, &user, 5));
            assert_eq!(decide(policy, &[high], &low), Err(Refusal::Outranked));
        }
    }

    #[test]
    fn between_users_the_order_of_arrival_counts() {
        let (u, v) = (user("u"), user("v"));
        let (mine, present) = (second(NEWCOMER, &u, 5), [second(1, &v, 90)]);
        assert_eq!(decide(newest(1), &present, &mine), losers(&[1]));
        assert_eq!(decide(oldest(1), &present, &mine), Err(Refusal::Outranked));
    }

    #[test]
    fn a_late_newcomer_takes_a_free_place_but_no_stronger_ones() {
        let (u, v) = (user("u"), user("v"));
        let present = [second(1, &u, 10), second(2, &v, 1)];
        let late = second(NEWCOMER, &u, 5);
        assert_eq!(decide(newest(3), &present, &late), losers(&[]));
        assert_eq!(decide(newest(2), &present, &late), Err(Refusal::Outranked));
    }

    #[test]
    fn a_rebound_connection_is_as_old_as_it_was() {
        let rebound = ranked(7, plain(NEWCOMER));
        assert_eq!(decide(newest(1), &[plain(5)], &rebound), losers(&[5]));
        assert_eq!(decide(newest(1), &[plain(9)], &rebound), Err(Refusal::Outranked));
        assert_eq!(decide(oldest(1), &[plain(5)], &rebound), Err(Refusal::Outranked));
        assert_eq!(decide(oldest(1), &[plain(9)], &rebound), losers(&[9]));
        assert_eq!(decide(newest(2), &[plain(5), plain(9)], &rebound), losers(&[5]));
    }

    #[test]
    fn rebound_connections_keep_their_order_whoever_comes_back_first() {
        for (first, second) in [(7, 8), (8, 7)] {
            let (first, second) = (ranked(first, plain(20)), ranked(second, plain(NEWCOMER)));
            let later_wins = first.rank < second.rank;
            let wins = |policy| decide(policy, &[first], &second) == losers(&[20]);
            assert_eq!(wins(newest(1)), later_wins);
            assert_eq!(wins(oldest(1)), !later_wins);
            // A third one, that is new, is newer than both.
            let present = [first, Rival { seq: Seq(21), ..second }];
            let older = if later_wins { 20 } else { 21 };
            assert_eq!(decide(newest(2), &present, &plain(NEWCOMER)), losers(&[older]));
            assert_eq!(decide(oldest(2), &present, &plain(NEWCOMER)), Err(Refusal::Outranked));
        }
    }

    #[test]
    fn on_a_secondary_address_a_rank_stands_for_the_primarys_seq() {
        let user = user("u");
        // Bound again, its primary has a new seq above that of the login that came meanwhile.
        let rebound = |seq| ranked(5, second(seq, &user, 12));
        for policy in [newest(1), oldest(1)] {
            assert_eq!(
                decide(policy, &[second(1, &user, 9)], &rebound(NEWCOMER)),
                Err(Refusal::Outranked)
            );
            assert_eq!(decide(policy, &[rebound(1)], &second(NEWCOMER, &user, 9)), losers(&[1]));
            assert_eq!(decide(policy, &[second(1, &user, 3)], &rebound(NEWCOMER)), losers(&[1]));
            assert_eq!(
                decide(policy, &[rebound(1)], &second(NEWCOMER, &user, 3)),
                Err(Refusal::Outranked)
            );
        }
    }

    #[test]
    fn between_users_a_rebound_connection_is_the_older_one() {
        let (u, v) = (user("u"), user("v"));
        let rebound = |seq| ranked(50, second(seq, &u, 60));
        let other = |seq| second(seq, &v, 2);
        assert_eq!(decide(newest(1), &[other(1)], &rebound(NEWCOMER)), Err(Refusal::Outranked));
        assert_eq!(decide(newest(1), &[rebound(1)], &other(NEWCOMER)), losers(&[1]));
        assert_eq!(decide(oldest(1), &[other(1)], &rebound(NEWCOMER)), losers(&[1]));
        assert_eq!(decide(oldest(1), &[rebound(1)], &other(NEWCOMER)), Err(Refusal::Outranked));
    }
}
