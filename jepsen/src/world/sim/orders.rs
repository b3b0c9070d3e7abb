//! Orders: what only the simulation's own loop can do to a host, asked for from within it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// What is to be done to a host between two steps.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Order {
    /// Its process is gone.
    Crash(String),
    /// Its process starts.
    Start(String),
    /// What passes between two takes so long, at least and at most.
    Latency(String, String, Duration, Duration),
    /// How much of what passes between two is lost.
    Lose(String, String, f64),
}

/// Orders that wait for the next step. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Orders(Rc<RefCell<VecDeque<Order>>>);

impl Orders {
    pub(crate) fn crash(&self, host: &str) {
        self.0.borrow_mut().push_back(Order::Crash(host.to_owned()));
    }

    pub(crate) fn start(&self, host: &str) {
        self.0.borrow_mut().push_back(Order::Start(host.to_owned()));
    }

    /// Whether the process is to be gone by the next step.
    pub(crate) fn is_to_crash(&self, host: &str) -> bool {
        self.0.borrow().iter().any(|order| matches!(order, Order::Crash(name) if name == host))
    }

    pub(crate) fn latency(&self, a: &str, b: &str, least: Duration, most: Duration) {
        let order = Order::Latency(a.to_owned(), b.to_owned(), least, most);
        self.0.borrow_mut().push_back(order);
    }

    pub(crate) fn lose(&self, a: &str, b: &str, rate: f64) {
        self.0.borrow_mut().push_back(Order::Lose(a.to_owned(), b.to_owned(), rate));
    }

    pub(crate) fn next(&self) -> Option<Order> {
        self.0.borrow_mut().pop_front()
    }
}
