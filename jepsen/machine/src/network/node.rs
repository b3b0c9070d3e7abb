//! Node: a machine of a network, and how a program runs on it.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use crate::MachineError;
use crate::limits::NAME_BYTES_MAX;

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
        command.arg(format!("--net=/run/netns/{}", self.namespace)).arg("--").arg(program);
        command
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
