//! Exposure: outside dev nothing listens beyond this machine unless `insecure` says so by name.

use anyhow::bail;

use super::{Config, Part, Role};

/// Refuses a configuration that would let strangers in.
///
/// # Errors
/// When the role, or the admin port, listens on an address that is not loopback without `insecure`.
pub(crate) fn refuse_exposure(config: &Config, role: Role) -> anyhow::Result<()> {
    if config.insecure {
        return Ok(());
    }
    for listen in config.listens() {
        let concerns = matches!(listen.part, Part::Admin) || listen.part == Part::Role(role);
        if concerns && !listen.address.ip().is_loopback() {
            bail!(
                "{} = {} would be open to strangers: nothing proves who connects. Use an address \
                 of 127.0.0.1, or accept it with insecure = true",
                listen.key,
                listen.address,
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_kept_out_unless_insecure_is_said() {
        let mut config = Config::default();
        for role in Role::ALL {
            assert!(refuse_exposure(&config, role).is_ok());
        }
        config.comet.tcp_listen = "0.0.0.0:3101".parse().unwrap();
        let refused = refuse_exposure(&config, Role::Comet).unwrap_err().to_string();
        assert!(refused.starts_with("comet.tcp_listen = 0.0.0.0:3101 would be open"), "{refused}");
        assert!(refuse_exposure(&config, Role::Logic).is_ok(), "another role's listener");
        config.insecure = true;
        assert!(refuse_exposure(&config, Role::Comet).is_ok());

        let mut config = Config::default();
        config.comet.tls.tcp_listen = "0.0.0.0:3104".parse().unwrap();
        assert!(refuse_exposure(&config, Role::Comet).is_ok(), "nothing listens there");
        config.comet.tls.certificates = vec!["comet.pem".into()];
        let refused = refuse_exposure(&config, Role::Comet).unwrap_err().to_string();
        assert!(refused.starts_with("comet.tls.tcp_listen = 0.0.0.0:3104 would be"), "{refused}");

        let mut config = Config::default();
        config.admin.listen = "[::]:3131".parse().unwrap();
        assert!(refuse_exposure(&config, Role::Router).is_err());
        config.admin.listen = "[::1]:3131".parse().unwrap();
        assert!(refuse_exposure(&config, Role::Router).is_ok());
    }
}
