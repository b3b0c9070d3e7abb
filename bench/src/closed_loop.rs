//! Closed loop: callers that each make their next call when they have the answer to the last one.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use orrery_host::Host;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::clock::{Clock, ns};
use crate::limits::{CALLER_THREADS_MAX, CALLERS_MAX, FAILURE_PAUSE, POPULATING_CALLERS};
use crate::tally::{Ended, Tally, Window};
use crate::target::{Op, Target};

/// A load.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// What callers do.
    pub op: Op,
    /// How many there are.
    pub callers: usize,
    /// How long they do it before it counts.
    pub warm_up: Duration,
    /// How long it counts.
    pub lasting: Duration,
}

/// Threads that callers run on: make the runtime with so many.
pub fn caller_threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, CALLER_THREADS_MAX)
}

/// A runtime for callers.
///
/// # Errors
/// When the system has no threads left.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    match caller_threads() {
        1 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        threads => {
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
        }
    }
}

/// The users that calls are about.
pub struct Users {
    /// The next number that nobody has bound.
    fresh: AtomicU64,
    /// Numbers below this one were bound by [`populate`].
    population: u64,
}

impl Users {
    fn for_write(&self) -> u64 {
        self.fresh.fetch_add(1, Ordering::Relaxed)
    }

    /// Any of the population, spread evenly and in no order: neighbours in time are none in the
    /// registry.
    fn for_read(&self, caller: usize, nth: u64) -> u64 {
        scatter(((caller as u64) << 40) ^ nth) % self.population
    }
}

/// Binds users to read, and gives out the numbers from then on.
///
/// # Errors
/// When one of them cannot be bound.
pub async fn populate<T: Target>(target: &Arc<T>, population: u64) -> anyhow::Result<Users> {
    let bind = |n| async move { (n, target.write(POPULATING_CALLERS, n).await) };
    let mut binds =
        futures_util::stream::iter((0..population).map(bind)).buffer_unordered(POPULATING_CALLERS);
    while let Some((n, bound)) = binds.next().await {
        if let Err(failure) = bound {
            bail!("user {n} could not be bound: {}: {}", failure.kind, failure.detail);
        }
    }
    Ok(Users { fresh: AtomicU64::new(population), population })
}

/// Keeps a load up, and says what became of its calls and in which time.
///
/// # Errors
/// When a thread of callers ended by itself.
pub async fn run<T: Target>(
    host: &Host,
    clock: Clock,
    target: &Arc<T>,
    users: &Arc<Users>,
    load: Load,
) -> anyhow::Result<(Tally, Window)> {
    if !(1..=CALLERS_MAX).contains(&load.callers) {
        bail!("{} callers: at least 1 and at most {CALLERS_MAX} are possible", load.callers);
    }
    let begin_ns = clock.now_ns() + ns(load.warm_up);
    let window = Window { begin_ns, end_ns: begin_ns + ns(load.lasting) };
    let mut groups = Vec::new();
    for callers in shares(load.callers, caller_threads()) {
        let group = Group { target: target.clone(), users: users.clone(), clock, window };
        let (tally_tx, tally) = oneshot::channel();
        let task = host.tasks.spawn("bench callers", async move {
            // Whoever started it and does not wait any more wants no figures.
            let _ = tally_tx.send(group.run(load.op, callers).await);
        });
        groups.push((task, tally));
    }
    let mut all = Tally::default();
    for (_task, tally) in groups {
        all.add(tally.await.context("callers ended by themselves")?);
    }
    Ok((all, window))
}

/// Callers that share a task.
struct Group<T> {
    target: Arc<T>,
    users: Arc<Users>,
    clock: Clock,
    window: Window,
}

impl<T: Target> Group<T> {
    async fn run(&self, op: Op, callers: Range<usize>) -> Tally {
        let mut tally = Tally::default();
        let mut calls: FuturesUnordered<_> =
            callers.map(|caller| self.call(op, caller, 0, Duration::ZERO)).collect();
        while let Some((caller, nth, ended)) = calls.next().await {
            tally.count(&self.window, &ended);
            if ended.ended_ns < self.window.end_ns {
                let pause = if ended.result.is_ok() { Duration::ZERO } else { FAILURE_PAUSE };
                calls.push(self.call(op, caller, nth + 1, pause));
            }
        }
        tally
    }

    async fn call(&self, op: Op, caller: usize, nth: u64, pause: Duration) -> (usize, u64, Ended) {
        if pause > Duration::ZERO {
            sleep(pause).await;
        }
        let begun_ns = self.clock.now_ns();
        let result = match op {
            Op::Write => self.target.write(caller, self.users.for_write()).await,
            Op::Read => self.target.read(caller, self.users.for_read(caller, nth)).await,
        };
        (caller, nth, Ended { begun_ns, ended_ns: self.clock.now_ns(), result })
    }
}

