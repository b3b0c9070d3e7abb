//! Our search against other people's: porcupine-rs, todc-utils and stateright give the same verdict on
//! thousands of small random histories, legal and illegal ones.

#![allow(clippy::unwrap_used, reason = "clippy knows only #[test] functions as tests")]

use std::collections::BTreeMap;

use orrery_judge::wgl::{Call, Model, Outcome, search};
use porcupine_rs::Operation;
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use todc_utils::specifications::Specification;
use todc_utils::{Action, History, WGLChecker};

const STEPS_MAX: u64 = 1_000_000;

/// What a register of small numbers is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Ask {
    Read,
    Write(u8),
    Swap(u8, u8),
}

/// What it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Answer {
    Value(u8),
    Done,
    Swapped(bool),
}

fn apply(state: u8, ask: Ask) -> (u8, Answer) {
    match ask {
        Ask::Read => (state, Answer::Value(state)),
        Ask::Write(value) => (value, Answer::Done),
        Ask::Swap(from, to) if from == state => (to, Answer::Swapped(true)),
        Ask::Swap(..) => (state, Answer::Swapped(false)),
    }
}

struct Register;

impl Model for Register {
    type State = u8;
    type Input = Ask;
    type Output = Answer;

    fn initial(&self) -> u8 {
        0
    }

    fn step(&self, state: &u8, ask: &Ask, answer: Option<&Answer>) -> Option<u8> {
        let (after, given) = apply(*state, *ask);
        answer.is_none_or(|answer| *answer == given).then_some(after)
    }
}

type Step = (Ask, Option<Answer>);

#[derive(Clone)]
struct Porcupine;

impl porcupine_rs::Model for Porcupine {
    type State = u8;
    type Op = Step;
    type Metadata = ();

    fn init() -> u8 {
        0
    }

    fn step(state: &u8, (ask, answer): &Step) -> (bool, u8) {
        let (after, given) = apply(*state, *ask);
        (answer.is_none_or(|answer| answer == given), after)
    }
}

struct Todc;

impl Specification for Todc {
    type State = u8;
    type Operation = Step;

    fn init() -> u8 {
        0
    }

