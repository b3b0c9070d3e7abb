//! Report: what a load measured, as people and as programs read it.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

use serde::Serialize;

use super::pushing::Pushing;
use super::server::usage::Cpu;
use crate::latency::Latency;
use crate::machine::Machine;

/// The columns of [`row`].
pub const HEADER: &str =
    "ms                                       p50      p90      p99    p99.9      max\n";

/// Figures of one load.
#[derive(Debug, Serialize)]
pub struct Report<F> {
    /// Which load.
    pub load: &'static str,
    /// How devices spoke.
    pub transport: &'static str,
    /// Whether within TLS.
    pub tls: bool,
    /// Whether the system was started for it, each role a process of its own.
    pub own_system: bool,
    /// Where it was measured.
    pub machine: Machine,
    /// What was measured.
    #[serde(flatten)]
    pub figures: F,
}

impl<F: fmt::Display + Serialize> Report<F> {
    /// Prints it: a table, or one JSON object.
    ///
    /// # Errors
    /// When nobody can read it.
    pub fn print(&self, json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if json {
            serde_json::to_writer_pretty(&mut out, self)?;
            return writeln!(out);
        }
        let Self { load, transport, tls, own_system, machine, figures } = self;
        writeln!(out, "{machine}")?;
        if *own_system {
            writeln!(out, "client, router, logic and comet share the machine, each a process")?;
        }
        let within = if *tls { " within TLS" } else { "" };
        write!(out, "{load} over {transport}{within}\n\n{figures}")
    }
}

impl fmt::Display for Pushing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pushes, per_second, deliveries_per_second, arrivals, .. } = self;
        writeln!(
            f,
            "{pushes} pushes, {per_second:.0}/s kept, {deliveries_per_second:.0} deliveries/s"
        )?;
        writeln!(
            f,
            "{} of {} messages arrived: {} lost, {} too many, {} devices with the wrong ones",
            arrivals.arrived, arrivals.expected, arrivals.lost, arrivals.surplus, arrivals.mixed_up
        )?;
        if let Some(words) = &self.first_failure {
            writeln!(f, "{} pushes failed, first: {words}", self.failed)?;
        }
        let not_delivered = self.told.not_delivered();
        if not_delivered > 0 || self.broken > 0 {
            writeln!(
                f,
                "receipts admit {not_delivered} not delivered ({:?}); {} connections broke",
                self.told, self.broken
            )?;
        }
        f.write_str(&cpu(&self.cpu))?;
        if let Some(each) = self.deliveries_per_comet_cpu_s {
            writeln!(f, "{each:.0} deliveries for a second of the comet's processor time")?;
        }
        write!(f, "\n{HEADER}")?;
        f.write_str(&row("push to socket", &self.to_socket))?;
        f.write_str(&row("push to receipt", &self.to_receipt))?;
        f.write_str(&row("client late by", &self.client_late))
    }
}

/// A line of a table of latencies.
pub fn row(what: &str, latency: &Latency) -> String {
    let Latency { p50_ms, p90_ms, p99_ms, p99_9_ms, max_ms, .. } = latency;
    format!("  {what:<34}{p50_ms:9.2}{p90_ms:9.2}{p99_ms:9.2}{p99_9_ms:9.2}{max_ms:9.2}\n")
}

/// A line about processor time, as far as it is known.
pub fn cpu(cpu: &Cpu) -> String {
    let mut text = String::new();
    let Cpu { comet_s, server_s, client_s, others_cores } = cpu;
    for (whose, seconds) in [("comet", comet_s), ("server", server_s), ("client", client_s)] {
        if let Some(seconds) = seconds {
            let before = if text.is_empty() { "processor time:" } else { "," };
            let _ = write!(text, "{before} {whose} {seconds:.2} s");
        }
    }
    if let Some(cores) = others_cores {
        let _ = write!(text, "; {cores:.2} cores were busy with something else");
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}
