//! `jepsen doctor`: what this machine can do, and what of it will be used.

use clap::Args;
use machine::doctor::{Probe, examine};

use super::say;
use crate::verdict::Ending;

/// What to look for.
#[derive(Debug, Args)]
pub struct Doctor {}

impl Doctor {
    /// Looks.
    ///
    /// # Errors
    /// Never; what is missing is said.
    pub fn run(&self) -> anyhow::Result<Ending> {
        let probes = examine();
        say(&table(&probes));
        match lacks(&probes) {
            None => {
                say("real processes can be run and broken here: jepsen process");
                Ok(Ending::Holds)
            }
            Some(lacks) => {
                say(&lacks);
                Ok(Ending::Harness)
            }
        }
    }
}

/// What this machine lacks for real processes, in words.
pub fn missing() -> Option<String> {
    lacks(&examine())
}

fn lacks(probes: &[Probe]) -> Option<String> {
    let is_missing = |probe: &&Probe| probe.required && probe.found.is_err();
    let line = |probe: &Probe| {
        let why = probe.found.as_ref().err().map_or("", String::as_str);
        format!("  {} (for {}): {why}", probe.name, probe.used_for)
    };
    let lines: Vec<String> = probes.iter().filter(is_missing).map(line).collect();
    (!lines.is_empty()).then(|| {
        format!(
            "real processes cannot be run here; what is missing:\n{}\njepsen sim runs anywhere",
            lines.join("\n")
        )
    })
}

fn table(probes: &[Probe]) -> String {
    let wide = |of: fn(&Probe) -> usize| probes.iter().map(of).max().unwrap_or(0);
    let (name, used) = (wide(|probe| probe.name.len()), wide(|probe| probe.used_for.len()));
    let line = |probe: &Probe| {
        let (mark, what) = match &probe.found {
            Ok(found) => ("used", found),
            Err(why) if probe.required => ("MISSING", why),
            Err(why) => ("without", why),
        };
        format!("{mark:8} {:name$}  {:used$}  {what}", probe.name, probe.used_for)
    };
    probes.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(name: &'static str, required: bool, found: Result<&str, &str>) -> Probe {
        let found = found.map(str::to_owned).map_err(str::to_owned);
        Probe { name, used_for: "something", found, required }
    }

    #[test]
    fn only_what_is_required_and_missing_keeps_one_from_it() {
        let fine = [probe("tun", true, Ok("/dev/net/tun")), probe("strace", false, Err("no"))];
        assert_eq!(lacks(&fine), None);
        assert!(table(&fine).contains("without  strace"));
        let lacking = [probe("root", true, Err("not root"))];
        assert!(lacks(&lacking).unwrap().contains("root (for something): not root"));
        assert!(table(&lacking).starts_with("MISSING"));
    }
}
