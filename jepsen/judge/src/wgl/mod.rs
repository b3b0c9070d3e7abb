//! Wing and Gong's search for an order, as Lowe made it (Testing for linearizability, 2017).
//!
//! Calls are tried in every order that real time allows, until each certain one has its place. What was
//! tried is remembered as (set of calls placed, state), so that no two ways to the same point are walked
//! twice. A call of unknown outcome never returns and may be left out.

mod calls;
mod placed;
mod search;

use std::hash::Hash;

pub use self::search::{Outcome, search};

/// What a register, a registry, or whatever is judged may do.
pub trait Model {
    /// Its state.
    type State: Clone + Eq + Hash;
    /// What is asked of it.
    type Input;
    /// What it answers.
    type Output;

    /// The state before all calls.
    fn initial(&self) -> Self::State;

    /// The state after a call with this answer; none where it cannot give that answer. A call whose
    /// answer nobody knows has none, and may likewise say that it changes nothing worth trying.
    fn step(
        &self,
        state: &Self::State,
        input: &Self::Input,
        output: Option<&Self::Output>,
    ) -> Option<Self::State>;
}

/// A call as its caller saw it. Times only order; a call and a return at the same time overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call<I, O> {
    /// What was asked.
    pub input: I,
    /// What was answered, as far as known.
    pub output: Option<O>,
    /// When it began.
    pub called: u64,
    /// When it ended; none where nobody knows whether it took effect: it then may, at any later time.
    pub returned: Option<u64>,
}
