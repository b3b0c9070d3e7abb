//! Ddmin: makes a list as small as it goes while it still fails (Zeller and Hildebrandt 2002).

use std::collections::BTreeMap;

/// The smallest part of a list of which `fails` says that it does, in the sense that without any one item
/// it does not. The whole list is known to fail.
///
/// `fails` is asked about at most `width` parts at a time, so that they may be tried at once, and never about
/// one part twice; of those that fail the first is taken, so that the result does not depend on `width`.
///
/// # Errors
/// What `fails` could not do.
pub fn ddmin<T: Clone + Ord, E>(
    items: &[T],
    width: usize,
    fails: impl FnMut(&[Vec<T>]) -> Result<Vec<bool>, E>,
) -> Result<Vec<T>, E> {
    let mut oracle = Oracle { fails, width: width.max(1), known: BTreeMap::new() };
    if oracle.first(&[Vec::new()])?.is_some() {
        return Ok(Vec::new());
    }
    let mut left = items.to_vec();
    let mut parts = 2;
    while left.len() >= 2 {
        parts = parts.min(left.len());
        let subsets = split(&left, parts);
        if let Some(at) = oracle.first(&subsets)? {
            left = subsets[at].clone();
            parts = 2;
            continue;
        }
        // Of two parts each is the other's complement.
        let complements: Vec<Vec<T>> = match parts {
            2 => Vec::new(),
            _ => (0..parts).map(|without| join(&subsets, without)).collect(),
        };
        if let Some(at) = oracle.first(&complements)? {
            left = complements[at].clone();
            parts = (parts - 1).max(2);
        } else if parts == left.len() {
            break;
        } else {
            parts *= 2;
        }
    }
    Ok(left)
}

struct Oracle<T, F> {
    fails: F,
    width: usize,
    known: BTreeMap<Vec<T>, bool>,
}

impl<T: Clone + Ord, F> Oracle<T, F> {
    /// The first of these that fails.
    fn first<E>(&mut self, parts: &[Vec<T>]) -> Result<Option<usize>, E>
    where
        F: FnMut(&[Vec<T>]) -> Result<Vec<bool>, E>,
    {
        for (number, batch) in parts.chunks(self.width).enumerate() {
            let unknown: Vec<Vec<T>> =
                batch.iter().filter(|part| !self.known.contains_key(*part)).cloned().collect();
            if !unknown.is_empty() {
                let answers = (self.fails)(&unknown)?;
                self.known.extend(unknown.into_iter().zip(answers));
            }
            if let Some(at) = batch.iter().position(|part| self.known.get(part) == Some(&true)) {
                return Ok(Some(number * self.width + at));
            }
        }
        Ok(None)
    }
}

/// So many parts of about the same length.
fn split<T: Clone>(items: &[T], parts: usize) -> Vec<Vec<T>> {
    let bound = |part: usize| items.len() * part / parts;
    (0..parts).map(|part| items[bound(part)..bound(part + 1)].to_vec()).collect()
}

/// All parts but one.
fn join<T: Clone>(parts: &[Vec<T>], without: usize) -> Vec<T> {
    let others = parts.iter().enumerate().filter(|(at, _)| *at != without);
    others.flat_map(|(_, part)| part.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::convert::Infallible;

    use super::*;

    /// What is left of `0..items`, and how many parts were tried, where a part fails if `fails` says so.
    fn shrink(items: u32, width: usize, fails: fn(&[u32]) -> bool) -> (Vec<u32>, usize) {
        let items: Vec<u32> = (0..items).collect();
        let mut tried = BTreeSet::new();
        let left = ddmin(&items, width, |parts: &[Vec<u32>]| {
            assert!((1..=width).contains(&parts.len()));
            for part in parts {
                assert!(part.is_sorted(), "the order stays: {part:?}");
                assert!(tried.insert(part.clone()), "tried twice: {part:?}");
            }
            Ok::<_, Infallible>(parts.iter().map(|part| fails(part)).collect())
        });
        (left.expect("it cannot fail"), tried.len())
    }

    #[test]
    fn what_fails_by_itself_needs_nothing() {
        assert_eq!(shrink(20, 2, |_| true), (vec![], 1));
    }

    #[test]
    fn one_of_many_is_found() {
        let (left, tried) = shrink(64, 1, |part| part.contains(&41));
        assert_eq!(left, [41]);
        assert!(tried <= 14, "{tried}");
    }

    #[test]
    fn two_far_apart_are_found() {
        let (left, tried) = shrink(50, 2, |part| part.contains(&3) && part.contains(&47));
        assert_eq!(left, [3, 47]);
        assert!(tried <= 60, "{tried}");
    }

    #[test]
    fn nothing_is_left_out_where_all_are_needed() {
        assert_eq!(shrink(7, 2, |part| part.len() == 7).0, [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn without_any_one_of_the_rest_it_does_not_fail() {
        // Not monotonic: some larger parts do not fail.
        let fails: fn(&[u32]) -> bool =
            |part| part.iter().sum::<u32>() % 7 == 3 && part.len() >= 2 || part.len() == 13;
        for width in 1..4 {
            let (left, _) = shrink(13, width, fails);
            assert!(fails(&left));
            for without in 0..left.len() {
                let mut less = left.clone();
                less.remove(without);
                assert!(!fails(&less), "{left:?} without its {without}-th");
            }
        }
    }

    #[test]
    fn the_result_does_not_depend_on_how_many_are_tried_at_once() {
        let fails: fn(&[u32]) -> bool =
            |part| [2, 9, 30].iter().filter(|one| part.contains(one)).count() >= 2;
        let one = shrink(40, 1, fails).0;
        assert_eq!(shrink(40, 2, fails).0, one);
        assert_eq!(shrink(40, 5, fails).0, one);
    }

    #[test]
    fn an_empty_list_stays_empty() {
        assert_eq!(shrink(0, 2, |_| false).0, Vec::<u32>::new());
    }

    #[test]
    fn what_cannot_be_tried_ends_it() {
        let tried = ddmin(&[1, 2, 3], 2, |_: &[Vec<u32>]| Err::<Vec<bool>, _>("no disk"));
        assert_eq!(tried, Err("no disk"));
    }
}
