//! `registry-etcd`: the registry benchmark's loads, carried out by etcd.
//!
//! A bind is one transaction: if nobody has the route's key, put it, attached to the comet's lease. The
//! lease does for etcd what attach, fence and expiry do for Orrery, and the revision of the transaction
//! is the route's number: rising, never reused, at no cost. A look-up is one linearizable range over
//! one key. Before each load the ways of speaking to etcd are tried (one connection or many, only the
//! leader or all members) and the fastest is taken.

mod connections;
mod etcd;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use orrery_bench::clock::Clock;
use orrery_bench::closed_loop::{self, Load, Users, populate};
use orrery_bench::limits::{POPULATION, WARM_UP};
use orrery_bench::machine::Machine;
use orrery_bench::measure::{Figures, measure};
use orrery_bench::report::Report;
use orrery_bench::target::Op;
use orrery_host::Host;

use crate::connections::{To, Way};
use crate::etcd::{Etcd, Session};

/// How long each way of speaking to etcd is tried: short, because what is written stays and makes etcd
/// slower.
const TRIAL: Duration = Duration::from_secs(1);

/// Connections to each member that are tried.
const CONNECTIONS: [usize; 3] = [1, 4, 16];

/// Measures binds and look-ups against etcd.
#[derive(Debug, Parser)]
struct Options {
    /// Members' client addresses, `host:port`.
    #[arg(long, value_delimiter = ',', required = true)]
    endpoints: Vec<String>,
    /// Callers of one load after the other.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 1024])]
    callers: Vec<usize>,
    /// Seconds of each load.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections to each member; without it, what is fastest.
    #[arg(long)]
    connections: Option<usize>,
    /// Members that callers speak to; without it, what is fastest.
    #[arg(long, value_enum)]
    to: Option<To>,
    /// Puts routes without a lease.
    #[arg(long)]
    no_lease: bool,
    /// Processes whose processor time and memory are shown.
    #[arg(long, value_delimiter = ',')]
    server_pids: Vec<u32>,
    /// Says on the standard error what each way of speaking to etcd gave.
    #[arg(long)]
    trials: bool,
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let report = closed_loop::runtime()?.block_on(run(&options))?;
    report.print(options.json)?;
    Ok(())
}

async fn run(options: &Options) -> anyhow::Result<Report> {
    let session = Arc::new(Session::open(&options.endpoints, !options.no_lease).await?);
    let bench = Bench { options, host: Host::system(), clock: Clock::start(), session };
    let any = bench.target(Way { to: To::Leader, connections: 1 })?;
    let users = Arc::new(populate(&any, POPULATION).await.context("bind users to read")?);
    let mut figures = Vec::new();
    for &callers in &options.callers {
        for op in Op::ALL {
            figures.push(bench.measure_best(&users, op, callers).await?);
        }
    }
    let version = bench.session.version().to_owned();
    let lease = if options.no_lease { ", without leases" } else { "" };
    let members = options.endpoints.len();
    let system = format!("etcd {version}, {members} members{lease}");
    Ok(Report { system, machine: Machine::look(), figures })
}

struct Bench<'a> {
    options: &'a Options,
    host: Host,
    clock: Clock,
    session: Arc<Session>,
}

impl Bench<'_> {
    fn target(&self, way: Way) -> anyhow::Result<Arc<Etcd>> {
        Ok(Arc::new(Etcd::new(self.session.clone(), way)?))
    }

    async fn measure_best(
        &self,
        users: &Arc<Users>,
        op: Op,
        callers: usize,
    ) -> anyhow::Result<Figures> {
        let way = self.best(users, op, callers).await?;
        let lasting = Duration::from_secs(self.options.seconds);
        let load = Load { op, callers, warm_up: WARM_UP, lasting };
        let figures = self.measure(users, way, load).await?;
        Ok(Figures { way: Some(way.to_string()), ..figures })
    }

    /// The fastest way for a load, by a short trial of each.
    async fn best(&self, users: &Arc<Users>, op: Op, callers: usize) -> anyhow::Result<Way> {
        let ways = Way::all(self.options.to, self.options.connections, &CONNECTIONS, callers);
        if let [only] = ways.as_slice() {
            return Ok(*only);
        }
        let mut best = None;
        for way in ways {
            let load = Load { op, callers, warm_up: TRIAL / 4, lasting: TRIAL };
            let per_second = self.measure(users, way, load).await?.per_second;
            if self.options.trials {
                let what = op.plural();
                writeln!(std::io::stderr(), "{callers:>5} {what:<7}{per_second:>8.0}/s  {way}")?;
            }
            if best.is_none_or(|(fastest, _)| per_second > fastest) {
                best = Some((per_second, way));
            }
        }
        best.map(|(_, way)| way).context("there is no way to speak to etcd")
    }

    async fn measure(&self, users: &Arc<Users>, way: Way, load: Load) -> anyhow::Result<Figures> {
        let target = self.target(way)?;
        let servers = &self.options.server_pids;
        measure(&self.host, self.clock, &target, users, load, servers).await
    }
}
