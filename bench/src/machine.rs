//! Machine: what the figures were measured on.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::latency::{Latencies, Latency};
use crate::limits::SYNCS;

/// The machine, as far as it tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// Processors that this process may use.
    pub cores: usize,
    /// The processor's name.
    pub processor: String,
    /// The kernel's release.
    pub kernel: String,
    /// The default congestion control of TCP, which is part of what a send costs.
    pub congestion_control: String,
    /// Time of one small write with its sync, where the data is; absent when it is elsewhere.
    pub sync: Option<Latency>,
}

impl Machine {
    /// Asks the kernel.
    pub fn look() -> Self {
        let kernel = |name: &str| {
            let text = fs::read_to_string(Path::new("/proc/sys").join(name));
            text.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
        };
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: processor(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            kernel: kernel("kernel/osrelease"),
            congestion_control: kernel("net/ipv4/tcp_congestion_control"),
            sync: None,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, processor, kernel, congestion_control, sync } = self;
        write!(f, "{cores} cores of {processor}, Linux {kernel}, TCP with {congestion_control}")?;
        match sync {
            None => Ok(()),
            Some(sync) => {
                write!(f, ", a 4 KiB sync takes {:.2} ms (p99 {:.2})", sync.p50_ms, sync.p99_ms)
            }
        }
    }
}

fn processor(cpuinfo: &str) -> String {
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or("unknown", |line| line.trim_start_matches([' ', '\t', ':'])).to_owned()
}

/// Times small writes in a folder, each made durable as the log's are.
///
/// # Errors
/// When the folder cannot be written to.
pub fn time_syncs(folder: &Path, clock: Clock) -> io::Result<Latency> {
    let path = folder.join("sync");
    let mut file = File::create(&path)?;
    let mut latencies = Latencies::default();
    for _ in 0..SYNCS {
        let begun_ns = clock.now_ns();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        latencies.record(clock.now_ns() - begun_ns);
    }
    fs::remove_file(&path)?;
    Ok(latencies.summary())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_what_it_is() {
        let machine = Machine::look();
        assert!(machine.cores > 0);
        for known in [&machine.kernel, &machine.congestion_control] {
            assert!(machine.to_string().contains(known.as_str()), "{machine}");
        }
    }

    #[test]
    fn a_processor_without_a_name_is_unknown() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: AMD EPYC\n"), "AMD EPYC");
        assert_eq!(processor(""), "unknown");
    }
}