    fn apply((ask, answer): &Step, state: &u8) -> (bool, u8) {
        let (after, given) = apply(*state, *ask);
        match answer.is_none_or(|answer| answer == given) {
            true => (true, after),
            false => (false, *state),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Stateright(u8);

impl SequentialSpec for Stateright {
    type Op = Ask;
    type Ret = Answer;

    fn invoke(&mut self, ask: &Ask) -> Answer {
        let (after, answer) = apply(self.0, *ask);
        self.0 = after;
        answer
    }
}

/// A small generator of numbers: a seed names a history for good.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Up to nine calls of three processes, that a real register answers at some moment between call and
/// return; then some answers are made wrong, and some last calls of a process never return.
fn history(seed: u64) -> Vec<(u64, Call<Ask, Answer>)> {
    let mut numbers = Numbers(seed);
    let (mut state, mut time) = (0, 0);
    let mut calls: Vec<(u64, Call<Ask, Answer>)> = Vec::new();
    let mut open: BTreeMap<u64, (usize, Option<Answer>)> = BTreeMap::new();
    let length = 3 + numbers.below(7) as usize;
    while calls.len() < length || !open.is_empty() {
        time += 1;
        let process = numbers.below(3);
        match open.get(&process).copied() {
            None if calls.len() < length => {
                let value = |numbers: &mut Numbers| numbers.below(3) as u8;
                let input = match numbers.below(5) {
                    0 | 1 => Ask::Write(value(&mut numbers)),
                    2 | 3 => Ask::Read,
                    _ => Ask::Swap(value(&mut numbers), value(&mut numbers)),
                };
                open.insert(process, (calls.len(), None));
                calls.push((process, Call { input, output: None, called: time, returned: None }));
            }
            Some((call, None)) => {
                let (after, answer) = apply(state, calls[call].1.input);
                state = after;
                open.insert(process, (call, Some(answer)));
            }
            Some((call, answer)) => {
                open.remove(&process);
                let call = &mut calls[call].1;
                (call.output, call.returned) = (answer, Some(time));
            }
            None => {}
        }
    }
    if numbers.below(2) == 0 {
        let reads = calls.iter_mut().filter(|(_, call)| call.input == Ask::Read);
        if let Some((_, call)) = reads.last() {
            call.output = Some(Answer::Value(numbers.below(3) as u8));
        }
    }
    for process in 0..3 {
        let last = calls.iter_mut().rfind(|(of, _)| *of == process);
        if let Some((_, call)) = last.filter(|_| numbers.below(4) == 0) {
            (call.output, call.returned) = (None, None);
        }
    }
    calls
}

fn ours(calls: &[(u64, Call<Ask, Answer>)]) -> bool {
    let calls: Vec<_> = calls.iter().map(|(_, call)| call.clone()).collect();
    match search(&Register, &calls, STEPS_MAX) {
        Outcome::Linearizable(order) => {
            replay(&calls, &order);
            true
        }
        Outcome::Illegal { longest, .. } => {
            replay_prefix(&calls, &longest);
            false
        }
        Outcome::Exhausted => panic!("a small history needs few steps"),
    }
}

/// The order that is told does explain every answer, and leaves out unknown calls only.
fn replay(calls: &[Call<Ask, Answer>], order: &[usize]) {
    replay_prefix(calls, order);
    for (at, call) in calls.iter().enumerate() {
        assert!(call.returned.is_none() || order.contains(&at), "call {at} has no place");
    }
}

fn replay_prefix(calls: &[Call<Ask, Answer>], order: &[usize]) {
    let mut state = 0;
    for (place, at) in order.iter().enumerate() {
        let call = &calls[*at];
        state = Register.step(&state, &call.input, call.output.as_ref()).unwrap();
        for later in &order[place + 1..] {
            assert!(calls[*later].returned.is_none_or(|end| end >= call.called));
        }
    }
}

fn porcupine(calls: &[(u64, Call<Ask, Answer>)]) -> bool {
    let operations: Vec<Operation<Porcupine>> = calls
        .iter()
        .map(|(process, call)| Operation {
            client_id: Some(*process as u32),
            call_time: call.called as i64,
            return_time: call.returned.map_or(i64::MAX, |time| time as i64),
            op: (call.input, call.output),
            metadata: None,
        })
        .collect();
    porcupine_rs::check_operations(&operations)
}

/// It wants every call to return: an unknown one returns last, whatever it gives.
fn todc(calls: &[(u64, Call<Ask, Answer>)]) -> bool {
    let mut actions = Vec::new();
    for (process, call) in calls {
        let step = (call.input, call.output);
        let process = *process as usize;
        actions.push((call.called, (process, Action::Call(step))));
        actions.push((call.returned.unwrap_or(u64::MAX), (process, Action::Response(step))));
    }
    actions.sort_by_key(|(time, _)| *time);
    let actions = actions.into_iter().map(|(_, action)| action).collect();
    WGLChecker::<Todc>::is_linearizable(History::from_actions(actions))
}

fn stateright(calls: &[(u64, Call<Ask, Answer>)]) -> bool {
    let mut moments: Vec<(u64, u64, Option<Ask>, Option<Answer>)> = Vec::new();
    for (process, call) in calls {
        moments.push((call.called, *process, Some(call.input), None));
        if let Some(time) = call.returned {
            moments.push((time, *process, None, call.output));
        }
    }
    moments.sort_by_key(|(time, ..)| *time);
    let mut tester = LinearizabilityTester::new(Stateright::default());
    for (_, process, ask, answer) in moments {
        match (ask, answer) {
            (Some(ask), _) => tester.on_invoke(process, ask).unwrap(),
            (None, Some(answer)) => tester.on_return(process, answer).unwrap(),
            (None, None) => panic!("a call that returned has an answer"),
        };
    }
    tester.is_consistent()
}

#[test]
fn four_checkers_agree_on_thousands_of_small_histories() {
    let (mut legal, mut illegal, mut unknown) = (0, 0, 0);
    for seed in 0..5_000 {
        let calls = history(seed);
        let verdict = ours(&calls);
        let others = [porcupine(&calls), todc(&calls), stateright(&calls)];
        assert_eq!(others, [verdict; 3], "seed {seed}: {calls:#?}");
        match verdict {
            true => legal += 1,
            false => illegal += 1,
        }
        unknown += calls.iter().filter(|(_, call)| call.returned.is_none()).count();
    }
    // The histories are of all kinds.
    assert!(legal > 1_000 && illegal > 500 && unknown > 1_000, "{legal} {illegal} {unknown}");
}

#[test]
fn a_search_that_is_too_long_says_so() {
    let calls: Vec<Call<Ask, Answer>> = (0..12)
        .map(|at| Call {
            input: Ask::Write(at % 3),
            output: Some(Answer::Done),
            called: 0,
            returned: Some(9),
        })
        .chain([Call {
            input: Ask::Read,
            output: Some(Answer::Value(9)),
            called: 10,
            returned: Some(11),
        }])
        .collect();
    assert_eq!(search(&Register, &calls, 1_000), Outcome::Exhausted);
    assert!(matches!(search(&Register, &calls, STEPS_MAX), Outcome::Illegal { stuck: 12, .. }));
}

#[test]
fn an_empty_history_and_one_of_unknown_calls_only_are_linearizable() {
    assert_eq!(search(&Register, &[], STEPS_MAX), Outcome::Linearizable(Vec::new()));
    let unknown = [Call { input: Ask::Write(1), output: None, called: 0, returned: None }];
    assert_eq!(search(&Register, &unknown, STEPS_MAX), Outcome::Linearizable(Vec::new()));
}
