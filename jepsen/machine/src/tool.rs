//! Runs the system's own tools, one at a time.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::MachineError;
use crate::ledger::owner::Owner;

/// A process that is being started holds for a moment whatever its parent has open. So nobody mounts or
/// unmounts while another thread starts a process, and nobody starts one meanwhile.
static TURN: Mutex<()> = Mutex::new(());

/// Waits for the right to start a process.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The variable that names in a tool's environment the process that runs it.
pub(crate) const TOOL_OF: &str = "ORRERY_JEPSEN_TOOL_OF";

/// Where tools are looked for: also where those of administrators are, which not every user looks at.
pub(crate) fn path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin:/usr/bin:/bin");
    path
}

/// A command line, and what the program is told on its standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    program: &'static str,
    arguments: Vec<OsString>,
    input: String,
}

impl Line {
    pub(crate) fn new<A: AsRef<OsStr>>(
        program: &'static str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
        Self { program, arguments: arguments.collect(), input: String::new() }
    }

    /// Words separated by spaces, none of which holds one.
    pub(crate) fn words(text: &'static str) -> Self {
        let mut words = text.split(' ');
        Self::new(words.next().unwrap_or_default(), words)
    }

    pub(crate) fn and(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    pub(crate) fn telling(mut self, input: impl Into<String>) -> Self {
        self.input = input.into();
        self
    }

    /// Runs it to its end and returns what it printed.
    pub(crate) fn run(&self) -> Result<String, MachineError> {
        let _turn = turn();
        let start = |source| MachineError::Start { line: self.to_string(), source };
        let mut child = Command::new(self.program)
            .args(&self.arguments)
            .stdin(if self.input.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Messages are compared with and shown; both want English.
            .env("LC_ALL", "C")
            .env("PATH", path())
            .env(TOOL_OF, Owner::this().map(|owner| owner.to_string()).unwrap_or_default())
            .spawn()
            .map_err(start)?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that ends without reading says why on its standard error.
            let _ = stdin.write_all(self.input.as_bytes());
        }
        let start = |source| MachineError::Start { line: self.to_string(), source };
        let output = child.wait_with_output().map_err(start)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let stderr = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        Err(MachineError::Failed { line: self.to_string(), status: output.status, stderr })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program)?;
        for argument in &self.arguments {
            write!(f, " {}", argument.display())?;
        }
        // The first line tells which of the crate's it is.
        match self.input.split_once('\n') {
            Some((line, "")) => write!(f, " <<< '{line}'"),
            Some((line, _)) => write!(f, " <<< '{line} …'"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_fails_shows_itself_its_status_and_what_it_said() {
        let line = Line::new("sh", ["-c", "cat >&2; exit 3"]).telling("no\nway\n");
        let error = line.run().expect_err("it exits with 3");
        let text = error.to_string();
        assert!(text.contains("exit status: 3") && text.ends_with("no; way"), "{text}");
        assert_eq!(Line::words("echo a b").and("c d").run().unwrap(), "a b c d\n");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = Line::words("orrery-no-such-program -x").run().expect_err("not there");
        assert!(error.to_string().starts_with("cannot run `orrery-no-such-program -x`"), "{error}");
    }
}
