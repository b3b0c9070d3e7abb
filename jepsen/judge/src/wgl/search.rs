//! Search: whether the calls of one object have an order that explains every answer.

use super::calls::{Calls, Entry};
use super::placed::Placed;
use super::{Call, Model};
use crate::quick::QuickSet;

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// This order of calls explains every answer. Calls of unknown outcome that are left out took no
    /// effect.
    Linearizable(Vec<usize>),
    /// No order does.
    Illegal {
        /// The longest order that was found.
        longest: Vec<usize>,
        /// The call that had to come next and could not.
        stuck: usize,
    },
    /// The steps were used up.
    Exhausted,
}

/// Searches an order of calls that explains every answer, in at most `steps_max` steps: so the verdict
/// never depends on how fast the machine is.
pub fn search<M: Model>(model: &M, calls: &[Call<M::Input, M::Output>], steps_max: u64) -> Outcome {
    let mut list = Calls::new(calls);
    let mut certain = calls.iter().filter(|call| call.returned.is_some()).count();
    let mut state = model.initial();
    let mut placed = Placed::none_of(calls.len());
    let mut tried: QuickSet<(Placed, M::State)> = QuickSet::default();
    let mut order: Vec<(usize, M::State)> = Vec::new();
    let mut longest: (Vec<usize>, usize) = (Vec::new(), usize::MAX);
    let mut place = list.first();
    for _ in 0..steps_max {
        if certain == 0 {
            return Outcome::Linearizable(order.into_iter().map(|(call, _)| call).collect());
        }
        match list.entry(place) {
            Some(Entry::Called(call)) => {
                let asked = &calls[call];
                let after = model.step(&state, &asked.input, asked.output.as_ref());
                place = match after.and_then(|after| {
                    placed.flip(call);
                    if tried.insert((placed.clone(), after.clone())) {
                        return Some(after);
                    }
                    placed.flip(call);
                    None
                }) {
                    Some(after) => {
                        order.push((call, std::mem::replace(&mut state, after)));
                        certain -= usize::from(asked.returned.is_some());
                        list.lift(call);
                        list.first()
                    }
                    None => list.after(place),
                };
            }
            Some(Entry::Returned(stuck)) => {
                if longest.1 == usize::MAX || order.len() > longest.0.len() {
                    longest = (order.iter().map(|(call, _)| *call).collect(), stuck);
                }
                let Some((call, before)) = order.pop() else {
                    let (longest, stuck) = longest;
                    return Outcome::Illegal { longest, stuck };
                };
                state = before;
                placed.flip(call);
                certain += usize::from(calls[call].returned.is_some());
                list.unlift(call);
                place = list.after(list.place(call));
            }
            None => unreachable!("a certain call that has no place still returns"),
        }
    }
    Outcome::Exhausted
}
