//! The harness's command line: run a scenario, or judge a history.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use orrery_jepsen::history::{self, Event};
use orrery_jepsen::{checker, scenario};

/// Breaks Orrery on purpose and proves that nothing was lost.
#[derive(Parser)]
#[command(name = "jepsen", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Kills a router with SIGKILL under load, again and again, and checks what it remembers.
    Kill {
        /// The orrery binary.
        #[arg(long, default_value = "target/release/orrery")]
        binary: PathBuf,
        /// How many times to kill it.
        #[arg(long, default_value_t = 10)]
        rounds: u32,
        /// Seed of the workload and of the moments of the kills.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Folder for data, configuration and history; made if missing, kept afterwards.
        #[arg(long, default_value = "target/jepsen")]
        folder: PathBuf,
    },
    /// Judges a history written earlier.
    Check {
        /// JSON lines.
        history: PathBuf,
    },
}

/// Exit codes: 0 all properties hold; 1 one is violated or unknown; 2 the harness itself failed.
#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("harness failure: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Kill { binary, rounds, seed, folder } => {
            let folder = folder.join(format!("kill-{seed}"));
            if folder.exists() {
                std::fs::remove_dir_all(&folder)
                    .with_context(|| format!("remove {}", folder.display()))?;
            }
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("make {}", folder.display()))?;
            let events = scenario::kill(&binary, &folder, rounds, seed).await?;
            let path = folder.join("history.jsonl");
            history::write(&events, BufWriter::new(File::create(&path)?))?;
            report(&format!("history: {} ({} events)", path.display(), events.len()));
            Ok(judge(&events))
        }
        Command::Check { history } => {
            let file =
                File::open(&history).with_context(|| format!("open {}", history.display()))?;
            Ok(judge(&history::read(BufReader::new(file))?))
        }
    }
}

fn judge(events: &[Event]) -> bool {
    let mut passed = true;
    for (name, check) in checker::ALL {
        let verdict = check(events);
        passed &= verdict.passes();
        match verdict {
            checker::Verdict::Holds => report(&format!("{name}: holds")),
            checker::Verdict::Unknown(why) => report(&format!("{name}: unknown: {why}")),
            checker::Verdict::Violated(all) => {
                report(&format!("{name}: VIOLATED {} times", all.len()));
                all.iter().take(10).for_each(|violation| report(&format!("  {violation}")));
            }
        }
    }
    passed
}

#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
fn report(line: &str) {
    println!("{line}");
}
