//! Owner: a process by its number and the time it was started, which together never come again before the
//! machine is started anew.

use std::fmt;
use std::fs;

/// The start of the machine that it lives in, as a word of its own; the kernel draws another one each time.
pub(crate) fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let word: String = id.chars().take_while(char::is_ascii_hexdigit).collect();
    if word.is_empty() { "unknown".to_owned() } else { word }
}

/// A process, living or dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) pid: u32,
    /// In the kernel's clock ticks since the machine was started (field 22 of `/proc/PID/stat`, proc(5)).
    pub(crate) started: u64,
}

impl Owner {
    /// This process.
    pub(crate) fn this() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// The process that has this number now.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Self { pid, started: Stat::parse(&stat)?.started })
    }

    /// Whether it is there. One that has ended but was not waited for is not.
    pub(crate) fn lives(self) -> bool {
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", self.pid)) else { return false };
        Stat::parse(&stat).is_some_and(|stat| stat.started == self.started && !stat.ended())
    }

    /// What its state is, as one letter of proc(5).
    pub(crate) fn state(self) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        Stat::parse(&stat).filter(|stat| stat.started == self.started).map(|stat| stat.state)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.pid, self.started)
    }
}

struct Stat {
    state: char,
    started: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, which may hold anything, also parentheses.
        let (_, rest) = text.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let state = fields.next()?.chars().next()?;
        let started = fields.nth(18)?.parse().ok()?;
        Some(Self { state, started })
    }

    fn ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let rest = "1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 99 1";
        for name in ["sh", "a b", "x) R 9 (", ") "] {
            let stat = Stat::parse(&format!("12 ({name}) S 1 {rest}")).unwrap();
            assert_eq!((stat.state, stat.started), ('S', 4711), "{name}");
        }
        assert!(Stat::parse("12 (sh) S 1").is_none());
        assert!(Stat::parse("").is_none());
    }

    #[test]
    fn a_start_of_the_machine_has_one_word_that_stays() {
        let word = boot();
        assert!(word.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{word}");
        assert_eq!(word, boot());
    }

    #[test]
    fn this_process_lives_and_one_of_another_start_time_does_not() {
        let this = Owner::this().unwrap();
        assert!(this.lives());
        assert!(!Owner { started: this.started + 1, ..this }.lives());
    }
}
