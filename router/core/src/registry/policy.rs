//! Policy: who gives way when a connection is bound where others are.

use orrery_model::command::Refusal;
use orrery_model::{Keep, Policy, Primary, Scope, Seq};

/// A connection as a policy sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rival<'a> {
    /// Its seq; `None` for the newcomer, which is newer than all.
    pub(super) seq: Option<Seq>,
    pub(super) platform: &'a str,
    pub(super) primary: Option<&'a Primary>,
}

/// Decides which of `present` (in order of seq) give way to the newcomer: their indices in ascending
/// order.
///
/// While there are too many, the side that must give way is the oldest connection (newest wins) or the
/// newcomer (oldest wins). On a secondary address a side is a whole user: of its connections here the
/// one with the lowest *primary* seq goes, so that which of them stays never depends on the order in
/// which their binds arrive.
///
/// # Errors
/// [`Refusal::Outranked`] when the newcomer itself has to give way.
pub(super) fn decide(
    policy: Policy,
    present: &[Rival<'_>],
    newcomer: &Rival<'_>,
) -> Result<Vec<usize>, Refusal> {
    let (places, competes): (usize, fn(&Rival<'_>, &Rival<'_>) -> bool) = match policy.scope {
        Scope::All => return Ok(Vec::new()),
        Scope::PerAddress { n } => (n.max(1) as usize, |_, _| true),
        Scope::PerPlatform => (1, |a, b| a.platform == b.platform),
    };
    let mut staying: Vec<usize> =
        (0..present.len()).filter(|index| competes(&present[*index], newcomer)).collect();
    let mut losers = Vec::new();
    while staying.len() + 1 > places {
        let side = match policy.keep {
            Keep::Newest => &present[staying[0]],
            Keep::Oldest => newcomer,
        };
        match weakest_of_side(side, &staying, present, newcomer) {
            Some(place) => losers.push(staying.remove(place)),
            None => return Err(Refusal::Outranked),
        }
    }
    losers.sort_unstable();
    Ok(losers)
}

/// The place in `staying` of the connection that goes for `side`; `None` is the newcomer.
fn weakest_of_side(
    side: &Rival<'_>,
    staying: &[usize],
    present: &[Rival<'_>],
    newcomer: &Rival<'_>,
) -> Option<usize> {
    let Some(user) = side.primary.map(|primary| &primary.address) else {
        return staying.iter().position(|index| present[*index].seq == side.seq);
    };
    // Equal primary seqs cannot be told apart by them: the older bind then goes, the newcomer last.
    let primary_seq = |rival: &Rival<'_>| {
        rival.primary.filter(|primary| &primary.address == user).map(|primary| primary.seq)
    };
    let weakest = staying
        .iter()
        .enumerate()
        .filter_map(|(place, index)| Some((primary_seq(&present[*index])?, place)))
        .min();
    match (weakest, primary_seq(newcomer)) {
        (Some((seq, _)), Some(new)) if new < seq => None,
        (Some((_, place)), _) => Some(place),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_model::{Address, Id};

    fn primary(user: &str, seq: u64) -> Primary {
        Primary { address: Address::user(Id::new(user).unwrap()), seq: Seq(seq) }
    }

    fn rival<'a>(seq: u64, primary: Option<&'a Primary>) -> Rival<'a> {
        Rival { seq: (seq > 0).then_some(Seq(seq)), platform: "", primary }
    }

    fn newest(n: u32) -> Policy {
        Policy { scope: Scope::PerAddress { n }, keep: Keep::Newest }
    }

    fn oldest(n: u32) -> Policy {
        Policy { scope: Scope::PerAddress { n }, keep: Keep::Oldest }
    }

    #[test]
    fn oldest_go_first_until_there_is_room() {
        let present = [rival(1, None), rival(4, None), rival(9, None)];
        assert_eq!(decide(newest(2), &present, &rival(0, None)), Ok(vec![0, 1]));
        assert_eq!(decide(newest(0), &present, &rival(0, None)), Ok(vec![0, 1, 2]));
        assert_eq!(decide(newest(4), &present, &rival(0, None)), Ok(vec![]));
        assert_eq!(decide(oldest(3), &present, &rival(0, None)), Err(Refusal::Outranked));
        assert_eq!(decide(oldest(4), &present, &rival(0, None)), Ok(vec![]));
    }

    #[test]
    fn one_users_higher_primary_seq_wins_in_either_order() {
        let (low, high) = (primary("u", 5), primary("u", 10));
        for policy in [newest(1), oldest(1)] {
            assert_eq!(
                decide(policy, &[rival(1, Some(&low))], &rival(0, Some(&high))),
                Ok(vec![0])
            );
            assert_eq!(
                decide(policy, &[rival(1, Some(&high))], &rival(0, Some(&low))),
                Err(Refusal::Outranked)
            );
        }
    }

    #[test]
    fn between_users_the_order_of_arrival_counts() {
        let (mine, theirs) = (primary("u", 5), primary("v", 90));
        let present = [rival(1, Some(&theirs))];
        assert_eq!(decide(newest(1), &present, &rival(0, Some(&mine))), Ok(vec![0]));
        assert_eq!(decide(oldest(1), &present, &rival(0, Some(&mine))), Err(Refusal::Outranked));
    }

    #[test]
    fn a_late_newcomer_takes_a_free_place_but_no_stronger_ones() {
        let (strong, other, late) = (primary("u", 10), primary("v", 1), primary("u", 5));
        let present = [rival(1, Some(&strong)), rival(2, Some(&other))];
        assert_eq!(decide(newest(3), &present, &rival(0, Some(&late))), Ok(vec![]));
        assert_eq!(decide(newest(2), &present, &rival(0, Some(&late))), Err(Refusal::Outranked));
    }
}
