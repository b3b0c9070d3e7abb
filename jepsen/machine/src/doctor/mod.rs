//! Doctor: what this machine can do for the harness, found out by doing it.

mod bench;
mod resources;

use std::fmt::{self, Write as _};
use std::io::ErrorKind;

use self::bench::Bench;
use self::resources::{cores, descriptors, memory, root, space};
use crate::MachineError;

/// One thing that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What was looked for.
    pub name: &'static str,
    /// What it is used for.
    pub used_for: &'static str,
    /// What was found; or what is missing, and how to get it.
    pub found: Result<String, String>,
    /// Nothing of the process world runs without it.
    pub required: bool,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, text) = match (&self.found, self.required) {
            (Ok(text), _) => ("ok", text),
            (Err(text), true) => ("MISSING", text),
            (Err(text), false) => ("without", text),
        };
        write!(f, "{mark:<8}{:<12}{text} (for {})", self.name, self.used_for)
    }
}

/// Tries everything that the harness would use, and undoes it. Takes about a second. It does not fail: what
/// cannot be done is a finding.
pub fn examine() -> Vec<Probe> {
    let bench = Bench::new();
    let probe = |name, used_for, required, found| Probe { name, used_for, found, required };
    let used = |result: Result<String, MachineError>, package| result.map_err(advice(package));
    vec![
        probe("root", "everything on this machine", true, root()),
        probe("ledger", "undoing what a killed run left", true, used(bench.ledger(), "")),
        probe("switch", "every fault of the network", true, used(bench.switch(), "iproute2")),
        probe("bridge", "cuts at full speed", false, used(bench.bridge(), "nftables")),
        probe("netem", "nothing: the switch does its work", false, bench.netem()),
        probe("disk", "power cuts, full disks", false, used(bench.disk(), "e2fsprogs mount")),
        probe("process", "kills and pauses", true, used(bench.process(), "")),
        probe("strace", "failing and slow syncs", false, used(bench.strace(), "strace")),
        probe("faketime", "wrong wall clocks", false, used(bench.clock(), "libfaketime")),
        probe("cores", "load beside the cluster", false, cores()),
        probe("memory", "a cluster and its load", false, memory()),
        probe("space", "disks and logs", false, space(&bench.folder)),
        probe("descriptors", "many clients", false, descriptors()),
    ]
}

/// The findings as text, a line each.
pub fn table(probes: &[Probe]) -> String {
    probes.iter().fold(String::new(), |mut text, probe| {
        writeln!(text, "{probe}").expect("a string takes all");
        text
    })
}

/// Says which packages a tool that is not there is in.
fn advice(packages: &'static str) -> impl Fn(MachineError) -> String {
    move |error| match &error {
        MachineError::Start { source, .. }
            if source.kind() == ErrorKind::NotFound && !packages.is_empty() =>
        {
            format!("{error} (apt install {packages})")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::Line;

    #[test]
    fn a_missing_tool_names_its_package() {
        let error = Line::words("orrery-no-such-program").run().expect_err("not there");
        let text = advice("iproute2")(error);
        assert!(text.ends_with("(apt install iproute2)"), "{text}");
    }
}
