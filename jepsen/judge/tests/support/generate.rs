//! Histories of a small registry that works, from a seed: processes bind, unbind and read users, answers
//! get lost, comets attach again and are fenced, and commands share entries.

use std::collections::BTreeMap;

use orrery_judge::history::{
    Attach, Bind, Event, Keep, Kind, Locate, Op, Policy, Refusal, Route, Scope, Unbind,
};

/// A small generator of numbers: a seed names a history for good.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// A number below a bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// What kind of history.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// How many operations.
    pub(crate) operations: usize,
    /// How many users.
    pub(crate) users: u64,
    /// How many of the users are in use at a time; later ones take their place as the history goes on.
    pub(crate) users_at_once: u64,
    /// How many processes, each with a comet of its own.
    pub(crate) processes: u64,
    /// One in so many writes has an outcome that nobody learns.
    pub(crate) lost_one_in: u64,
    /// One in so many writes is sent twice, for its first answer was lost.
    pub(crate) repeat_one_in: u64,
    /// One in so many operations is a comet that attaches again.
    pub(crate) attach_one_in: u64,
    /// Whether users have one connection each, the newest.
    pub(crate) one_newest: bool,
}

/// (comet, incarnation, conn): a connection.
type Name = (u64, u64, u64);

/// One shard that works.
#[derive(Default)]
struct Shard {
    index: u64,
    seq: u64,
    users: BTreeMap<u64, BTreeMap<u64, Name>>,
    /// Whether an unbind removed it.
    gone: BTreeMap<(u64, Name), bool>,
    /// Who gave way to a connection.
    losers: BTreeMap<(u64, Name), Vec<Route>>,
    fences: BTreeMap<u64, u64>,
}

struct Process {
    id: i64,
    comet: u64,
    incarnation: u64,
    conn: u64,
    bound: Vec<(u64, Name)>,
    /// Of the comet's earlier life, whose writes come late.
    late: Option<(u64, Name)>,
    open: Option<(Op, u64)>,
    answer: Option<Event>,
    repeated: bool,
}

/// A history of this shape.
pub(crate) fn generate(shape: Shape, seed: u64) -> Vec<Event> {
    let mut numbers = Numbers(seed);
    let mut shard = Shard { index: 9, ..Shard::default() };
    let (mut incarnations, mut next_id) = (shape.processes, shape.processes as i64);
    let mut events: Vec<Event> = Vec::with_capacity(shape.operations * 2);
    let mut processes: Vec<Process> = (0..shape.processes)
        .map(|comet| Process {
            id: comet as i64,
            comet,
            incarnation: comet + 1,
            conn: 0,
            bound: Vec::new(),
            late: None,
            open: None,
            answer: None,
            repeated: false,
        })
        .collect();
    let mut begun = 0;
    while begun < shape.operations || processes.iter().any(|process| process.open.is_some()) {
        let process = &mut processes[numbers.below(shape.processes) as usize];
        let (index, time) = (events.len() as u64, events.len() as u64 * 1_000);
        match (process.open.clone(), process.answer.take()) {
            (None, _) if begun < shape.operations => {
                begun += 1;
                let (op, user) = process.ask(shape, begun, &mut numbers);
                let mut event = Event::new(index, time, process.id, Kind::Invoke, op.clone());
                event.key = Some(format!("user-{user}"));
                process.open = Some((op, user));
                events.push(event);
            }
            (Some((op, user)), None) => {
                let is_write = !matches!(op, Op::Locate(_));
                let repeats = is_write && !process.repeated && !matches!(op, Op::Attach(_));
                if repeats && numbers.below(shape.repeat_one_in) == 0 {
                    let mut unheard = Event::new(0, 0, process.id, Kind::Info, op);
                    shard.apply(&mut unheard, user, &mut incarnations, shape, &mut numbers);
                    process.repeated = true;
                    continue;
                }
                let lost = is_write && numbers.below(shape.lost_one_in) == 0;
                let mut answer = Event::new(0, 0, process.id, Kind::Info, op);
                if !lost || numbers.below(2) == 0 {
                    shard.apply(&mut answer, user, &mut incarnations, shape, &mut numbers);
                }
                if lost {
                    answer =
                        Event::new(0, 0, process.id, Kind::Info, process.open.clone().unwrap().0);
                }
                if std::mem::take(&mut process.repeated) {
                    answer.attempts = Some(2);
                }
                process.answer = Some(answer);
            }
            (Some((_, user)), Some(mut answer)) => {
                (answer.index, answer.time) = (index, time);
                answer.key = Some(format!("user-{user}"));
                process.open = None;
                process.learn(&answer, user);
                if answer.kind == Kind::Info {
                    (process.id, next_id) = (next_id, next_id + 1);
                }
                events.push(answer);
            }
            (None, _) => {}
        }
    }
    events
}