/// Deals callers out to groups, none of them empty.
fn shares(callers: usize, groups: usize) -> Vec<Range<usize>> {
    let groups = groups.clamp(1, callers.max(1));
    let bound = |group: usize| group * callers / groups;
    (0..groups).map(|group| bound(group)..bound(group + 1)).collect()
}

/// The finalizer of SplitMix64: each bit of the input sways half of the output's.
fn scatter(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use parking_lot::Mutex;

    use super::*;
    use crate::target::Failure;

    /// Answers after a fixed time; every tenth write fails.
    #[derive(Default)]
    struct Scripted {
        written: Mutex<BTreeSet<u64>>,
        under_way: AtomicU64,
        under_way_max: AtomicU64,
    }

    const ANSWERS_AFTER: Duration = Duration::from_millis(10);

    impl Target for Scripted {
        async fn write(&self, _caller: usize, n: u64) -> Result<(), Failure> {
            let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
            self.under_way_max.fetch_max(under_way, Ordering::Relaxed);
            sleep(ANSWERS_AFTER).await;
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            assert!(self.written.lock().insert(n), "{n} was written twice");
            match n {
                n if n >= 100 && n.is_multiple_of(10) => Err(Failure::new("tenth", n)),
                _ => Ok(()),
            }
        }

        async fn read(&self, _caller: usize, n: u64) -> Result<(), Failure> {
            sleep(ANSWERS_AFTER).await;
            match self.written.lock().contains(&n) {
                true => Ok(()),
                false => Err(Failure::new("absent", n)),
            }
        }
    }

    fn load(op: Op, callers: usize) -> Load {
        let ms = Duration::from_millis;
        Load { op, callers, warm_up: ms(50), lasting: ms(400) }
    }

    #[tokio::test]
    async fn callers_wait_for_their_answer_and_figures_are_those_of_the_window() {
        let (host, clock, target) = (Host::system(), Clock::start(), Arc::new(Scripted::default()));
        let users = Arc::new(populate(&target, 100).await.unwrap());
        target.under_way_max.store(0, Ordering::Relaxed);
        let (tally, window) = run(&host, clock, &target, &users, load(Op::Read, 4)).await.unwrap();
        assert!((window.seconds() - 0.4).abs() < 1e-9);
        // Four callers, each answered after 10 ms or later: forty of each end in 400 ms, and one more
        // that was under way when they began.
        assert!((1..=4 * 41).contains(&tally.completed), "{}", tally.completed);
        assert_eq!(tally.failed(), 0, "{:?}", tally.first_failure);
        let latency = tally.latencies.summary();
        assert!(latency.count > 0 && latency.p50_ms > 9.9, "{latency:?}");

        let (tally, _) = run(&host, clock, &target, &users, load(Op::Write, 4)).await.unwrap();
        assert_eq!(target.under_way_max.load(Ordering::Relaxed), 4);
        assert_eq!(tally.failures.keys().collect::<Vec<_>>(), ["tenth"]);
        assert!(tally.failed() < tally.completed, "{tally:?}");
    }

    #[tokio::test]
    async fn no_callers_and_too_many_are_refused() {
        let (host, clock, target) = (Host::system(), Clock::start(), Arc::new(Scripted::default()));
        let users = Arc::new(populate(&target, 1).await.unwrap());
        for callers in [0, CALLERS_MAX + 1] {
            let refused = run(&host, clock, &target, &users, load(Op::Read, callers)).await;
            assert!(refused.unwrap_err().to_string().starts_with(&callers.to_string()));
        }
    }

    #[test]
    fn every_caller_is_in_one_group() {
        for (callers, groups) in [(1, 8), (7, 3), (1024, 8), (8, 1)] {
            let shares = shares(callers, groups);
            assert!(shares.iter().all(|share| !share.is_empty()));
            let dealt: Vec<_> = shares.into_iter().flatten().collect();
            assert_eq!(dealt, (0..callers).collect::<Vec<_>>());
        }
    }

    #[test]
    fn reads_are_spread_over_the_whole_population() {
        let users = Users { fresh: AtomicU64::new(50), population: 50 };
        let mut counts = [0_u32; 50];
        for caller in 0..10 {
            for nth in 0..100 {
                counts[usize::try_from(users.for_read(caller, nth)).unwrap()] += 1;
            }
        }
        assert!(counts.iter().all(|count| (5..=50).contains(count)), "{counts:?}");
    }
}
