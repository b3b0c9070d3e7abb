//! Options: what every load is told.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use orrery_sdk::Transport;

use super::push::api::ApiKind;

/// What is loaded, how devices speak to it, and how the figures are printed.
#[derive(Debug, Clone, Args)]
pub struct TargetOptions {
    /// Protocol and transport of the devices: tcp, websocket (goim's protocol), json, poll, or sse.
    #[arg(long, value_name = "NAME", default_value = "tcp", value_parser = transport)]
    pub transport: Transport,
    /// Comets that run already, by their `host:port` for the transport; devices are spread over them.
    /// Without it a router, a logic and a comet are started for the time, each a process of its own.
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',')]
    pub target_comet: Vec<String>,
    /// Has devices speak within TLS. A comet that is started gets a certificate for the time.
    #[arg(long)]
    pub tls: bool,
    /// A file of certificates in PEM: those of the comets that run already, or of who signed them. What a comet shows
    /// must not be the certificate of a CA.
    #[arg(long, value_name = "FILE", requires = "tls", requires = "target_comet")]
    pub target_ca: Option<PathBuf>,
    /// A logic that runs already, by its `host:port` for the push API.
    #[arg(long, value_name = "HOST:PORT", requires = "target_comet")]
    pub target_push: Option<String>,
    /// Processes of those comets, if they run here: shows what they take.
    #[arg(long, value_name = "PID,…", value_delimiter = ',', requires = "target_comet")]
    pub target_pid: Vec<u32>,
    /// How backends push: our gRPC, or goim's HTTP paths, which goim itself has too.
    #[arg(long, value_enum, default_value_t = ApiKind::Grpc)]
    pub push_api: ApiKind,
    /// Comets to start.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "target_comet",
          value_parser = clap::value_parser!(u8).range(1..=16))]
    pub comets: u8,
    /// A further setting of the processes that are started.
    #[arg(long, value_name = "SECTION.KEY=VALUE", conflicts_with = "target_comet")]
    pub set: Vec<String>,
    /// Prints JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// How long and how fast something goes on.
#[derive(Debug, Clone, Copy, Args)]
pub struct PaceOptions {
    /// How many a second.
    #[arg(long, value_name = "PER SECOND", default_value_t = 1000,
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub rate: u64,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
}

/// What is pushed.
#[derive(Debug, Clone, Copy, Args)]
pub struct PushOptions {
    /// How fast, how long.
    #[command(flatten)]
    pub pace: PaceOptions,
    /// Seconds at the same rate before that do not count.
    #[arg(long, value_name = "SECONDS", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(0..=600))]
    pub warm_up: u64,
    /// Length of each message's body; 32 at least, which say when it was due.
    #[arg(long, default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(32..=1_000_000))]
    pub bytes: u32,
}

impl PaceOptions {
    /// How long is measured.
    pub fn lasting(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn transport(text: &str) -> Result<Transport, String> {
    use Transport::{Json, Poll, Sse, Tcp, WebSocket};
    let all = [Tcp, WebSocket, Json, Poll, Sse];
    all.into_iter()
        .find(|transport| transport.word() == text)
        .ok_or_else(|| format!("expected {}", all.map(Transport::word).join(", ")))
}
