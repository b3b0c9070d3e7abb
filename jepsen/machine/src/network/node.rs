//! Node: a machine of a network, and how a program runs on it.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use crate::MachineError;
use crate::limits::NAME_BYTES_MAX;
use crate::tool::Line;

/// A node's place on the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name in links.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its network namespace.
    pub namespace: String,
}

impl Node {
    /// A command that runs a program at this node: the process becomes the program, so it has its number.
    pub fn command(&self, program: &Path) -> Command {
        // Not `ip netns exec`: that makes a mount namespace too, in which a disk that is unmounted elsewhere
        // stays mounted.
        let mut command = Command::new("nsenter");
        command.arg(self.inside()).arg("--").arg(program);
        command
    }

    /// Has the node's system forget every connection, as one that lost its power has: else it goes on closing those
    /// of a process that was killed, for minutes, and sends what that left behind once the links are back. Whoever
    /// used them must have ended, and the links be cut: the other ends would be told.
    ///
    /// # Errors
    /// When a tool fails, or the kernel keeps some: it must be built with `INET_DIAG_DESTROY`.
    pub fn forget_connections(&self) -> Result<(), MachineError> {
        let sockets = |arguments: &[&str]| {
            let inside = self.inside();
            let words = [inside.as_str(), "--", "ss", "--no-header", "--tcp", "--all"];
            Line::new("nsenter", words.iter().chain(arguments)).run()
        };
        sockets(&["--kill"])?;
        let kept = sockets(&["--numeric"])?;
        match kept.trim() {
            "" => Ok(()),
            kept => Err(MachineError::Refused(format!("{} keeps connections: {kept}", self.name))),
        }
    }

    fn inside(&self) -> String {
        format!("--net=/run/netns/{}", self.namespace)
    }
}

/// Names become parts of namespaces and files.
pub(crate) fn check_name(name: &str) -> Result<(), MachineError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
        let text =
            format!("{name:?} is no name: 1 to {NAME_BYTES_MAX} of letters, digits, - and _");
        return Err(MachineError::Refused(text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_taken() {
        for good in ["router-1", "a", "Comet_2"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "../x", "a/b", "ü", "x".repeat(33).as_str()] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_command_runs_in_the_namespace() {
        let node = Node {
            name: "a".to_owned(),
            address: Ipv4Addr::LOCALHOST,
            namespace: "oj0001-a".to_owned(),
        };
        let command = node.command(Path::new("/bin/true"));
        let arguments: Vec<_> = command.get_args().collect();
        assert_eq!(command.get_program(), "nsenter");
        assert_eq!(arguments, ["--net=/run/netns/oj0001-a", "--", "/bin/true"]);
    }
}
