//! Bridge: the kernel's own switch, with one nftables table that drops between pairs of ports.
//!
//! It carries more than the user-space switch and adds nothing, but only cuts and loses; its loss follows from
//! no seed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use super::link::{Counters, Link};
use crate::MachineError;
use crate::tool::Line;

/// A bridge's rules, as told to the kernel.
#[derive(Debug)]
pub(crate) struct Bridge {
    /// The table's name, and what the ports' names begin with.
    prefix: String,
    /// What is not as new, by the hosts of sender and receiver.
    links: Mutex<BTreeMap<(u8, u8), Link>>,
}

impl Bridge {
    /// The kernel's bridge of this prefix is there.
    pub(crate) fn new(prefix: &str) -> Result<Self, MachineError> {
        let bridge = Self { prefix: prefix.to_owned(), links: Mutex::default() };
        Line::words("nft -f -").telling(made(prefix)).run()?;
        Ok(bridge)
    }

    pub(crate) fn set(&self, from: u8, to: u8, link: Link) -> Result<(), MachineError> {
        let plain = Link { cut: link.cut, loss: link.loss, ..Link::default() };
        if link != plain {
            let text = "a bridge cuts and loses, nothing else: use the switch for this link";
            return Err(MachineError::Refused(text.to_owned()));
        }
        self.replace(|links| {
            links.insert((from, to), link);
        })
    }

    pub(crate) fn clear(&self) -> Result<(), MachineError> {
        self.replace(BTreeMap::clear)
    }

    /// Changes the links and tells the kernel, in one transaction of its own.
    fn replace(
        &self,
        change: impl FnOnce(&mut BTreeMap<(u8, u8), Link>),
    ) -> Result<(), MachineError> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = links.clone();
        change(&mut next);
        next.retain(|_, link| *link != Link::default());
        Line::words("nft -f -").telling(rules(&self.prefix, &next)).run()?;
        *links = next;
        Ok(())
    }

    pub(crate) fn counters(&self) -> Counters {
        let listed = Line::words("nft list counters table bridge").and(&self.prefix).run();
        parse_counters(&listed.unwrap_or_default())
    }
}

/// The end of a host's cable that is plugged into the bridge.
pub(crate) fn port(prefix: &str, host: u8) -> String {
    format!("{prefix}v{host:02x}")
}

/// The table without links. Names of chains that are words of nftables are avoided.
fn made(prefix: &str) -> String {
    format!(
        "table bridge {prefix} {{\n\
         counter passed {{}}\ncounter cut {{}}\ncounter lost {{}}\n\
         set cuts {{ type ifname . ifname; }}\n\
         chain between {{ type filter hook forward priority 0; policy accept; }}\n\
         }}\n"
    ) + &rules(prefix, &BTreeMap::new())
}

/// Replaces all rules. Only IP is dropped: who is where stays known, as with a firewall between two hosts.
fn rules(prefix: &str, links: &BTreeMap<(u8, u8), Link>) -> String {
    let mut text = format!("flush chain bridge {prefix} between\nflush set bridge {prefix} cuts\n");
    let mut line = |line: &str| writeln!(text, "{line}").expect("a string takes all");
    let mut cuts = links.iter().filter(|(_, link)| link.cut).peekable();
    if cuts.peek().is_some() {
        let pairs: Vec<_> = cuts
            .map(|((from, to), _)| format!("{} . {}", port(prefix, *from), port(prefix, *to)))
            .collect();
        line(&format!("add element bridge {prefix} cuts {{ {} }}", pairs.join(", ")));
    }
    let rule = format!("add rule bridge {prefix} between");
    line(&format!("{rule} ether type ip iifname . oifname @cuts counter name cut drop"));
    for ((from, to), link) in links.iter().filter(|(_, link)| !link.cut && link.loss > 0.0) {
        let (from, to) = (port(prefix, *from), port(prefix, *to));
        // Ten thousandths; whoever asks for less than one gets one.
        let share = (link.loss * 10_000.0).round().max(1.0);
        line(&format!(
            "{rule} ether type ip iifname {from} oifname {to} numgen random mod 10000 < {share} \
             counter name lost drop"
        ));
    }
    line(&format!("{rule} ether type ip counter name passed"));
    text
}

/// Reads `counter lost { packets 3 bytes 252 }`, however the lines are broken.
fn parse_counters(listed: &str) -> Counters {
    let mut counters = Counters::default();
    let mut words = listed.split_whitespace();
    while let Some(word) = words.next() {
        if word != "counter" {
            continue;
        }
        let name = words.next();
        let packets = words.nth(2).and_then(|word| word.parse().ok()).unwrap_or(0);
        match name {
            Some("passed") => counters.passed = packets,
            Some("cut") => counters.cut = packets,
            Some("lost") => counters.lost = packets,
            _ => {}
        }
    }
    counters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_a_set_of_pairs_and_loss_a_rule_each() {
        let links = BTreeMap::from([
            ((2, 3), Link::CUT),
            ((3, 1), Link { loss: 0.25, ..Link::default() }),
            ((3, 2), Link { cut: true, loss: 0.5, ..Link::default() }),
        ]);
        let wanted = "\
flush chain bridge oj00ff between
flush set bridge oj00ff cuts
add element bridge oj00ff cuts { oj00ffv02 . oj00ffv03, oj00ffv03 . oj00ffv02 }
add rule bridge oj00ff between ether type ip iifname . oifname @cuts counter name cut drop
add rule bridge oj00ff between ether type ip iifname oj00ffv03 oifname oj00ffv01 \
numgen random mod 10000 < 2500 counter name lost drop
add rule bridge oj00ff between ether type ip counter name passed
";
        assert_eq!(rules("oj00ff", &links), wanted);
    }

    #[test]
    fn counters_are_read_as_the_tool_lists_them() {
        let listed = "table bridge oj00ff {\n\tcounter passed {\n\t\tpackets 12 bytes 900\n\t}\n\
                      \tcounter cut {\n\t\tpackets 3 bytes 252\n\t}\n\tcounter lost { packets 1 bytes 84 }\n}\n";
        let wanted = Counters { passed: 12, cut: 3, lost: 1, ..Counters::default() };
        assert_eq!(parse_counters(listed), wanted);
        assert_eq!(parse_counters(""), Counters::default());
    }
}