impl Process {
    fn ask(&mut self, shape: Shape, begun: usize, numbers: &mut Numbers) -> (Op, u64) {
        let comet = format!("comet-{}", self.comet);
        if numbers.below(shape.attach_one_in) == 0 {
            self.conn += 1;
            let (instance, attempt) = ("x".into(), self.conn);
            return (Op::Attach(Attach { comet, instance, attempt, incarnation: None }), u64::MAX);
        }
        let passed = (begun as u64 - 1) * (shape.users - shape.users_at_once);
        let user = passed / shape.operations as u64 + numbers.below(shape.users_at_once);
        let policy = Policy { scope: Scope::Address, n: 1, keep: Keep::Newest };
        let policy = shape.one_newest.then_some(policy);
        let bind = |(_, incarnation, conn)| {
            Op::Bind(Bind { comet: comet.clone(), incarnation, conn, policy, ..Bind::default() })
        };
        if let Some((user, name)) = self.late.take() {
            return (bind(name), user);
        }
        match numbers.below(10) {
            0..3 => {
                self.conn += 1;
                (bind((self.comet, self.incarnation, self.conn)), user)
            }
            3..5 if !self.bound.is_empty() => {
                let place = numbers.below(self.bound.len() as u64) as usize;
                let (user, (_, incarnation, conn)) = self.bound.swap_remove(place);
                (
                    Op::Unbind(Unbind { comet, incarnation, conn, settled: None, removed: None }),
                    user,
                )
            }
            5 if !self.bound.is_empty() => {
                let (user, name) = self.bound[numbers.below(self.bound.len() as u64) as usize];
                (bind(name), user)
            }
            _ => (Op::Locate(Locate::default()), user),
        }
    }

    fn learn(&mut self, answer: &Event, user: u64) {
        match &answer.op {
            Op::Bind(bind) if answer.kind != Kind::Fail => {
                let name = (self.comet, bind.incarnation, bind.conn);
                if !self.bound.contains(&(user, name)) {
                    self.bound.push((user, name));
                }
            }
            Op::Attach(Attach { incarnation: Some(incarnation), .. }) => {
                self.incarnation = *incarnation;
                self.late = self.bound.pop();
                self.bound.clear();
            }
            _ => {}
        }
    }
}

impl Shard {
    fn apply(
        &mut self,
        answer: &mut Event,
        user: u64,
        incarnations: &mut u64,
        shape: Shape,
        numbers: &mut Numbers,
    ) {
        let comet_of = |name: &str| name["comet-".len()..].parse::<u64>().unwrap();
        answer.kind = Kind::Ok;
        answer.shard = Some(1);
        answer.attempts = Some(1);
        match &mut answer.op {
            Op::Attach(attach) => {
                *incarnations += 1;
                attach.incarnation = Some(*incarnations);
                answer.shard = None;
                return;
            }
            Op::Locate(locate) => {
                locate.routes = Some(self.routes(user));
                answer.log_index = Some(self.index);
                return;
            }
            _ => {}
        }
        self.index += 1 + numbers.below(2);
        answer.log_index = Some(self.index);
        let refused = match &mut answer.op {
            Op::Bind(bind) => {
                let comet = comet_of(&bind.comet);
                let name = (comet, bind.incarnation, bind.conn);
                self.bind(user, name, shape.one_newest).map(|(seq, losers)| {
                    bind.seq = Some(seq);
                    bind.losers = Some(losers);
                })
            }
            Op::Unbind(unbind) => {
                let comet = comet_of(&unbind.comet);
                self.unbind(user, (comet, unbind.incarnation, unbind.conn)).map(|removed| {
                    unbind.removed = Some(removed);
                })
            }
            _ => unreachable!("reads and attaches were answered"),
        };
        if let Err(refusal) = refused {
            answer.kind = Kind::Fail;
            answer.error = Some(refusal);
        }
    }

    fn routes(&self, user: u64) -> Vec<Route> {
        let routes = self.users.get(&user).into_iter().flatten();
        routes.map(|(seq, name)| route(*name, *seq)).collect()
    }

    fn admit(&mut self, (comet, incarnation, _): Name) -> Result<(), Refusal> {
        let fence = self.fences.entry(comet).or_default();
        if incarnation < *fence {
            return Err(Refusal::Fenced { below: Some(*fence) });
        }
        if incarnation > *fence {
            *fence = incarnation;
            for routes in self.users.values_mut() {
                routes.retain(|_, name| name.0 != comet || name.1 >= incarnation);
            }
        }
        Ok(())
    }

    fn bind(
        &mut self,
        user: u64,
        name: Name,
        one_newest: bool,
    ) -> Result<(u64, Vec<Route>), Refusal> {
        self.admit(name)?;
        let routes = self.users.entry(user).or_default();
        if let Some((seq, _)) = routes.iter().find(|(_, held)| **held == name) {
            let losers = self.losers.get(&(user, name)).cloned();
            return Ok((*seq, losers.unwrap_or_default()));
        }
        if self.gone.contains_key(&(user, name)) {
            return Err(Refusal::Gone);
        }
        let mut losers = Vec::new();
        if one_newest {
            for (seq, name) in std::mem::take(routes) {
                self.gone.insert((user, name), false);
                losers.push(route(name, seq));
            }
        }
        self.seq += 1;
        routes.insert(self.seq, name);
        if !losers.is_empty() {
            self.losers.insert((user, name), losers.clone());
        }
        Ok((self.seq, losers))
    }

    fn unbind(&mut self, user: u64, name: Name) -> Result<bool, Refusal> {
        self.admit(name)?;
        let routes = self.users.entry(user).or_default();
        let before = routes.len();
        routes.retain(|_, held| *held != name);
        let removed = routes.len() < before;
        let removed = *self.gone.entry((user, name)).or_insert(removed);
        Ok(removed)
    }
}

fn route((comet, incarnation, conn): Name, seq: u64) -> Route {
    Route { comet: format!("comet-{comet}"), incarnation, conn, seq }
}
