//! Who is served over plain HTTP: this machine and its pods.

use crate::config::{DialectAddress, ServerOptions};

impl ServerOptions {
    /// Refuses to serve other machines without TLS: nobody there would be asked who he is.
    pub(crate) fn refuse_open_registry(&self) -> anyhow::Result<()> {
        let plain = [
            ("registry", DialectAddress::At(self.registry_listen)),
            ("consul", self.consul_listen),
            ("eureka", self.eureka_listen),
        ];
        for (name, address) in plain.into_iter().filter_map(|(name, address)| Some((name, address.address()?))) {
            anyhow::ensure!(
                address.ip().is_loopback(),
                "--{name}-listen {address}: plain HTTP is for this machine and its pods only, so give an address such as \
                 127.0.0.1:{port} (pods are served on the bridge, at the same port); other machines are served over TLS \
                 with --{name}-tls-listen ADDRESS:PORT",
                port = address.port()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_listeners_of_the_registry_are_for_this_machine() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            options: ServerOptions,
        }
        let refused = |flags: &[&str]| {
            let line = [&["portolan"], flags].concat();
            let options = <Line as clap::Parser>::try_parse_from(line).expect("well-formed").options;
            options.refuse_open_registry().err().map(|error| error.to_string())
        };
        let open = ["--consul-listen", "0.0.0.0:18500"];
        let cases: [(&[&str], Option<&str>); 7] = [
            (&[], None),
            (&["--consul-listen", "127.0.0.7:0", "--eureka-listen", "[::1]:8761"], None),
            (&["--consul-listen=off", "--eureka-listen=off"], None),
            (&open, Some("--consul-tls-listen")),
            (&["--registry-listen=192.0.2.1:7878"], Some("--registry-tls-listen")),
            (&["--eureka-listen", "[::]:8761"], Some("--eureka-tls-listen")),
            (&["--consul-tls-listen", "0.0.0.0:8501"], None),
        ];
        for (flags, expected) in cases {
            let found = refused(flags);
            assert_eq!(found.is_some(), expected.is_some(), "{flags:?}: {found:?}");
            assert!(found.is_none_or(|text| text.contains(expected.unwrap_or_default())), "{flags:?}");
        }
        assert!(refused(&open).is_some_and(|text| text.contains("--consul-listen 0.0.0.0:18500")));
    }
}
