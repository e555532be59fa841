//! What a start that fails says, and that nothing is left behind by it or by a cluster that was taken down.

use std::net::UdpSocket;

use anyhow::ensure;
use portolan_tests::{Cluster, Leftovers};

/// What of a cluster is on the machine.
fn own(cluster: &Cluster) -> Vec<String> {
    let names = [cluster.bridge().to_owned(), cluster.run_dir().display().to_string()];
    let all = Leftovers::look();
    let nothing = Leftovers::default();
    let is_own = |line: &&&str| names.iter().any(|name| line.contains(name));
    all.since(&nothing).iter().filter(is_own).map(|line| (*line).to_owned()).collect()
}

#[test]
fn a_start_that_fails_leaves_nothing_behind() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("bound").to_string();
    let cases: [(&[&str], &[&str]); 3] = [
        // Before anything is made.
        (&["--consul-listen", "0.0.0.0:0"], &["--consul-listen 0.0.0.0:0", "--consul-tls-listen"]),
        (&["--consul-datacenter", "eu.west"], &["--consul-datacenter", "lower-case"]),
        // When the network is there.
        (&["--dns-listen", &taken], &["is taken", "--dns-listen"]),
    ];
    let cluster = Cluster::prepare(&[]).expect("prepared");
    let life = || -> anyhow::Result<()> {
        for (flags, expected) in cases {
            let Err(error) = cluster.up_with(flags) else { anyhow::bail!("{flags:?} was taken") };
            let error = format!("{error:#}");
            ensure!(expected.iter().all(|part| error.contains(part)), "{flags:?}: {error}");
            let left = own(&cluster);
            ensure!(left.is_empty(), "{flags:?} left {left:?}");
        }
        // The same folder serves the next start.
        cluster.up()?;
        ensure!(!own(&cluster).is_empty(), "a cluster that runs shows");
        // A start that fails beside pods that may run leaves them alone.
        cluster.kill_server()?;
        let Err(error) = cluster.up_with(&["--dns-listen", &taken]) else { anyhow::bail!("the port was taken") };
        ensure!(format!("{error:#}").contains("is taken"), "{error:#}");
        ensure!(own(&cluster).iter().any(|line| line.starts_with("link")), "the network stays");
        // So does one that asks for the bridge of another cluster.
        let before = own(&cluster);
        let Err(error) = cluster.another(&[])?.up_with(&["--bridge", cluster.bridge()]) else {
            anyhow::bail!("the bridge was taken")
        };
        let expected = format!("the bridge {} is there already", cluster.bridge());
        ensure!(format!("{error:#}").contains(&expected), "{error:#}");
        ensure!(own(&cluster) == before, "{before:?} {:?}", own(&cluster));
        Ok(())
    };
    life().expect("starts that fail");
}

#[test]
fn a_cluster_knows_its_bridge_and_its_sockets_without_being_told() {
    let cluster = Cluster::prepare(&[]).expect("prepared");
    let first = cluster.bridge().to_owned();
    let second = format!("{first}x");
    let elsewhere = cluster.scratch_dir().join("run");
    let elsewhere = elsewhere.to_str().expect("a path of test clusters");
    let links = || -> Vec<String> { own(&cluster).into_iter().filter(|line| line.starts_with("link")).collect() };
    let life = || -> anyhow::Result<()> {
        cluster.up()?;
        cluster.kill_server()?;
        for refused in [cluster.up_with(&["--bridge", &second]), cluster.down_with(&["--bridge", &second])] {
            let Err(error) = refused else { anyhow::bail!("another bridge was taken") };
            let expected = format!("has its network on the bridge {first}, and --bridge asks for {second}");
            ensure!(format!("{error:#}").contains(&expected), "{error:#}");
        }
        for refused in [cluster.up_with(&["--run-dir", elsewhere]), cluster.down_with(&["--run-dir", elsewhere])] {
            let Err(error) = refused else { anyhow::bail!("another folder was taken") };
            let expected = format!("has its sockets in {}, and --run-dir asks for", cluster.run_dir().display());
            ensure!(format!("{error:#}").contains(&expected), "{error:#}");
        }
        ensure!(!links().is_empty(), "the network stays");
        cluster.down_with(&["--keep-data"])?;
        ensure!(own(&cluster).is_empty(), "{:?}", own(&cluster));
        ensure!(!cluster.run_dir().exists(), "the sockets go");
        cluster.up_with(&["--bridge", &second, "--run-dir", elsewhere])?;
        ensure!(!links().is_empty() && links().iter().all(|line| line.contains(&second)), "{:?}", links());
        cluster.kill_server()?;
        cluster.down()?;
        ensure!(own(&cluster).is_empty(), "{:?}", own(&cluster));
        ensure!(!std::path::Path::new(elsewhere).exists(), "the sockets go");
        Ok(())
    };
    life().expect("one cluster, two bridges");
}
